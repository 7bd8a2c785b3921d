"""Options of a chat completion request, as keyword arguments."""

# Words that OpenRouter knows today, for an editor to offer; `str` stands beside them because the
# sets are open. The linter calls that redundant.
# ruff: noqa: PYI051

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from mbxai.wire._output_params import (
    AudioParams,
    DebugOptions,
    ImageConfig,
    Modality,
    Prediction,
    ReasoningEffort,
    ReasoningParams,
    ResponseFormat,
    StreamOptions,
    UsageParams,
    Verbosity,
    WebSearchOptions,
)
from mbxai.wire._plugins import Plugin
from mbxai.wire._routing import (
    CacheControl,
    PromptCacheOptions,
    ProviderPreferences,
    ServiceTier,
    TraceParams,
)
from mbxai.wire._tool_params import (
    DeferredToolsParams,
    StopServerToolsWhen,
    ToolChoice,
    ToolParam,
)

# `| Mapping[str, Any]` in this file: a plain dict may stand for every object, also with keys that
# are not listed, because what OpenRouter adds tomorrow passes through.


class ParseParams(TypedDict, total=False):
    """What a request for typed output may say besides model, messages and the type.

    A parameter that is not given is not sent. `None` is sent as JSON `null`. Keywords that are not
    listed here are sent as well, so that what OpenRouter adds tomorrow works today. Parameters that
    a model does not know are ignored, unless `provider` says `require_parameters`.

    Attributes:
        temperature: 0 to 2; higher is more varied.
        top_p: 0 to 1; only the likeliest tokens that have this share together.
        top_k: Only this many of the likeliest tokens; 0 for all.
        top_a: 0 to 1; only tokens that are likely beside the likeliest.
        min_p: 0 to 1; only tokens of at least this share of the likeliest one's probability.
        frequency_penalty: -2 to 2; against tokens, the more the oftener they came.
        presence_penalty: -2 to 2; against tokens that came at all.
        repetition_penalty: Above 1 against repetition; 1 does nothing.
        seed: The same number gives the same answer, where the model can.
        stop: Up to 4 texts that end the answer.
        logit_bias: By token id, -100 to 100.
        logprobs: Tell how likely each token was.
        top_logprobs: 0 to 20 alternatives for each token; needs `logprobs`.
        n: How many answers; most providers give one whatever is said.
        max_tokens: Older name of `max_completion_tokens`.
        max_completion_tokens: Most tokens of the answer, thinking included.
        tools: Functions and server tools.
        tool_choice: Which of them the model may or must call.
        parallel_tool_calls: Whether several may be called at once.
        max_tool_calls: Most calls of server tools, at most 30.
        stop_server_tools_when: What else ends the loop of server tools.
        deferred_tools: Tools that the model must search for.
        modalities: Kinds of output; sound needs `audio`, too, and a stream.
        audio: How spoken output sounds.
        image_config: How pictures are drawn.
        prediction: What most of the answer will be.
        verbosity: How long the answer is.
        structured_outputs: Whether answers of a schema are wanted.
        reasoning: How the model thinks.
        reasoning_effort: The same as `effort` in `reasoning`.
        include_reasoning: Older word for the opposite of `exclude` in `reasoning`.
        models: Slugs to fall back on, in this order, when the model fails.
        provider: Which providers may serve.
        plugins: What OpenRouter does around the model.
        preset: Slug of stored settings; what the request says itself wins.
        service_tier: Faster and dearer, or slower and cheaper.
        route: Older way to fall back; use `models`.
        transforms: Older way to compress; use the plugin `context-compression`.
        web_search_options: For models with a search of their own.
        cache_control: Let the provider cache the whole prompt.
        prompt_cache_key: Groups requests that share a prompt cache.
        prompt_cache_options: What the prompt cache keeps.
        session_id: Up to 256 characters; requests of one session go to one provider.
        user: Who it is for, as an id or a hash, so that abuse is not held against others.
        metadata: Up to 16 pairs; keys of 64, values of 512 characters.
        trace: Names for observability.
        usage: No effect any more.
        stream_options: No effect any more.
        debug: Streams only: see what the provider was sent.
        safe_prompt: For Mistral.
        raw_mode: For Hyperbolic.
        cache: Whether OpenRouter may answer the same request from its own cache.
        cache_ttl: Seconds that the answer is kept there, 1 to 86400.
        cache_clear: Ask anew and replace what is kept there.
        include_metadata: Have the answer tell how it was routed, in `openrouter_metadata`.
        anthropic_beta: Names of beta features of Anthropic.
        extra_body: Fields merged into the body last; they win.
        extra_headers: HTTP headers of this call; they win over the client's.
        timeout: Seconds for the whole call, retries and streaming included; None waits for ever.
        first_token_timeout: Seconds until the first chunk of a stream.
        idle_timeout: Seconds between two chunks of a stream; keep-alive comments do not count.
    """

    # sampling
    temperature: float | None
    top_p: float | None
    top_k: int | None
    top_a: float | None
    min_p: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    repetition_penalty: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    top_logprobs: int | None
    n: int | None
    # length
    max_tokens: int | None
    max_completion_tokens: int | None
    # tools
    tools: Sequence[ToolParam | Mapping[str, Any]]
    tool_choice: ToolChoice | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    max_tool_calls: int
    stop_server_tools_when: Sequence[StopServerToolsWhen | Mapping[str, Any]]
    deferred_tools: DeferredToolsParams | Mapping[str, Any]
    # output
    modalities: Sequence[Modality]
    audio: AudioParams | Mapping[str, Any]
    image_config: ImageConfig | Mapping[str, Any]
    prediction: Prediction | Mapping[str, Any] | None
    verbosity: Verbosity
    structured_outputs: bool
    # reasoning
    reasoning: ReasoningParams | Mapping[str, Any]
    reasoning_effort: ReasoningEffort | None
    include_reasoning: bool
    # routing
    models: Sequence[str]
    provider: ProviderPreferences | Mapping[str, Any] | None
    plugins: Sequence[Plugin | Mapping[str, Any]]
    preset: str
    service_tier: ServiceTier | None
    route: Literal["fallback", "sort"] | str | None
    transforms: Sequence[Literal["middle-out"] | str]
    web_search_options: WebSearchOptions | Mapping[str, Any]
    # caching, sessions, tracing
    cache_control: CacheControl | Mapping[str, Any]
    prompt_cache_key: str | None
    prompt_cache_options: PromptCacheOptions | Mapping[str, Any] | None
    session_id: str
    user: str
    metadata: Mapping[str, str]
    trace: TraceParams | Mapping[str, Any]
    usage: UsageParams | Mapping[str, Any]
    stream_options: StreamOptions | Mapping[str, Any] | None
    debug: DebugOptions | Mapping[str, Any]
    # single providers
    safe_prompt: bool
    raw_mode: bool
    # sent as headers
    cache: bool
    cache_ttl: int
    cache_clear: bool
    include_metadata: bool
    anthropic_beta: str | Sequence[str]
    # not part of the body
    extra_body: Mapping[str, Any]
    extra_headers: Mapping[str, str]
    timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None


class CompletionParams(ParseParams, total=False):
    """What a chat completion request may say besides model and messages; see `ParseParams`.

    Attributes:
        response_format: What the answer's text must look like; `parse` sets it from a type.
    """

    response_format: ResponseFormat | Mapping[str, Any]


Strategy: TypeAlias = Literal["json_schema", "tool", "json_object", "prompted"]
"""How a typed answer is asked for."""
