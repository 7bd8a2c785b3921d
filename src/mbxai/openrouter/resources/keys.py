"""API keys of the account."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, Literal, Unpack

from pydantic import Field

import mbxai.portal as portal
from mbxai.openrouter._pages import ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import RequestOptions, path_of
from mbxai.openrouter.resources._arguments import (
    Check,
    checked,
    flag,
    mapping,
    moment,
    number,
    split_arguments,
    text,
    whole,
)
from mbxai.openrouter.resources._resource import AsyncResource, DeletedResponse, Resource
from mbxai.openrouter.resources._secrets import KeyAnswer
from mbxai.wire import WireModel, WireResult

__all__ = [
    "APIKey",
    "AsyncKeys",
    "CreatedKeyResponse",
    "KeyChanges",
    "KeyParams",
    "KeyResponse",
    "Keys",
]

_LIST_CHECKS: Final[Mapping[str, Check]] = {
    "offset": whole(0),
    "include_disabled": flag,
    "include_expired": flag,
    "workspace_id": text,
}
_CHECKS: Final[Mapping[str, Check]] = {
    "limit": number(0),
    "limit_reset": text,
    "include_byok_in_limit": flag,
    "workspace_id": text,
    "name": text,
}
_NEW_CHECKS: Final = {
    **_CHECKS,
    "expires_at": moment,
    "creator_user_id": text,
    "external": mapping,
}
_CHANGE_CHECKS: Final = {**_CHECKS, "disabled": flag}


class KeyParams(RequestOptions, total=False):
    """What a new key may and may not do.

    Attributes:
        limit: USD that may be spent; None for no limit.
        limit_reset: When spending starts at 0 again, at midnight UTC; None for never.
        include_byok_in_limit: Whether requests with provider keys of yours count.
        expires_at: ISO 8601 in UTC, or an aware `datetime`; None for never.
        workspace_id: Where it belongs; the default workspace if not given.
        creator_user_id: Member of the organisation who makes it.
        external: Person of your own whom it belongs to: `{"user": ...}`.
    """

    limit: float | None
    limit_reset: Literal["daily", "weekly", "monthly"] | None
    include_byok_in_limit: bool
    expires_at: str | dt.datetime | None
    workspace_id: str
    creator_user_id: str | None
    external: Mapping[str, Any]  # Any: an open JSON object


class KeyChanges(RequestOptions, total=False):
    """What of a key to change; the rest stays.

    Attributes:
        name: For people.
        disabled: Whether it is refused from now on.
        limit: USD that may be spent; None for no limit.
        limit_reset: When spending starts at 0 again, at midnight UTC; None for never.
        include_byok_in_limit: Whether requests with provider keys of yours count.
        workspace_id: Where it belongs.
    """

    name: str
    disabled: bool
    limit: float | None
    limit_reset: Literal["daily", "weekly", "monthly"] | None
    include_byok_in_limit: bool
    workspace_id: str


class APIKey(WireModel):
    """One key, without the key itself.

    Attributes:
        hash: Stands for the key in all calls.
        name: For people.
        label: Begin and end of the key.
        disabled: Whether it is refused.
        limit: USD that may be spent; None for no limit.
        limit_remaining: USD left of the limit.
        limit_reset: `daily`, `weekly`, `monthly`; None for never.
        include_byok_in_limit: Whether requests with provider keys of yours count.
        usage: USD spent in all.
        usage_daily: USD spent on this UTC day.
        usage_weekly: USD spent in this week, which begins on Monday.
        usage_monthly: USD spent in this month.
        byok_usage: USD spent with provider keys of yours.
        created_at: ISO 8601.
        updated_at: ISO 8601.
        last_used_at: ISO 8601; None for never.
        expires_at: ISO 8601; None for never.
        creator_user_id: Who made it.
        external_user: Person of your own whom it belongs to.
        workspace_id: Where it belongs.
    """

    hash: str = ""
    name: str | None = None
    label: str | None = None
    disabled: bool | None = None
    limit: float | None = None
    limit_remaining: float | None = None
    limit_reset: str | None = None
    include_byok_in_limit: bool | None = None
    usage: float | None = None
    usage_daily: float | None = None
    usage_weekly: float | None = None
    usage_monthly: float | None = None
    byok_usage: float | None = None
    created_at: str | None = None
    updated_at: str | None = None
    last_used_at: str | None = None
    expires_at: str | None = None
    creator_user_id: str | None = None
    external_user: str | None = None
    workspace_id: str | None = None


class KeyResponse(WireResult):
    """The answer about one key.

    Attributes:
        data: The key, without the key itself.
    """

    data: APIKey = Field(default_factory=APIKey)


class CreatedKeyResponse(KeyAnswer):
    """The answer to a new key.

    Attributes:
        data: What the key may do.
    """

    data: APIKey = Field(default_factory=APIKey)


class AsyncKeys(AsyncResource):
    """API keys of the account: `client.keys`. All calls need a management key."""

    def list(
        self,
        *,
        offset: int | None = None,
        include_disabled: bool | None = None,
        include_expired: bool | None = None,
        workspace_id: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[APIKey]:
        """List the keys of a workspace.

        Args:
            offset: How many to skip.
            include_disabled: Also those that are refused.
            include_expired: Also those whose time is over.
            workspace_id: Which workspace; the default one if not given.
            **options: The options of every call.

        Returns:
            Iterates over the keys of all pages. The server tells neither a total nor the size of
            a page, so the last request gives an empty page.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        given = {
            "offset": offset,
            "include_disabled": include_disabled,
            "include_expired": include_expired,
            "workspace_id": workspace_id,
        }
        query = checked(given, _LIST_CHECKS)
        return self._list("keys", ListAnswer[APIKey], query=query, options=options)

    async def create(self, name: str, **params: Unpack[KeyParams]) -> CreatedKeyResponse:
        """Make a key. This is the only time that it can be read.

        Args:
            name: For people.
            **params: What it may do; the options of every call besides.

        Returns:
            Its `key`, which no text, log or error shows, and what it may do in `data`.

        Raises:
            OpenRouterConfigurationError: A parameter is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        body, options = split_arguments({"name": text("name", name), **params}, _NEW_CHECKS)
        return await self._json("POST", "keys", CreatedKeyResponse, body=body, options=options)

    async def get(self, key_hash: str, **options: Unpack[RequestOptions]) -> KeyResponse:
        """Return what is known of a key.

        Args:
            key_hash: Its `hash`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such key.
            OpenRouterError: As for any call.
        """
        path = path_of("keys", text("key_hash", key_hash))
        return await self._json("GET", path, KeyResponse, options=options)

    async def update(self, key_hash: str, **changes: Unpack[KeyChanges]) -> KeyResponse:
        """Change what a key may do.

        Args:
            key_hash: Its `hash`.
            **changes: What to change; the options of every call besides.

        Raises:
            NotFoundError: There is no such key.
            OpenRouterConfigurationError: A change is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        path = path_of("keys", text("key_hash", key_hash))
        body, options = split_arguments(changes, _CHANGE_CHECKS)
        return await self._json("PATCH", path, KeyResponse, body=body, options=options)

    async def delete(self, key_hash: str, **options: Unpack[RequestOptions]) -> DeletedResponse:
        """Delete a key for ever.

        Args:
            key_hash: Its `hash`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such key.
            OpenRouterError: As for any call.
        """
        path = path_of("keys", text("key_hash", key_hash))
        return await self._json("DELETE", path, DeletedResponse, options=options)


