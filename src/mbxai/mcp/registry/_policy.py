"""What holds for one server's tools: checked settings, and what follows from them; pure.

What a server says of its own tools decides nothing here, unless its user trusts it to.
"""

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final, cast, get_args

from mbxai.errors import ConfigurationError, ToolDefinitionError
from mbxai.mcp.registry._filters import ToolChoice, matching
from mbxai.mcp.registry._pins import PinMode
from mbxai.tools import Tool, ToolOptions
from mbxai.tools._tool import MAX_RESULT_BYTES, ApprovalRule, check_names
from mbxai.wire import Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPolicy:
    """What holds for one server's tools; see `ServerOptions` for each of them.

    Attributes:
        tools: Which tools are offered; None means all.
        exclude_tools: Names or patterns of tools that are not offered.
        prefix: What stands before each name.
        requires_approval: For which calls a person must agree.
        tool_options: Options of single tools, by name or pattern.
        trust_annotations: Whether the server's annotations decide the tools' effect.
        pin: What happens to changed tools.
        max_result_bytes: How much of a result the model is shown.
        max_concurrent_calls: How many calls the server gets at the same time; None sets no limit.
        offer_resources: Whether the model gets tools to list and read resources.
        offer_prompts: Whether the model gets tools to list and fetch prompts.
        use_instructions: Whether the server's instructions go before the conversation.
    """

    tools: ToolChoice | None = None
    exclude_tools: tuple[str, ...] = ()
    prefix: bool | str = False
    requires_approval: ApprovalRule = False
    tool_options: Mapping[str, ToolOptions] = field(default_factory=dict[str, ToolOptions])
    trust_annotations: bool = False
    pin: PinMode = "warn"
    max_result_bytes: int = MAX_RESULT_BYTES
    max_concurrent_calls: int | None = None
    offer_resources: bool = False
    offer_prompts: bool = False
    use_instructions: bool = False

    def options_for(self, name: str, annotations: Mapping[str, object]) -> ToolOptions:
        """Return how a tool may be run.

        Args:
            name: The server's own name of the tool.
            annotations: What the server says of it; only an effect is taken from there, and only
                where the server is trusted.

        Returns:
            All that is known; options of the tool itself win over those of the server.
        """
        merged = ToolOptions(
            requires_approval=self.requires_approval,
            max_result_bytes=self.max_result_bytes,
            effect=_effect(annotations) if self.trust_annotations else "once",
        )
        for options in matching(self.tool_options, name):
            merged.update(options)
        return merged


_POLICY_FIELDS: Final = frozenset(one.name for one in fields(ServerPolicy))
OPTION_NAMES: Final = (*sorted(_POLICY_FIELDS), "roots")
"""All keys of `ServerOptions`; `roots` is the connection's business."""


def read_policy(server: str, options: Mapping[str, Any]) -> ServerPolicy:
    """Check what a caller said of a server's tools.

    Args:
        server: The name it is registered under, for errors.
        options: See `ServerOptions`.

    Raises:
        ConfigurationError: An option is unknown or cannot be.
    """
    for name in options:
        if name not in OPTION_NAMES:
            near = difflib.get_close_matches(name, OPTION_NAMES, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(OPTION_NAMES)}."
            raise ConfigurationError(
                f"MCP server {server!r}: there is no option {name!r}.", hint=hint
            )
    problem = next((text for holds, text in _rules(options) if not holds), "")
    if problem:
        raise ConfigurationError(f"MCP server {server!r}: {problem}.")
    given = {name: value for name, value in options.items() if name in _POLICY_FIELDS}
    for name in ("tools", "exclude_tools"):
        if name in given and not callable(given[name]):
            given[name] = None if given[name] is None else tuple(given[name])
    given["exclude_tools"] = given.get("exclude_tools") or ()
    given["tool_options"] = _checked_tool_options(server, options.get("tool_options") or {})
    return ServerPolicy(**given)


