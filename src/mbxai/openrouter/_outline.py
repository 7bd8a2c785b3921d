"""How far a JSON text has come that is still being written; pure."""

import re
from dataclasses import dataclass
from typing import Final

# One piece that can stand for itself; a string's quotes are handled on their own.
_TOKEN: Final = re.compile(r'\s+|[\[\]{}:,]|[^\s"\[\]{}:,]+')
# Whole characters of a string, so that neither an escape nor a surrogate pair is cut in two.
_CHARACTERS: Final = re.compile(
    r'(?:[^"\\]|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+",
    re.DOTALL,
)
_MAX_DEPTH: Final = 64


@dataclass(slots=True)
class _Open:
    """A container that is not closed yet."""

    closing: str
    whole_until: int  # where its last whole item ends, or it begins
    expects_key: bool
    inside: int = 0  # behind its opening bracket


class Outline:
    """Follows the brackets of one JSON value through a growing text.

    Only brackets, strings and separators are understood; whether the rest is JSON is for a parser
    to say.
    """

    def __init__(self, start: int) -> None:
        """Begin where the JSON begins.

        Args:
            start: Index of its first bracket.
        """
        self.start: int = start
        self.end: int | None = None
        """Behind the last bracket; None while the value is not whole."""
        self.string_start: int | None = None
        """Index of the quote of a string that is not closed yet."""
        self._position: int = start
        self._open: list[_Open] = []
        self._first_list: _Open | None = None
        self._is_too_deep = False

    @property
    def list_items(self) -> tuple[int, int] | None:
        """From behind the bracket of the first list to the end of its last whole item."""
        first = self._first_list
        return None if first is None else (first.inside, first.whole_until)

    def advance(self, text: str) -> None:
        """Read what has been added.

        Args:
            text: The whole text so far; what was read before is unchanged.
        """
        while self.end is None and not self._is_too_deep and self._position < len(text):
            if self.string_start is None and text[self._position] == '"':
                self.string_start = self._position
                self._position += 1
            if self.string_start is not None:
                if not self._ends_string(text):
                    return
                continue
            token = _TOKEN.match(text, self._position)
            assert token is not None  # noqa: S101  # the classes of _TOKEN leave only the quote out
            symbol = token.group()
            if symbol[0] not in "[]{}:, \t\r\n" and token.end() == len(text):
                return  # a number may go on
            self._position = token.end()
            self._take(symbol)

    def pieces(self, text: str) -> list[str]:
        """Return JSON texts of what is whole, the fullest first.

        In a list only whole items count: of the outermost list that is open, all that is not whole
        is left out. The further pieces leave out more, each one open container.

        Args:
            text: What was given to `advance`.
        """
        if self.end is not None:
            return [text[self.start : self.end]]
        if self._is_too_deep:
            return []
        depth = next((i for i, part in enumerate(self._open) if part.closing == "]"), None)
        deepest = len(self._open) - 1 if depth is None else depth
        return [
            text[self.start : self._open[depth].whole_until] + self._closing(depth)
            for depth in range(deepest, -1, -1)
        ]

    def with_open_string(self, text: str, more: str = "") -> str | None:
        """Return the JSON text with the string that is being written.

        Args:
            text: What was given to `advance`.
            more: What to write at the string's end; no quotes, no backslashes.

        Returns:
            None where no string is open, or it is a key or inside a list.
        """
        if self.string_start is None:
            return None
        if self._open[-1].expects_key or any(part.closing == "]" for part in self._open):
            return None
        return f'{text[self.start : self._position]}{more}"{self._closing(len(self._open) - 1)}'

    def _closing(self, depth: int) -> str:
        return "".join(part.closing for part in reversed(self._open[: depth + 1]))

    def _ends_string(self, text: str) -> bool:
        characters = _CHARACTERS.match(text, self._position)
        assert characters is not None  # noqa: S101  # it matches nothing, too
        self._position = characters.end()
        if not text.startswith('"', self._position):
            return False
        self._position += 1
        self.string_start = None
        if not self._open[-1].expects_key:
            self._open[-1].whole_until = self._position
        return True

    def _take(self, symbol: str) -> None:
        if symbol in "{[":
            self._is_too_deep = len(self._open) >= _MAX_DEPTH
            closing = "}" if symbol == "{" else "]"
            opened = _Open(closing, self._position, symbol == "{", inside=self._position)
            self._open.append(opened)
            if symbol == "[":
                self._first_list = self._first_list or opened
        elif symbol in "}]":
            self._open.pop()
            if self._open:
                self._open[-1].whole_until = self._position
            else:
                self.end = self._position
        elif symbol == ":":
            self._open[-1].expects_key = False
        elif symbol == ",":
            self._open[-1].expects_key = self._open[-1].closing == "}"
        elif not symbol.isspace():
            self._open[-1].whole_until = self._position
