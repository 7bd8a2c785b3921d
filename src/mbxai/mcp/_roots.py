"""Directories that servers may consider theirs to work in."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

import anyio.to_thread

from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError
from mbxai.mcp._options import Roots
from mbxai.mcp.connection._callbacks import RootsSource

logger = get_logger(__name__)


def roots_source(roots: Roots) -> RootsSource:
    """Return what tells servers the roots.

    Args:
        roots: Paths or `file:` URIs, or a function that returns them; one that blocks runs in a
            worker thread and is asked each time a server asks. If it fails, the server is told of
            no roots, and the failure is logged.

    Returns:
        An asynchronous function that returns objects with `uri` and `name`.

    Raises:
        ConfigurationError: A path or URI cannot be a root.
    """
    if callable(roots):
        return _CalledRoots(roots)
    known = _as_roots(roots)

    async def tell() -> Sequence[Mapping[str, str]]:
        return known

    return tell


class _CalledRoots:
    """Roots that a function of the application tells."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function

    async def __call__(self) -> Sequence[Mapping[str, str]]:
        function = self._function
        try:
            if inspect.iscoroutinefunction(function):
                return _as_roots(await function())
            given: object = await anyio.to_thread.run_sync(function, abandon_on_cancel=True)
            return _as_roots(await given if inspect.isawaitable(given) else given)
        except Exception:  # the application's own code
            logger.exception("roots= failed; servers are told of none")
            return []


def _as_roots(given: object) -> list[dict[str, str]]:
    if isinstance(given, (str, Path)) or not isinstance(given, Sequence):
        raise ConfigurationError(
            f"roots must be a list of directories, not {given!r:.80}.",
            hint='Write roots=["/path/to/project"].',
        )
    uris = dict.fromkeys(_uri_of(root) for root in cast("Sequence[object]", given))
    return [{"uri": uri, "name": _name_of(uri)} for uri in uris]


def _uri_of(root: object) -> str:
    if isinstance(root, Path) or (isinstance(root, str) and "://" not in root and root):
        return Path(os.path.abspath(Path(root).expanduser())).as_uri()  # noqa: PTH100  # no disk
    uri = str(root) if isinstance(root, str) else ""
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        raise ConfigurationError(
            f"{root!r:.80} cannot be a root of MCP servers.",
            hint="Roots are directories of this machine: paths, or file:///... addresses.",
        )
    return uri


def _name_of(uri: str) -> str:
    path = unquote(urlsplit(uri).path).rstrip("/")
    return path.rpartition("/")[2] or "/"
