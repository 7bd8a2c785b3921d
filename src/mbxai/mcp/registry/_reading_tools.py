"""Tools by which a model reads what a server has besides tools: its resources and its prompts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from mbxai.errors import MCPError
from mbxai.mcp.connection._connection import ServerConnection
from mbxai.mcp.registry._cleaning import shown_text
from mbxai.mcp.registry._content import read_result
from mbxai.mcp.registry._policy import ServerPolicy
from mbxai.mcp.registry._slots import Slots
from mbxai.mcp.registry._tool import MCPTool, failed_call
from mbxai.tools import ToolContext
from mbxai.wire import ToolResult

# Any in this file: JSON of the protocol.
Json: TypeAlias = Mapping[str, Any]
Read: TypeAlias = Callable[[ServerConnection, Json, str], Awaitable[ToolResult]]

_MAX_LINE_CHARS: Final = 300
_LIST_SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "contains": {
            "type": "string",
            "description": "List only those that have this text in their address, name or"
            " description.",
        }
    },
    "required": [],
}
_RESOURCE_SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "uri": {"type": "string", "description": "The address, as it was listed."},
    },
    "required": ["uri"],
}
_PROMPT_SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Its name, as it was listed."},
        "arguments": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Its arguments by name, all of them texts.",
        },
    },
    "required": ["name"],
}


def reading_tools(
    connection: ServerConnection, policy: ServerPolicy, slots: Slots, names: Mapping[str, str]
) -> list[MCPTool]:
    """Make the tools for what the server has and its user wants the model to have.

    Args:
        connection: The server.
        policy: What holds for its tools.
        slots: How many of its calls may run at the same time.
        names: Names under which the tools are offered, by what they are called here.
    """
    return [
        _tool(name, names[name], connection, policy, slots)
        for name in wanted_reading_tools(connection, policy)
    ]


def wanted_reading_tools(connection: ServerConnection, policy: ServerPolicy) -> list[str]:
    """Return which of these tools are offered, as they are called here.

    Args:
        connection: The server; it has been connected.
        policy: What holds for its tools.
    """
    info = connection.info
    names: list[str] = []
    if policy.offer_resources and info is not None and info.offers("resources"):
        names += ["list_resources", "read_resource"]
    if policy.offer_prompts and info is not None and info.offers("prompts"):
        names += ["list_prompts", "get_prompt"]
    return names


def _tool(
    name: str, exposed: str, connection: ServerConnection, policy: ServerPolicy, slots: Slots
) -> MCPTool:
    schema, about, read = _KINDS[name]
    server = connection.target.name

    async def run(_: ToolContext[Any], /, **arguments: Any) -> ToolResult:
        try:
            async with slots.taken():
                return await read(connection, arguments, exposed)
        except MCPError as error:
            raise failed_call(exposed, error) from error

    options = policy.options_for(name, {"readOnlyHint": True})
    options["effect"] = "read"
    return MCPTool(
        exposed,
        about.format(server=shown_text(server, 100)),
        run,
        dict(schema),
        source=server,
        original_name=name,
        annotations={"readOnlyHint": True},
        **options,
    )


async def _list_resources(connection: ServerConnection, arguments: Json, name: str) -> ToolResult:
    resources = await connection.list_resources()
    templates = await connection.list_resource_templates()
    listed = [("uri", one) for one in resources] + [("uriTemplate", one) for one in templates]
    value = {"resources": resources, "resourceTemplates": templates}
    return _listing(listed, arguments, name, value, "The server lists no such resource.")


async def _read_resource(connection: ServerConnection, arguments: Json, name: str) -> ToolResult:
    answer = await connection.read_resource(arguments["uri"])
    contents: list[object] = answer.get("contents") or []
    blocks = [{"type": "resource", "resource": content} for content in contents]
    return await read_result({"content": blocks}, name=name)


async def _list_prompts(connection: ServerConnection, arguments: Json, name: str) -> ToolResult:
    prompts = await connection.list_prompts()
    listed = [("name", prompt) for prompt in prompts]
    return _listing(listed, arguments, name, prompts, "The server lists no such prompt.")


async def _get_prompt(connection: ServerConnection, arguments: Json, name: str) -> ToolResult:
    answer = await connection.get_prompt(arguments["name"], arguments.get("arguments") or {})
    blocks: list[object] = []
    for message in cast("list[Json]", answer.get("messages") or []):
        blocks += [{"type": "text", "text": f"{message.get('role')}:"}, message.get("content")]
    return await read_result({"content": blocks}, name=name)


def _listing(
    listed: Sequence[tuple[str, Json]], arguments: Json, name: str, value: object, none: str
) -> ToolResult:
    wanted = str(arguments.get("contains") or "").casefold()
    lines = [_line(key, one) for key, one in listed]
    lines = [line for line in lines if wanted in line.casefold()]
    return ToolResult(call_id="", name=name, content="\n".join(lines) or none, value=value)


def _line(key: str, one: Json) -> str:
    words = [str(one[part]) for part in ("title", "name", "description") if one.get(part)]
    told = ": ".join(dict.fromkeys(word for word in words if word != one.get(key)))
    kind = f" ({one['mimeType']})" if one.get("mimeType") else ""
    taken = cast("list[Json]", one.get("arguments") or [])
    named = [f"{each.get('name')}{'' if each.get('required') else '?'}" for each in taken]
    takes = f" [takes {', '.join(named)}]" if named else ""
    text = f"{one.get(key, '')}{kind}{takes}" + (f" {told}" if told else "")
    return " ".join(shown_text(text, _MAX_LINE_CHARS).split())


_KINDS: Final[Mapping[str, tuple[Json, str, Read]]] = {
    "list_resources": (
        _LIST_SCHEMA,
        "List what can be read from {server}: addresses, and patterns of addresses.",
        _list_resources,
    ),
    "read_resource": (_RESOURCE_SCHEMA, "Read something from {server}.", _read_resource),
    "list_prompts": (
        _LIST_SCHEMA,
        "List the prompts that {server} has ready, with the arguments that they take.",
        _list_prompts,
    ),
    "get_prompt": (_PROMPT_SCHEMA, "Get a prompt that {server} has ready.", _get_prompt),
}
