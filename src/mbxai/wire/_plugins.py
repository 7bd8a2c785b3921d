"""Plugins of a request (`plugins`), one type for each `id`.

Fields as of the published schema of 2026-10-27.
"""

# Words that OpenRouter knows today, for an editor to offer; `str` stands beside them because the
# sets are open. The linter calls that redundant.
# ruff: noqa: PYI051

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

# Any in this file: parts that only one plugin knows are open JSON of the wire.

CostTier: TypeAlias = Literal["low", "medium", "high", "xhigh", "max"] | str
"""How dear the models may be that a router picks."""

WebSearchMode: TypeAlias = (
    Literal[
        "instant",
        "fast",
        "auto",
        "deep-lite",
        "deep",
        "deep-reasoning",
        "turbo",
        "basic",
        "advanced",
    ]
    | str
)
"""How thoroughly a search engine looks; each engine knows some of them."""

WebSearchEngine: TypeAlias = (
    Literal["native", "exa", "firecrawl", "parallel", "perplexity", "auto"] | str
)
"""Who searches; `native` is the provider's own search."""


class UserLocation(TypedDict, total=False):
    """Where the user is, roughly, for search results that fit."""

    type: Required[Literal["approximate"]]
    city: str | None
    country: str | None
    region: str | None
    timezone: str | None


class XSearchOptions(TypedDict, total=False):
    """What a native search of xAI looks at; dates are written `YYYY-MM-DD`."""

    allowed_x_handles: Sequence[str]
    excluded_x_handles: Sequence[str]
    from_date: str
    to_date: str
    enable_image_understanding: bool
    enable_video_understanding: bool


class WebSearchPlugin(TypedDict, total=False):
    """Searches the web before the model answers; the tool `openrouter:web_search` is newer."""

    id: Required[Literal["web"]]
    enabled: bool
    engine: WebSearchEngine
    mode: WebSearchMode
    max_results: int
    max_uses: int
    search_prompt: str
    include_domains: Sequence[str]
    exclude_domains: Sequence[str]
    user_location: UserLocation | None
    x_search: XSearchOptions


class WebFetchPlugin(TypedDict, total=False):
    """Fetches pages that the conversation names."""

    id: Required[Literal["web-fetch"]]
    allowed_domains: Sequence[str]
    blocked_domains: Sequence[str]
    max_content_tokens: int
    max_uses: int


class PDFParserOptions(TypedDict, total=False):
    """Who reads PDF files; `mistral-ocr` costs extra."""

    engine: Literal["mistral-ocr", "cloudflare-ai", "native", "pdf-text"] | str


class FileParserPlugin(TypedDict, total=False):
    """Reads files for models that cannot."""

    id: Required[Literal["file-parser"]]
    enabled: bool
    pdf: PDFParserOptions


class ResponseHealingPlugin(TypedDict, total=False):
    """Repairs broken JSON in answers; not in streams, and not after a cut."""

    id: Required[Literal["response-healing"]]
    enabled: bool


class ContextCompressionPlugin(TypedDict, total=False):
    """Shortens prompts that exceed the context, from the middle."""

    id: Required[Literal["context-compression"]]
    enabled: bool
    engine: Literal["middle-out"] | str


class ModerationPlugin(TypedDict, total=False):
    """Refuses prompts that a moderation model flags."""

    id: Required[Literal["moderation"]]


class AutoRouterPlugin(TypedDict, total=False):
    """How `openrouter/auto` picks a model; settings under another id are ignored."""

    id: Required[Literal["auto-router"]]
    enabled: bool
    allowed_models: Sequence[str]
    excluded_models: Sequence[str]
    cost_tier: CostTier
    cost_quality_tradeoff: int
    pin_model: bool


class AutoBetaRouterPlugin(TypedDict, total=False):
    """How `openrouter/auto-beta` picks a model; settings under another id are ignored."""

    id: Required[Literal["auto-beta-router"]]
    enabled: bool
    allowed_models: Sequence[str]
    excluded_models: Sequence[str]
    cost_tier: CostTier
    cost_quality_tradeoff: int


class ParetoRouterPlugin(TypedDict, total=False):
    """The cheapest model that reaches a coding score from 0 to 1; prices in USD."""

    id: Required[Literal["pareto-router"]]
    enabled: bool
    min_coding_score: float
    max_price: float
    price_source: Literal["prompt", "weighted_avg"] | str


class SwitchyardRouterPlugin(TypedDict, total=False):
    """How `openrouter/switchyard` picks a model."""

    id: Required[Literal["switchyard-router"]]
    algorithm: Literal["capability", "stage", "auto", "random", "composite", "passthrough"] | str
    judge_model: str


class JevRouterPlugin(TypedDict, total=False):
    """How `openrouter/jev` picks a model."""

    id: Required[Literal["jev-router"]]
    models: Sequence[str]
    allowed_models: Sequence[str]
    excluded_models: Sequence[str]
    cost_tier: CostTier


class FusionPlugin(TypedDict, total=False):
    """A panel of up to 8 models whose answers a judge compares."""

    id: Required[Literal["fusion"]]
    enabled: bool
    analysis_models: Sequence[str]
    model: str
    preset: Literal["general-high", "general-budget", "general-fast"] | str
    max_tool_calls: int
    tools: Sequence[Mapping[str, Any]]


class AlignmentRule(TypedDict, total=False):
    """A sentence that answers must keep to, and which parts of them it is about."""

    rule: Required[str]
    watch: Required[Sequence[Literal["content", "tool_calls", "refusal", "images", "audio"] | str]]


class AlignmentPlugin(TypedDict, total=False):
    """Checks answers against rules; `enforce` asks again, `audit` only notes."""

    id: Required[Literal["alignment"]]
    rules: Required[Sequence[AlignmentRule]]
    mode: Literal["enforce", "audit"] | str
    instruct: bool
    max_retries: int
    threshold: float


class ArmorPlugin(TypedDict, total=False):
    """Looks for injected prompts; `enforce` blocks, `audit` only notes."""

    id: Required[Literal["armor"]]
    enabled: bool
    mode: Literal["enforce", "audit"] | str
    on_error: Literal["log", "block"] | str
    output_mode: Literal["text", "custom_item", "claude_code_compatibility"] | str
    classifier_context: Mapping[str, Any]
    evaluate_native_tools: bool
    use_cc_style_default_rules: bool


Plugin: TypeAlias = (
    WebSearchPlugin
    | WebFetchPlugin
    | FileParserPlugin
    | ResponseHealingPlugin
    | ContextCompressionPlugin
    | ModerationPlugin
    | AutoRouterPlugin
    | AutoBetaRouterPlugin
    | ParetoRouterPlugin
    | SwitchyardRouterPlugin
    | JevRouterPlugin
    | FusionPlugin
    | AlignmentPlugin
    | ArmorPlugin
)
"""Any plugin that is known by name."""
