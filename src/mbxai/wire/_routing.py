"""Options of a request that say who answers it: providers, prices, tiers, prompt caches, traces.

Fields as of the published schema of 2026-10-27. All are optional for the type checker where they
are optional on the wire; where a value is taken, any other JSON object is taken too.
"""

# Words that OpenRouter knows today, for an editor to offer; `str` stands beside them because the
# sets are open. The linter calls that redundant.
# ruff: noqa: PYI051

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

# Any in this file: options that only one provider knows are JSON of that provider.

ProviderSort: TypeAlias = Literal["price", "throughput", "latency", "exacto"] | str
"""What endpoints are sorted by; a sort turns load balancing off."""

Quantization: TypeAlias = (
    Literal[
        "int4",
        "int8",
        "fp4",
        "mxfp4",
        "nvfp4",
        "fp6",
        "fp8",
        "mxfp8",
        "fp16",
        "bf16",
        "fp32",
        "unknown",
    ]
    | str
)
"""How the weights of an endpoint are stored."""

ServiceTier: TypeAlias = (
    Literal["auto", "default", "fast", "flex", "priority", "scale", "ultrafast"] | str
)
"""Which tier serves; `fast` is another word for `priority`, `flex` never falls back to default."""

PriceLimit: TypeAlias = float | str
"""USD; the schema says text, the documentation shows numbers, and both are taken."""


class MaxPrice(TypedDict, total=False):
    """The most that an endpoint may cost; a request fails if all cost more.

    Attributes:
        prompt: USD for a million prompt tokens.
        completion: USD for a million completion tokens.
        request: USD for a request.
        image: USD for an image.
        audio: USD for a unit of audio.
    """

    prompt: PriceLimit
    completion: PriceLimit
    request: PriceLimit
    image: PriceLimit
    audio: PriceLimit


class ProviderSortConfig(TypedDict, total=False):
    """A sort order, and whether it holds within each model or across all `models`.

    Attributes:
        by: What to sort by.
        partition: `model` sorts within each model of the fallback list, `none` across all.
    """

    by: ProviderSort | None
    partition: Literal["model", "none"] | str | None


class PercentileCutoffs(TypedDict, total=False):
    """Limits for percentiles of the last minutes: seconds of latency or tokens a second."""

    p50: float | None
    p75: float | None
    p90: float | None
    p99: float | None


class ProviderPreferences(TypedDict, total=False):
    """Which providers may serve a request, and in which order they are tried.

    A base slug (`google-vertex`) means all endpoints of a provider, a full one
    (`google-vertex/us-east5`, `openai/priority`) a single one.

    Attributes:
        order: Slugs to try first, in this order; turns load balancing and sticky routing off.
        only: Slugs that may serve; no others do.
        ignore: Slugs that may not serve.
        allow_fallbacks: False means only the first choice.
        require_parameters: Only endpoints that know every parameter of the request; otherwise
            unknown parameters are ignored.
        data_collection: `deny` leaves out providers that may store prompts.
        zdr: Only endpoints with zero data retention.
        enforce_distillable_text: Only models whose output may be used to train others.
        quantizations: Only endpoints with these weights.
        sort: What endpoints are sorted by.
        max_price: The most an endpoint may cost.
        preferred_max_latency: Seconds to the first token; slower endpoints come last.
        preferred_min_throughput: Tokens a second; slower endpoints come last.
        options: Parameters of single providers, by slug.
    """

    order: Sequence[str] | None
    only: Sequence[str] | None
    ignore: Sequence[str] | None
    allow_fallbacks: bool | None
    require_parameters: bool | None
    data_collection: Literal["deny", "allow"] | str | None
    zdr: bool | None
    enforce_distillable_text: bool | None
    quantizations: Sequence[Quantization] | None
    sort: ProviderSort | ProviderSortConfig | None
    max_price: MaxPrice
    preferred_max_latency: float | PercentileCutoffs | None
    preferred_min_throughput: float | PercentileCutoffs | None
    options: Mapping[str, Mapping[str, Any]]


class CacheControl(TypedDict, total=False):
    """A breakpoint of the provider's prompt cache.

    Attributes:
        type: Always `ephemeral`.
        ttl: How long the provider keeps it; 5 minutes unless told.
    """

    type: Required[Literal["ephemeral"]]
    ttl: Literal["5m", "1h"] | str


class PromptCacheOptions(TypedDict, total=False):
    """What the provider's prompt cache keeps (OpenAI's newer models).

    Attributes:
        mode: `explicit` keeps only blocks that bear a `prompt_cache_breakpoint`.
        ttl: The least that a breakpoint is kept, for example `30m`.
    """

    mode: Required[Literal["explicit"]]
    ttl: str | None


class TraceParams(TypedDict, total=False):
    """Names for observability; further keys go to the configured destinations as they are."""

    trace_id: str
    trace_name: str
    span_name: str
    generation_name: str
    parent_span_id: str
