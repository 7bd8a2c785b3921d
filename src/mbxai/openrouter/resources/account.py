"""The account: credits, the key in use, activity."""

import datetime as dt
from typing import Final, Literal, Unpack

from pydantic import Field

import mbxai.portal as portal
from mbxai.openrouter._pages import WHOLE, ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import RequestOptions
from mbxai.openrouter.resources._arguments import checked, day, one_of, text
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.wire import WireModel, WireResult

__all__ = [
    "Activity",
    "ActivityItem",
    "AsyncActivity",
    "AsyncCredits",
    "AsyncCurrentKey",
    "CreditBalance",
    "Credits",
    "CreditsResponse",
    "CurrentKey",
    "CurrentKeyInfo",
    "CurrentKeyResponse",
    "FreeModelRequests",
    "KeyBudget",
]

_ACTIVITY_CHECKS: Final = {
    "date": day,
    "api_key_hash": text,
    "user_id": text,
    "group_by": one_of("workspace"),
    "workspace_id": text,
}


class CreditBalance(WireModel):
    """Credits of the account.

    Attributes:
        total_credits: USD bought so far.
        total_usage: USD used so far.
    """

    total_credits: float | None = None
    total_usage: float | None = None

    @property
    def remaining(self) -> float | None:
        """USD left, below 0 for a debt; None if it is not known."""
        if self.total_credits is None or self.total_usage is None:
            return None
        return self.total_credits - self.total_usage


class CreditsResponse(WireResult):
    """The answer about credits.

    Attributes:
        data: The credits.
    """

    data: CreditBalance = Field(default_factory=CreditBalance)


class KeyBudget(WireModel):
    """One limit that a key is under.

    Attributes:
        scope: What it limits, for example `api_key`, `member` or `workspace`.
        limit_usd: USD that may be spent.
        spend_usd: USD spent since the last reset.
        remaining_usd: USD left.
        reset_interval: `daily`, `weekly`, `monthly`; None for never.
        resets_at: ISO 8601.
        include_byok: Whether requests with keys of yours count.
        budget_id: Of the budget.
        guardrail_id: Of the guardrail that sets it.
    """

    scope: str | None = None
    limit_usd: float | None = None
    spend_usd: float | None = None
    remaining_usd: float | None = None
    reset_interval: str | None = None
    resets_at: str | None = None
    include_byok: bool | None = None
    budget_id: str | None = None
    guardrail_id: str | None = None


class FreeModelRequests(WireModel):
    """Requests to free models on this UTC day.

    Attributes:
        limit: Allowed.
        used: Made.
        remaining: Left.
    """

    limit: int | None = None
    used: int | None = None
    remaining: int | None = None


class CurrentKeyInfo(WireModel):
    """The key that a client uses.

    Attributes:
        label: Begin and end of the key.
        limit: USD that may be spent; None for no limit.
        limit_remaining: USD left of the limit.
        limit_reset: `daily`, `weekly`, `monthly`; None for never.
        include_byok_in_limit: Whether requests with keys of yours count.
        usage: USD spent in all.
        usage_daily: USD spent on this UTC day.
        usage_weekly: USD spent in this week, which begins on Monday.
        usage_monthly: USD spent in this month.
        byok_usage: USD spent with keys of yours.
        is_free_tier: Whether no credits were ever bought.
        is_management_key: Whether it manages the account and cannot run models.
        allowed_data_regions: Where requests may be served.
        budgets: Every limit that it is under.
        effective_budget: The one that is used up first.
        free_model_daily_requests: Requests to free models.
        creator_user_id: Who made it.
        organization_id: Whose it is.
        workspace_id: Where it belongs.
        expires_at: ISO 8601; None for never.
    """

    label: str | None = None
    limit: float | None = None
    limit_remaining: float | None = None
    limit_reset: str | None = None
    include_byok_in_limit: bool | None = None
    usage: float | None = None
    usage_daily: float | None = None
    usage_weekly: float | None = None
    usage_monthly: float | None = None
    byok_usage: float | None = None
    is_free_tier: bool | None = None
    is_management_key: bool | None = None
    allowed_data_regions: list[str] | None = None
    budgets: list[KeyBudget] | None = None
    effective_budget: KeyBudget | None = None
    free_model_daily_requests: FreeModelRequests | None = None
    creator_user_id: str | None = None
    organization_id: str | None = None
    workspace_id: str | None = None
    expires_at: str | None = None


class CurrentKeyResponse(WireResult):
    """The answer about the key in use.

    Attributes:
        data: The key.
    """

    data: CurrentKeyInfo = Field(default_factory=CurrentKeyInfo)


