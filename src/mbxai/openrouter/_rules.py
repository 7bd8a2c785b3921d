"""The rules of a chat completion's parameters, one for each; `_checks` applies them.

A rule stands here only if OpenRouter refuses or silently ignores what it forbids; its source is
beside it. DOCS is OpenRouter's documentation, SCHEMA its published OpenAPI document. Nothing here
reads messages; what JSON cannot say is found when the body is encoded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from mbxai.errors import OpenRouterConfigurationError

# Any in this file: a request is open JSON of the wire.
Body: TypeAlias = Mapping[str, Any]
Rule: TypeAlias = Callable[[Any, Body], None]
"""Takes the parameter's value, never None, and the whole body; raises or returns."""

_INFINITIES: Final = (float("inf"), float("-inf"))


# --- numbers --------------------------------------------------------------------------------------


def _number(name: str, low: float | None = None, high: float | None = None) -> Rule:
    def check(value: object, _body: Body) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _no_number(name, "a number", low, high)
        below = low is not None and value < low
        above = high is not None and value > high
        # NaN and infinity pass here: the encoder says what is wrong with them.
        if (below or above) and value not in _INFINITIES:
            raise _no_number(name, "a number", low, high)

    return check


def whole(name: str, low: int | None = None, high: int | None = None) -> Rule:
    """Return the rule that a parameter is a whole number within a range.

    Args:
        name: Of the parameter, for the message.
        low: Smallest number; None for any.
        high: Largest number; None for any.
    """
    is_number = _number(name, low, high)

    def check(value: object, body: Body) -> None:
        is_number(value, body)
        # JSON does not tell 5.0 from 5.
        if isinstance(value, float) and value % 1 > 0:
            raise _no_number(name, "a whole number", low, high)

    return check


def _no_number(
    name: str, kind: str, low: float | None, high: float | None
) -> OpenRouterConfigurationError:
    where = ""
    if low is not None:
        where = f" of at least {low}" if high is None else f" from {low} to {high}"
    return OpenRouterConfigurationError(f"{name} must be {kind}{where}.")


# --- lists and texts ------------------------------------------------------------------------------


def _stop(value: object, _body: Body) -> None:
    # SCHEMA ChatRequest.stop: maxItems 4.
    if (count := len(_as_list(value))) > 4:
        raise OpenRouterConfigurationError(
            f"stop holds {count} texts; at most 4 are taken.", hint="Leave some out."
        )


def _models(value: object, _body: Body) -> None:
    # SCHEMA ChatRequest.models: an array of slugs. An empty one names nothing to fall back on.
    if not _items("models", value) and value in ([], ()):
        raise OpenRouterConfigurationError(
            "models is empty.", hint="Leave it out, or name the models to fall back on."
        )


def _session_id(value: object, _body: Body) -> None:
    # SCHEMA ChatRequest.session_id: maxLength 256.
    if isinstance(value, str) and len(value) > 256:
        raise OpenRouterConfigurationError("session_id is longer than 256 characters.")


def _metadata(value: object, _body: Body) -> None:
    # SCHEMA ChatRequest.metadata: "max 16 pairs, 64 char keys, 512 char values".
    pairs = cast("Mapping[object, object]", _fields("metadata", value))
    if len(pairs) > 16:
        raise OpenRouterConfigurationError(
            f"metadata holds {len(pairs)} pairs; at most 16 are taken."
        )
    for key, text in pairs.items():
        if isinstance(key, str) and len(key) > 64:
            raise OpenRouterConfigurationError("metadata holds a key of more than 64 characters.")
        if isinstance(text, str) and len(text) > 512:
            raise OpenRouterConfigurationError(
                f"metadata holds more than 512 characters under {key!r}."
            )


def _stop_server_tools_when(value: object, _body: Body) -> None:
    # SCHEMA StopServerToolsWhen: minItems 1.
    if not _items("stop_server_tools_when", value) and value in ([], ()):
        raise OpenRouterConfigurationError(
            "stop_server_tools_when is empty.", hint="Leave it out, or name a condition."
        )


# --- reasoning ------------------------------------------------------------------------------------


def _reasoning(value: object, body: Body) -> None:
    settings = _fields("reasoning", value)
    effort, budget = settings.get("effort"), settings.get("max_tokens")
    if budget is not None:
        _number("reasoning.max_tokens")(budget, body)
        # The API answers 400: 'Only one of "reasoning.effort" and "reasoning.max_tokens" can be
        # specified'; DOCS reasoning-tokens: "one of the following (not both)".
        if effort is not None:
            raise OpenRouterConfigurationError(
                "reasoning holds both effort and max_tokens.", hint="Give one of them."
            )
    # DOCS parameters: include_reasoning is the older word for the opposite of exclude.
    include, exclude = body.get("include_reasoning"), settings.get("exclude")
    if isinstance(include, bool) and isinstance(exclude, bool) and include is exclude:
        raise OpenRouterConfigurationError(
            "include_reasoning contradicts reasoning.exclude.", hint="Give reasoning.exclude only."
        )


