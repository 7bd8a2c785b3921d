"""The forms in which a secret value may turn up in a text."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

MIN_LENGTH: Final = 6
"""Shorter values are too common in prose to be searched for."""


def forms(value: str) -> set[str]:
    """List every form of a value that is searched for anywhere in a text.

    Args:
        value: The secret.

    Returns:
        The value itself, as JSON writes it (also JSON within JSON), as URLs write it, and the part
        of its Base64 that does not depend on its neighbours. Empty for a short value.
    """
    plain = {candidate for candidate in (value, value.strip()) if len(candidate) >= MIN_LENGTH}
    return {form for text in plain for form in _all_forms(text) if len(form) >= MIN_LENGTH}


def _all_forms(text: str) -> Iterator[str]:
    yield text
    for write in (_json_ascii, _json_unicode):
        yield write(text)
        yield write(write(text))
    yield repr(text)[1:-1]
    raw = text.encode(errors="surrogatepass")
    ways: tuple[Callable[[bytes], str], ...] = (quote, _quote_all, quote_plus)
    for way in ways:
        yield way(raw)
        yield _lower_escapes(way(raw))
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
