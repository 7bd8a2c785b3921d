"""What a server lists, read: which of its tools can be offered, and why the others cannot; pure.

One tool that cannot be used takes nothing away from the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import pydantic_core

from mbxai.errors import ToolDefinitionError
from mbxai.mcp.registry._cleaning import (
    MAX_SCHEMA_BYTES,
    MAX_TEXT_CHARS,
    UnfitSchemaError,
    hides_something,
    shown_schema,
    shown_text,
    texts_of,
    visible,
)
from mbxai.mcp.registry._filters import is_chosen, matches_any, unmatched
from mbxai.mcp.registry._pins import pin_of
from mbxai.mcp.registry._policy import ServerPolicy
from mbxai.tools import Tool, ToolOptions
from mbxai.wire import ToolInfo

MAX_TOOLS: Final = 1_000
"""How many tools of one server are offered."""

READING_TOOLS: Final = ("list_resources", "read_resource", "list_prompts", "get_prompt")
"""What the tools are called by which a model reads a server's resources and prompts."""

_MAX_TITLE_CHARS: Final = 200
_READ_CHARS: Final = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTool:
    """A tool that a server lists and that can be offered.

    Attributes:
        name: The server's own name of it.
        description: What the model is told of it.
        title: Its name for people.
        schema: The schema of its arguments, word for word.
        shown_schema: The schema as a model may see it.
        output_schema: The schema of its structured result.
        annotations: What the server says of its effects.
        options: How it may be run.
        all_text: Everything that it says, hidden characters included.
    """

    name: str
    description: str
    title: str
    schema: dict[str, Any]  # Any: JSON Schema
    shown_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    annotations: dict[str, Any]
    options: ToolOptions
    all_text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What a server lists.

    Attributes:
        tools: What can be offered and was asked for, in the server's order.
        withheld: The server's own names of the others, and why.
        warnings: What a person should look at.
        pins: Digests of all tools that can be offered, asked for or not.
    """

    tools: tuple[ListedTool, ...] = ()
    withheld: Mapping[str, str] = field(default_factory=dict[str, str])
    warnings: tuple[str, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict[str, str])


class _UnfitToolError(Exception):
    """A tool cannot be offered; the text says why."""


def read_catalogue(
    server: str, listed: Sequence[Mapping[str, Any]], policy: ServerPolicy, declared_name: str
) -> Catalogue:
    """Read what a server lists.

    Args:
        server: The name the server was registered under.
        listed: The tools as the JSON of the protocol.
        policy: What holds for them.
        declared_name: The server's name for itself; empty if it gave none.
    """
    withheld: dict[str, str] = {}
    warnings: list[str] = []
    by_name: dict[str, Mapping[str, Any]] = {}
    for raw in listed:
        name: object = raw.get("name")
        if not isinstance(name, str) or not name:
            warnings.append("a tool without a name is left out")
        elif name in by_name:
            warnings.append(f"{visible(name)}: it is listed twice, and the first counts")
        else:
            by_name[name] = raw
    chosen: list[ListedTool] = []
    pins: dict[str, str] = {}
    for name, raw in by_name.items():
        try:
            pins[name] = pin_of(raw, server, declared_name)
            if len(chosen) < MAX_TOOLS or _is_excluded(name, policy):
                tool = _listed(name, raw, policy, warnings)
                _check_chosen(tool, server, policy)
                chosen.append(tool)
            else:
                withheld[name] = f"the server lists more than {MAX_TOOLS} tools"
        except _UnfitToolError as error:
            withheld[name] = str(error)
        except RecursionError:
            withheld[name] = "its schema is nested too deeply"
    if len(by_name) > MAX_TOOLS and len(chosen) == MAX_TOOLS:
        warnings.append(f"of {len(by_name)} tools, the first {MAX_TOOLS} are offered")
    warnings += _misspelt(policy, by_name)
    return Catalogue(tools=tuple(chosen), withheld=withheld, warnings=tuple(warnings), pins=pins)


def _listed(
    name: str, raw: Mapping[str, Any], policy: ServerPolicy, warnings: list[str]
) -> ListedTool:
    if _is_excluded(name, policy):
        raise _UnfitToolError("exclude_tools names it")
    if hides_something(name):
        warnings.append(f"{visible(name)}: its name has hidden characters")
    schema: object = raw.get("inputSchema")
    if not isinstance(schema, dict):
        raise _UnfitToolError("it has no schema of its arguments")
    schema = cast("dict[str, Any]", schema)
    try:
        shown = shown_schema(schema)
        size = len(pydantic_core.to_json(shown, inf_nan_mode="constants"))
    except UnfitSchemaError as error:
        raise _UnfitToolError(str(error)) from error
    if size > MAX_SCHEMA_BYTES:
        raise _UnfitToolError(
            f"its schema has {size} bytes, more than the {MAX_SCHEMA_BYTES} that are shown"
        )
    title, description = _text(raw, "title"), _text(raw, "description")
    output, annotations = raw.get("outputSchema"), raw.get("annotations")
    annotations = dict(cast("dict[str, Any]", annotations) if isinstance(annotations, dict) else {})
    title = title or _text(annotations, "title")
    if len(description) > MAX_TEXT_CHARS:
        warnings.append(
            f"{visible(name)}: of its description, {MAX_TEXT_CHARS} characters are shown"
        )
    options = policy.options_for(name, annotations)
    if options.get("retries") and options.get("effect") == "once":
        options["retries"] = 0
        warnings.append(f"{visible(name)}: nobody says that it may be repeated, so it is not")
    tool = ListedTool(
        name=name,
        description=shown_text(description or title),
        title=shown_text(title, _MAX_TITLE_CHARS),
        schema=schema,
        shown_schema=shown,
        output_schema=cast("dict[str, Any]", output) if isinstance(output, dict) else None,
        annotations=annotations,
        options=options,
        all_text="\n".join([title, description[:_READ_CHARS], *texts_of(schema)])[
            : 2 * _READ_CHARS
        ],
    )
    _check_definition(tool)
    return tool


def _check_definition(tool: ListedTool) -> None:
    try:
        Tool("tool", "", None, tool.schema, **tool.options)
    except ToolDefinitionError as error:
        raise _UnfitToolError(error.message.removeprefix("Tool 'tool': ").rstrip(".")) from error


def _check_chosen(tool: ListedTool, server: str, policy: ServerPolicy) -> None:
    info = ToolInfo(
        name=tool.name,
        description=tool.description,
        parameters=dict(tool.shown_schema),
        effect=tool.options.get("effect", "once"),
        requires_approval=tool.options.get("requires_approval", False) is not False,
        source=server,
        is_trusted=tool.options.get("trusted", False),
    )
    if not is_chosen(info, policy.tools):
        raise _UnfitToolError("tools= does not choose it")


def _is_excluded(name: str, policy: ServerPolicy) -> bool:
    return matches_any(name, policy.exclude_tools)


def _misspelt(policy: ServerPolicy, names: Mapping[str, object]) -> list[str]:
    given = () if policy.tools is None or callable(policy.tools) else policy.tools
    wanted = {"tools": given, "exclude_tools": policy.exclude_tools}
    wanted["tool_options"] = tuple(one for one in policy.tool_options if one not in READING_TOOLS)
    return [
        f"{option} names {one!r}, which the server does not have"
        for option, patterns in wanted.items()
        for one in unmatched(patterns, names)
    ]


def _text(raw: Mapping[str, Any], key: str) -> str:
    value: object = raw.get(key)
    return value if isinstance(value, str) else ""
