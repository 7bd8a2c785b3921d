"""The tools a client offers; one registry, many sources."""

from collections.abc import Sequence

from mbxai._redaction import get_logger
from mbxai.tools._tool import Tool
from mbxai.wire import ToolDefinition

logger = get_logger(__name__)


class ToolRegistry:
    """Tools by name, in the order in which they came.

    Every change replaces the whole table, so that a reader on another thread sees either the old
    one or the new one.
    """

    def __init__(self) -> None:
        """Start with no tools."""
        self._tools: dict[str, Tool] = {}

    def add(self, tool: Tool) -> None:
        """Offer a tool; one of the same name is replaced and keeps its place.

        Args:
            tool: The tool.
        """
        if tool.name in self._tools:
            logger.debug("Tool %s is replaced", tool.name)
        self._tools = {**self._tools, tool.name: tool}

    def remove(self, name: str) -> None:
        """Stop offering a tool; a name that is not there is no error."""
        self._tools = {known: tool for known, tool in self._tools.items() if known != name}

    def get(self, name: str) -> Tool | None:
        """Return the tool of a name, or None."""
        return self._tools.get(name)

    def names(self) -> list[str]:
        """Return all names, oldest first."""
        return list(self._tools)

    def tools(self) -> list[Tool]:
        """Return all tools, oldest first."""
        return list(self._tools.values())

    def definitions(self, names: Sequence[str] | None = None) -> list[ToolDefinition]:
        """Return the tools as a request offers them.

        Args:
            names: Only these, in their order; unknown names are left out. None means all.

        Returns:
            Definitions that are shared between requests, so they must not be changed.
        """
        tools = self._tools
        chosen = list(tools) if names is None else [name for name in names if name in tools]
        return [tools[name].definition for name in chosen]

    def __len__(self) -> int:
        """Return how many tools there are."""
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        """Whether a tool of that name is offered."""
        return name in self._tools
