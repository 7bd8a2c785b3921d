"""The certificates that all HTTP connections of the protocol trust."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@cache
def certificates() -> "ssl.SSLContext":
    """Return what is trusted, read once: that takes a fifth of a second, so not on an event loop.

    SSL_CERT_FILE and SSL_CERT_DIR name other certificates than the system's.
    """
    import httpx2  # slow to load

    return httpx2.create_ssl_context()
