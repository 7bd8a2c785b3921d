"""Which of a server's tools are meant: by name, by pattern, or as a function says; pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, TypeAlias, TypeVar

from mbxai._redaction import get_logger
from mbxai.mcp.registry._cleaning import visible
from mbxai.mcp.registry._names import plain_name
from mbxai.wire import ToolInfo

T = TypeVar("T")

ToolChoice: TypeAlias = Sequence[str] | Callable[[ToolInfo], bool]
"""Names or patterns of tools, or a function that says whether a tool is meant."""

logger = get_logger(__name__)

_WILD: Final = frozenset("*?[")


def forms(name: str) -> tuple[str, ...]:
    """Return how a tool's name may be read, each once: as it came, as it is seen, as it is offered.

    A rule that somebody wrote down for `delete_file` must not be passed by a character that nobody
    sees, or by one that is replaced before the name is offered.

    Args:
        name: The server's own name of the tool.
    """
    return tuple(dict.fromkeys((name, visible(name), plain_name(name))))


def matches_any(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of several patterns means a tool, however its name is read.

    Args:
        name: The server's own name of the tool.
        patterns: Names, or patterns with `*`, `?` and `[...]` as in file names.
    """
    return _is_meant(forms(name), patterns)


def matching(table: Mapping[str, T], name: str) -> list[T]:
    """Return what a table says of a tool, by pattern: the tool's own name comes last.

    Args:
        table: Values by name or pattern.
        name: The server's own name of the tool.
    """
    names = forms(name)
    found = [
        value
        for pattern, value in table.items()
        if pattern not in names and _is_meant(names, (pattern,))
    ]
    return [*found, *(table[form] for form in reversed(names) if form in table)]


def is_chosen(info: ToolInfo, choice: ToolChoice | None) -> bool:
    """Whether a tool is among those that were asked for.

    Args:
        info: The tool, under the server's own name.
        choice: What was asked for; None means all. A function that fails chooses nothing.
    """
    if choice is None:
        return True
    if not callable(choice):
        return _is_meant((info.name, plain_name(info.name)), choice)
    try:
        return bool(choice(info))
    except Exception:  # the application's own function; without its word nothing is offered
        logger.exception("tools= of MCP server %s failed for tool %.100r", info.source, info.name)
        return False


def unmatched(patterns: Collection[str], names: Collection[str]) -> list[str]:
    """Return plain names among patterns that no tool has: most likely they are misspelt.

    Args:
        patterns: Names and patterns; the latter may mean nothing for now.
        names: The server's own names of its tools.
    """
    known = {form for name in names for form in forms(name)}
    return [one for one in patterns if one not in known and not _WILD & set(one)]


def _is_meant(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(
        name == pattern or fnmatchcase(name, pattern) for pattern in patterns for name in names
    )
