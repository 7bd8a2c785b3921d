"""How the schema of a form's field is read: what is plain in it, and what may be chosen. Pure."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, cast

Choices = tuple[tuple[object, str], ...]
"""(value, title) pairs."""

_NULL: Final = "null"

# What only a credential is called. Looked for word by word, so that "secretary" is none.
_CREDENTIAL_WORDS: Final = frozenset(
    {"password", "passwd", "pwd", "passphrase", "passcode", "secret", "token", "credential"}
    | {"credentials", "apikey", "cvv", "cvc", "otp", "pin"}
)
_CREDENTIAL_PAIRS: Final = frozenset(
    {("api", "key"), ("private", "key"), ("secret", "key"), ("access", "key"), ("card", "number")}
    | {("security", "code")}
)
# In a sentence, shorter words mean other things: "Message to pin".
_CREDENTIAL_TERMS: Final = frozenset({"password", "passphrase", "passcode", "apikey"})
_CREDENTIAL_TERM_PAIRS: Final = _CREDENTIAL_PAIRS | {("access", "token"), ("api", "token")}
# "token_name" and "password hint" are about a credential, and none themselves.
_ABOUT: Final = frozenset(
    {"name", "count", "limit", "type", "hint", "length", "policy", "reason", "expiry", "label"}
    | {"budget", "usage", "url", "status", "owner", "days"}
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def plain_schema(schema: object) -> dict[str, Any]:  # Any: JSON Schema
    """Return a field's schema with "or null" taken out of it.

    Args:
        schema: A schema; `anyOf` and a list of types that only add null are resolved.

    Returns:
        The schema; empty for what is none.
    """
    if not isinstance(schema, Mapping):
        return {}
    rules = dict(cast("Mapping[str, Any]", schema))
    options = _sequence(rules.get("anyOf"))
    real = [cast("Mapping[str, Any]", o) for o in options if not _is_null(o)]
    if len(real) == 1 and len(options) > 1 and isinstance(real[0], Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # a server's JSON
        del rules["anyOf"]
        rules = {**real[0], **rules}
    types = [t for t in _sequence(rules.get("type")) if t != _NULL]
    if len(types) == 1:
        rules["type"] = types[0]
    return rules


def choices_of(rules: Mapping[str, Any]) -> Choices:  # Any: JSON Schema
    """Return what may be chosen in a field.

    Args:
        rules: The field's schema: `enum`, perhaps with `enumNames`, or `oneOf` or `anyOf` of
            constants with titles.

    Returns:
        The choices in order; empty where the field is no choice.
    """
    values = [value for value in _sequence(rules.get("enum")) if value is not None]
    if values:
        names = _sequence(rules.get("enumNames"))
        titles = names if len(names) == len(values) else values
        return tuple((value, str(title)) for value, title in zip(values, titles, strict=True))
    for keyword in ("oneOf", "anyOf"):
        options = _sequence(rules.get(keyword))
        constants = [
            cast("Mapping[str, Any]", option)
            for option in options
            if isinstance(option, Mapping) and "const" in option
        ]
        if constants and len(constants) == len(options):
            return tuple((o["const"], str(o.get("title") or o["const"])) for o in constants)
    return ()


def is_credential_field(name: str, rules: Mapping[str, Any]) -> bool:  # Any: JSON Schema
    """Tell whether a field seems to ask for a password, a key or the like.

    Choices and yes-or-no fields never do: nobody enters a credential there.

    Args:
        name: The field's name.
        rules: The field's schema.

    Returns:
        Whether its name, title or format, or what its description begins with, says so.
    """
    if choices_of(rules) or rules.get("type") in ("boolean", "array"):
        return False
    if rules.get("format") == "password" or rules.get("writeOnly") is True:
        return True
    description = str(rules.get("description") or "")
    spoken = re.split(r"[.:;(,\n]", description)[0]
    denied = re.search(r"(?i)\b(not|no|never|without)\b", spoken)
    if not denied and _names(spoken, _CREDENTIAL_TERMS, _CREDENTIAL_TERM_PAIRS):
        return True
    named = (name, str(rules.get("title") or ""))
    return any(_names(text, _CREDENTIAL_WORDS, _CREDENTIAL_PAIRS) for text in named)


def _names(text: str, words: frozenset[str], pairs: frozenset[tuple[str, str]]) -> bool:
    found = [word.casefold() for word in _WORD.findall(text)]
    if not found or found[-1] in _ABOUT:
        return False
    return bool(words & set(found) or pairs & set(pairwise(found)))


def _is_null(schema: object) -> bool:
    return isinstance(schema, Mapping) and cast("Mapping[str, Any]", schema).get("type") == _NULL


def _sequence(value: object) -> Sequence[Any]:  # Any: JSON
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else ()