def is_alike(one: object, other: object) -> bool:
    """Whether two settings mean the same, as when a cell of a notebook is run again.

    Functions are alike if they stand in the same place, other objects if they are equal or, where
    they do not say what equal is, of one type.

    Args:
        one: Settings of any kind.
        other: Settings to compare with.
    """
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if is_dataclass(one) and not isinstance(one, type):
        return all(
            is_alike(getattr(one, part.name), getattr(other, part.name)) for part in fields(one)
        )
    if isinstance(one, Mapping):
        mine, theirs = cast("Mapping[Any, Any]", one), cast("Mapping[Any, Any]", other)
        return mine.keys() == theirs.keys() and all(
            is_alike(mine[key], theirs[key]) for key in mine
        )
    if isinstance(one, (list, tuple)):
        first, second = cast("Sequence[Any]", one), cast("Sequence[Any]", other)
        return len(first) == len(second) and all(map(is_alike, first, second))
    return _is_alike_object(one, other)


def _is_alike_object(one: Any, other: Any) -> bool:
    if inspect.isroutine(one) or inspect.isclass(one):
        return _place(one) == _place(other)
    return type(one).__eq__ is object.__eq__ or bool(one == other)


def _place(function: object) -> tuple[object, object]:
    return getattr(function, "__module__", None), getattr(function, "__qualname__", None)


def _effect(annotations: Mapping[str, object]) -> Effect:
    if annotations.get("readOnlyHint") is True:
        return "read"
    return "idempotent" if annotations.get("idempotentHint") is True else "once"


def _rules(options: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    tools = options.get("tools")
    yield (
        tools is None or callable(tools) or _are_names(tools),
        ("tools must be a list of names or patterns, or a function of a ToolInfo"),
    )
    yield not inspect.iscoroutinefunction(tools), "the function in tools cannot be a coroutine's"
    excluded = options.get("exclude_tools")
    yield excluded is None or _are_names(excluded), "exclude_tools must be a list of names"
    yield isinstance(options.get("prefix", False), (bool, str)), "prefix must be a bool or a text"
    for name in ("trust_annotations", "offer_resources", "offer_prompts", "use_instructions"):
        yield isinstance(options.get(name, False), bool), f"{name} must be True or False"
    yield options.get("pin", "warn") in get_args(PinMode), 'pin must be "off", "warn" or "block"'
    most = options.get("max_concurrent_calls")
    yield most is None or _is_count(most), "max_concurrent_calls must be at least 1, or None"
    yield _is_count(options.get("max_result_bytes", 1)), "max_result_bytes must be at least 1"
    yield (
        isinstance(options.get("tool_options") or {}, Mapping),
        ("tool_options must map names or patterns to options"),
    )
    problem = _option_problem("*", {"requires_approval": options.get("requires_approval", False)})
    yield not problem, problem.removeprefix("'*': ")


def _are_names(given: object) -> bool:
    if isinstance(given, (str, bytes)) or not isinstance(given, (Sequence, set, frozenset)):
        return False
    return all(isinstance(name, str) and name for name in cast("Sequence[object]", given))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _checked_tool_options(server: str, given: Mapping[str, Any]) -> Mapping[str, ToolOptions]:
    for pattern, options in given.items():
        if not isinstance(options, Mapping):
            raise ConfigurationError(
                f"MCP server {server!r}: tool_options[{pattern!r}] must be a mapping."
            )
        problem = _option_problem(pattern, cast("Mapping[str, Any]", options))
        if problem:
            raise ConfigurationError(f"MCP server {server!r}: tool_options: {problem}.")
    return {pattern: cast("ToolOptions", dict(options)) for pattern, options in given.items()}


def _option_problem(pattern: str, options: Mapping[str, Any]) -> str:
    """What is wrong with the options of a tool, in words; a tool without a function is judge."""
    try:
        if {"name", "description"} & options.keys():
            return f"{pattern!r}: a server's tool has its name and its description from the server"
        check_names("tool", options)
        # Whether it may be repeated is only known together with all that is said of the tool.
        given: dict[str, Any] = {"effect": "idempotent", **options}
        Tool("tool", "", None, **given)
    except ToolDefinitionError as error:
        text = error.message.removeprefix("Tool 'tool': ").rstrip(".")
        return f"{pattern!r}: {text}" + (f". {error.hint.rstrip('.')}" if error.hint else "")
    return ""
