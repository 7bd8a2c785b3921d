"""Credentials in answers in words: found by their shape or by the word before them. Pure.

A person who types "my token is ghp_..." into a question's answer means it for a tool, not for the
model. Only what surely is a credential is taken: prose about passwords stays as it is.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from mbxai._redaction import shaped_secrets
from mbxai.sessions import HANDLE_SCHEME

ANSWERED: Final = "answer:"
"""Begins the option under which an answer's credentials are kept."""

_MIN_SHAPED_CHARS: Final = 6
"""Shorter values could not be found again in other texts."""

# A word for a credential, a sign, a value up to the next blank or the next `,name:`.
_NAMED: Final = re.compile(
    r"""(?ix)
    (?<![a-z])
    (?P<name>
        pass(?:word|wd|phrase|code) | pwd
        | (?:api|secret|private|access|client|auth|oauth|bearer|refresh|session)[ _-]?
          (?:key|token|secret)
        | token | secret
    )
    (?P<sign> \s* [:=] \s* | \s+ is \s*:? \s+ )
    (?P<quote>["'`]?) (?P<value> (?: (?!,\s*[a-z_]+\s*:) [^\s"'`] )+ )
    """
)
_TRAILING: Final = ".,;:!?)"


def credentials_in(*texts: str) -> dict[str, str]:
    """Find the credentials in a person's words.

    Args:
        *texts: What the person wrote. Handles in it are left alone.

    Returns:
        Value by name: the word that announced it ("auth_token"), else `value_1`, `value_2`, and so
        on, in the order of the texts. A value within another one is not named apart.
    """
    credentials: dict[str, str] = {}
    for text in texts:
        named = {hit["value"].rstrip(_TRAILING): _name(hit["name"]) for hit in _hits(text)}
        shaped = [value for value in shaped_secrets(text) if len(value) >= _MIN_SHAPED_CHARS]
        values = [v for v in dict.fromkeys((*named, *shaped)) if not v.startswith(HANDLE_SCHEME)]
        whole = [v for v in values if not any(v != other and v in other for other in values)]
        for value in sorted(whole, key=text.find):
            if value in credentials.values():
                continue
            name = named.get(value, "")
            if not name or name in credentials:
                name = f"value_{len(credentials) + 1}"
            credentials[name] = value
    return credentials


def concealed(text: str, handles: Mapping[str, str], scrub: Callable[[str], str]) -> str:
    """Put handles in the place of credentials.

    Args:
        text: What the person wrote.
        handles: Handle by value.
        scrub: Takes credentials that were known before out of the rest.

    Returns:
        The text without the values.
    """
    if not handles:
        return scrub(text)
    values = sorted(handles, key=len, reverse=True)
    # In pieces, lest what is known before tears a new handle apart.
    pieces = re.split(f"({'|'.join(map(re.escape, values))})", text)
    return "".join(handles[piece] if piece in handles else scrub(piece) for piece in pieces)


def _hits(text: str) -> list[re.Match[str]]:
    """Return credentials that a word announces, without those that are prose."""
    return [hit for hit in _NAMED.finditer(text) if _is_meant(hit)]


def _is_meant(hit: re.Match[str]) -> bool:
    value = hit["value"].rstrip(_TRAILING)
    looks_made = any(c.isdigit() for c in value) or bool(re.search(r"[^\w.'-]", value))
    if "is" in hit["sign"].lower() or hit["name"].lower() in ("token", "secret"):
        return len(value) >= _MIN_SHAPED_CHARS and looks_made
    return len(value) >= (_MIN_SHAPED_CHARS - 2 if looks_made else _MIN_SHAPED_CHARS)


def _name(word: str) -> str:
    return re.sub(r"[ -]", "_", word.casefold())
