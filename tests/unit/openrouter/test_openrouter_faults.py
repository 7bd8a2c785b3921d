import json
import pickle

import pytest

from mbxai.errors import (
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    NotFoundError,
    OpenRouterAPIError,
    PermissionDeniedError,
    ProviderUnavailableError,
    RateLimitError,
)
from mbxai.openrouter._faults import api_error, error_of_answer, is_final, retry_after

DATE = {"date": "Sun, 22 Nov 2026 10:00:00 GMT"}


def error_for(status, error, headers=None):
    return error_of_answer(status, headers or {}, json.dumps({"error": error}).encode())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (408, OpenRouterAPIError),
        (413, BadRequestError),
        (422, BadRequestError),
        (429, RateLimitError),
        (500, ProviderUnavailableError),
        (524, ProviderUnavailableError),
        (529, ProviderUnavailableError),
    ],
)
def test_each_status_has_its_class(status, kind):
    error = error_for(status, {"code": status, "message": "m"})
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, status, "m")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (502, 502, ProviderUnavailableError),
        ("429", 429, RateLimitError),
        (402.0, 402, InsufficientCreditsError),
        ("rate_limit_exceeded", 429, RateLimitError),
        ("server_error", 500, ProviderUnavailableError),
        ("made_up", None, OpenRouterAPIError),
        (None, None, OpenRouterAPIError),
        (True, None, OpenRouterAPIError),
        (7, None, OpenRouterAPIError),
    ],
)
def test_a_code_in_a_200_body_decides_whether_number_or_word(code, status, kind):
    error = api_error({"code": code, "message": "m"}, {})
    assert (type(error), error.status) == (kind, status)


def test_the_error_type_decides_where_the_code_is_no_status():
    error = api_error(
        {"code": None, "message": "m", "metadata": {"error_type": "payment_required"}}, {}
    )
    assert isinstance(error, InsufficientCreditsError)


@pytest.mark.parametrize(
    "raw",
    [
        "upstream is on fire",
        '{"error": {"message": "upstream is on fire"}}',
        {"message": "upstream is on fire"},
        {"error": "upstream is on fire"},
        '{"error": {"metadata": {}, "detail": "upstream is on fire"}}',
    ],
)
def test_what_the_provider_said_is_in_the_message(raw):
    error = error_for(
        502,
        {
            "code": 502,
            "message": "Provider returned error",
            "metadata": {"raw": raw, "provider_name": "Acme"},
        },
    )
    assert error.message == "Provider returned error (Acme): upstream is on fire"
    assert error.provider == "Acme"


def test_messages_and_bodies_are_bounded_and_hold_no_secret_and_no_prompt():
    error = error_for(
        403,
        {
            "code": 403,
            "message": "Bearer abcdefghijkl " + "x" * 5000,
            "metadata": {"flagged_input": "my prompt", "raw": "y" * 5000, "list": list(range(999))},
        },
    )
    assert len(error.message) <= 1000
    assert len(error.body["metadata"]["raw"]) <= 2000
    assert len(error.body["metadata"]["list"]) == 50
    everything = f"{error} {error.body}"
    assert "abcdefghijkl" not in everything
    assert "my prompt" not in everything


def test_deep_bodies_do_not_hurt():
    body = b'{"error":{"message":"m","metadata":' + b"[" * 150 + b"]" * 150 + b"}}"
    assert error_of_answer(500, {}, body).message == "m"
    assert error_of_answer(500, {}, b"[" * 100_000).status == 500


def test_a_page_of_html_becomes_a_typed_error_with_its_beginning_kept():
    error = error_of_answer(502, {"content-type": "text/html"}, b"<html>" + b"z" * 9000)
    assert isinstance(error, ProviderUnavailableError)
    assert error.message == "HTTP 502 with a body of text/html."
    assert error.body["text"].startswith("<html>")
    assert len(error.body["text"]) <= 2000


def test_ids_of_the_request_are_kept_and_errors_survive_pickle():
    error = error_for(
        429, {"message": "m"}, {"cf-ray": "ray", "x-generation-id": "gen-1", "retry-after": "3"}
    )
    again = pickle.loads(pickle.dumps(error))
    assert (again.request_id, again.generation_id, again.retry_after) == ("ray", "gen-1", 3.0)
    assert "hint" not in again.body
    assert again.hint


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:02 GMT", **DATE}, 2.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:59:00 GMT", **DATE}, 0.0),
        ({"retry-after": "86400"}, 86400.0),
        ({"x-ratelimit-reset": "1795341605000", **DATE}, 5.0),
        ({"x-ratelimit-reset": "1e300", **DATE}, None),
        *(({"retry-after": word}, None) for word in ("-5", "NaN", "1e999", "abc", "", "inf")),
        ({}, None),
    ],
)
def test_the_wait_that_the_server_names_is_understood_or_ignored(headers, seconds):
    assert retry_after(headers) == seconds


def test_a_wait_named_in_the_body_counts_where_no_header_does():
    error = {"message": "m", "availability": {"retry_after": 4, "retryable": False}}
    assert retry_after({}, error) == 4.0
    assert is_final(api_error(error, {}))
