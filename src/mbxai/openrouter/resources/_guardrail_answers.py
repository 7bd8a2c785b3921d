"""What OpenRouter says of guardrails and of whom they hold for."""

from pydantic import Field

from mbxai.wire import WireModel, WireResult


class ContentFilter(WireModel):
    """A filter of texts.

    Attributes:
        action: `redact`, `block` or `flag`.
        pattern: Regular expression of a filter of your own.
        slug: Name of a known filter, for example `email`.
        label: What stands in the place of what was found.
    """

    action: str | None = None
    pattern: str | None = None
    slug: str | None = None
    label: str | None = None


class Guardrail(WireModel):
    """What keys and members may use and spend.

    Attributes:
        id: Of the guardrail.
        name: For people.
        description: For people.
        workspace_id: Where it belongs; it does not hold for all of it.
        limit_usd: USD that may be spent; None for no limit.
        reset_interval: `daily`, `weekly`, `monthly`; None for never.
        include_byok_in_budgets: Whether requests with provider keys of yours count.
        allowed_models: Slugs of all that may be used; None for no limit.
        ignored_models: Slugs of those that may not.
        allowed_providers: Slugs of all that may serve; None for no limit.
        ignored_providers: Slugs of those that may not.
        allowed_data_regions: Where requests may be served.
        content_filters: Patterns of texts.
        content_filter_builtins: Known filters.
        enforce_zdr_anthropic: Only endpoints of Anthropic's models that keep no data.
        enforce_zdr_google: The same for Google's.
        enforce_zdr_openai: The same for OpenAI's.
        enforce_zdr_xai: The same for xAI's.
        enforce_zdr_other: The same for all others.
        created_at: ISO 8601.
        updated_at: ISO 8601.
    """

    id: str = ""
    name: str | None = None
    description: str | None = None
    workspace_id: str | None = None
    limit_usd: float | None = None
    reset_interval: str | None = None
    include_byok_in_budgets: bool | None = None
    allowed_models: list[str] | None = None
    ignored_models: list[str] | None = None
    allowed_providers: list[str] | None = None
    ignored_providers: list[str] | None = None
    allowed_data_regions: list[str] | None = None
    content_filters: list[ContentFilter] | None = None
    content_filter_builtins: list[ContentFilter] | None = None
    enforce_zdr_anthropic: bool | None = None
    enforce_zdr_google: bool | None = None
    enforce_zdr_openai: bool | None = None
    enforce_zdr_xai: bool | None = None
    enforce_zdr_other: bool | None = None
    created_at: str | None = None
    updated_at: str | None = None


class GuardrailResponse(WireResult):
    """The answer about one guardrail.

    Attributes:
        data: The guardrail.
    """

    data: Guardrail = Field(default_factory=Guardrail)


class KeyAssignment(WireModel):
    """A guardrail that holds for a key.

    Attributes:
        id: Of the assignment.
        guardrail_id: Of the guardrail.
        key_hash: Of the key.
        key_name: Of the key, for people.
        key_label: Begin and end of the key.
        assigned_by: Who did it.
        created_at: ISO 8601.
    """

    id: str = ""
    guardrail_id: str | None = None
    key_hash: str | None = None
    key_name: str | None = None
    key_label: str | None = None
    assigned_by: str | None = None
    created_at: str | None = None


class MemberAssignment(WireModel):
    """A guardrail that holds for a member of the organisation.

    Attributes:
        id: Of the assignment.
        guardrail_id: Of the guardrail.
        user_id: Of the member.
        organization_id: Of the organisation.
        assigned_by: Who did it.
        created_at: ISO 8601.
    """

    id: str = ""
    guardrail_id: str | None = None
    user_id: str | None = None
    organization_id: str | None = None
    assigned_by: str | None = None
    created_at: str | None = None


class AssignedResponse(WireResult):
    """The answer to assignments.

    Attributes:
        assigned_count: For how many it holds now that it did not before.
    """

    assigned_count: int = 0


class UnassignedResponse(WireResult):
    """The answer to assignments taken back.

    Attributes:
        unassigned_count: For how many it holds no more.
    """

    unassigned_count: int = 0
