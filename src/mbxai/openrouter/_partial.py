"""Values of the caller's type out of an answer that is still being written; pure."""

import re
from typing import Any, Final, Generic, TypeVar, cast

from pydantic import RootModel, ValidationError

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._outline import Outline
from mbxai.wire._output_type import OutputType

T = TypeVar("T")
ItemT = TypeVar("ItemT")

_BEGINNING: Final = re.compile(r"[\s\ufeff]*(?:```\w*\s*)?([\[{])")
_ANY_END: Final = "\u2026"


class PartialParser(Generic[T]):
    """Reads an answer while it comes.

    A value holds what is whole: a list has only whole items, a number counts once something stands
    behind it. A text field grows with its text, unless only some texts are valid there. Fields
    with defaults may be missing; without a required field there is no value yet. Values may differ
    from what a later check of the whole answer finds, which also looks for repeated keys.
    """

    def __init__(self, output_type: OutputType[T]) -> None:
        """Begin with nothing.

        Args:
            output_type: What the values are validated against.
        """
        self._output_type = output_type
        self._text = ""
        self._outline: Outline | None = None
        self._tried = ""
        self._value: T | None = None
        self._given: T | None = None
        self._items_given = 0
        # The start of the last open string, and whether any text may stand there.
        self._free_string = (-1, False)

    def feed(self, text: str) -> T | None:
        """Return the value of what has arrived, if it says more than the last one.

        Args:
            text: The whole text so far; one that does not continue the last starts all over.

        Returns:
            None while nothing validates, and where the value equals the last one returned.
        """
        value = self._current(text)
        if value is None or value == self._given:
            return None
        self._given = value
        return value

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
        value: Any = self._current(text)  # Any: a list, a tuple or a model around one of them
        if isinstance(value, RootModel):
            value = cast("Any", value).root
        items: list[ItemT] = list(value or ())
        new, self._items_given = items[self._items_given :], max(self._items_given, len(items))
        return new

    def _current(self, text: str) -> T | None:
        if not text.startswith(self._text):
            self._restart()
        self._text = text
        if self._outline is None:
            start = self._start_of(text)
            if start is None:
                return None
            self._outline = Outline(start)
        self._outline.advance(text)
        pieces = self._outline.pieces(text)
        if self._outline.string_start is not None and self._is_free_string(self._outline, text):
            pieces = [self._outline.with_open_string(text) or "", *pieces]
        if pieces and pieces[0] != self._tried:
            self._tried = pieces[0]
            self._value = next(
                (value for piece in pieces if (value := self._validated(piece)) is not None), None
            )
        return self._value

    def _restart(self) -> None:
        self._outline, self._tried, self._value = None, "", None
        self._items_given, self._free_string = 0, (-1, False)

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
