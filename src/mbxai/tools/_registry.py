"""The tools a client offers; one registry, many sources."""

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mbxai._redaction import get_logger
from mbxai.errors import ToolDefinitionError
from mbxai.tools._tool import Tool
from mbxai.tools.schema._signature import AnyFunction, innermost
from mbxai.tools.schema._views import plainest_of
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
        self._refusals: dict[str, Mapping[str, str]] = {}  # by source
        # Guards both while they are changed: a server's tools change on another thread.
        self._lock = threading.RLock()

    def add(self, tool: Tool, *, replace: bool = False) -> None:
        """Offer a tool.

        A function that was defined anew, as in a notebook, takes the place of its earlier self.

        Args:
            tool: The tool.
            replace: Whether it may take the place of another tool of its name.

        Raises:
            ToolDefinitionError: Another function has this name already.
        """
        with self._lock:
            known = self._tools.get(tool.name)
            if known is not None and not (replace or _is_same(known, tool)):
                raise ToolDefinitionError(
                    f"There is a tool {tool.name!r} already: {_place(known)}; the new one is"
                    f" {_place(tool)}.",
                    hint="Give one of them another name, or say replace=True.",
                )
            if known is not None:
                logger.debug("Tool %s is replaced", tool.name)
            self._tools = {**self._tools, tool.name: tool}

    def add_all(self, tools: Sequence[Tool], *, replace: bool = False) -> None:
        """Offer several tools, or none of them.

        Args:
            tools: The tools.
            replace: Whether they may take the place of other tools of their names.

        Raises:
            ToolDefinitionError: A name is taken by another function; nothing was added.
        """
        with self._lock:
            before = self._tools
            try:
                for tool in tools:
                    self.add(tool, replace=replace)
            except ToolDefinitionError:
                self._tools = before
                raise

    def exchange(
        self,
        source: str,
        old: Sequence[Tool],
        new: Sequence[Tool],
        *,
        refusals: Mapping[str, str] | None = None,
    ) -> list[Tool]:
        """Offer new tools of a source in the place of its old ones, in one step for all readers.

        Args:
            source: Where they come from.
            old: What is no longer offered; where another tool has taken its name, the other stays.
            new: What is offered from now on; a name that somebody else has remains theirs.
            refusals: Why tools of the source are not offered, by name, for a model that knew them;
                in the place of all that was said before.

        Returns:
            Those of the new tools whose names were taken.
        """
        with self._lock:
            gone = {id(tool) for tool in old}
            table = {name: tool for name, tool in self._tools.items() if id(tool) not in gone}
            taken = [tool for tool in new if tool.name in table]
            table |= {tool.name: tool for tool in new if tool.name not in table}
            others = {known: said for known, said in self._refusals.items() if known != source}
            self._refusals = {**others, source: dict(refusals)} if refusals else others
            self._tools = table
        return taken

    def refusal(self, name: str) -> str:
        """Return why a tool of that name is not offered, in words; empty if nobody said so."""
        said = (refusals[name] for refusals in self._refusals.values() if name in refusals)
        return "" if name in self._tools else next(said, "")

    def remove(self, name: str) -> None:
        """Stop offering a tool; a name that is not there is no error."""
        with self._lock:
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

    def definitions(
        self, names: Sequence[str] | None = None, *, models: Sequence[str | None] = ()
    ) -> list[ToolDefinition]:
        """Return the tools as a request offers them.

        Args:
            names: Only these, in their order; unknown names are left out. None means all.
            models: Which models they are offered to; some families take only plainer schemas, and
                one such model among several decides.

        Returns:
            Definitions that are shared between requests, so they must not be changed.
        """
        tools = self._tools
        chosen = list(tools) if names is None else [name for name in names if name in tools]
        model = plainest_of(models)
        return [tools[name].definition_for(model) for name in chosen]

    def __len__(self) -> int:
        """Return how many tools there are."""
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        """Whether a tool of that name is offered."""
        return name in self._tools


def _is_same(known: Tool, tool: Tool) -> bool:
    if known.source != tool.source:
        return False
    if known.function is None or tool.function is None:
        return known.function is tool.function and known.schema == tool.schema
    return known.function == tool.function or _identity(known.function) == _identity(tool.function)


def _identity(function: AnyFunction) -> tuple[object, ...]:
    """What a function keeps when its definition is run once more.

    Only plain functions of a module keep anything: two closures, partials or callable objects may
    have one name and do different things.
    """
    if not inspect.isfunction(function) or "<" in function.__qualname__:
        return (object(),)
    return function.__module__, function.__qualname__


def _place(tool: Tool) -> str:
    if tool.source != "local":
        return f"the one of the MCP server {tool.source}"
    function: Callable[..., Any] | None = tool.function
    if function is None:
        return "an external tool"
    inner = innermost(function)
    name = getattr(inner, "__qualname__", type(function).__name__)
    return f"{getattr(inner, '__module__', '?')}.{name}"