def _reasoning_effort(value: object, body: Body) -> None:
    settings = _mapping(body.get("reasoning"))
    effort = settings.get("effort")
    # SCHEMA ChatRequest.reasoning_effort: "Cannot be used simultaneously with reasoning.effort if
    # they differ"; being its shorthand, it excludes max_tokens as well.
    if isinstance(value, str) and isinstance(effort, str) and value != effort:
        raise OpenRouterConfigurationError(
            f"reasoning_effort is {value!r} and reasoning.effort is {effort!r}.",
            hint="Give one of them.",
        )
    if settings.get("max_tokens") is not None:
        raise OpenRouterConfigurationError(
            "reasoning_effort cannot be given together with reasoning.max_tokens.",
            hint="Give one of them.",
        )


# --- output ---------------------------------------------------------------------------------------


def _top_logprobs(value: object, body: Body) -> None:
    # DOCS parameters: 0 to 20; "logprobs must be set to true if this parameter is used".
    _TOP_LOGPROBS(value, body)
    if value and body.get("logprobs") is not True and not _has_preset(body):
        raise OpenRouterConfigurationError(
            "top_logprobs is given without logprobs.", hint="Add logprobs=True."
        )


def _modalities(value: object, body: Body) -> None:
    if "audio" not in _items("modalities", value) or _has_preset(body):
        return
    # DOCS multimodal/audio: "Audio output requires streaming", and "include the modalities and
    # audio parameters in your request".
    if body.get("stream") is not True:
        raise OpenRouterConfigurationError(
            "modalities asks for audio, which is only given in a stream.", hint="Add stream=True."
        )
    if body.get("audio") is None:
        raise OpenRouterConfigurationError(
            "modalities asks for audio, but audio is not given.",
            hint='Add audio={"voice": ..., "format": ...}.',
        )


def _response_format(value: object, _body: Body) -> None:
    wanted = _mapping(value)
    kind = wanted.get("type")
    if kind == "json_schema":
        named = wanted.get("json_schema")
        if not isinstance(named, Mapping):
            return _refuse_format("json_schema")
        # SCHEMA ChatJsonSchemaConfig: name is required, maxLength 64. Without a schema the format
        # asks for nothing, and providers refuse it.
        fields = cast("Mapping[str, object]", named)
        if not _is_name(fields.get("name")):
            return _refuse_format("json_schema.name", " of 1 to 64 characters")
        if fields.get("schema") is None:
            return _refuse_format("json_schema.schema")
    elif kind == "grammar" and wanted.get("grammar") is None:
        return _refuse_format("grammar")  # SCHEMA ChatFormatGrammarConfig: required
    return None


def _refuse_format(what: str, more: str = "") -> None:
    raise OpenRouterConfigurationError(
        f"response_format needs {what}{more}.",
        hint='For example {"type": "json_schema", "json_schema": {"name": ..., "schema": ...}}.',
    )


# --- tools ----------------------------------------------------------------------------------------


def _tools(value: object, _body: Body) -> None:
    seen: set[object] = set()
    for number, tool in enumerate(_items("tools", value)):
        fields = _mapping(tool)
        if fields.get("type") != "function" or not isinstance(fields.get("function"), Mapping):
            continue
        name = fields["function"].get("name")
        # SCHEMA ChatFunctionTool: function.name is required, maxLength 64.
        if not _is_name(name):
            raise OpenRouterConfigurationError(
                f"tools[{number}] needs a name of 1 to 64 characters."
            )
        # A call names its function only, so two of one name cannot be told apart; providers
        # answer 400.
        if name in seen:
            raise OpenRouterConfigurationError(
                f"tools holds {name!r} twice.", hint="Give each tool a name of its own."
            )
        seen.add(name)


