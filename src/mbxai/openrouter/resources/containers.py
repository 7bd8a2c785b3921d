"""Files in containers, where the code runs that models write."""

from typing import Unpack

import mbxai.portal as portal
from mbxai.openrouter._pages import AFTER_LAST, ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import BinaryContent, RequestOptions, path_of
from mbxai.openrouter.resources._arguments import check_options, checked, text, whole
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.openrouter.resources.files import MAX_UPLOAD_BYTES, StoredFile
from mbxai.wire import WireResult

__all__ = ["AsyncContainerFiles", "ContainerFile", "ContainerFiles"]


class ContainerFile(WireResult):
    """A file that a model made, or was given, in a container.

    Attributes:
        path: Where it lies in the container.
        bytes: Its size.
        created_at: Seconds since the epoch.
        source: Who made it, for example `assistant`.
    """

    id: str = ""
    container_id: str = ""
    path: str | None = None
    bytes: int | None = None
    created_at: int | None = None
    source: str | None = None


class AsyncContainerFiles(AsyncResource):
    """Reads the files of a container, where a model's code runs."""

    def list(
        self,
        container_id: str,
        *,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[ContainerFile]:
        """List the files of a container.

        Args:
            container_id: Which container.
            limit: Most files of a page.
            after: Id to begin after.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query = checked({"limit": limit, "after": after}, {"limit": whole(1), "after": text})
        return self._list(
            path_of("containers", container_id, "files"),
            ListAnswer[ContainerFile],
            style=AFTER_LAST,
            query=query,
            options=options,
        )

    async def get(
        self, container_id: str, file_id: str, **options: Unpack[RequestOptions]
    ) -> ContainerFile:
        """Return what is known of a file of a container.

        Args:
            container_id: Which container.
            file_id: Which file.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        path = path_of("containers", container_id, "files", file_id)
        return await self._json("GET", path, ContainerFile, options=options)

    async def content(
        self,
        container_id: str,
        file_id: str,
        *,
        max_bytes: int = MAX_UPLOAD_BYTES,
        **options: Unpack[RequestOptions],
    ) -> BinaryContent:
        """Return the bytes of a file of a container.

        Args:
            container_id: Which container.
            file_id: Which file.
            max_bytes: Largest file to take.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        check_options(options)
        path = path_of("containers", container_id, "files", file_id, "content")
        most = whole(1)("max_bytes", max_bytes)
        return await self._requester.binary(
            "GET", path, options=options, max_bytes=most, may_be_json=True
        )

    async def promote(
        self, container_id: str, file_id: str, **options: Unpack[RequestOptions]
    ) -> StoredFile:
        """Copy a file of a container to the stored files, where it outlives the container.

        Args:
            container_id: Which container.
            file_id: Which file.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        path = path_of("containers", container_id, "files", file_id, "promote")
        return await self._json("POST", path, StoredFile, options=options)


class ContainerFiles(Resource[AsyncContainerFiles]):
    """Reads the files of a container, where a model's code runs."""

    def list(
        self,
        container_id: str,
        *,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[ContainerFile]:
        """List the files of a container.

        Args:
            container_id: Which container.
            limit: Most files of a page.
            after: Id to begin after.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[ContainerFile].first_of(
            self._async_client.list(container_id, limit=limit, after=after, **options)
        )

    def get(
        self, container_id: str, file_id: str, **options: Unpack[RequestOptions]
    ) -> ContainerFile:
        """Return what is known of a file of a container.

        Args:
            container_id: Which container.
            file_id: Which file.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, container_id, file_id, **options)

    def content(
        self,
        container_id: str,
        file_id: str,
        *,
        max_bytes: int = MAX_UPLOAD_BYTES,
        **options: Unpack[RequestOptions],
    ) -> BinaryContent:
        """Return the bytes of a file of a container.

        Args:
            container_id: Which container.
            file_id: Which file.
            max_bytes: Largest file to take.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(
            self._async_client.content, container_id, file_id, max_bytes=max_bytes, **options
        )

    def promote(
        self, container_id: str, file_id: str, **options: Unpack[RequestOptions]
    ) -> StoredFile:
        """Copy a file of a container to the stored files, where it outlives the container.

        Args:
            container_id: Which container.
            file_id: Which file.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.promote, container_id, file_id, **options)
