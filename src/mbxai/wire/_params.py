"""Options of a chat completion request, as keyword arguments."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

# Any in this file: parts of a request that are JSON of the wire and are sent as they are.


class ParseParams(TypedDict, total=False):
    """What a request for typed output may say besides model, messages and the type.

    A parameter that is not given is not sent. `None` is sent as JSON `null`. Keywords that are not
    listed here are sent as well, so that what OpenRouter adds tomorrow works today.

    Attributes:
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
    # length
    max_tokens: int | None
    max_completion_tokens: int | None
    # tools
    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    max_tool_calls: int
    stop_server_tools_when: Sequence[Mapping[str, Any]]
    # output
    modalities: Sequence[str]
    audio: Mapping[str, Any]
    image_config: Mapping[str, Any]
    prediction: Mapping[str, Any] | None
    verbosity: str
    # reasoning
    reasoning: Mapping[str, Any]
    reasoning_effort: str | None
    # routing
    models: Sequence[str]
    provider: Mapping[str, Any] | None
    plugins: Sequence[Mapping[str, Any]]
    preset: str
    service_tier: str | None
    transforms: Sequence[str]
    web_search_options: Mapping[str, Any]
    # caching, sessions, tracing
    cache_control: Mapping[str, Any]
    prompt_cache_key: str | None
    prompt_cache_options: Mapping[str, Any] | None
    session_id: str
    user: str
    metadata: Mapping[str, str]
    trace: Mapping[str, Any]
    stream_options: Mapping[str, Any] | None
    debug: Mapping[str, Any]
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

    response_format: Mapping[str, Any]
