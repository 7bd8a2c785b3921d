"""Options of a request to `POST /messages`, as keyword arguments.

Fields as of the published `MessagesRequest` of 2026-10-27.
"""

# Words that OpenRouter knows today, for an editor to offer; `str` stands beside them because the
# sets are open. The linter calls that redundant.
# ruff: noqa: PYI051

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

from mbxai.wire._plugins import Plugin
from mbxai.wire._routing import CacheControl, ProviderPreferences, TraceParams
from mbxai.wire._tool_params import DeferredToolsParams, StopServerToolsWhen

# `| Mapping[str, Any]` in this file: a plain dict may stand for every object, also with keys that
# are not listed, because what OpenRouter adds tomorrow passes through.


class ThinkingParams(TypedDict, total=False):
    """How a model thinks.

    Attributes:
        type: `enabled`, `adaptive`, `disabled` or another word.
        budget_tokens: Most tokens for thinking, below `max_tokens`; with `enabled`.
        display: Whether thoughts are told or left out.
    """

    type: Required[Literal["enabled", "adaptive", "disabled"] | str]
    budget_tokens: int
    display: str | None


class MessageTool(TypedDict, total=False):
    """A tool that the model may call.

    Attributes:
        name: 1 to 64 letters, digits, `_` and `-`.
        description: What it does.
        input_schema: JSON Schema of the arguments, an object.
        cache_control: Let the provider cache the prompt up to here.
    """

    name: Required[str]
    description: str
    input_schema: Required[Mapping[str, Any]]
    cache_control: CacheControl | Mapping[str, Any]


class MessageToolChoice(TypedDict, total=False):
    """Which tools the model may or must call.

    Attributes:
        type: `auto`, `any`, `none` or `tool`.
        name: The tool, with `tool`.
        disable_parallel_tool_use: Whether one call at a time is the most.
    """

    type: Required[Literal["auto", "any", "none", "tool"] | str]
    name: str
    disable_parallel_tool_use: bool


class MessagesParams(TypedDict, total=False):
    """What a request for a message may say besides messages, max_tokens and model.

    A parameter that is not given is not sent. `None` is sent as JSON `null`. Keywords that are not
    listed here are sent as well, so that what OpenRouter adds tomorrow works today.

    Attributes:
        system: What the model shall be, a text or blocks.
        tools: Tools of yours, and tools that OpenRouter or the provider runs.
        tool_choice: Which of them the model may or must call.
        thinking: How the model thinks.
        output_config: How much effort, and a schema of the answer.
        stop_sequences: Texts that end the answer.
        temperature: 0 to 1 for most models; higher is more varied.
        top_p: 0 to 1; only the likeliest tokens that have this share together.
        top_k: Only this many of the likeliest tokens.
        stop_server_tools_when: What ends the loop of server tools.
        deferred_tools: Tools that the model must search for.
        context_management: What of a long conversation may be cleared.
        safeguards: Anthropic's safeguards.
        models: Slugs to fall back on, in this order, when the model fails.
        fallbacks: The same, each an object with a `model`.
        provider: Which providers may serve.
        plugins: What OpenRouter does around the model.
        route: Older way to fall back; use `models`.
        service_tier: Which tier serves the request.
        speed: `fast` or `standard`.
        cache_control: Let the provider cache the whole prompt.
        session_id: Up to 256 characters; requests of one session go to one provider.
        user: Who it is for, as an id or a hash.
        metadata: `{"user_id": ...}`.
        trace: Names for observability.
        cache: Whether OpenRouter may answer the same request from its own cache.
        cache_ttl: Seconds that the answer is kept there, 1 to 86400.
        cache_clear: Ask anew and replace what is kept there.
        include_metadata: Have the answer tell how it was routed, in `openrouter_metadata`.
        anthropic_beta: Names of beta features of Anthropic.
        extra_body: Fields merged into the body last; they win.
        extra_query: Parameters of the address.
        extra_headers: HTTP headers of this call; they win over the client's.
        timeout: Seconds for the whole call, retries and streaming included; None waits for ever.
    """

    system: str | Sequence[Mapping[str, Any]]
    # tools
    tools: Sequence[MessageTool | Mapping[str, Any]]
    tool_choice: MessageToolChoice | Mapping[str, Any]
    stop_server_tools_when: Sequence[StopServerToolsWhen | Mapping[str, Any]]
    deferred_tools: DeferredToolsParams | Mapping[str, Any]
    # output
    thinking: ThinkingParams | Mapping[str, Any]
    output_config: Mapping[str, Any]
    stop_sequences: Sequence[str]
    temperature: float
    top_p: float
    top_k: int
    context_management: Mapping[str, Any] | None
    safeguards: Sequence[Mapping[str, Any]] | None
    # routing
    models: Sequence[str]
    fallbacks: Sequence[Mapping[str, Any]] | None
    provider: ProviderPreferences | Mapping[str, Any] | None
    plugins: Sequence[Plugin | Mapping[str, Any]]
    route: Literal["fallback", "sort"] | str | None
    service_tier: str
    speed: Literal["fast", "standard"] | str | None
    # caching, sessions, tracing
    cache_control: CacheControl | Mapping[str, Any]
    session_id: str
    user: str
    metadata: Mapping[str, Any]
    trace: TraceParams | Mapping[str, Any]
    # sent as headers
    cache: bool
    cache_ttl: int
    cache_clear: bool
    include_metadata: bool
    anthropic_beta: str | Sequence[str]
    # not part of the body
    extra_body: Mapping[str, Any]
    extra_query: Mapping[str, str | int | float | bool | Sequence[str] | None]
    extra_headers: Mapping[str, str]
    timeout: float | None
