"""Names under which a server's tools are offered to a model.

Pure. Providers accept `^[a-zA-Z0-9_-]{1,64}$`; MCP accepts dots, spaces, other scripts and 128
characters.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from typing import Final

MAX_NAME_CHARS: Final = 64

_FOREIGN: Final = re.compile(r"[^a-zA-Z0-9_-]")
_HASH_CHARS: Final = 8


def exposed_names(server: str, names: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Choose a name for each tool of a server.

    Args:
        server: The name the server was registered under.
        names: The tools' own names, each once; their order does not matter.
        taken: Names that others use.

    Returns:
        The server's own name of each tool to the one that the model uses, all different. A name
        stays as it is where it can; one that is taken becomes `server__name`; one that is too long,
        or that clashes even so, ends in a hash of what it stands for.
    """
    used = set(taken)
    chosen: dict[str, str] = {}
    # Names that need no change come first, so that `a_b` keeps its name and `a.b` yields.
    for name in sorted(names, key=lambda name: (_plain(name) != name, name)):
        candidates = (_fitting(name, server, name), _fitting(f"{server}__{name}", server, name))
        exposed = next((one for one in candidates if one not in used), "")
        attempt = 0
        while not exposed or exposed in used:
            exposed = _hashed(_plain(name), f"{server}\0{name}\0{attempt or ''}")
            attempt += 1
        used.add(exposed)
        chosen[name] = exposed
    return chosen


def _fitting(wanted: str, server: str, name: str) -> str:
    plain = _plain(wanted)
    return plain if len(plain) <= MAX_NAME_CHARS else _hashed(plain, f"{server}\0{name}")


def _plain(name: str) -> str:
    return _FOREIGN.sub("_", name) or "tool"


def _hashed(stem: str, what: str) -> str:
    digest = hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    return f"{stem[: MAX_NAME_CHARS - _HASH_CHARS - 1]}_{digest}"