class ActivityItem(WireModel):
    """Requests of one UTC day to one endpoint.

    Attributes:
        date: YYYY-MM-DD.
        model: Slug.
        model_permaslug: Slug that never changes its meaning.
        endpoint_id: Of the endpoint.
        provider_name: Who served them.
        requests: How many.
        usage: USD of credits.
        byok_usage_inference: USD that providers charge keys of yours.
        prompt_tokens: Tokens of the prompts.
        completion_tokens: Tokens of the answers.
        reasoning_tokens: Tokens of reasoning among them.
        cached_tokens: Tokens of the prompts that came from a cache.
        workspace_id: Only if grouped by workspace.
    """

    date: str | None = None
    model: str | None = None
    model_permaslug: str | None = None
    endpoint_id: str | None = None
    provider_name: str | None = None
    requests: int | None = None
    usage: float | None = None
    byok_usage_inference: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    workspace_id: str | None = None


class AsyncCredits(AsyncResource):
    """Credits of the account: `client.credits`."""

    async def get(self, **options: Unpack[RequestOptions]) -> CreditsResponse:
        """Return the credits bought and used; needs a management key.

        Args:
            **options: The options of every call.

        Raises:
            PermissionDeniedError: The key is none for management.
            OpenRouterError: As for any call.
        """
        return await self._json("GET", "credits", CreditsResponse, options=options)


class Credits(Resource[AsyncCredits]):
    """Credits of the account: `client.credits`."""

    def get(self, **options: Unpack[RequestOptions]) -> CreditsResponse:
        """Return the credits bought and used; needs a management key.

        Args:
            **options: The options of every call.

        Raises:
            PermissionDeniedError: The key is none for management.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, **options)


class AsyncCurrentKey(AsyncResource):
    """The key that the client uses: `client.key`."""

    async def get(self, **options: Unpack[RequestOptions]) -> CurrentKeyResponse:
        """Return limits, spending and rights of the key in use.

        Answers say nothing of a quota (limits page of OpenRouter's documentation); this does.

        Args:
            **options: The options of every call.

        Raises:
            AuthenticationError: The key is wrong, disabled or expired.
            OpenRouterError: As for any call.
        """
        return await self._json("GET", "key", CurrentKeyResponse, options=options)


class CurrentKey(Resource[AsyncCurrentKey]):
    """The key that the client uses: `client.key`."""

    def get(self, **options: Unpack[RequestOptions]) -> CurrentKeyResponse:
        """Return limits, spending and rights of the key in use.

        Answers say nothing of a quota (limits page of OpenRouter's documentation); this does.

        Args:
            **options: The options of every call.

        Raises:
            AuthenticationError: The key is wrong, disabled or expired.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, **options)


class AsyncActivity(AsyncResource):
    """What the account did: `client.activity`."""

    def get(
        self,
        date: str | dt.date | None = None,
        *,
        api_key_hash: str | None = None,
        user_id: str | None = None,
        group_by: Literal["workspace"] | None = None,
        workspace_id: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[ActivityItem]:
        """List requests, tokens and USD by day and endpoint; needs a management key.

        Args:
            date: One UTC day of the last 30, YYYY-MM-DD; None for all of them.
            api_key_hash: Only of this key.
            user_id: Only of this member of an organisation.
            group_by: `workspace` splits each row by workspace.
            workspace_id: Only of this workspace.
            **options: The options of every call.

        Returns:
            Iterates over the rows; they come in one answer.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        given = {
            "date": date,
            "api_key_hash": api_key_hash,
            "user_id": user_id,
            "group_by": group_by,
            "workspace_id": workspace_id,
        }
        query = checked(given, _ACTIVITY_CHECKS)
        return self._list(
            "activity", ListAnswer[ActivityItem], style=WHOLE, query=query, options=options
        )


class Activity(Resource[AsyncActivity]):
    """What the account did: `client.activity`."""

    def get(
        self,
        date: str | dt.date | None = None,
        *,
        api_key_hash: str | None = None,
        user_id: str | None = None,
        group_by: Literal["workspace"] | None = None,
        workspace_id: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[ActivityItem]:
        """List requests, tokens and USD by day and endpoint; needs a management key.

        Args:
            date: One UTC day of the last 30, YYYY-MM-DD; None for all of them.
            api_key_hash: Only of this key.
            user_id: Only of this member of an organisation.
            group_by: `workspace` splits each row by workspace.
            workspace_id: Only of this workspace.
            **options: The options of every call.

        Returns:
            Iterates over the rows; they come in one answer.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[ActivityItem].first_of(
            self._async_client.get(
                date,
                api_key_hash=api_key_hash,
                user_id=user_id,
                group_by=group_by,
                workspace_id=workspace_id,
                **options,
            )
        )
