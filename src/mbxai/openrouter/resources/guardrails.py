"""Guardrails: what keys and members may use and spend, and which of them they hold for."""

from collections.abc import Sequence
from typing import Unpack

import mbxai.portal as portal
from mbxai.openrouter._pages import ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import RequestOptions, path_of
from mbxai.openrouter.resources._arguments import checked, names, split_arguments, text
from mbxai.openrouter.resources._guardrail_answers import (
    AssignedResponse,
    ContentFilter,
    Guardrail,
    GuardrailResponse,
    KeyAssignment,
    MemberAssignment,
    UnassignedResponse,
)
from mbxai.openrouter.resources._guardrail_params import (
    LIST_CHECKS,
    NEW_CHECKS,
    UPDATE_CHECKS,
    GuardrailChanges,
    GuardrailFields,
    GuardrailParams,
)
from mbxai.openrouter.resources._resource import (
    PAGE_CHECKS,
    AsyncResource,
    DeletedResponse,
    Resource,
)

__all__ = [
    "AssignedResponse",
    "AsyncGuardrails",
    "ContentFilter",
    "Guardrail",
    "GuardrailChanges",
    "GuardrailFields",
    "GuardrailParams",
    "GuardrailResponse",
    "Guardrails",
    "KeyAssignment",
    "MemberAssignment",
    "UnassignedResponse",
]


