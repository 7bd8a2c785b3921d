"""What the real service refuses with status 400, as far as a client can cause it."""

import re
from collections.abc import Iterator
from typing import Final

from mbxai.testing._json_views import Json, as_list, as_object, as_text

_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def problem_of(body: Json) -> str | None:
    """Return why the request would be refused; None if it would be served."""
    return next(_problems(body), None)


def _problems(body: Json) -> Iterator[str]:
    messages = [as_object(message) for message in as_list(body.get("messages"))]
    if not messages:
        yield 'Input required: specify "messages" with at least one message'
    yield from _message_problems(messages)
    yield from _tool_problems(body)
    yield from _format_problems(as_object(body.get("response_format")))


def _message_problems(messages: list[Json]) -> Iterator[str]:
    open_calls: list[str] = []
    for at, message in enumerate(messages):
        role = as_text(message.get("role"))
        if role not in _ROLES:
            yield f"messages.{at}.role: {role!r} is no role"
        if role == "tool":
            answered = as_text(message.get("tool_call_id"))
            if answered not in open_calls:
                yield (
                    f"messages.{at}: a message with role 'tool' must answer a tool call of the "
                    f"assistant message before it; {answered!r} is none of {open_calls}"
                )
            else:
                open_calls.remove(answered)
            continue
        if open_calls:
            yield (
                f"messages.{at}: an assistant message with 'tool_calls' must be followed by tool "
                f"messages that answer each of them; missing: {open_calls}"
            )
        calls = [as_object(call) for call in as_list(message.get("tool_calls"))]
        open_calls = [as_text(call.get("id")) for call in calls]
        yield from _call_problems(at, calls)
    if open_calls:
        yield f"messages: no tool message answers the tool calls {open_calls}"


def _call_problems(at: int, calls: list[Json]) -> Iterator[str]:
    for number, call in enumerate(calls):
        function = as_object(call.get("function"))
        if not as_text(call.get("id")) or not as_text(function.get("name")):
            yield f"messages.{at}.tool_calls.{number}: a tool call needs an id and a name"
        if not isinstance(function.get("arguments"), str):
            yield f"messages.{at}.tool_calls.{number}: the arguments must be a string"


def _tool_problems(body: Json) -> Iterator[str]:
    tools = as_list(body.get("tools"))
    names: list[str] = []
    for at, tool in enumerate(tools):
        if as_text(as_object(tool).get("type")).startswith("openrouter:"):
            continue  # a tool of OpenRouter's own; it has no name and no parameters of ours
        function = as_object(as_object(tool).get("function"))
        name = as_text(function.get("name"))
        if not _TOOL_NAME.fullmatch(name):
            yield f"tools.{at}.function.name: {name!r} does not match ^[a-zA-Z0-9_-]{{1,64}}$"
        if name in names:
            yield f"tools.{at}.function.name: {name!r} is there twice"
        names.append(name)
        if function.get("strict") is True:
            problems = _strict_problems(function.get("parameters"), f"tools.{at}")
            yield from problems
    choice = body.get("tool_choice")
    if choice is not None and not tools and not body.get("plugins"):
        yield "'tool_choice' is only allowed when 'tools' are specified"
    wanted = as_text(as_object(as_object(choice).get("function")).get("name"))
    if wanted and wanted not in names:
        yield f"tool_choice: no tool is called {wanted!r}"


def _format_problems(wanted: Json) -> Iterator[str]:
    if wanted.get("type") != "json_schema":
        return
    schema = as_object(wanted.get("json_schema"))
    if not _TOOL_NAME.fullmatch(as_text(schema.get("name"))):
        yield "response_format.json_schema.name: must match ^[a-zA-Z0-9_-]{1,64}$"
    if not isinstance(schema.get("schema"), dict):
        yield "response_format.json_schema.schema: required"
    if schema.get("strict") is True:
        yield from _strict_problems(schema.get("schema"), "response_format")


def _strict_problems(node: object, path: str) -> Iterator[str]:
    """Strict mode wants every object closed and every property required."""
    for at, item in enumerate(as_list(node)):
        yield from _strict_problems(item, f"{path}.{at}")
    schema = as_object(node)
    if schema.get("type") == "object" or "properties" in schema:
        names = sorted(as_object(schema.get("properties")))
        if schema.get("additionalProperties") is not False:
            yield f"{path}: in strict mode 'additionalProperties' must be false"
        if sorted(map(str, as_list(schema.get("required")))) != names:
            yield f"{path}: in strict mode 'required' must name every property: {names}"
    for word, inner in schema.items():
        if word in {"properties", "$defs", "definitions"}:
            for name, one in as_object(inner).items():
                yield from _strict_problems(one, f"{path}.{word}.{name}")
        elif word in {"items", "prefixItems", "anyOf", "oneOf", "allOf", "not"}:
            yield from _strict_problems(inner, f"{path}.{word}")
