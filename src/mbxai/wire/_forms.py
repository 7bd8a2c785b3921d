"""Forms that a tool lets a person fill in: their fields, and whether an answer fits them. Pure.

A form is a JSON Schema of an object of plain fields: texts, numbers, yes or no, one of several
choices, some of several choices. Values are taken in other spellings only where there is no doubt:

    "42", 42.0 -> 42        for an integer; a number also from text
    "yes", "true" -> True   for yes or no; also "no" and "false", in any case
    "Red" -> "#f00"         for a choice, by its title, where no value is spelled so
    a date -> "2026-11-23"  for a text of a date's format; an `Enum` by its value

Nothing else is changed: a number is no text, and one text is no list.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from pydantic_core import (
    SchemaError,
    SchemaValidator,
    ValidationError,
    core_schema,
    from_json,
    to_json,
)

from mbxai.wire._form_schemas import choices_of, plain_schema

FieldKind: TypeAlias = Literal["text", "integer", "number", "boolean", "choice", "choices", "other"]

_MISSING: Final = object()
_TRUE: Final = frozenset({"true", "yes"})
_FALSE: Final = frozenset({"false", "no"})
_EMAIL: Final = re.compile(r"[^\s@]+@[^\s@.]+(\.[^\s@.]+)*")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One field of a form.

    Attributes:
        name: Its key in the answer.
        kind: What is entered; "other" is a value that no rule here describes.
        title: What it is called; the name where the schema says nothing.
        description: What is meant.
        is_required: Whether there must be a value.
        default: What holds where nothing is given; see `has_default`.
        has_default: Whether there is a default.
        choices: (value, title) pairs in order, for "choice" and "choices".
        rules: The field's own schema, for its bounds.
    """

    name: str
    kind: FieldKind
    title: str
    description: str
    is_required: bool
    default: object
    has_default: bool
    choices: tuple[tuple[object, str], ...]
    rules: Mapping[str, Any]  # Any: JSON Schema


class _UnfitError(ValueError):
    """A value does not fit its field; says how."""


