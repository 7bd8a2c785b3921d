"""Text of others made fit for a terminal. Pure."""

import re
from typing import Final

# Everything that moves the cursor, changes colours or reorders what is read; a line break and a
# tabulator are for `printable` to treat.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_UNPRINTABLE: Final = re.compile(f"{_CONTROL.pattern[:-1]}\ud800-\udfff]")


def printable(text: str) -> str:
    """Return text of a model, a tool or a server without anything that steers a terminal.

    Args:
        text: Any text.

    Returns:
        The text; line breaks and tabulators stay, other control characters are gone.
    """
    return _CONTROL.sub("", text)


def escaped(text: str) -> str:
    """Return JSON text that says the same without anything that steers a terminal.

    Args:
        text: JSON text; what is taken out can only stand in its strings.

    Returns:
        The text with escapes instead of such characters, and of halves of surrogate pairs.
    """
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str, limit: int = 2_000) -> str:
    """Return text as one line.

    Args:
        text: Any text.
        limit: Most characters; what is longer ends in an ellipsis.

    Returns:
        Words with single spaces between them, without control characters.
    """
    line = " ".join(printable(text[: limit * 2]).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def tokens(count: int) -> str:
    """Return a number of tokens in words, for example `1,234 tokens`."""
    return f"{count:,} token{'' if count == 1 else 's'}"


def dollars(amount: float) -> str:
    """Return a cost, for example `$0.0012`; four digits below a dollar."""
    return f"${amount:.4f}" if 0 < amount < 1 else f"${amount:,.2f}"
