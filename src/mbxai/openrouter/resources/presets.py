"""Presets: named settings of requests, in versions."""

from collections.abc import Mapping
from typing import Any, Final, Unpack

from pydantic import Field

import mbxai.portal as portal
from mbxai.openrouter._checks import check_body
from mbxai.openrouter._pages import ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import RequestOptions, path_of
from mbxai.openrouter.resources._arguments import checked, mapping, text, whole
from mbxai.openrouter.resources._resource import PAGE_CHECKS, AsyncResource, Resource
from mbxai.wire import WireModel, WireObject, WireResult

__all__ = [
    "AsyncPresets",
    "Preset",
    "PresetResponse",
    "PresetVersion",
    "PresetVersionResponse",
    "Presets",
]

_check_version: Final = whole(1)

# Any in this file: a request is open JSON.


class PresetVersion(WireModel):
    """What a preset said at one time.

    Attributes:
        id: Of the version.
        preset_id: Of the preset.
        version: 1 for the first.
        config: Parameters of requests.
        system_prompt: Text before every conversation.
        creator_id: Who made it.
        created_at: ISO 8601.
        updated_at: ISO 8601.
    """

    id: str = ""
    preset_id: str | None = None
    version: int | None = None
    config: WireObject | None = None
    system_prompt: str | None = None
    creator_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class Preset(WireModel):
    """A preset; as a model it is `@preset/` and its slug.

    Attributes:
        id: Of the preset.
        slug: Its name in requests.
        name: For people.
        description: For people.
        status: `active`, `disabled` or `archived`.
        designated_version_id: Of the version that requests get.
        designated_version: The version that requests get; lists leave it out.
        workspace_id: Where it belongs.
        creator_user_id: Who made it.
        created_at: ISO 8601.
        updated_at: ISO 8601.
        status_updated_at: ISO 8601.
    """

    id: str = ""
    slug: str = ""
    name: str | None = None
    description: str | None = None
    status: str | None = None
    designated_version_id: str | None = None
    designated_version: PresetVersion | None = None
    workspace_id: str | None = None
    creator_user_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    status_updated_at: str | None = None


class PresetResponse(WireResult):
    """The answer about one preset.

    Attributes:
        data: The preset with the version that requests get.
    """

    data: Preset = Field(default_factory=Preset)


class PresetVersionResponse(WireResult):
    """The answer about one version of a preset.

    Attributes:
        data: The version; None if there is none.
    """

    data: PresetVersion | None = None


