"""The ways to ask a model for a typed answer, best first, and when to take the next one; pure.

    json_schema   `response_format` with the schema: the provider holds the model to it
    tool          one function with the schema as its parameters, which the model must call
    json_object   `response_format` that asks for some JSON; the schema stands in a message
    prompted      only the message

Support is a matter of the endpoint, not of the model, and changes over time (OpenRouter's guide on
structured outputs), so a strategy is tried before anything is looked up.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast, get_args

from mbxai.errors import OpenRouterAPIError, OpenRouterConfigurationError
from mbxai.openrouter._prompts import ANSWER_TOOL_DESCRIPTION, schema_instructions
from mbxai.wire import MessageParam, Strategy
from mbxai.wire._output_type import OutputType

# Any in this file: parameters and messages are open JSON of the wire.


STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)

ANSWER_TOOL: Final = "final_answer"
"""Name of the function that the model calls with its answer."""

_NEEDS: Final[Mapping[Strategy, frozenset[str]]] = {
    "json_schema": frozenset({"structured_outputs"}),
    "tool": frozenset({"tools", "tool_choice"}),
    "json_object": frozenset({"response_format"}),
    "prompted": frozenset(),
}

_REFUSING_STATUSES: Final = frozenset({400, 404, 405, 422, 501, 503})
_UNSUPPORTED_CODES: Final = frozenset({"constraint_filtered", "no_endpoints"})
# Endpoints that are missing for a reason that no other way of asking changes.
_ANOTHER_REASON: Final = re.compile(
    r"data policy|guardrail|privacy|zdr|region|ignored", re.IGNORECASE
)
_NO_ENDPOINT: Final = re.compile(
    r"no (?:endpoints?|providers?)(?: \w+)? (?:found|available)"
    r"(?=.*(?:support|handle|requested parameters)|\W*$)",
    re.IGNORECASE | re.DOTALL,
)
_ABOUT_OUTPUT: Final = re.compile(
    r"response[_ ]?format|json[_ ]?schema|json[_ ]?object|json mode|structured[_ ]?outputs?"
    r"|output_config|require_parameters|unrecognized request argument",
    re.IGNORECASE,
)
# Not every mention of tools: a broken history of tool calls is refused in similar words.
_ABOUT_TOOLS: Final = re.compile(
    r"support.{0,40}(?:tool|function)|(?:tool|function).{0,60}support|invalid.{0,20}tool_choice",
    re.IGNORECASE | re.DOTALL,
)


def first_strategy(supported: Collection[str] | None, *, has_tools: bool = False) -> Strategy:
    """Return the best strategy for a model.

    Args:
        supported: The model's `supported_parameters`; None where they are not known.
        has_tools: Whether the caller offers tools of their own.
    """
    return next(
        strategy
        for strategy in STRATEGIES
        if _is_possible(strategy, supported, has_tools=has_tools)
    )


def next_strategy(
    current: Strategy, supported: Collection[str] | None, *, has_tools: bool = False
) -> Strategy | None:
    """Return the best strategy below one that did not work; None below the last.

    Args:
        current: What did not work.
        supported: The model's `supported_parameters`; None where they are not known.
        has_tools: Whether the caller offers tools of their own.
    """
    for strategy in STRATEGIES[STRATEGIES.index(current) + 1 :]:
        if _is_possible(strategy, supported, has_tools=has_tools):
            return strategy
    return None


def request_changes(
    strategy: Strategy,
    output_type: OutputType[Any],
    params: Mapping[str, Any],
    messages: Sequence[MessageParam],
) -> tuple[Sequence[MessageParam], dict[str, Any]]:
    """Return messages and parameters that ask for the type.

    Args:
        strategy: How to ask.
        output_type: What to ask for.
        params: Parameters of the call; not changed.
        messages: The conversation; not changed.

    Raises:
        OpenRouterConfigurationError: `tool` beside tools of the caller's own.
    """
    changed = {name: value for name, value in params.items() if name != "response_format"}
    if strategy == "json_schema":
        changed["response_format"] = output_type.response_format
        changed["provider"] = _requiring(changed.get("provider"))
        return messages, changed
    if strategy == "tool":
        if has_tools(params):
            raise OpenRouterConfigurationError(
                'strategy "tool" cannot be used together with tools= of your own.',
                hint='Leave strategy at "auto", or leave the tools out.',
            )
        changed["tools"] = [_answer_tool(output_type)]
        changed["tool_choice"] = {"type": "function", "function": {"name": ANSWER_TOOL}}
        return messages, changed
    if strategy == "json_object":
        changed["response_format"] = {"type": "json_object"}
    return _with_instructions(messages, schema_instructions(output_type.schema)), changed


def has_tools(params: Mapping[str, Any]) -> bool:
    """Whether a call offers tools of the caller's own, or names a preset that may hold some."""
    extra: object = params.get("extra_body")
    body = {**params, **cast("Mapping[str, Any]", extra)} if isinstance(extra, Mapping) else params
    return bool(body.get("tools") or body.get("preset"))


