"""Texts for regular expressions."""

import re

import pytest

from mbxai.testing._pattern_text import text_for


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "^$",
        "abc",
        r"^\d{4}-\d{2}$",
        r"^[A-Z][a-z]+(-[A-Z][a-z]+)*$",
        "^(foo|bar)$",
        "(?:x|y){3}",
        "(?P<year>[0-9]{4})",
        r"^\w+@\w+\.\w{2,}$",
        r"[^a-z0-9]",
        r"^[\]\-]+$",
        r"\x41\u00e9",
        r"^a{2,5}?b+?$",
        r"\bword\b",
        "^[😀é]$",
        ".+",
        "[]a]",
        "[^]a]",
    ],
)
def test_the_pattern_is_found_in_its_text(pattern: str) -> None:
    text = text_for(pattern)
    assert text is not None
    assert re.search(pattern, text)


def test_open_repetitions_grow_to_the_wanted_length() -> None:
    text = text_for("^[a-f0-9]+$", 40)
    assert text is not None
    assert len(text) >= 40


@pytest.mark.parametrize(
    "pattern", ["(?=a)b", r"(a)\1", "*", "(", "[a", "a)", r"\pL", "(?<!x)y", "[^\\s\\S]", "a^b"]
)
def test_a_pattern_that_is_not_understood_has_no_text(pattern: str) -> None:
    assert text_for(pattern) is None