class Keys(Resource[AsyncKeys]):
    """API keys of the account: `client.keys`. All calls need a management key."""

    def list(
        self,
        *,
        offset: int | None = None,
        include_disabled: bool | None = None,
        include_expired: bool | None = None,
        workspace_id: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[APIKey]:
        """List the keys of a workspace.

        Args:
            offset: How many to skip.
            include_disabled: Also those that are refused.
            include_expired: Also those whose time is over.
            workspace_id: Which workspace; the default one if not given.
            **options: The options of every call.

        Returns:
            Iterates over the keys of all pages. The server tells neither a total nor the size of
            a page, so the last request gives an empty page.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[APIKey].first_of(
            self._async_client.list(
                offset=offset,
                include_disabled=include_disabled,
                include_expired=include_expired,
                workspace_id=workspace_id,
                **options,
            )
        )

    def create(self, name: str, **params: Unpack[KeyParams]) -> CreatedKeyResponse:
        """Make a key. This is the only time that it can be read.

        Args:
            name: For people.
            **params: What it may do; the options of every call besides.

        Returns:
            Its `key`, which no text, log or error shows, and what it may do in `data`.

        Raises:
            OpenRouterConfigurationError: A parameter is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create, name, **params)

    def get(self, key_hash: str, **options: Unpack[RequestOptions]) -> KeyResponse:
        """Return what is known of a key.

        Args:
            key_hash: Its `hash`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such key.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, key_hash, **options)

    def update(self, key_hash: str, **changes: Unpack[KeyChanges]) -> KeyResponse:
        """Change what a key may do.

        Args:
            key_hash: Its `hash`.
            **changes: What to change; the options of every call besides.

        Raises:
            NotFoundError: There is no such key.
            OpenRouterConfigurationError: A change is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.update, key_hash, **changes)

    def delete(self, key_hash: str, **options: Unpack[RequestOptions]) -> DeletedResponse:
        """Delete a key for ever.

        Args:
            key_hash: Its `hash`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such key.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.delete, key_hash, **options)