class AsyncPresets(AsyncResource):
    """Presets of the account: `client.presets`."""

    def list(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[Preset]:
        """List the presets.

        Args:
            offset: How many to skip.
            limit: Most presets of one page.
            **options: The options of every call.

        Returns:
            Iterates over the presets of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query = checked({"offset": offset, "limit": limit}, PAGE_CHECKS)
        return self._list("presets", ListAnswer[Preset], query=query, options=options)

    async def get(self, slug: str, **options: Unpack[RequestOptions]) -> PresetResponse:
        """Return a preset with the version that requests get.

        Args:
            slug: Its name in requests, without `@preset/`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such preset.
            OpenRouterError: As for any call.
        """
        path = path_of("presets", text("slug", slug))
        return await self._json("GET", path, PresetResponse, options=options)

    def versions(
        self,
        slug: str,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[PresetVersion]:
        """List the versions of a preset.

        Args:
            slug: Its name in requests, without `@preset/`.
            offset: How many to skip.
            limit: Most versions of one page.
            **options: The options of every call.

        Returns:
            Iterates over the versions of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        path = path_of("presets", text("slug", slug), "versions")
        query = checked({"offset": offset, "limit": limit}, PAGE_CHECKS)
        return self._list(path, ListAnswer[PresetVersion], query=query, options=options)

    async def get_version(
        self, slug: str, version: int, **options: Unpack[RequestOptions]
    ) -> PresetVersionResponse:
        """Return one version of a preset.

        Args:
            slug: Its name in requests, without `@preset/`.
            version: 1 for the first.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such preset or version.
            OpenRouterError: As for any call.
        """
        number = str(_check_version("version", version))
        path = path_of("presets", text("slug", slug), "versions", number)
        return await self._json("GET", path, PresetVersionResponse, options=options)

    async def create_from_chat(
        self, slug: str, request: Mapping[str, Any], **options: Unpack[RequestOptions]
    ) -> PresetResponse:
        """Make a preset, or its next version, of a chat completion's parameters; no model runs.

        Args:
            slug: Its name in requests, without `@preset/`.
            request: Body of a chat completion; system messages become the system prompt.
            **options: The options of every call.

        Raises:
            OpenRouterConfigurationError: The request is impossible; nothing was sent.
            OpenRouterAPIError: 409: somebody else changed it at the same time.
            OpenRouterError: As for any call.
        """
        check_body(mapping("request", request))
        return await self._create(slug, "chat/completions", request, options)

    async def create_from_messages(
        self, slug: str, request: Mapping[str, Any], **options: Unpack[RequestOptions]
    ) -> PresetResponse:
        """Make a preset, or its next version, of the parameters of `POST /messages`.

        Args:
            slug: Its name in requests, without `@preset/`.
            request: Body of a request in Anthropic's form.
            **options: The options of every call.

        Raises:
            OpenRouterAPIError: 409: somebody else changed it at the same time.
            OpenRouterError: As for any call.
        """
        return await self._create(slug, "messages", request, options)

    async def create_from_responses(
        self, slug: str, request: Mapping[str, Any], **options: Unpack[RequestOptions]
    ) -> PresetResponse:
        """Make a preset, or its next version, of the parameters of `POST /responses`.

        Args:
            slug: Its name in requests, without `@preset/`.
            request: Body of a request to the responses API.
            **options: The options of every call.

        Raises:
            OpenRouterAPIError: 409: somebody else changed it at the same time.
            OpenRouterError: As for any call.
        """
        return await self._create(slug, "responses", request, options)

    async def _create(
        self, slug: str, kind: str, request: Mapping[str, Any], options: RequestOptions
    ) -> PresetResponse:
        path = f"{path_of('presets', text('slug', slug))}/{kind}"
        body = mapping("request", request)
        return await self._json("POST", path, PresetResponse, body=body, options=options)


class Presets(Resource[AsyncPresets]):
    """Presets of the account: `client.presets`."""

    def list(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[Preset]:
        """List the presets.

        Args:
            offset: How many to skip.
            limit: Most presets of one page.
            **options: The options of every call.

        Returns:
            Iterates over the presets of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[Preset].first_of(self._async_client.list(offset=offset, limit=limit, **options))

    def get(self, slug: str, **options: Unpack[RequestOptions]) -> PresetResponse:
        """Return a preset with the version that requests get.

        Args:
            slug: Its name in requests, without `@preset/`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such preset.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, slug, **options)

    def versions(
        self,
        slug: str,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[PresetVersion]:
        """List the versions of a preset.

        Args:
            slug: Its name in requests, without `@preset/`.
            offset: How many to skip.
            limit: Most versions of one page.
            **options: The options of every call.

        Returns:
            Iterates over the versions of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[PresetVersion].first_of(
            self._async_client.versions(slug, offset=offset, limit=limit, **options)
        )

    def get_version(
        self, slug: str, version: int, **options: Unpack[RequestOptions]
    ) -> PresetVersionResponse:
        """Return one version of a preset.

        Args:
            slug: Its name in requests, without `@preset/`.
            version: 1 for the first.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such preset or version.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get_version, slug, version, **options)

    def create_from_chat(
        self, slug: str, request: Mapping[str, Any], **options: Unpack[RequestOptions]
    ) -> PresetResponse:
        """Make a preset, or its next version, of a chat completion's parameters; no model runs.

        Args:
            slug: Its name in requests, without `@preset/`.
            request: Body of a chat completion; system messages become the system prompt.
            **options: The options of every call.

        Raises:
            OpenRouterConfigurationError: The request is impossible; nothing was sent.
            OpenRouterAPIError: 409: somebody else changed it at the same time.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create_from_chat, slug, request, **options)

    def create_from_messages(
        self, slug: str, request: Mapping[str, Any], **options: Unpack[RequestOptions]
    ) -> PresetResponse:
        """Make a preset, or its next version, of the parameters of `POST /messages`.

        Args:
            slug: Its name in requests, without `@preset/`.
            request: Body of a request in Anthropic's form.
            **options: The options of every call.

        Raises:
            OpenRouterAPIError: 409: somebody else changed it at the same time.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create_from_messages, slug, request, **options)

    def create_from_responses(
        self, slug: str, request: Mapping[str, Any], **options: Unpack[RequestOptions]
    ) -> PresetResponse:
        """Make a preset, or its next version, of the parameters of `POST /responses`.

        Args:
            slug: Its name in requests, without `@preset/`.
            request: Body of a request to the responses API.
            **options: The options of every call.

        Raises:
            OpenRouterAPIError: 409: somebody else changed it at the same time.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create_from_responses, slug, request, **options)
