"""Where JSON stands in what a model wrote, and whether it is JSON that means one thing; pure."""

import json
import math
import re
from typing import Final

_FENCED: Final = re.compile(r"```\w*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_STRING_OR_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*+")|,(?=\s*[\]}])', re.DOTALL)
_START: Final = re.compile(r"[\[{]")
_MAX_STARTS: Final = 16

BYTE_ORDER_MARK: Final = "\ufeff"


def ambiguity_of(text: str) -> str:
    """Return why a text that a lenient parser took is no JSON with one meaning; empty if it is.

    A repeated key means whatever the reader makes of it, and JSON has no NaN and no infinity.

    Args:
        text: JSON that was parsed without an error, so its depth and its numbers are bounded.
    """
    try:
        _STRICT.decode(text)
    except _AmbiguousError as found:
        return str(found)
    except (ValueError, RecursionError):
        return "not JSON"
    return ""


class _AmbiguousError(ValueError):
    """Says what is wrong."""


def _without_repeats(pairs: list[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise _AmbiguousError(f"the key {repeated[:64]!r} stands twice in one object")


def _finite(number: str) -> None:
    if math.isinf(float(number)):
        raise _AmbiguousError("a number is too large")


def _refused(word: str) -> None:
    raise _AmbiguousError(f"not JSON ({word} is no JSON number)")


# The values are of no interest, so nothing is built of them.
_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_without_repeats,
    parse_float=_finite,
    parse_int=len,
    parse_constant=_refused,
)


def fenced_parts(text: str) -> list[str]:
    """Return what stands in Markdown code fences."""
    return [found.group(1).strip() for found in _FENCED.finditer(text)]


def bracketed_parts(text: str) -> list[str]:
    """Return the outermost parts of a text that begin with a bracket and end with its partner.

    Args:
        text: Words with JSON among them; brackets inside JSON strings do not count.
    """
    parts: list[str] = []
    position = 0
    for _ in range(_MAX_STARTS):
        start = _START.search(text, position)
        if start is None:
            break
        position = _end_of(text, start.start()) or start.end()
        if position > start.end():
            parts.append(text[start.start() : position])
    return parts


def without_trailing_commas(text: str) -> str:
    """Return the text without commas that stand before a closing bracket, outside of strings."""
    return _STRING_OR_COMMA.sub(lambda found: found.group(1) or "", text)


def _end_of(text: str, start: int) -> int | None:
    """Where the bracket that opens at `start` is closed; None if it never is."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        symbol = token.group()
        if symbol in "[{":
            depth += 1
        elif symbol in "]}":
            depth -= 1
            if depth == 0:
                return token.end()
    return None
