"""What a server says of its tools, as a model may be shown it.

Pure. Characters that nobody sees carry orders to a model past the person who reads the same text;
they are taken out, and long texts are cut. What a server sent stays as it is for everything but
showing: arguments are checked against the schema as it came.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

MAX_TEXT_CHARS: Final = 4_096
"""How much of one description is shown."""

MAX_SCHEMA_BYTES: Final = 131_072
"""How large the schema of one tool may be, as JSON, after its texts were cut."""

_MAX_DEPTH: Final = 100
# A run of hidden characters must not push the visible text out of what is read.
_READ_CHARS: Final = 65_536
# Controls, soft hyphen, joiners, marks of direction, fillers, selectors, annotations, tags, and
# halves of surrogate pairs. Arabic signs that are formats too are seen, and stay.
_HIDDEN_CLASS: Final = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_HIDDEN: Final = re.compile(f"[{_HIDDEN_CLASS}]")
# Languages and emoji are written with these, and a value that holds one must stay what it is.
_SMUGGLED: Final = re.compile(f"(?![\u200c\u200d\ufe0e\ufe0f])[{_HIDDEN_CLASS}]")

_ORDERS: Final = (
    (
        re.compile(
            r"\b(?:ignore|disregard|forget|override)\b.{0,40}?"
            r"\b(?:previous|prior|above|earlier|other|system|all)\b.{0,40}?"
            r"\b(?:instructions?|prompts?|rules?|messages?|tools?)\b",
            re.IGNORECASE | re.DOTALL,
        ),
        "it asks to ignore other instructions",
    ),
    (
        re.compile(
            r"\b(?:do not|don't|never|without)\b.{0,30}?\b(?:tell|mention|inform|reveal|notify|show"
            r"|telling|mentioning|informing|notifying)\b.{0,30}?\b(?:user|human|person|anyone)\b",
            re.IGNORECASE | re.DOTALL,
        ),
        "it asks to keep something from the user",
    ),
    (
        re.compile(r"<\s*/?\s*(?:important|system|secret|instructions?)\b", re.IGNORECASE),
        "it has tags that look like a prompt's",
    ),
    (
        re.compile(r"(?:~|\$HOME|\.)?/\.?(?:ssh|aws|cursor|kube)/|\bid_rsa\b|/etc/passwd"),
        "it names files that hold credentials",
    ),
)
_DIVERTS: Final = re.compile(
    r"\b(?:instead of|rather than|in place of|do not use|don't use|never use|stop using"
    r"|before (?:using|calling)|after (?:using|calling)"
    r"|whenever .{0,30}?(?:uses?|calls?|called))\b",
    re.IGNORECASE,
)
_NEAR_CHARS: Final = 80
_WORD: Final = re.compile(r"[\w.-]{3,128}")


class UnfitSchemaError(Exception):
    """A schema cannot be shown to a model; the text says why."""


def visible(text: str) -> str:
    """Return text without characters that nobody sees; tabs and line ends stay.

    Args:
        text: Anything that a server said.
    """
    return _HIDDEN.sub("", text)


def shown_text(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Return text as a model is shown it: without hidden characters, and no longer than this.

    Args:
        text: Anything that a server said.
        max_chars: How much of it is shown; an ellipsis follows where more was said.
    """
    read = text[: max(_READ_CHARS, 2 * max_chars)]
    clean = visible(read).strip()
    if len(clean) > max_chars or len(read) < len(text):
        return f"{clean[:max_chars]}…"
    return clean


def hides_something(text: str) -> bool:
    """Whether text holds hidden characters that no language is written with.

    Args:
        text: Anything that a server said.
    """
    return _SMUGGLED.search(text) is not None


def shown_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as a model is shown it; names and allowed values stay as they are.

    Args:
        schema: JSON Schema of a tool's arguments; it is not changed.

    Raises:
        UnfitSchemaError: It is nested too deeply, or hides something in a name or an allowed value,
            where nothing may be taken out.
    """
    return cast("dict[str, Any]", _shown(schema, depth=0, is_fixed=False))


def suspicions(text: str, others: Collection[str]) -> list[str]:
    """Return why a description looks as if it were written to mislead a model; most often nothing.

    Args:
        text: Everything that a tool says of itself.
        others: Names of the other tools that the model has.

    Returns:
        Short clauses. They are hints for people: no description is proven good or bad by them.
    """
    found = [why for pattern, why in _ORDERS if pattern.search(text)]
    named: set[str] = set()
    for match in _DIVERTS.finditer(text):
        near = text[max(0, match.start() - _NEAR_CHARS) : match.end() + _NEAR_CHARS]
        named |= {word.strip(".-") for word in _WORD.findall(near)} & set(others)
    if named:
        found.append(f"it speaks of how to use other tools ({', '.join(sorted(named)[:5])})")
    if hides_something(text):
        found.append("it holds hidden characters")
    return found


def texts_of(value: object) -> list[str]:
    """Return all texts in a schema that describe something, in their order.

    Args:
        value: The schema, or a part of it; not nested deeper than `shown_schema` allows.
    """
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        values = cast("Mapping[str, object]", value).values()
        return [text for inner in values for text in texts_of(inner)]
    if isinstance(value, list):
        return [text for inner in cast("list[object]", value) for text in texts_of(inner)]
    return []


def _shown(value: object, *, depth: int, is_fixed: bool) -> object:
    if depth > _MAX_DEPTH:
        raise UnfitSchemaError("its schema is nested too deeply")
    if isinstance(value, str):
        if is_fixed:
            return _checked(value)
        return shown_text(value)
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        return {
            _checked(key): _shown(
                inner, depth=depth + 1, is_fixed=is_fixed or key in ("enum", "const", "required")
            )
            for key, inner in table.items()
        }
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [_shown(item, depth=depth + 1, is_fixed=is_fixed) for item in items]
    return value


def _checked(text: str) -> str:
    if hides_something(text):
        raise UnfitSchemaError("its schema has hidden characters in a name or an allowed value")
    return text
