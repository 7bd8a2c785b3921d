"""Options of a request to `POST /responses`, as keyword arguments.

Fields as of the published `ResponsesRequest` of 2026-10-27.
"""

# Words that OpenRouter knows today, for an editor to offer; `str` stands beside them because the
# sets are open. The linter calls that redundant.
# ruff: noqa: PYI051

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

from mbxai.wire._output_params import (
    DebugOptions,
    ImageConfig,
    Modality,
    ReasoningParams,
    Verbosity,
)
from mbxai.wire._plugins import Plugin
from mbxai.wire._routing import (
    CacheControl,
    PromptCacheOptions,
    ProviderPreferences,
    ServiceTier,
    TraceParams,
)
from mbxai.wire._tool_params import DeferredToolsParams, StopServerToolsWhen

# `| Mapping[str, Any]` in this file: a plain dict may stand for every object, also with keys that
# are not listed, because what OpenRouter adds tomorrow passes through.

ResponseInclude: TypeAlias = (
    Literal[
        "file_search_call.results",
        "message.input_image.image_url",
        "computer_call_output.output.image_url",
        "reasoning.encrypted_content",
        "code_interpreter_call.outputs",
    ]
    | str
)
"""What an answer may hold besides."""


class ResponseTextFormat(TypedDict, total=False):
    """What the text of a response must look like.

    Attributes:
        type: `text`, `json_object` or `json_schema`.
        name: Of the schema.
        schema: JSON Schema.
        strict: Whether the model must keep to it.
        description: What the schema is for.
    """

    type: Required[Literal["text", "json_object", "json_schema"] | str]
    name: str
    schema: Mapping[str, Any]
    strict: bool | None
    description: str


class ResponseTextParams(TypedDict, total=False):
    """How the text of a response is written.

    Attributes:
        format: What it must look like.
        verbosity: How long it is.
    """

    format: ResponseTextFormat | Mapping[str, Any]
    verbosity: Verbosity | None


class ResponseFunctionTool(TypedDict, total=False):
    """A function that the model may call; its fields are flat here, unlike a chat's.

    Attributes:
        type: `function`.
        name: 1 to 64 letters, digits, `_` and `-`.
        description: What it does.
        parameters: JSON Schema of the arguments.
        strict: Whether arguments must keep to the schema.
    """

    type: Required[Literal["function"]]
    name: Required[str]
    description: str | None
    parameters: Required[Mapping[str, Any] | None]
    strict: bool | None


class ResponsesParams(TypedDict, total=False):
    """What a request for a response may say besides input and model.

    A parameter that is not given is not sent. `None` is sent as JSON `null`. Keywords that are not
    listed here are sent as well, so that what OpenRouter adds tomorrow works today.

    Attributes:
        instructions: What the model shall be, put before the input.
        max_output_tokens: Most tokens of the answer, thinking included; 1 or more.
        tools: Functions, and tools that OpenRouter or the provider runs.
        tool_choice: Which of them the model may or must call.
        parallel_tool_calls: Whether several may be called at once.
        max_tool_calls: Most calls of server tools.
        stop_server_tools_when: What else ends the loop of server tools.
        deferred_tools: Tools that the model must search for.
        text: What the text looks like: `{"format": ...}`, and how long it is.
        modalities: Kinds of output.
        image_config: How pictures are drawn.
        reasoning: How the model thinks.
        include: What the answer shall hold besides; `reasoning.encrypted_content` for thoughts
            that are to be sent back.
        temperature: 0 to 2; higher is more varied.
        top_p: 0 to 1; only the likeliest tokens that have this share together.
        top_k: Only this many of the likeliest tokens.
        top_logprobs: How many alternatives to tell for each token.
        frequency_penalty: -2 to 2; against tokens, the more the oftener they came.
        presence_penalty: -2 to 2; against tokens that came at all.
        stop: Up to 4 texts that end the answer.
        truncation: Whether an input that is too long may be cut.
        models: Slugs to fall back on, in this order, when the model fails.
        provider: Which providers may serve.
        plugins: What OpenRouter does around the model.
        route: Older way to fall back; use `models`.
        service_tier: Faster and dearer, or slower and cheaper.
        prompt: A stored prompt: its `id` and `variables`.
        previous_response_id: Only None: OpenRouter stores no responses, so the whole conversation
            is sent as input.
        store: Only False or None, for the same reason.
        background: Whether to answer later.
        cache_control: Let the provider cache the whole prompt.
        prompt_cache_key: Groups requests that share a prompt cache.
        prompt_cache_options: What the prompt cache keeps.
        session_id: Up to 256 characters; requests of one session go to one provider.
        user: Who it is for, as an id or a hash.
        safety_identifier: The same, so that abuse is not held against others.
        metadata: Up to 16 pairs; keys of 64, values of 512 characters.
        trace: Names for observability.
        debug: Streams only: see what the provider was sent.
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

    instructions: str | None
    max_output_tokens: int | None
    # tools
    tools: Sequence[ResponseFunctionTool | Mapping[str, Any]]
    tool_choice: Literal["auto", "none", "required"] | str | Mapping[str, Any]
    parallel_tool_calls: bool | None
    max_tool_calls: int | None
    stop_server_tools_when: Sequence[StopServerToolsWhen | Mapping[str, Any]]
    deferred_tools: DeferredToolsParams | Mapping[str, Any]
    # output
    text: ResponseTextParams | Mapping[str, Any]
    modalities: Sequence[Modality]
    image_config: ImageConfig | Mapping[str, Any]
    reasoning: ReasoningParams | Mapping[str, Any] | None
    include: Sequence[ResponseInclude] | None
    # sampling
    temperature: float | None
    top_p: float | None
    top_k: int | None
    top_logprobs: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    stop: str | Sequence[str] | None
    truncation: Literal["auto", "disabled"] | str | None
    # routing
    models: Sequence[str]
    provider: ProviderPreferences | Mapping[str, Any] | None
    plugins: Sequence[Plugin | Mapping[str, Any]]
    route: Literal["fallback", "sort"] | str | None
    service_tier: ServiceTier | None
    # what other servers store
    prompt: Mapping[str, Any] | None
    previous_response_id: str | None
    store: bool | None
    background: bool | None
    # caching, sessions, tracing
    cache_control: CacheControl | Mapping[str, Any]
    prompt_cache_key: str | None
    prompt_cache_options: PromptCacheOptions | Mapping[str, Any] | None
    session_id: str
    user: str
    safety_identifier: str | None
    metadata: Mapping[str, str] | None
    trace: TraceParams | Mapping[str, Any]
    debug: DebugOptions | Mapping[str, Any]
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