class FormError(ValueError):
    """An answer does not fit its form.

    Attributes:
        problems: A sentence a field, by the field's name; values are not in it.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        """Keep the problems."""
        super().__init__("; ".join(f"{name}: {text}" for name, text in problems.items()))
        self.problems: dict[str, str] = dict(problems)


def form_fields(schema: Mapping[str, Any]) -> list[FormField]:  # Any: JSON Schema
    """Return the fields of a form.

    Args:
        schema: JSON Schema of the answer, as a server gives it; what cannot be read is left out.

    Returns:
        The fields in the schema's order.
    """
    properties: object = schema.get("properties")
    required: object = schema.get("required")
    named = cast("Collection[object]", required) if isinstance(required, (list, tuple)) else ()
    if not isinstance(properties, Mapping):
        return []
    fields = cast("Mapping[object, object]", properties)
    return [_field(str(name), rules, is_required=name in named) for name, rules in fields.items()]


def read_form(
    schema: Mapping[str, Any],  # Any: JSON Schema
    given: Mapping[str, object],
    *,
    unchecked: Collection[str] = (),
) -> dict[str, Any]:  # Any: JSON
    """Check an answer, and return it as the form wants it.

    Args:
        schema: JSON Schema of the answer.
        given: Values by field. None counts as not given.
        unchecked: Fields whose values are elsewhere and were checked before.

    Returns:
        JSON values by field, with the defaults of fields that were not given.

    Raises:
        FormError: A value does not fit, a required one is missing, or there is no such field.
    """
    fields = {field.name: field for field in form_fields(schema)}
    problems = {name: "is no field of the form" for name in given if name not in fields}
    values: dict[str, Any] = {}
    for name, field in fields.items():
        value = given.get(name)
        if name in unchecked:
            continue
        if value is None:
            if field.has_default:
                values[name] = field.default
            elif field.is_required:
                problems[name] = "is missing"
            continue
        try:
            values[name] = _read(field, value)
        except _UnfitError as error:
            problems[name] = str(error)
    if problems:
        raise FormError(problems)
    return values


def _field(name: str, schema: object, *, is_required: bool) -> FormField:
    rules = plain_schema(schema)
    kind: FieldKind = "other"
    choices = choices_of(rules)
    if choices:
        kind = "choice"
    elif rules.get("type") == "array":
        choices = choices_of(plain_schema(rules.get("items")))
        kind = "choices" if choices else "other"
    elif rules.get("type") in ("integer", "number", "boolean"):
        kind = rules["type"]
    elif rules.get("type") == "string":
        kind = "text"
    return FormField(
        name=name,
        kind=kind,
        title=_text(rules, "title") or name,
        description=_text(rules, "description"),
        is_required=is_required,
        default=rules.get("default"),
        has_default=rules.get("default", _MISSING) is not _MISSING,
        choices=choices,
        rules=rules,
    )


def _text(rules: Mapping[str, Any], name: str) -> str:
    value: object = rules.get(name)
    return value if isinstance(value, str) else ""


# --- values ---------------------------------------------------------------------------------------


def _read(field: FormField, value: object) -> object:
    """Return a value as its field wants it; the error says what is wrong with it."""
    if isinstance(value, Enum):
        value = value.value
    if field.kind == "text":
        return _read_text(field.rules, value)
    if field.kind in ("integer", "number"):
        return _read_number(field, value)
    if field.kind == "boolean":
        return _read_boolean(value)
    if field.kind == "choice":
        return _read_choice(field.choices, value)
    if field.kind == "choices":
        return _read_choices(field, value)
    try:
        return from_json(to_json(value))
    except ValueError:
        raise _UnfitError("must be a JSON value") from None


def _read_text(rules: Mapping[str, Any], value: object) -> str:
    if isinstance(value, (date, datetime)) and rules.get("format") in ("date", "date-time"):
        value = value.isoformat()
    if not isinstance(value, str):
        raise _UnfitError("must be text")
    _check_bounds(len(value), rules.get("minLength"), rules.get("maxLength"), "characters")
    if not _has_format(value, rules.get("format")):
        raise _UnfitError(f"must be {_FORMAT_WORDS[str(rules.get('format'))]}")
    pattern: object = rules.get("pattern")
    if isinstance(pattern, str) and not _matches(pattern, value):
        raise _UnfitError(f"must match the pattern {pattern:.80}")
    return value


def _read_number(field: FormField, value: object) -> int | float:
    whole = field.kind == "integer"
    number: object = value
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = float(value) if re.search(r"[.eE]", value) else int(value)
    if whole and isinstance(number, float) and number.is_integer():
        number = int(number)
    wanted = (int,) if whole else (int, float)
    if isinstance(number, bool) or not isinstance(number, wanted) or not math.isfinite(number):
        raise _UnfitError("must be a whole number" if whole else "must be a number")
    _check_bounds(number, field.rules.get("minimum"), field.rules.get("maximum"), "")
    return number


def _read_boolean(value: object) -> bool:
    spelled = value.strip().casefold() if isinstance(value, str) else value
    if spelled is True or spelled in _TRUE:
        return True
    if spelled is False or spelled in _FALSE:
        return False
    raise _UnfitError("must be true or false")


def _read_choice(choices: Sequence[tuple[object, str]], value: object) -> object:
    for known, _title in choices:
        if type(known) is type(value) and known == value:
            return known
    titled = [known for known, title in choices if title == value]
    if len(titled) == 1:
        return titled[0]
    raise _UnfitError(f"must be one of {', '.join(title for _value, title in choices)}")


def _read_choices(field: FormField, value: object) -> list[object]:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise _UnfitError("must be a list")
    items = [
        _read_choice(field.choices, item.value if isinstance(item, Enum) else item)
        for item in cast("Collection[object]", value)
    ]
    if len({str(item) for item in items}) < len(items):
        raise _UnfitError("must not name a choice twice")
    _check_bounds(len(items), field.rules.get("minItems"), field.rules.get("maxItems"), "choices")
    return items


def _check_bounds(value: float, least: object, most: object, what: str) -> None:
    if isinstance(least, (int, float)) and value < least:
        raise _UnfitError(f"must be at least {least:g} {what}".rstrip())
    if isinstance(most, (int, float)) and value > most:
        raise _UnfitError(f"must be at most {most:g} {what}".rstrip())


def _matches(pattern: str, value: str) -> bool:
    """Search in linear time; a foreign pattern may be made to hang Python's own engine."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern)).validate_python(value)
    except SchemaError:  # of another dialect; the server checks it
        return True
    except ValidationError:
        return False
    return True


# --- formats --------------------------------------------------------------------------------------

_FORMAT_WORDS: Final = {
    "email": "an email address",
    "uri": "a whole address, https://...",
    "date": "a date like 2026-11-23",
    "date-time": "a time with its zone, like 2026-11-23T14:30:00Z",
}


def _has_format(value: str, format_: object) -> bool:
    if format_ == "email":
        return _EMAIL.fullmatch(value) is not None
    if format_ == "uri":
        return _is_uri(value)
    if format_ == "date":
        return re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None and _is_time(value)
    if format_ == "date-time":
        zoned = re.fullmatch(r"\d{4}-\d\d-\d\d[Tt ].*([Zz]|[+-]\d\d:\d\d)", value)
        return zoned is not None and _is_time(value.upper())
    return True


def _is_uri(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:  # an address that opens a bracket
        return False
    return bool(parts.scheme and (parts.netloc or parts.path)) and not re.search(r"\s", value)


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
