"""The forms in which a secret value may turn up in a text."""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

MIN_LENGTH: Final = 6
"""Shorter values are too common in prose to be searched for."""

_NESTED: Final = 2
"""How deep Base64 within Base64 is looked into."""

# Also in lines, as in mails, whose ends JSON may have escaped. Base64 of text has a capital letter
# in it, which ordinary words and hexadecimal digits have not. A word is looked at from its
# beginning alone, lest a long one take time by the square of its length.
_BASE64: Final = re.compile(
    r"(?:(?<![A-Za-z0-9+/_\\-])|(?<=\\[nrt]))(?:"
    r"(?:[A-Za-z0-9+/_-]{60,}+(?:\r?\n|(?:\\r)?\\n))+[A-Za-z0-9+/_-]+={0,2}"
    r"|(?=[a-z0-9+/_-]*+[A-Z])[A-Za-z0-9+/_-]{8,}={0,2})"
)
_LINE_END: Final = re.compile(r"\r?\n|(?:\\r)?\\n")


def forms(value: str) -> set[str]:
    """List every form of a value that is searched for anywhere in a text.

    Args:
        value: The secret.

    Returns:
        The value itself, as JSON writes it (also JSON within JSON), as URLs and HTML write it, in
        hexadecimal digits, and the part of its Base64 that does not depend on its neighbours. Empty
        for a short value.
    """
    plain = {candidate for candidate in (value, value.strip()) if len(candidate) >= MIN_LENGTH}
    return {form for text in plain for form in _all_forms(text) if len(form) >= MIN_LENGTH}


def replace_encoded(text: str, find: Callable[[str], str | None]) -> str:
    """Replace the words that hold a secret somewhere in their Base64.

    Unlike `forms` it finds a secret also over the end of a line, in Base64 within Base64, and one
    that is too short to be known by its own Base64.

    Args:
        text: Any text.
        find: Gives what to put in the place of a word, by what the word says; None: leave it.

    Returns:
        The text with such words replaced whole.
    """
    return _BASE64.sub(lambda hit: _found(hit[0], find, _NESTED) or hit[0], text)


def _found(word: str, find: Callable[[str], str | None], depth: int) -> str | None:
    said = _decoded(word)
    if said is None:
        return None
    found = find(said)
    if found is None and depth > 1:
        inner = (_found(hit[0], find, depth - 1) for hit in _BASE64.finditer(said))
        found = next((one for one in inner if one), None)
    return found


def _decoded(word: str) -> str | None:
    """Return what a word says in Base64; None for what is none, or no text."""
    letters = _LINE_END.sub("", word).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _all_forms(text: str) -> Iterator[str]:
    yield text
    for write in (_json_ascii, _json_unicode):
        yield write(text)
        yield write(write(text))
        yield write(text).replace("/", "\\/")
    yield repr(text)[1:-1]
    yield html.escape(text)
    raw = text.encode(errors="surrogatepass")
    ways: tuple[Callable[[bytes], str], ...] = (quote, _quote_all, quote_plus)
    for way in ways:
        yield way(raw)
        yield _lower_escapes(way(raw))
    yield raw.hex()
    yield raw.hex().upper()
    yield from _base64_cores(raw)


def _base64_cores(raw: bytes) -> Iterator[str]:
    # `Basic` puts "user:" before the password, so the value may begin at any of three offsets in
    # the groups of Base64. Characters that also hold bits of a neighbour are left out.
    for offset in range(3):
        first = -(-offset * 8 // 6)
        last = (offset + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(offset) + raw).decode("ascii")[first:last]


def _json_ascii(text: str) -> str:
    return json.dumps(text)[1:-1]


def _json_unicode(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _quote_all(raw: bytes) -> str:
    return quote(raw, safe="")


def _lower_escapes(text: str) -> str:
    head, *rest = text.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in rest)])
