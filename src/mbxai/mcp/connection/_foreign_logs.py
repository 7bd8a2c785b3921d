"""What the packages below us may write into the application's log."""

import logging
from typing import Final

from mbxai._redaction import get_logger

_HTTP: Final = (
    "httpx2",  # writes each address, with what stands in its query
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
    "httpcore2.socks",
)
_PROTOCOL: Final = (
    "client",  # of mcp.client.session
    "mcp.client.auth.oauth2",
    "mcp.client.caching",
    "mcp.client.client",
    "mcp.client.sse",
    "mcp.client.stdio",
    "mcp.client.streamable_http",
    "mcp.shared.dispatcher",
    "mcp.shared.jsonrpc_dispatcher",
)
_MESSAGE: Final = " message: "
_SESSION: Final = "Received session ID"


def guard_foreign_logs() -> None:
    """Take secrets out of what the packages below us log, and leave whole messages out.

    Messages hold the arguments and results of tools and what people have answered, and a session's
    number is as good as a password to some servers; our own log names none of them.
    """
    for name in _HTTP:
        get_logger(name)
    for name in _PROTOCOL:
        get_logger(name).addFilter(_is_harmless)  # the same function twice is added once


def _is_harmless(record: logging.LogRecord) -> bool:
    if record.levelno > logging.INFO:
        return True
    text = record.getMessage()
    return _MESSAGE not in text and not text.startswith(_SESSION)