class AsyncGuardrails(AsyncResource):
    """Guardrails of the account: `client.guardrails`. All calls need a management key."""

    def list(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        workspace_id: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[Guardrail]:
        """List the guardrails.

        Args:
            offset: How many to skip.
            limit: Most guardrails of one page.
            workspace_id: Only of this workspace.
            **options: The options of every call.

        Returns:
            Iterates over the guardrails of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        given = {"offset": offset, "limit": limit, "workspace_id": workspace_id}
        query = checked(given, LIST_CHECKS)
        return self._list("guardrails", ListAnswer[Guardrail], query=query, options=options)

    async def create(self, name: str, **params: Unpack[GuardrailParams]) -> GuardrailResponse:
        """Make a guardrail; it holds for nobody until it is assigned.

        Args:
            name: For people, at most 200 characters.
            **params: What it allows; the options of every call besides.

        Raises:
            OpenRouterConfigurationError: A parameter is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        body, options = split_arguments({"name": text("name", name), **params}, NEW_CHECKS)
        return await self._json("POST", "guardrails", GuardrailResponse, body=body, options=options)

    async def get(self, guardrail_id: str, **options: Unpack[RequestOptions]) -> GuardrailResponse:
        """Return a guardrail.

        Args:
            guardrail_id: Its `id`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        return await self._json("GET", _path(guardrail_id), GuardrailResponse, options=options)

    async def update(
        self, guardrail_id: str, **changes: Unpack[GuardrailChanges]
    ) -> GuardrailResponse:
        """Change what a guardrail allows.

        Args:
            guardrail_id: Its `id`.
            **changes: What to change; the options of every call besides.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterConfigurationError: A change is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        body, options = split_arguments(changes, UPDATE_CHECKS)
        path = _path(guardrail_id)
        return await self._json("PATCH", path, GuardrailResponse, body=body, options=options)

    async def delete(self, guardrail_id: str, **options: Unpack[RequestOptions]) -> DeletedResponse:
        """Delete a guardrail and its assignments.

        Args:
            guardrail_id: Its `id`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        return await self._json("DELETE", _path(guardrail_id), DeletedResponse, options=options)

    def key_assignments(
        self,
        guardrail_id: str | None = None,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[KeyAssignment]:
        """List the keys that guardrails hold for.

        Args:
            guardrail_id: Only of this guardrail; None for all.
            offset: How many to skip.
            limit: Most assignments of one page.
            **options: The options of every call.

        Returns:
            Iterates over the assignments of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query = checked({"offset": offset, "limit": limit}, PAGE_CHECKS)
        path = _assignments(guardrail_id, "keys")
        return self._list(path, ListAnswer[KeyAssignment], query=query, options=options)

    async def assign_keys(
        self, guardrail_id: str, key_hashes: Sequence[str], **options: Unpack[RequestOptions]
    ) -> AssignedResponse:
        """Let a guardrail hold for keys.

        Args:
            guardrail_id: Its `id`.
            key_hashes: The `hash` of each key.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        body = {"key_hashes": names("key_hashes", key_hashes)}
        path = f"{_path(guardrail_id)}/assignments/keys"
        return await self._json("POST", path, AssignedResponse, body=body, options=options)

    async def unassign_keys(
        self, guardrail_id: str, key_hashes: Sequence[str], **options: Unpack[RequestOptions]
    ) -> UnassignedResponse:
        """Let a guardrail hold for keys no more.

        Args:
            guardrail_id: Its `id`.
            key_hashes: The `hash` of each key.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        body = {"key_hashes": names("key_hashes", key_hashes)}
        path = f"{_path(guardrail_id)}/assignments/keys/remove"
        return await self._json("POST", path, UnassignedResponse, body=body, options=options)

    def member_assignments(
        self,
        guardrail_id: str | None = None,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[MemberAssignment]:
        """List the members of the organisation that guardrails hold for.

        Args:
            guardrail_id: Only of this guardrail; None for all.
            offset: How many to skip.
            limit: Most assignments of one page.
            **options: The options of every call.

        Returns:
            Iterates over the assignments of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query = checked({"offset": offset, "limit": limit}, PAGE_CHECKS)
        path = _assignments(guardrail_id, "members")
        return self._list(path, ListAnswer[MemberAssignment], query=query, options=options)

    async def assign_members(
        self, guardrail_id: str, member_user_ids: Sequence[str], **options: Unpack[RequestOptions]
    ) -> AssignedResponse:
        """Let a guardrail hold for members of the organisation.

        Args:
            guardrail_id: Its `id`.
            member_user_ids: Who they are.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        body = {"member_user_ids": names("member_user_ids", member_user_ids)}
        path = f"{_path(guardrail_id)}/assignments/members"
        return await self._json("POST", path, AssignedResponse, body=body, options=options)

    async def unassign_members(
        self, guardrail_id: str, member_user_ids: Sequence[str], **options: Unpack[RequestOptions]
    ) -> UnassignedResponse:
        """Let a guardrail hold for members of the organisation no more.

        Args:
            guardrail_id: Its `id`.
            member_user_ids: Who they are.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        body = {"member_user_ids": names("member_user_ids", member_user_ids)}
        path = f"{_path(guardrail_id)}/assignments/members/remove"
        return await self._json("POST", path, UnassignedResponse, body=body, options=options)


class Guardrails(Resource[AsyncGuardrails]):
    """Guardrails of the account: `client.guardrails`. All calls need a management key."""

    def list(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        workspace_id: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[Guardrail]:
        """List the guardrails.

        Args:
            offset: How many to skip.
            limit: Most guardrails of one page.
            workspace_id: Only of this workspace.
            **options: The options of every call.

        Returns:
            Iterates over the guardrails of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[Guardrail].first_of(
            self._async_client.list(
                offset=offset, limit=limit, workspace_id=workspace_id, **options
            )
        )

    def create(self, name: str, **params: Unpack[GuardrailParams]) -> GuardrailResponse:
        """Make a guardrail; it holds for nobody until it is assigned.

        Args:
            name: For people, at most 200 characters.
            **params: What it allows; the options of every call besides.

        Raises:
            OpenRouterConfigurationError: A parameter is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create, name, **params)

    def get(self, guardrail_id: str, **options: Unpack[RequestOptions]) -> GuardrailResponse:
        """Return a guardrail.

        Args:
            guardrail_id: Its `id`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, guardrail_id, **options)

    def update(self, guardrail_id: str, **changes: Unpack[GuardrailChanges]) -> GuardrailResponse:
        """Change what a guardrail allows.

        Args:
            guardrail_id: Its `id`.
            **changes: What to change; the options of every call besides.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterConfigurationError: A change is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.update, guardrail_id, **changes)

    def delete(self, guardrail_id: str, **options: Unpack[RequestOptions]) -> DeletedResponse:
        """Delete a guardrail and its assignments.

        Args:
            guardrail_id: Its `id`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.delete, guardrail_id, **options)

    def key_assignments(
        self,
        guardrail_id: str | None = None,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[KeyAssignment]:
        """List the keys that guardrails hold for.

        Args:
            guardrail_id: Only of this guardrail; None for all.
            offset: How many to skip.
            limit: Most assignments of one page.
            **options: The options of every call.

        Returns:
            Iterates over the assignments of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[KeyAssignment].first_of(
            self._async_client.key_assignments(guardrail_id, offset=offset, limit=limit, **options)
        )

    def assign_keys(
        self, guardrail_id: str, key_hashes: Sequence[str], **options: Unpack[RequestOptions]
    ) -> AssignedResponse:
        """Let a guardrail hold for keys.

        Args:
            guardrail_id: Its `id`.
            key_hashes: The `hash` of each key.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.assign_keys, guardrail_id, key_hashes, **options)

    def unassign_keys(
        self, guardrail_id: str, key_hashes: Sequence[str], **options: Unpack[RequestOptions]
    ) -> UnassignedResponse:
        """Let a guardrail hold for keys no more.

        Args:
            guardrail_id: Its `id`.
            key_hashes: The `hash` of each key.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.unassign_keys, guardrail_id, key_hashes, **options)

    def member_assignments(
        self,
        guardrail_id: str | None = None,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[MemberAssignment]:
        """List the members of the organisation that guardrails hold for.

        Args:
            guardrail_id: Only of this guardrail; None for all.
            offset: How many to skip.
            limit: Most assignments of one page.
            **options: The options of every call.

        Returns:
            Iterates over the assignments of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[MemberAssignment].first_of(
            self._async_client.member_assignments(
                guardrail_id, offset=offset, limit=limit, **options
            )
        )

    def assign_members(
        self, guardrail_id: str, member_user_ids: Sequence[str], **options: Unpack[RequestOptions]
    ) -> AssignedResponse:
        """Let a guardrail hold for members of the organisation.

        Args:
            guardrail_id: Its `id`.
            member_user_ids: Who they are.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        return portal.run(
            self._async_client.assign_members, guardrail_id, member_user_ids, **options
        )

    def unassign_members(
        self, guardrail_id: str, member_user_ids: Sequence[str], **options: Unpack[RequestOptions]
    ) -> UnassignedResponse:
        """Let a guardrail hold for members of the organisation no more.

        Args:
            guardrail_id: Its `id`.
            member_user_ids: Who they are.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such guardrail.
            OpenRouterError: As for any call.
        """
        return portal.run(
            self._async_client.unassign_members, guardrail_id, member_user_ids, **options
        )


def _path(guardrail_id: str) -> str:
    return path_of("guardrails", text("guardrail_id", guardrail_id))


def _assignments(guardrail_id: str | None, kind: str) -> str:
    start = "guardrails" if guardrail_id is None else _path(guardrail_id)
    return f"{start}/assignments/{kind}"
