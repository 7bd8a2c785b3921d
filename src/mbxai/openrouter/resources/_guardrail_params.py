"""What a guardrail can be told, and how it is checked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from mbxai.openrouter._requester import RequestOptions
from mbxai.openrouter.resources._arguments import Check, flag, mappings, names, number, text
from mbxai.openrouter.resources._resource import PAGE_CHECKS

# Any in this file: filters are open JSON.


class GuardrailFields(RequestOptions, total=False):
    """What a guardrail allows. None takes a limit away.

    Attributes:
        description: For people, at most 1000 characters.
        limit_usd: USD that may be spent.
        reset_interval: When spending starts at 0 again; None for never.
        include_byok_in_budgets: Whether requests with provider keys of yours count.
        allowed_models: Slugs of all that may be used.
        ignored_models: Slugs of those that may not.
        allowed_providers: Slugs of all that may serve.
        ignored_providers: Slugs of those that may not.
        allowed_data_regions: `global`, `europe`, `us`.
        content_filters: Patterns of texts: `{"action": "redact", "pattern": ..., "label": ...}`.
        content_filter_builtins: Known filters: `{"action": "block", "slug": "email"}`.
        enforce_zdr_anthropic: Only endpoints of Anthropic's models that keep no data.
        enforce_zdr_google: The same for Google's.
        enforce_zdr_openai: The same for OpenAI's.
        enforce_zdr_xai: The same for xAI's.
        enforce_zdr_other: The same for all others.
        enforce_zdr: Stands for those of the five that are not given; OpenRouter gives it up.
        enable_free_model_publication: Whether free endpoints may publish prompts.
        enable_free_model_training: Whether free endpoints may train on requests.
        enable_paid_model_training: Whether paid endpoints may train on requests.
        allow_safety_retention_google: Whether Google may keep data for safety.
        allow_safety_retention_other: Whether others may.
    """

    description: str | None
    limit_usd: float | None
    reset_interval: Literal["daily", "weekly", "monthly"] | None
    include_byok_in_budgets: bool
    allowed_models: Sequence[str] | None
    ignored_models: Sequence[str] | None
    allowed_providers: Sequence[str] | None
    ignored_providers: Sequence[str] | None
    allowed_data_regions: Sequence[str] | None
    content_filters: Sequence[Mapping[str, Any]] | None
    content_filter_builtins: Sequence[Mapping[str, Any]] | None
    enforce_zdr_anthropic: bool | None
    enforce_zdr_google: bool | None
    enforce_zdr_openai: bool | None
    enforce_zdr_xai: bool | None
    enforce_zdr_other: bool | None
    enforce_zdr: bool | None
    enable_free_model_publication: bool | None
    enable_free_model_training: bool | None
    enable_paid_model_training: bool | None
    allow_safety_retention_google: bool | None
    allow_safety_retention_other: bool | None


class GuardrailParams(GuardrailFields, total=False):
    """What a new guardrail allows.

    Attributes:
        workspace_id: Where it belongs; the default workspace if not given.
    """

    workspace_id: str


class GuardrailChanges(GuardrailFields, total=False):
    """What of a guardrail to change; the rest stays.

    Attributes:
        name: For people, at most 200 characters.
    """

    name: str


_FLAGS: Final = (
    "include_byok_in_budgets",
    "enforce_zdr_anthropic",
    "enforce_zdr_google",
    "enforce_zdr_openai",
    "enforce_zdr_xai",
    "enforce_zdr_other",
    "enforce_zdr",
    "enable_free_model_publication",
    "enable_free_model_training",
    "enable_paid_model_training",
    "allow_safety_retention_google",
    "allow_safety_retention_other",
)
_LISTS: Final = (
    "allowed_models",
    "ignored_models",
    "allowed_providers",
    "ignored_providers",
    "allowed_data_regions",
)
UPDATE_CHECKS: Final[Mapping[str, Check]] = {
    **dict.fromkeys(_FLAGS, flag),
    **dict.fromkeys(_LISTS, names),
    **dict.fromkeys(("name", "description", "reset_interval"), text),
    **dict.fromkeys(("content_filters", "content_filter_builtins"), mappings),
    "limit_usd": number(0),
}
"""What may be changed of a guardrail."""
NEW_CHECKS: Final[Mapping[str, Check]] = {**UPDATE_CHECKS, "workspace_id": text}
"""What may be said of a new guardrail."""
LIST_CHECKS: Final[Mapping[str, Check]] = {**PAGE_CHECKS, "workspace_id": text}
"""What may be said of a list of guardrails."""
