"""Names under which a server's tools are offered to a model.

Pure. Providers accept `^[a-zA-Z0-9_-]{1,64}$`; MCP accepts dots, spaces, other scripts and 128
characters.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from mbxai.mcp.registry._cleaning import visible

MAX_NAME_CHARS: Final = 64

_FOREIGN: Final = re.compile(r"[^a-zA-Z0-9_-]")
_HASH_CHARS: Final = 8


def exposed_names(
    server: str,
    names: Iterable[str],
    taken: Collection[str],
    *,
    prefix: bool | str = False,
    known: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Choose a name for each tool of a server.

    Args:
        server: The name the server was registered under.
        names: The tools' own names, each once; their order does not matter.
        taken: Names that others use.
        prefix: True puts the server's name before each name, a text is put there itself.
        known: Names that were chosen before; a tool keeps its name as long as nobody else has it,
            so that what a model or a person has learned of it stays true.

    Returns:
        The server's own name of each tool to the one that the model uses, all different. Without a
        prefix, a name stays as it is where it can; one that is taken becomes `server__name`; one
        that is too long, or that clashes even so, ends in a hash of what it stands for.
    """
    names = list(names)
    kept = {
        name: known[name] for name in names if known and known.get(name, "") not in ("", *taken)
    }
    chosen = dict(kept)
    used = {*taken, *kept.values()}
    # Names that need no change come first, so that `a_b` keeps its name and `a.b` yields.
    for name in sorted(names, key=lambda name: (plain_name(name) != name, name)):
        if name in kept:
            continue
        candidates = [_fitting(one, server, name) for one in _wanted(server, name, prefix)]
        exposed = next((one for one in candidates if one not in used), "")
        attempt = 0
        while not exposed or exposed in used:
            exposed = _hashed(plain_name(name), f"{server}\0{name}\0{attempt or ''}")
            attempt += 1
        used.add(exposed)
        chosen[name] = exposed
    return chosen


def _wanted(server: str, name: str, prefix: bool | str) -> tuple[str, ...]:
    whole = f"{server}__{name}"
    if prefix is True:
        return (whole,)
    return (f"{prefix}{name}", whole) if prefix else (name, whole)


def _fitting(wanted: str, server: str, name: str) -> str:
    plain = plain_name(wanted)
    return plain if len(plain) <= MAX_NAME_CHARS else _hashed(plain, f"{server}\0{name}")


def plain_name(name: str) -> str:
    """Return a name with nothing in it that a provider does not accept.

    Args:
        name: The server's own name of a tool.
    """
    return _FOREIGN.sub("_", visible(name)) or "tool"


def _hashed(stem: str, what: str) -> str:
    digest = hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    return f"{stem[: MAX_NAME_CHARS - _HASH_CHARS - 1]}_{digest}"
