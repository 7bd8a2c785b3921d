"""Where an agent's state lives: session stores, the five-method handler, the credential vault."""

from mbxai.sessions._adapter import HandlerSessionStore, as_store
from mbxai.sessions._memory import InMemorySessionStore
from mbxai.sessions._redis import RedisSessionStore
from mbxai.sessions._sqlite import SQLiteSessionStore
from mbxai.sessions._store import SessionRecord, SessionStore
from mbxai.sessions._vault import (
    HANDLE_SCHEME,
    CredentialVault,
    handle_of,
    parse_credentials,
)
from mbxai.sessions.handler import InMemorySessionHandler, SessionHandler

__all__ = [
    "HANDLE_SCHEME",
    "CredentialVault",
    "HandlerSessionStore",
    "InMemorySessionHandler",
    "InMemorySessionStore",
    "RedisSessionStore",
    "SQLiteSessionStore",
    "SessionHandler",
    "SessionRecord",
    "SessionStore",
    "as_store",
    "handle_of",
    "parse_credentials",
]
