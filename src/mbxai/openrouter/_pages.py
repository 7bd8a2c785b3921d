"""Lists that come in pages: awaited for one page, iterated for all items.

How a list tells where its next page begins is data (`PageStyle`); where it does is decided by pure
functions. What is listed belongs to the resources.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, Self, TypeVar

import mbxai.portal as portal
from mbxai.errors import InvalidResponseError, OpenRouterConfigurationError
from mbxai.openrouter._faults import origin_of
from mbxai.openrouter._request import checked_mapping
from mbxai.openrouter._requester import QueryValue, Requester, RequestOptions
from mbxai.wire import ResponseInfo, WireModel, WireResult

T = TypeVar("T", bound=WireModel)


@dataclass(frozen=True, slots=True)
class PageStyle:
    """How a list tells where its next page begins.

    Attributes:
        parameter: Query parameter that names the next page; empty where all comes at once.
        cursor_fields: Fields of the answer that may hold its value, the first that does counts;
            empty where the parameter counts items.
        item_field: Field of a page's last item that stands in where the answer has more to give
            but no cursor.
    """

    parameter: str = ""
    cursor_fields: tuple[str, ...] = ()
    item_field: str = ""


WHOLE: Final = PageStyle()
"""Everything comes in one answer."""
BY_OFFSET: Final = PageStyle("offset")
"""`offset` and `limit`, as most lists of OpenRouter."""
BY_CURSOR: Final = PageStyle("cursor", ("next_cursor", "cursor"))
"""`cursor`, as OpenRouter's files."""
AFTER_LAST: Final = PageStyle("after", ("last_id",), "id")
"""`after` the last id, as batches and the files of containers."""


class PageLinks(WireModel):
    """Addresses of other pages.

    Attributes:
        next: Of the next page; None on the last one.
    """

    next: str | None = None


class ListAnswer(WireResult, Generic[T]):
    """The answer behind one page.

    Attributes:
        data: The items.
        total_count: Items on all pages, where the list tells.
        has_more: Whether further pages follow, where the list tells.
        links: Addresses of other pages, where the list tells.
    """

    data: list[T | None] | None = None
    total_count: int | None = None
    has_more: bool | None = None
    links: PageLinks | None = None


@dataclass(frozen=True, slots=True)
class _Listing(Generic[T]):
    """One list: whom to ask for what, and where the page begins."""

    requester: Requester
    path: str
    answer_type: type[ListAnswer[T]]
    style: PageStyle
    query: Mapping[str, QueryValue]
    options: RequestOptions
    seen: frozenset[str] = frozenset()
    last: ListAnswer[T] | None = field(default=None, repr=False)

    async def page(self) -> "AsyncPage[T]":
        answer = await self.requester.json(
            "GET", self.path, self.answer_type, query=self.query, options=self.options
        )
        if "data" not in answer.model_fields_set:
            raise InvalidResponseError(
                "The answer holds no list named data.", **origin_of(answer.headers)
            )
        if self._repeats(answer):
            return AsyncPage(answer, [], None)
        return AsyncPage(answer, _items(answer), self._following(answer))

    def _repeats(self, answer: ListAnswer[T]) -> bool:
        # A server that does not know the parameter gives the same page for ever.
        return (
            self.last is not None
            and not self.style.cursor_fields
            and answer.data == self.last.data
            and answer.to_dict() == self.last.to_dict()
        )

    def _following(self, answer: ListAnswer[T]) -> "_Listing[T] | None":
        name = self.style.parameter
        if not name:
            return None
        if self.style.cursor_fields:
            cursor = next_cursor(self.style, answer)
            if cursor is None or cursor in self.seen or cursor == self.query.get(name):
                return None
            seen = self.seen | {cursor}
            return replace(self, query={**self.query, name: cursor}, seen=seen, last=None)
        offset = next_offset(self.query, answer)
        if offset is None:
            return None
        return replace(self, query={**self.query, name: offset}, last=answer)


class AsyncPage(Generic[T]):
    """One page of a list; iterating goes on over all the pages that follow.

    Attributes:
        data: The items of this page, in the server's order.
        answer: The whole answer, with fields that nobody knows.
    """

    data: list[T]
    answer: ListAnswer[T]

    def __init__(self, answer: ListAnswer[T], data: list[T], following: _Listing[T] | None) -> None:
        """Take over what came; a list's paginator does this."""
        self.data = data
        self.answer = answer
        self._following = following

    @property
    def has_more(self) -> bool:
        """Whether another page may follow; it may turn out to be empty."""
        return self._following is not None

    @property
    def total_count(self) -> int | None:
        """Items on all pages, where the list tells."""
        return self.answer.total_count

    @property
    def response(self) -> ResponseInfo:
        """The HTTP response behind this page: status, headers, every attempt."""
        return self.answer.response

    async def next_page(self) -> "AsyncPage[T]":
        """Ask for the page after this one.

        Raises:
            OpenRouterConfigurationError: This is the last page; see `has_more`.
            OpenRouterError: As for any call. Calling again asks again.
        """
        if self._following is None:
            raise OpenRouterConfigurationError(
                "There is no page after this one.", hint="Look at has_more first."
            )
        return await self._following.page()

    def __aiter__(self) -> AsyncIterator[T]:
        """Iterate over the items of this page, then over those of all that follow."""
        return _Items(self._itself)

    def __repr__(self) -> str:
        """Show how much came, not what."""
        return f"{type(self).__name__}(items={len(self.data)}, has_more={self.has_more})"

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import items_html  # noqa: PLC0415  # only where it is looked at

        return items_html(self.data, has_more=self.has_more, total=self.total_count)

    async def _itself(self) -> "AsyncPage[T]":
        return self


