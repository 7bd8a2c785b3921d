"""What a chat completion request becomes for the local server. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from mbxai.local._prompt import plain_messages, with_question, with_tools
from mbxai.local._tool_calls import call_schema, offered_tools
from mbxai.local._view import ARGUMENT, PROSE, bounded_schema, grammar_of

# Any in this file: requests are open JSON of the wire.

# Lists of a small model repeat one item without it. In tool calls it would keep the model from
# copying names and paths out of the request, and in prose from using words twice.
_REPEAT_PENALTY: Final = 1.1
_MAX_TEXT_TOKENS: Final = 200
_END_OF_PARAGRAPH: Final = "\n\n"
_CHARS_PER_TOKEN: Final = 3
_MAX_PROMPT_CHARS: Final = 6000  # reading a thousand tokens takes a core about seven seconds
_TOOL_KEYS: Final = ("tools", "tool_choice", "parallel_tool_calls", "max_tool_calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRules:
    """How requests are changed.

    Attributes:
        is_constrained: Whether the model needs short schemas, plain messages and tool calls by
            grammar; False sends them as they come.
        has_llguidance: Whether the engine takes llguidance grammars; else it gets JSON Schema.
        temperature: For requests that name none.
        max_tokens: For requests that name no limit.
        context_tokens: Room for prompt and answer together.
    """

    is_constrained: bool
    has_llguidance: bool
    temperature: float
    max_tokens: int
    context_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequest:
    """A request for the local server.

    Attributes:
        body: The request.
        is_tool_call: Whether the answer is JSON that must become a tool call.
    """

    body: dict[str, Any]
    is_tool_call: bool


def prepared(body: Mapping[str, Any], rules: RequestRules) -> PreparedRequest:
    """Return the request that the local server gets.

    Args:
        body: A chat completion request; not changed.
        rules: How it is changed.
    """
    request = {key: value for key, value in body.items() if value is not None}
    request.setdefault("temperature", rules.temperature)
    request["cache_prompt"] = True
    if request.get("stream"):
        request.setdefault("stream_options", {"include_usage": True})  # as OpenRouter does
    is_tool_call = False
    if rules.is_constrained and isinstance(request.get("messages"), list):
        is_tool_call = _constrain(request, rules)
    if "max_completion_tokens" not in request:
        request.setdefault("max_tokens", rules.max_tokens)
    return PreparedRequest(body=request, is_tool_call=is_tool_call)


def _constrain(request: dict[str, Any], rules: RequestRules) -> bool:
    """Change a request for a small model; whether its answer will be a tool call."""
    functions = offered_tools(request)
    has_result = request["messages"][-1:] and request["messages"][-1].get("role") == "tool"
    for key in _TOOL_KEYS:
        request.pop(key, None)
    messages = plain_messages(request["messages"], max_chars=_prompt_chars(request, rules))
    if functions:
        request["messages"] = with_tools(messages, functions)
        request.pop("response_format", None)
        pattern = ARGUMENT if rules.has_llguidance else None
        _add_grammar(request, call_schema(functions, text_pattern=pattern), rules)
        return True
    schema = _wanted_schema(request)
    if schema is not None:
        request["messages"] = messages
        del request["response_format"]
        request.setdefault("repeat_penalty", _REPEAT_PENALTY)
        pattern = PROSE if rules.has_llguidance else None
        _add_grammar(request, bounded_schema(schema, text_pattern=pattern), rules)
    elif "response_format" in request:
        request["messages"] = messages
    else:
        request["messages"] = with_question(messages) if has_result else messages
        request.setdefault("stop", _END_OF_PARAGRAPH)
        if "max_completion_tokens" not in request:
            request.setdefault("max_tokens", min(_MAX_TEXT_TOKENS, rules.max_tokens))
    return False


def _add_grammar(request: dict[str, Any], schema: dict[str, Any], rules: RequestRules) -> None:
    if rules.has_llguidance:
        request["grammar"] = grammar_of(schema)
        return
    inner = {"name": "answer", "schema": schema}
    request["response_format"] = {"type": "json_schema", "json_schema": inner}


def _wanted_schema(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    form: object = request.get("response_format")
    if not isinstance(form, Mapping):
        return None
    inner: object = cast("Mapping[str, Any]", form).get("json_schema")
    schema: object = cast("Mapping[str, Any]", inner).get("schema") if inner else None
    return cast("Mapping[str, Any]", schema) if isinstance(schema, Mapping) else None


def _prompt_chars(request: Mapping[str, Any], rules: RequestRules) -> int:
    """Characters of the conversation that leave room for the answer and the list of tools."""
    limit = int(request.get("max_tokens") or request.get("max_completion_tokens") or 0)
    room = rules.context_tokens - min(limit, rules.context_tokens // 2)
    return min(_MAX_PROMPT_CHARS, room * _CHARS_PER_TOKEN * 3 // 4)
