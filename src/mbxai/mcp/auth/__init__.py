"""Who we are to a server: the ways to sign in, and where tokens are kept."""

from mbxai.mcp.auth._file_store import FileTokenStore
from mbxai.mcp.auth._methods import (
    AuthMethod,
    BearerToken,
    ClientCredentials,
    EnterpriseAuth,
    OAuth,
    PrivateKeyJWT,
)
from mbxai.mcp.auth._stores import MemoryTokenStore, TokenKey, TokenStore

__all__ = [
    "AuthMethod",
    "BearerToken",
    "ClientCredentials",
    "EnterpriseAuth",
    "FileTokenStore",
    "MemoryTokenStore",
    "OAuth",
    "PrivateKeyJWT",
    "TokenKey",
    "TokenStore",
]
