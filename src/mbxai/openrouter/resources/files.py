"""Files stored at OpenRouter, or with a key of your own at a provider."""

from collections.abc import Mapping
from typing import Any, Final, Literal, Unpack

import mbxai.portal as portal
from mbxai.openrouter._pages import (
    AFTER_LAST,
    BY_CURSOR,
    ListAnswer,
    Page,
    PageRequest,
    PageStyle,
)
from mbxai.openrouter._requester import BinaryContent, RequestOptions, path_of
from mbxai.openrouter.resources._arguments import (
    Check,
    checked,
    one_of,
    split_arguments,
    text,
    whole,
)
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.openrouter.resources._uploads import FileSource, form_fields, read_upload
from mbxai.wire import WireResult

__all__ = [
    "MAX_UPLOAD_BYTES",
    "AsyncFiles",
    "DeletedFile",
    "FileFilters",
    "FileOptions",
    "FileSource",
    "Files",
    "StoredFile",
]

MAX_UPLOAD_BYTES: Final = 100 * 1024 * 1024
"""The largest file that OpenRouter stores (published schema, `POST /files`)."""


class FileOptions(RequestOptions, total=False):
    """Which store a file is in; the options of every call besides.

    Attributes:
        workspace_id: A workspace; the key's default one where it is not given.
        provider: `openai` or `anthropic` for the store of that provider, with your own key for it.
    """

    workspace_id: str
    provider: Literal["openai", "anthropic"] | str  # noqa: PYI051  # an open set


class FileFilters(FileOptions, total=False):
    """Where a list of files begins; the store and the options of every call besides.

    Attributes:
        limit: Most files of a page, 1 to 1000.
        cursor: OpenRouter's store: `cursor` of an earlier page.
        after: OpenAI's store: id to begin after.
        after_id: Anthropic's store: id to begin after.
        before_id: Anthropic's store: id to end before.
        order: `asc` or `desc`; OpenRouter's store knows `asc` only.
    """

    limit: int
    cursor: str
    after: str
    after_id: str
    before_id: str
    order: Literal["asc", "desc"]


class StoredFile(WireResult):
    """What is known of a file; which fields there are depends on the store.

    Attributes:
        id: To name it by.
        created_at: ISO 8601, or seconds since the epoch at OpenAI.
        size_bytes: Its size; see `size`.
        bytes: The same at OpenAI.
        downloadable: Whether `content` gives it; None where the store does not say.
        purpose: What it is for, at OpenAI.
        status: `processed` or another word, at OpenAI.
    """

    id: str = ""
    filename: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None
    bytes: int | None = None
    created_at: str | int | None = None
    downloadable: bool | None = None
    purpose: str | None = None
    status: str | None = None

    @property
    def size(self) -> int | None:
        """Bytes; None where the store does not say."""
        return self.bytes if self.size_bytes is None else self.size_bytes


class DeletedFile(WireResult):
    """That a file is gone."""

    id: str = ""


_STORE: Final[dict[str, Check]] = {"workspace_id": text, "provider": text}
_FILTERS: Final[dict[str, Check]] = {
    **_STORE,
    "limit": whole(1, 1000),
    "cursor": text,
    "after": text,
    "after_id": text,
    "before_id": text,
    "order": one_of("asc", "desc"),
}
_BACKWARDS: Final = PageStyle("before_id", ("first_id",))
_ANTHROPIC: Final = PageStyle("after_id", ("last_id",), "id")