def is_unsupported(error: Exception, *, has_tools: bool = False) -> bool:
    """Whether an error says that no endpoint can be asked in this way.

    Args:
        error: What the request ended with.
        has_tools: Whether the caller offers tools of their own; a complaint about tools is then
            about those, and no other way of asking helps.
    """
    if not isinstance(error, OpenRouterAPIError) or error.status not in _REFUSING_STATUSES:
        return False
    text = error.message
    availability: object = (error.body or {}).get("availability")
    if isinstance(availability, Mapping):
        facts = cast("Mapping[str, object]", availability)
        if facts.get("code") in _UNSUPPORTED_CODES and not _is_for_another_reason(facts, text):
            return True
    if error.status == 503 or _ANOTHER_REASON.search(text):
        return False
    if _ABOUT_TOOLS.search(text):
        return not has_tools
    return bool(_ABOUT_OUTPUT.search(text) or _NO_ENDPOINT.search(text))


def _is_for_another_reason(facts: Mapping[str, object], text: str) -> bool:
    return bool(_ANOTHER_REASON.search(f"{facts.get('excluded_by')} {text}"))


def _is_possible(strategy: Strategy, supported: Collection[str] | None, *, has_tools: bool) -> bool:
    if strategy == "tool" and has_tools:
        return False
    return supported is None or _NEEDS[strategy] <= frozenset(supported)


def _requiring(provider: object) -> object:
    """The caller's routing, and only to endpoints that heed `response_format`.

    By default OpenRouter takes `response_format` as a wish and drops it where it is not supported.
    """
    if provider is None:
        return {"require_parameters": True}
    if not isinstance(provider, Mapping):
        return provider  # checked, and refused by name, where the request is made
    return {"require_parameters": True, **cast("Mapping[str, Any]", provider)}


def _answer_tool(output_type: OutputType[Any]) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": ANSWER_TOOL,
        "description": ANSWER_TOOL_DESCRIPTION,
        "parameters": output_type.asked_schema,
    }
    if output_type.strict_schema is not None:
        function["strict"] = True
    return {"type": "function", "function": function}


def _with_instructions(messages: Sequence[MessageParam], text: str) -> list[MessageParam]:
    """The conversation with a text in its first system message.

    Not as a message of its own where there is one already: some models take only one.
    """
    [first, *rest] = messages
    content: object = first.get("content")
    if first.get("role") not in ("system", "developer") or not content:
        return [{"role": "system", "content": text}, *messages]
    if isinstance(content, str):
        return [{**first, "content": f"{content}\n\n{text}"}, *rest]
    parts = cast("Sequence[object]", content)
    return [{**first, "content": [*parts, {"type": "text", "text": text}]}, *rest]
