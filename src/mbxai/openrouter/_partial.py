"""Values of the caller's type out of an answer that is still being written; pure."""

import re
import sys
from collections import deque
from collections.abc import Generator
from typing import Any, Final, Generic, TypeVar, cast

from pydantic import RootModel, ValidationError

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._outline import Outline
from mbxai.wire._output_type import WRAPPER_KEY, OutputType

T = TypeVar("T")
ItemT = TypeVar("ItemT")

_BEGINNING: Final = re.compile(r"[\s\ufeff]*(?:```\w*\s*)?([\[{])")
_ANY_END: Final = "\u2026"
_NEVER: Final = sys.maxsize
# Of the text that was read last; a long text is not read again for each of its pieces.
_GROWTH_SHARE: Final = 64
_WRAPPED_LIST: Final = re.compile(r"\{\s*\"" + WRAPPER_KEY + r"\"\s*:\s*\[")
_SEPARATOR: Final = re.compile(r"\s*,")
_LIST_KEYS: Final = frozenset({"type", "items_schema", "strict", "ref", "metadata"})


class PartialParser(Generic[T]):
    """Reads an answer while it comes.

    A value holds what is whole: a list has only whole items, a number counts once something stands
    behind it. A text field grows with its text, unless only some texts are valid there. Fields
    with defaults may be missing; without a required field there is no value yet. Values may differ
    from what a later check of the whole answer finds, which also looks for repeated keys.

    The longer the text, the more of it must be new for another value: the work grows as the text
    does, not as its square. Items are exempt, each is read once.
    """

    def __init__(self, output_type: OutputType[T]) -> None:
        """Begin with nothing.

        Args:
            output_type: What the values are validated against.
        """
        self._output_type = output_type
        # More than a plain list may ask for things that no single item tells, such as its length.
        known = cast("dict[str, Any]", output_type.adapter.core_schema)
        if known["type"] == "definitions":
            known = cast("dict[str, Any]", known["schema"])
        self._is_read_by_item = known["type"] == "list" and known.keys() <= _LIST_KEYS
        self._text = ""
        self._outline: Outline | None = None
        self._tried = ""
        self._value: T | None = None
        self._given: T | None = None
        self._tried_chars = 0
        self._items_given = 0
        self._items_end = 0  # in the text, of those that were given
        self._ready: deque[Any] = deque()  # items that were read and not taken
        # The start of the last open string, and whether any text may stand there.
        self._free_string = (-1, False)

    def feed(self, text: str) -> T | None:
        """Return the value of what has arrived, if it says more than the last one.

        Args:
            text: The whole text so far; one that does not continue the last starts all over.

        Returns:
            None while nothing validates, and where the value equals the last one returned.
        """
        outline = self._advanced(text)
        value = None if outline is None else self._current(outline, text, self._is_due(outline))
        if value is None or value is self._given:
            return None
        is_news = value != self._given
        self._given = value
        return value if is_news else None

    def new_items(self: "PartialParser[list[ItemT]]", text: str) -> list[ItemT]:
        """Return the items of a list that have become whole since the last call.

        Args:
            text: As for `feed`.

        Returns:
            Each item once, in order.

        Raises:
            OpenRouterConfigurationError: The type is no list.
        """
        if not self._output_type.is_list:
            raise OpenRouterConfigurationError(
                f"response_format must be a list to have items, not {self._output_type.name}.",
                hint="Pass list[...] of the item's type.",
            )
        outline = self._advanced(text)
        if outline is None or (whole := outline.list_items) is None or whole[1] <= self._items_end:
            return []
        if self._is_read_by_item and self._begins_as_list(whole[0]):
            return self._items_between(*whole)
        self._items_end = whole[1]
        # Any: a list, a tuple or a model around one of them
        value: Any = self._current(outline, text, is_due=True)
        if isinstance(value, RootModel):
            value = cast("Any", value).root
        items: list[ItemT] = list(value or ())
        new, self._items_given = items[self._items_given :], max(self._items_given, len(items))
        return new

    def take_items(self: "PartialParser[list[ItemT]]", text: str) -> Generator[ItemT]:
        """Give the items that have become whole and were not taken yet.

        What is read but not taken stays for the next call.

        Args:
            text: As for `feed`.

        Raises:
            OpenRouterConfigurationError: The type is no list.
        """
        self._ready.extend(self.new_items(text))
        while self._ready:
            yield self._ready.popleft()

    def _advanced(self, text: str) -> Outline | None:
        if not text.startswith(self._text):
            self._restart()
        self._text = text
        if self._outline is None:
            start = self._start_of(text)
            if start is None:
                return None
            self._outline = Outline(start)
        self._outline.advance(text)
        return self._outline

    def _is_due(self, outline: Outline) -> bool:
        grown = len(self._text) - self._tried_chars
        return outline.end is not None or grown >= self._tried_chars // _GROWTH_SHARE

    def _begins_as_list(self, inside: int) -> bool:
        """Whether the first list is the answer itself, bare or in its wrapper."""
        start = self._outline.start if self._outline else 0
        if inside == start + 1:
            return self._output_type.is_wrapped
        return _WRAPPED_LIST.fullmatch(self._text, start, inside) is not None

    def _items_between(
        self: "PartialParser[list[ItemT]]", inside: int, whole_until: int
    ) -> list[ItemT]:
        """Validate what has become whole, and nothing before it."""
        start = max(inside, self._items_end)
        if start > inside:
            separator = _SEPARATOR.match(self._text, start, whole_until)
            if separator is None:
                self._items_end = _NEVER
                return []
            start = separator.end()
        try:
            items = self._output_type.adapter.validate_json(f"[{self._text[start:whole_until]}]")
        except ValidationError:
            self._items_end = _NEVER  # no later text makes it valid
            return []
        self._items_end = whole_until
        return items

    def _current(self, outline: Outline, text: str, is_due: bool) -> T | None:
        if not is_due:
            return self._value
        self._tried_chars = len(text)
        pieces = outline.pieces(text)
        if outline.string_start is not None and self._is_free_string(outline, text):
            pieces = [outline.with_open_string(text) or "", *pieces]
        if pieces and pieces[0] != self._tried:
            self._tried = pieces[0]
            self._value = next(
                (value for piece in pieces if (value := self._validated(piece)) is not None), None
            )
        return self._value

    def _restart(self) -> None:
        self._outline, self._tried, self._value = None, "", None
        self._items_given, self._items_end, self._tried_chars = 0, 0, 0
        self._free_string = (-1, False)

    def _start_of(self, text: str) -> int | None:
        beginning = _BEGINNING.match(text)
        if beginning and (beginning.group(1) == "{" or self._output_type.is_wrapped):
            return beginning.start(1)
        found = text.find("{")
        return found if found >= 0 else None

    def _is_free_string(self, outline: Outline, text: str) -> bool:
        """Whether the open string may have any end.

        Part of a date or of a choice may be valid and mean something else than the whole.
        """
        start = outline.string_start or 0
        if self._free_string[0] != start:
            probe = outline.with_open_string(text, _ANY_END)
            is_free = probe is not None and self._validated(probe) is not None
            self._free_string = start, is_free
        return self._free_string[1]

    def _validated(self, piece: str) -> T | None:
        is_bare = self._output_type.is_wrapped and piece.startswith("[")
        try:
            if is_bare:
                return self._output_type.adapter.validate_json(piece)
            return self._output_type.validate_json(piece)
        except ValidationError:
            return None
