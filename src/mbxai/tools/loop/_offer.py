"""Which tools a conversation offers to the model; asked anew before each request."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError
from mbxai.tools._registry import ToolRegistry
from mbxai.tools._tool import MAX_RESULT_BYTES, Tool
from mbxai.tools.loop._options import ToolFilter

logger = get_logger(__name__)


class Offer:
    """The registered tools that the caller lets through, and those of the caller's own."""

    def __init__(
        self,
        registry: ToolRegistry,
        given: Sequence[Mapping[str, Any]] = (),
        *,
        tool_filter: ToolFilter | None = None,
        models: Sequence[str | None] = (),
    ) -> None:
        """Take what may be offered.

        Args:
            registry: The registered tools; looked at before each round.
            given: `tools` of the caller's request: functions that the caller runs, and tools of the
                server.
            tool_filter: Which of the registered tools are offered; None means all.
            models: Which models may be asked, those to fall back on included.

        Raises:
            ConfigurationError: The filter names a tool that is not registered, or something given
                is no definition.
        """
        self._registry = registry
        self._given = list(given)
        for tool in cast("Sequence[object]", self._given):
            if not isinstance(tool, Mapping):
                raise ConfigurationError(
                    f"tools= holds a {type(tool).__name__}; it takes definitions, as mappings.",
                    hint="Register a function with register_tool() or the decorator `tool`.",
                )
        self._filter = tool_filter
        self._offered: list[str] | None = None
        self._models = models
        if tool_filter is not None and not callable(tool_filter):
            unknown = [name for name in tool_filter if name not in registry]
            if unknown:
                raise ConfigurationError(
                    f"tool_filter names tools that are not registered: {', '.join(unknown)[:200]}.",
                    hint=f"Registered: {', '.join(registry.names())[:500] or 'none'}.",
                )

    @property
    def external(self) -> frozenset[str]:
        """Names of the functions that the caller runs."""
        return frozenset(
            name for tool in self._given if (name := _name_of(tool)) and name not in self._registry
        )

    @property
    def names(self) -> list[str]:
        """Names of the registered tools that were offered last."""
        return self._chosen() if self._offered is None else self._offered

    def definitions(self) -> list[Mapping[str, Any]]:
        """Return the tools as the next request offers them; the filter is asked now.

        Returns:
            Definitions that are shared between requests, so they must not be changed.
        """
        self._offered = self._chosen()
        registered = self._registry.definitions(self._offered, models=self._models)
        own = [tool for tool in self._given if _name_of(tool) not in self._registry]
        return [*cast("list[Mapping[str, Any]]", registered), *own]

    def may_repeat(self, name: str) -> bool:
        """Whether a tool says that repeating the same call is its use."""
        tool = self._registry.get(name)
        return tool is not None and tool.may_repeat

    def max_result_bytes(self, name: str) -> int:
        """Return how much of a tool's result the model is shown."""
        tool = self._registry.get(name)
        return MAX_RESULT_BYTES if tool is None else tool.max_result_bytes

    def is_external(self, name: str) -> bool:
        """Whether the application runs a tool."""
        tool = self._registry.get(name)
        return name in self.external or (tool is not None and tool.function is None)

    def is_withheld(self, name: str) -> bool:
        """Whether a tool is registered, but was not offered."""
        return self._filter is not None and name in self._registry and name not in self.names

    def _chosen(self) -> list[str]:
        wanted = self._filter
        if wanted is None:
            return self._registry.names()
        if callable(wanted):
            return [tool.name for tool in self._registry.tools() if self._lets_through(tool)]
        return list(wanted)

    def _lets_through(self, tool: Tool) -> bool:
        if not callable(self._filter):
            return True
        try:
            return bool(self._filter(tool.info()))
        except Exception:  # the application's own function; without its word nothing is offered
            logger.exception("tool_filter= failed for tool %s", tool.name)
            return False


def _name_of(tool: Mapping[str, Any]) -> str:
    function: object = tool.get("function")
    if not isinstance(function, Mapping):
        return ""
    return str(cast("Mapping[str, object]", function).get("name") or "")