class AsyncFiles(AsyncResource):
    """Stores files."""

    def list(self, **filters: Unpack[FileFilters]) -> PageRequest[StoredFile]:
        """List stored files.

        Args:
            **filters: See `FileFilters`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query, options = split_arguments(filters, _FILTERS)
        style = _page_style(query)
        answer = ListAnswer[StoredFile]
        return self._list("files", answer, style=style, query=query, options=options)

    async def upload(
        self,
        file: FileSource,
        *,
        filename: str | None = None,
        media_type: str | None = None,
        purpose: str | None = None,
        **options: Unpack[FileOptions],
    ) -> StoredFile:
        """Store a file and return what is known of it.

        OpenRouter tells its kind by its contents: PDF, a picture, an office document, sound, text.

        Args:
            file: Path, bytes, or name and bytes; at most `MAX_UPLOAD_BYTES`, not empty.
            filename: Its name there; otherwise the name of the path.
            media_type: For example `application/pdf`; guessed where it is not given.
            purpose: What it is for, where a provider's store asks for it, for example `user_data`.
            **options: See `FileOptions`.

        Raises:
            OpenRouterConfigurationError: The file cannot be read, is empty or too large, or an
                argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query, given = split_arguments(options, _STORE)
        fields = form_fields(checked({"purpose": purpose}, {"purpose": text}), given)
        upload = await read_upload(
            "file", file, max_bytes=MAX_UPLOAD_BYTES, filename=filename, media_type=media_type
        )
        return await self._requester.upload(
            "files", StoredFile, files={"file": upload}, fields=fields, query=query, options=given
        )

    async def get(self, file_id: str, **options: Unpack[FileOptions]) -> StoredFile:
        """Return what is known of a file.

        Args:
            file_id: Which file.
            **options: See `FileOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query, given = split_arguments(options, _STORE)
        path = path_of("files", file_id)
        return await self._json("GET", path, StoredFile, query=query, options=given)

    async def delete(self, file_id: str, **options: Unpack[FileOptions]) -> DeletedFile:
        """Delete a file.

        Args:
            file_id: Which file.
            **options: See `FileOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query, given = split_arguments(options, _STORE)
        path = path_of("files", file_id)
        return await self._json("DELETE", path, DeletedFile, query=query, options=given)

    async def content(
        self, file_id: str, *, max_bytes: int = MAX_UPLOAD_BYTES, **options: Unpack[FileOptions]
    ) -> BinaryContent:
        """Return the bytes of a file.

        Args:
            file_id: Which file; its `downloadable` says whether this works.
            max_bytes: Largest file to take.
            **options: See `FileOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query, given = split_arguments(options, _STORE)
        path, most = path_of("files", file_id, "content"), whole(1)("max_bytes", max_bytes)
        return await self._requester.binary(
            "GET", path, query=query, options=given, max_bytes=most, may_be_json=True
        )


class Files(Resource[AsyncFiles]):
    """Stores files."""

    def list(self, **filters: Unpack[FileFilters]) -> Page[StoredFile]:
        """List stored files.

        Args:
            **filters: See `FileFilters`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[StoredFile].first_of(self._async_client.list(**filters))

    def upload(
        self,
        file: FileSource,
        *,
        filename: str | None = None,
        media_type: str | None = None,
        purpose: str | None = None,
        **options: Unpack[FileOptions],
    ) -> StoredFile:
        """Store a file and return what is known of it.

        OpenRouter tells its kind by its contents: PDF, a picture, an office document, sound, text.

        Args:
            file: Path, bytes, or name and bytes; at most `MAX_UPLOAD_BYTES`, not empty.
            filename: Its name there; otherwise the name of the path.
            media_type: For example `application/pdf`; guessed where it is not given.
            purpose: What it is for, where a provider's store asks for it, for example `user_data`.
            **options: See `FileOptions`.

        Raises:
            OpenRouterConfigurationError: The file cannot be read, is empty or too large, or an
                argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(
            self._async_client.upload,
            file,
            filename=filename,
            media_type=media_type,
            purpose=purpose,
            **options,
        )

    def get(self, file_id: str, **options: Unpack[FileOptions]) -> StoredFile:
        """Return what is known of a file.

        Args:
            file_id: Which file.
            **options: See `FileOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, file_id, **options)

    def delete(self, file_id: str, **options: Unpack[FileOptions]) -> DeletedFile:
        """Delete a file.

        Args:
            file_id: Which file.
            **options: See `FileOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.delete, file_id, **options)

    def content(
        self, file_id: str, *, max_bytes: int = MAX_UPLOAD_BYTES, **options: Unpack[FileOptions]
    ) -> BinaryContent:
        """Return the bytes of a file.

        Args:
            file_id: Which file; its `downloadable` says whether this works.
            max_bytes: Largest file to take.
            **options: See `FileOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.content, file_id, max_bytes=max_bytes, **options)


# Any: arguments of any kind.
def _page_style(query: Mapping[str, Any]) -> PageStyle:
    if query.get("before_id"):
        return _BACKWARDS
    store = query.get("provider")
    if store == "anthropic" or query.get("after_id"):
        return _ANTHROPIC
    return AFTER_LAST if store == "openai" or query.get("after") else BY_CURSOR