def _tool_choice(value: object, body: Body) -> None:
    if _has_preset(body):
        return  # whose tools are joined with these (DOCS presets)
    tools = body.get("tools")
    given = _as_list(tools)
    if tools and not (given and all(isinstance(tool, Mapping) for tool in given)):
        return  # only the encoder can read them
    if value == "required":
        # DOCS tool-calling: "required" makes the model call one of the tools. Routers and plugins
        # bring tools of their own (DOCS fusion-router asks for "required" without tools).
        if not given and not _brings_tools(body):
            raise OpenRouterConfigurationError(
                "tool_choice is 'required', but tools is not given.", hint="Add tools."
            )
        return
    # "none" and "auto" are what holds without tools anyway; other words are OpenRouter's business.
    name = _mapping(_mapping(value).get("function")).get("name")
    if not isinstance(name, str):
        return
    if not given:
        raise OpenRouterConfigurationError(
            f"tool_choice names {name!r}, but tools is not given.", hint="Add tools."
        )
    names = {_mapping(_mapping(tool).get("function")).get("name") for tool in given}
    if name not in names and not any(_is_server_tool(tool, name) for tool in given):
        raise OpenRouterConfigurationError(
            f"tool_choice names {name!r}, which is not in tools.",
            hint=f"Known are: {', '.join(sorted(str(known) for known in names if known))}.",
        )


def _is_server_tool(tool: Mapping[str, Any], name: str) -> bool:
    kind = tool.get("type")
    return isinstance(kind, str) and name in {kind, kind.removeprefix("openrouter:")}


def _brings_tools(body: Body) -> bool:
    slugs = [body.get("model"), *(_as_list(body.get("models")))]
    return bool(body.get("plugins")) or any(
        isinstance(slug, str) and (slug.startswith("openrouter/") or ":online" in slug)
        for slug in slugs
    )


# --- routing --------------------------------------------------------------------------------------


def _provider(value: object, _body: Body) -> None:
    preferences = _fields("provider", value)
    ignored = preferences.get("ignore")
    for name in ("only", "order", "ignore"):
        if isinstance(preferences.get(name), str):
            # SCHEMA ProviderPreferences: arrays.
            raise OpenRouterConfigurationError(f"provider.{name} must be a list of slugs.")
    if not ignored:
        return
    # DOCS provider-selection: a slug in `ignore` is never used; naming it elsewhere says nothing.
    for name in ("only", "order"):
        for slug in _as_list(preferences.get(name)):
            if isinstance(slug, str) and slug in _as_list(ignored):
                raise OpenRouterConfigurationError(
                    f"provider.{name} and provider.ignore both hold {slug!r}.",
                    hint="Take it out of one of them.",
                )


# --- reading open JSON ----------------------------------------------------------------------------


def _items(name: str, value: object) -> Sequence[Any]:
    """The items of a list; none of what only the encoder can read, a generator for example."""
    if isinstance(value, str | bytes | int | float | Mapping):
        raise OpenRouterConfigurationError(f"{name} must be a list.")
    return cast("Sequence[Any]", value) if isinstance(value, Sequence) else ()


def _fields(name: str, value: object) -> Mapping[str, Any]:
    """The fields of an object; none of what only the encoder can read, a pydantic model."""
    if isinstance(value, str | bytes | int | float | Sequence):
        raise OpenRouterConfigurationError(f"{name} must be a mapping.")
    return _mapping(value)


def _as_list(value: object) -> Sequence[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return cast("Sequence[Any]", value)
    return ()


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 64


def _has_preset(body: Body) -> bool:
    """Whether stored settings, which are unknown here, are laid under the request."""
    return body.get("preset") is not None or any(
        isinstance(slug, str) and "@preset/" in slug
        for slug in (body.get("model"), *_as_list(body.get("models")))
    )


_TOP_LOGPROBS: Final = whole("top_logprobs", 0, 20)

# Ranges: DOCS parameters, and the texts of SCHEMA ChatRequest. No range where the two name none,
# or where providers are known to take more (top_k, repetition_penalty, max_tool_calls).
RULES: Final[dict[str, Rule]] = {
    "temperature": _number("temperature", 0, 2),
    "top_p": _number("top_p", 0, 1),
    "top_a": _number("top_a", 0, 1),
    "min_p": _number("min_p", 0, 1),
    "frequency_penalty": _number("frequency_penalty", -2, 2),
    "presence_penalty": _number("presence_penalty", -2, 2),
    "repetition_penalty": _number("repetition_penalty"),
    "top_k": whole("top_k"),
    "seed": whole("seed"),
    "n": whole("n", 1),
    "max_tokens": whole("max_tokens", 1),
    "max_completion_tokens": whole("max_completion_tokens", 1),
    "max_tool_calls": whole("max_tool_calls"),
    "top_logprobs": _top_logprobs,
    "stop": _stop,
    "models": _models,
    "session_id": _session_id,
    "metadata": _metadata,
    "reasoning": _reasoning,
    "reasoning_effort": _reasoning_effort,
    "modalities": _modalities,
    "response_format": _response_format,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "stop_server_tools_when": _stop_server_tools_when,
    "provider": _provider,
}
"""What each parameter must keep to, by its name."""
