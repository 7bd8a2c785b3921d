"""What all resources have in common."""

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from mbxai.openrouter._pages import BY_OFFSET, ListAnswer, PageRequest, PageStyle, page_request
from mbxai.openrouter._requester import QueryValue, Requester, RequestOptions
from mbxai.openrouter.resources._arguments import Check, check_options, whole
from mbxai.wire import WireModel, WireResult

M = TypeVar("M", bound=WireResult)
T = TypeVar("T", bound=WireModel)
R = TypeVar("R")

PAGE_CHECKS: Final[Mapping[str, Check]] = {"offset": whole(0), "limit": whole(1)}
"""The arguments of every list that is counted by offset."""


class DeletedResponse(WireResult):
    """The answer to a deletion.

    Attributes:
        deleted: Whether it is gone.
    """

    deleted: bool = False


class AsyncResource:
    """Base of the resources of a client."""

    def __init__(self, requester: Requester) -> None:
        """Keep what makes requests; the client's property does this."""
        self._requester = requester

    async def _json(
        self,
        method: str,
        path: str,
        result_type: type[M],
        *,
        options: RequestOptions,
        query: Mapping[str, QueryValue] | None = None,
        body: Mapping[str, Any] | None = None,  # Any: an open JSON object
        max_bytes: int | None = None,
    ) -> M:
        check_options(options)
        return await self._requester.json(
            method,
            path,
            result_type,
            query=query,
            body=body,
            options=options,
            max_bytes=max_bytes,
        )

    def _list(
        self,
        path: str,
        answer_type: type[ListAnswer[T]],
        *,
        options: RequestOptions,
        query: Mapping[str, QueryValue] | None = None,
        style: PageStyle = BY_OFFSET,
    ) -> PageRequest[T]:
        check_options(options)
        return page_request(
            self._requester, path, answer_type, style=style, query=query, options=options
        )


class Resource(Generic[R]):
    """Base of the blocking resources of a client."""

    def __init__(self, async_client: R) -> None:
        """Keep the resource that does the work; the client's property does this."""
        self._async_client = async_client

    @property
    def async_client(self) -> R:
        """The resource that does the work."""
        return self._async_client
