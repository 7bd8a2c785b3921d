"""With which key a server seals what its clients keep for it between a question and its answer.

Part of the door to the protocol's package, which does the sealing.
"""

import hashlib
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from mbxai.mcp.serving._features import ServerSettings

if TYPE_CHECKING:  # slow to load
    from mcp.server import ServerRequestContext

_is_over_stdio: ContextVar[bool] = ContextVar("mbxai_is_over_stdio", default=False)
_KEY_LABEL: Final = b"mbxai/stdio-state/v1:"
_KEY_BYTES: Final = 32


@contextmanager
def over_stdio() -> Generator[None]:
    """Serve whoever started this program, while in here."""
    token = _is_over_stdio.set(True)
    try:
        yield
    finally:
        _is_over_stdio.reset(token)


def make_state_boundary(settings: ServerSettings) -> Any:
    """Return the package's middleware that seals on the way out and opens on the way in.

    Without keys of its own, a server seals with a key of this process. Not so over standard input
    and output: there the process ends with its client, and the person's answer comes to the next
    one. Who talks to it has started it, and could do all that a forged state could; so the key is
    made from the server's name, and is no secret.

    Args:
        settings: The server's name, its keys, and how long a client may take.
    """
    from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

    def boundary(keys: Sequence[bytes | str]) -> RequestStateBoundary:
        security = RequestStateSecurity(keys=list(keys), ttl=settings.state_ttl_seconds)
        return RequestStateBoundary(security, default_audience=settings.name)

    if settings.state_keys:
        return boundary(settings.state_keys)
    of_process = boundary([secrets.token_bytes(_KEY_BYTES)])
    of_name = boundary([hashlib.sha256(_KEY_LABEL + settings.name.encode()).digest()])

    async def sealed(context: "ServerRequestContext[Any]", call_next: Callable[..., Any]) -> Any:
        # A tool that was called over standard input may itself serve others over HTTP.
        is_trusted = _is_over_stdio.get() and context.request is None
        return await (of_name if is_trusted else of_process)(context, call_next)

    return sealed
