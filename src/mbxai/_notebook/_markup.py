"""Pieces of HTML. Text of others goes in here only, and never becomes markup. Pure.

No scripts, nothing from elsewhere, and no colours of its own: it looks right on dark pages, too.
"""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NewType, TypeAlias

from pydantic_core import to_json

Markup = NewType("Markup", str)
"""HTML that was made here."""

Facts: TypeAlias = Iterator[tuple[str, object]]
"""The pieces of a repr."""

MAX_ROWS: Final = 50
"""Rows of a table, and entries of a list, that are shown."""

_SMALLEST: Final = 0.000001  # USD
_MAX_CELL: Final = 300  # characters of a line
_MAX_PROSE: Final = 20_000  # characters of a text; a notebook stores all that it shows

# Control characters, what turns the direction of reading, halves of surrogate pairs.
_UNSHOWN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Pages of Jupyter would take what stands between two dollar signs for a formula.
_NO_FORMULAS: Final = "mathjax_ignore tex2jax_ignore"

_CELL: Final = "text-align:left"  # Jupyter sets numbers, on the right
_DIM: Final = "opacity:.7"
_WRAPPED: Final = "white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;margin:.3em 0"


def card(title: str, facts: Iterable[str], *body: Markup) -> str:
    """Return one thing as HTML.

    Args:
        title: What it is.
        facts: Short texts behind the title; empty ones are left out.
        *body: What stands below.
    """
    said = [f"<bdi>{_line(fact)}</bdi>" for fact in facts if fact]
    head = f'<b>{_line(title)}</b> <span style="{_DIM}">{" · ".join(said)}</span>'
    return f'<div class="{_NO_FORMULAS}"><div>{head}</div>{"".join(body)}</div>'


def paragraph(text: str) -> Markup:
    """Return a text with its line breaks; a very long one is cut, and tells by how much.

    Args:
        text: Any text; empty is nothing.
    """
    if not text:
        return Markup("")
    shown = f'<pre dir="auto" style="{_WRAPPED}">{_escaped(text[:_MAX_PROSE])}</pre>'
    return Markup(shown + _rest(len(text) - _MAX_PROSE, "character"))


def value(content: object) -> Markup:
    """Return a value as indented JSON, text as text.

    Args:
        content: A pydantic model, a JSON value, or anything else, which shows its type only.
    """
    if isinstance(content, str):
        return paragraph(content)
    try:
        text = to_json(content, indent=2, by_alias=True).decode()
    except Exception:  # noqa: BLE001  # serializers of a user's own type
        text = type(content).__name__
    return paragraph(text)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], noun: str) -> Markup:
    """Return a table; of a long one the beginning, and how much is left out.

    A column that is empty is not shown.

    Args:
        heads: Names of the columns.
        rows: Texts, as many as there are names.
        noun: What a row is, in the singular.
    """
    if not rows:
        return Markup("")
    used = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    head = "".join(f'<th style="{_CELL}">{_line(heads[index])}</th>' for index in used)
    body = "".join(f"<tr>{_cells([row[index] for index in used])}</tr>" for row in rows[:MAX_ROWS])
    shown = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return Markup(shown + _rest(len(rows) - MAX_ROWS, noun))


def listing(title: str, entries: Sequence[str]) -> Markup:
    """Return a titled list; nothing where there are no entries.

    Args:
        title: What the entries are.
        entries: Texts of one line each.
    """
    if not entries:
        return Markup("")
    lines = "".join(f'<li dir="auto">{_line(entry)}</li>' for entry in entries[:MAX_ROWS])
    shown = f'<div>{_line(title)}<ul style="margin:0">{lines}</ul></div>'
    return Markup(shown + _rest(len(entries) - MAX_ROWS, "entry"))


def folded(title: str, body: Markup) -> Markup:
    """Return something that opens on a click; nothing where it would be empty.

    Args:
        title: What is inside.
        body: It.
    """
    if not body:
        return body
    return Markup(f"<details><summary>{_line(title)}</summary>{body}</details>")


def counted(count: int, noun: str) -> str:
    """Return a number of things in words, for example `1,234 tokens`.

    Args:
        count: How many.
        noun: In the singular.
    """
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun}"


def money(amount: float | None) -> str:
    """Return a cost, for example `0.0012 USD`; empty where it is not known or nothing.

    Args:
        amount: USD.
    """
    if not amount:
        return ""
    if amount < _SMALLEST:
        return f"under {_SMALLEST:.6f} USD"
    return f"{amount:,.2f} USD" if amount >= 1 else f"{amount:.6f}".rstrip("0") + " USD"


def _cells(texts: Iterable[str]) -> str:
    return "".join(f'<td dir="auto" style="{_CELL}">{_line(text)}</td>' for text in texts)


def _rest(count: int, noun: str) -> str:
    return f'<div style="{_DIM}">… and {counted(count, f"more {noun}")}</div>' if count > 0 else ""


def _line(text: str) -> str:
    words = " ".join(text[: _MAX_CELL * 2].split())
    cut = len(words) > _MAX_CELL or len(text) > _MAX_CELL * 2
    return _escaped(f"{words[: _MAX_CELL - 1]}…" if cut else words)


def _escaped(text: str) -> str:
    return html.escape(_UNSHOWN.sub("", text))
