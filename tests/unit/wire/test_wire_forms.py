"""Forms: what is read of their schemas, which values fit, which questions may be asked."""

from datetime import UTC, date, datetime
from enum import Enum
from typing import Any

import pytest

from mbxai.wire import (
    FormError,
    ToolQuestion,
    form_fields,
    host_of,
    is_credential_field,
    read_form,
    refusal_of,
)


def form(*required: str, **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required)}


class Colour(Enum):
    RED = "red"


STRING: dict[str, Any] = {"type": "string"}
MAYBE = {"anyOf": [{"type": "integer"}, {"type": "null"}], "title": "Age"}
UNTITLED = {"type": "string", "enum": ["red", "blue"]}
NAMED = {"type": "string", "enum": ["r", "b"], "enumNames": ["Red", "Blue"]}
TITLED = {"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "b"}]}
SEVERAL = {"type": "array", "items": {"type": "string", "enum": ["a", "b", "c"]}, "maxItems": 2}
SEVERAL_TITLED = {"type": "array", "items": {"anyOf": [{"const": "x", "title": "Ex"}]}}


@pytest.mark.parametrize(
    ("schema", "kind", "choices"),
    [
        (STRING, "text", ()),
        ({"type": ["string", "null"]}, "text", ()),
        (MAYBE, "integer", ()),
        ({"type": "number"}, "number", ()),
        ({"type": "boolean"}, "boolean", ()),
        (UNTITLED, "choice", (("red", "red"), ("blue", "blue"))),
        (NAMED, "choice", (("r", "Red"), ("b", "Blue"))),
        (TITLED, "choice", (("r", "Red"), ("b", "b"))),
        (SEVERAL, "choices", (("a", "a"), ("b", "b"), ("c", "c"))),
        (SEVERAL_TITLED, "choices", (("x", "Ex"),)),
        ({"type": "object"}, "other", ()),
        (True, "other", ()),
    ],
)
def test_each_kind_of_field_is_recognised(schema: Any, kind: str, choices: Any) -> None:
    (field,) = form_fields(form(f=schema))

    assert (field.kind, field.choices) == (kind, choices)


@pytest.mark.parametrize("schema", [{}, {"properties": []}, {"properties": None, "required": 1}])
def test_a_schema_that_is_none_has_no_fields(schema: dict[str, Any]) -> None:
    assert form_fields(schema) == []
    assert read_form(schema, {}) == {}


@pytest.mark.parametrize(
    ("schema", "given", "value"),
    [
        (STRING, " as it is ", " as it is "),
        ({"type": "integer"}, "42", 42),
        ({"type": "integer"}, 42.0, 42),
        ({"type": "number"}, "4.5", 4.5),
        ({"type": "number"}, 4, 4),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "false", False),
        (UNTITLED, Colour.RED, "red"),
        (TITLED, "Red", "r"),
        (SEVERAL, ("a", "b"), ["a", "b"]),
        (SEVERAL_TITLED, ["Ex"], ["x"]),
        ({"type": "string", "format": "date"}, date(2026, 11, 23), "2026-11-23"),
        (
            {"type": "string", "format": "date-time"},
            datetime(2026, 1, 2, tzinfo=UTC),
            "2026-01-02T00:00:00+00:00",
        ),
        ({"type": "string", "format": "email"}, "bo@example.com", "bo@example.com"),
        ({"type": "string", "format": "uri"}, "https://a.b/c", "https://a.b/c"),
        ({"type": "string", "pattern": "^[A-Z]{2}$"}, "NO", "NO"),
        ({"type": "string", "pattern": "(?!x)"}, "of another dialect", "of another dialect"),
        ({"type": "object"}, {"a": [1]}, {"a": [1]}),
    ],
)
def test_a_value_that_can_only_mean_one_thing_is_taken(schema: Any, given: Any, value: Any) -> None:
    read = read_form(form("f", f=schema), {"f": given})["f"]

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("schema", "given", "says"),
    [
        (STRING, 5, "must be text"),
        ({"type": "string", "minLength": 3}, "ab", "at least 3 characters"),
        ({"type": "string", "maxLength": 3}, "abcd", "at most 3 characters"),
        ({"type": "string", "pattern": "^[A-Z]{2}$"}, "Norway", "pattern"),
        ({"type": "string", "format": "email"}, "bo", "email"),
        ({"type": "string", "format": "uri"}, "a b", "whole address"),
        ({"type": "string", "format": "date"}, "2026-13-01", "date like"),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05", "with its zone"),
        ({"type": "integer"}, True, "whole number"),
        ({"type": "integer"}, 1.5, "whole number"),
        ({"type": "integer"}, "1.5", "whole number"),
        ({"type": "number"}, float("nan"), "a number"),
        ({"type": "number", "maximum": 3}, 4, "at most 3"),
        ({"type": "boolean"}, 1, "true or false"),
        (UNTITLED, "green", "one of red, blue"),
        (SEVERAL, "a", "a list"),
        (SEVERAL, ["a", "a"], "twice"),
        (SEVERAL, ["a", "b", "c"], "at most 2 choices"),
        ({"type": "object"}, object(), "JSON value"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name_and_never_shown(
    schema: Any, given: Any, says: str
) -> None:
    with pytest.raises(FormError) as caught:
        read_form(form("f", f=schema), {"f": given})

    assert says in caught.value.problems["f"]
    assert str(caught.value).startswith("f: ")


def test_a_pattern_that_hangs_other_engines_is_checked_at_once() -> None:
    hangs = {"type": "string", "pattern": "^(a+)+$"}

    with pytest.raises(FormError):
        read_form(form(f=hangs), {"f": "a" * 60 + "!"})


def test_defaults_fill_what_was_not_given_and_the_rest_may_stay_out() -> None:
    schema = form("a", "b", a={"type": "integer", "default": 3}, b=STRING, c=STRING)

    assert read_form(schema, {"b": "x"}) == {"a": 3, "b": "x"}
    assert read_form(schema, {"a": None, "b": "x", "c": None}) == {"a": 3, "b": "x"}


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(FormError) as caught:
        read_form(form("a", a=STRING, b={"type": "integer"}), {"b": "x", "z": 1})

    assert set(caught.value.problems) == {"a", "b", "z"}


def test_a_value_that_is_kept_elsewhere_is_not_missing() -> None:
    assert read_form(form("a", "b", a=STRING, b=STRING), {"b": "x"}, unchecked=["a"]) == {"b": "x"}


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("password", STRING),
        ("githubToken", STRING),
        ("API_KEY", STRING),
        ("clientSecret", STRING),
        ("pin", {"type": "integer"}),
        ("cardNumber", STRING),
        ("x", {"type": "string", "title": "Private key"}),
        ("x", {"type": "string", "format": "password"}),
        ("x", {"type": "string", "description": "Your account's password"}),
        ("x", {"type": "string", "description": "Paste an access token: we need it"}),
    ],
)
def test_fields_that_ask_for_credentials_are_recognised(name: str, rules: dict[str, Any]) -> None:
    assert is_credential_field(name, rules)
    question = ToolQuestion(message="m", schema=form(**{name: rules}))
    assert name in refusal_of(question)


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("name", STRING),
        ("username", STRING),
        ("secretary", STRING),
        ("max_tokens", {"type": "integer"}),
        ("token_name", STRING),
        ("reset_password", {"type": "boolean"}),
        ("token", {"type": "string", "enum": ["ETH", "BTC"]}),
        ("note", {"type": "string", "description": "Anything, but not your password"}),
        ("text", {"type": "string", "description": "Message to pin"}),
        ("keyboard", STRING),
    ],
)
def test_fields_that_only_sound_like_it_may_be_asked(name: str, rules: dict[str, Any]) -> None:
    assert not is_credential_field(name, rules)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://pay.example.com/x?y", "pay.example.com"),
        ("http://localhost:8000/", "localhost:8000"),
        ("https://bank.com@evil.example/", "evil.example"),
        ("https://b\u00e4nk.example/", "xn--bnk-qla.example"),
        ("https://[::1]:8/", "[::1]:8"),
        ("javascript:alert(1)", ""),
        ("file:///etc/passwd", ""),
        ("https://", ""),
        ("https://[", ""),
        ("https://a:port/", ""),
        ("nonsense", ""),
    ],
)
def test_the_host_is_where_a_browser_would_go(url: str, host: str) -> None:
    assert host_of(url) == host
    assert bool(refusal_of(ToolQuestion(message="m", kind="url", url=url))) is not bool(host)