class PageRequest(Generic[T]):
    """A list that is asked for when it is awaited or iterated, and each time that it is.

    `await` gives the first page, `async for` the items of all pages, asking for a page when the one
    before it is used up.
    """

    def __init__(self, listing: _Listing[T]) -> None:
        """Keep what to ask for; `page_request` makes one."""
        self._listing = listing

    async def first_page(self) -> AsyncPage[T]:
        """Ask for the first page; the same as awaiting this object.

        Raises:
            OpenRouterError: As for any call.
        """
        return await self._listing.page()

    def __await__(self) -> Generator[Any, Any, AsyncPage[T]]:  # Any: what an event loop exchanges
        """Give the first page."""
        return self.first_page().__await__()

    def __aiter__(self) -> AsyncIterator[T]:
        """Iterate over the items of all pages.

        After an error the iterator may be asked again: it goes on with the page that failed.
        """
        return _Items(self.first_page)


class Page(Generic[T]):
    """One page of a list; iterating goes on over all the pages that follow.

    Attributes:
        data: The items of this page, in the server's order.
        answer: The whole answer, with fields that nobody knows.
    """

    data: list[T]
    answer: ListAnswer[T]

    def __init__(self, page: AsyncPage[T]) -> None:
        """Take over a page; a list's blocking method does this."""
        self.data = page.data
        self.answer = page.answer
        self._page = page

    @classmethod
    def first_of(cls, request: PageRequest[T]) -> Self:
        """Ask for the first page of a list.

        Args:
            request: The list.

        Raises:
            OpenRouterError: As for any call.
        """
        return cls(portal.run(request.first_page))

    @property
    def async_client(self) -> AsyncPage[T]:
        """The page that this one shows."""
        return self._page

    @property
    def has_more(self) -> bool:
        """Whether another page may follow; it may turn out to be empty."""
        return self._page.has_more

    @property
    def total_count(self) -> int | None:
        """Items on all pages, where the list tells."""
        return self._page.total_count

    @property
    def response(self) -> ResponseInfo:
        """The HTTP response behind this page: status, headers, every attempt."""
        return self._page.response

    def next_page(self) -> "Page[T]":
        """Ask for the page after this one.

        Raises:
            OpenRouterConfigurationError: This is the last page; see `has_more`.
            OpenRouterError: As for any call. Calling again asks again.
        """
        return Page(portal.run(self._page.next_page))

    def __iter__(self) -> Iterator[T]:
        """Iterate over the items of this page, then over those of all that follow."""
        page = self
        yield from page.data
        while page.has_more:
            page = page.next_page()
            yield from page.data

    def __repr__(self) -> str:
        """Show how much came, not what."""
        return f"{type(self).__name__}(items={len(self.data)}, has_more={self.has_more})"

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import items_html  # noqa: PLC0415  # only where it is looked at

        return items_html(self.data, has_more=self.has_more, total=self.total_count)


def page_request(
    requester: Requester,
    path: str,
    answer_type: type[ListAnswer[T]],
    *,
    style: PageStyle = BY_OFFSET,
    query: Mapping[str, QueryValue] | None = None,
    options: RequestOptions | None = None,
) -> PageRequest[T]:
    """Return a list to await or to iterate; nothing is sent yet.

    Args:
        requester: Of the client.
        path: Relative to the base address; see `path_of`.
        answer_type: For example `ListAnswer[Model]`.
        style: How the list tells where its next page begins.
        query: Parameters of the address, those of the first page included.
        options: What the caller of a resource said besides.
    """
    given: RequestOptions = {**(options or {})}
    # Ours now: left there, an offset would win on every page and give the first one for ever.
    extra = checked_mapping("extra_query", given.pop("extra_query", None)) or {}
    asked = {**(query or {}), **extra}
    return PageRequest(_Listing(requester, path, answer_type, style, asked, given))


def next_offset(query: Mapping[str, QueryValue], answer: ListAnswer[T]) -> int | None:
    """Return how many items to skip for the next page; None after the last one.

    Args:
        query: Of this page: its `offset` and `limit`, where they were given.
        answer: What came.
    """
    count = len(answer.data or ())
    if count == 0:
        return None
    offset = (_whole(query.get("offset")) or 0) + count
    if answer.total_count is not None:
        return offset if offset < answer.total_count else None
    if answer.links is not None:
        return None if answer.links.next is None else offset
    limit = _whole(query.get("limit"))
    return None if limit is not None and count < limit else offset


def next_cursor(style: PageStyle, answer: ListAnswer[T]) -> str | None:
    """Return what names the next page; None after the last one.

    Args:
        style: Where the answer says it.
        answer: What came. Its items may be none while there are more.
    """
    if answer.has_more is False or (answer.has_more is None and not answer.data):
        return None
    told: Mapping[str, object] = answer.model_extra or {}
    for name in style.cursor_fields:
        if cursor := _text(told.get(name)):
            return cursor
    items = _items(answer)
    if not (answer.has_more and items and style.item_field):
        return None
    return _text(getattr(items[-1], style.item_field, None))


class _Items(AsyncIterator[T]):
    """The items of all pages from one on; holds nothing that would have to be closed."""

    def __init__(self, opened: Callable[[], Awaitable[AsyncPage[T]]]) -> None:
        self._ask = opened
        self._page: AsyncPage[T] | None = None
        self._index = 0

    async def __anext__(self) -> T:
        while self._page is None or self._index >= len(self._page.data):
            if self._page is not None and not self._page.has_more:
                raise StopAsyncIteration
            self._page = await (self._ask if self._page is None else self._page.next_page)()
            self._index = 0
        self._index += 1
        return self._page.data[self._index - 1]


def _items(answer: ListAnswer[T]) -> list[T]:
    return [item for item in answer.data or () if item is not None]


def _whole(value: QueryValue) -> int | None:
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
