"""A text for a simple regular expression, as JSON Schema's `pattern` uses them.

Knows literals, escapes, classes, groups, alternatives (the first is taken), quantifiers and
anchors. Anything else (look-around, back references) is refused with None.
"""

import re
import string
from typing import Final

_CLASSES: Final = {"d": "1", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_ORDINARY: Final = string.ascii_lowercase + string.digits + string.ascii_uppercase + "_- .,:/@#"
_COUNTS: Final = re.compile(r"\{(\d+)(,(\d*))?\}")


class UnsupportedPatternError(ValueError):
    """The pattern uses something that this module does not know."""


def text_for(pattern: str, length: int = 0) -> str | None:
    """Return a text in which the pattern is found.

    Args:
        pattern: A regular expression.
        length: Least characters; open repetitions grow until the text is that long.

    Returns:
        The text; None if the pattern is not understood or no text was found.
    """
    for repeats in dict.fromkeys((0, 1, 2, length, length + 1)):
        try:
            text = _Reader(pattern, repeats).read()
        except (UnsupportedPatternError, IndexError):
            return None
        if len(text) >= length and re.search(pattern, text) is not None:
            return text
    return None


class _Reader:
    """One walk through a pattern that writes the text as it goes."""

    def __init__(self, pattern: str, repeats: int) -> None:
        self._pattern = pattern
        self._repeats = repeats
        self._at = 0

    def read(self) -> str:
        text = self._alternatives()
        if self._at < len(self._pattern):
            raise UnsupportedPatternError(self._pattern)
        return text

    def _peek(self) -> str:
        return self._pattern[self._at] if self._at < len(self._pattern) else ""

    def _alternatives(self) -> str:
        first = self._sequence()
        while self._peek() == "|":
            self._at += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        parts: list[str] = []
        while (character := self._peek()) and character not in "|)":
            self._at += 1
            if character in "^$":
                continue
            atom = self._atom(character)
            parts.append(atom * self._count())
        return "".join(parts)

    def _atom(self, character: str) -> str:
        if character == "(":
            return self._group()
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escape()
        if character in "*+?{":
            raise UnsupportedPatternError(self._pattern)
        return "a" if character == "." else character

    def _group(self) -> str:
        if self._peek() == "?":
            opening = re.compile(r"\?(?::|P<\w+>)").match(self._pattern, self._at)
            if opening is None:
                raise UnsupportedPatternError(self._pattern)
            self._at = opening.end()
        text = self._alternatives()
        if self._peek() != ")":
            raise UnsupportedPatternError(self._pattern)
        self._at += 1
        return text

    def _escape(self) -> str:
        character = self._pattern[self._at]
        self._at += 1
        if character in "bBAzZ":
            return ""
        if character in "xu":
            digits = 2 if character == "x" else 4
            self._at += digits
            return chr(int(self._pattern[self._at - digits : self._at], 16))
        if character.isdigit() or character == "p":
            raise UnsupportedPatternError(self._pattern)
        return _CLASSES.get(character) or _CONTROLS.get(character, character)

    def _class(self) -> str:
        # Python itself decides what the class holds; this only finds its end.
        start = self._at - 1
        if self._peek() == "^":
            self._at += 1
        if self._peek() == "]":
            self._at += 1
        while self._pattern[self._at] != "]":
            self._at += 2 if self._pattern[self._at] == "\\" else 1
        self._at += 1
        members = re.compile(self._pattern[start : self._at])
        everything = _ORDINARY + "".join(map(chr, range(33, 0x250)))
        for character in everything:
            if members.fullmatch(character):
                return character
        raise UnsupportedPatternError(self._pattern)

    def _count(self) -> int:
        character = self._peek()
        low, high = 1, 1
        if character and character in "*+?":
            self._at += 1
            low = 1 if character == "+" else 0
            high = 1 if character == "?" else 1_000
        elif character == "{" and (counts := _COUNTS.match(self._pattern, self._at)):
            self._at = counts.end()
            low = int(counts[1])
            high = low if counts[2] is None else int(counts[3] or 1_000)
        if self._peek() in {"?", "+"} and high != low:
            self._at += 1  # lazy or possessive: the same text
        return max(low, min(high, self._repeats))
