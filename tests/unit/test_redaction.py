import gc
import logging
import threading
import weakref
from collections.abc import Iterator

import pytest

from mbxai._redaction import forget_secret, get_logger, redact, register_secret, shaped_secrets


@pytest.mark.parametrize(
    "text",
    [
        "key sk-or-v1-0123456789abcdef is wrong",
        "Authorization: Bearer abcdefghijklmnop",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijk here",
        "-----BEGIN RSA PRIVATE KEY-----\nsecretsecret\n-----END RSA PRIVATE KEY-----",
        "https://example.com/?key=verysecret&x=1",
        "https://example.com/?x=1&access_token=verysecret",
    ],
)
def test_what_looks_like_a_secret_is_masked(text):
    masked = redact(text)
    assert "[redacted]" in masked
    for secret in ("0123456789abcdef", "abcdefghijk", "secretsecret", "verysecret"):
        assert secret not in masked


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "k3Y9" * 6,
        "github_pat_" + "k3Y9" * 6,
        "glpat-" + "k3-9" * 5,
        "xoxb-123456789012-k3y9k3y9",
        "AKIA" + "K3Y9" * 4,
        "AIza" + "k3-Y9" * 7,
        "hf_" + "k3Y9" * 8,
    ],
)
def test_tokens_of_well_known_services_are_masked_and_can_be_taken_out(token):
    assert redact(f"use {token}, please") == "use [redacted], please"
    assert shaped_secrets(f"use {token}, please, {token}") == [token]


def test_what_announces_a_secret_is_no_part_of_it():
    text = "Bearer k3y9k3y9k3y9 at https://x.test/?api_key=verysecret&y=1"
    assert shaped_secrets(text) == ["k3y9k3y9k3y9", "verysecret"]
    assert shaped_secrets("nothing to see") == []


def test_a_known_secret_is_masked_whatever_it_looks_like():
    register_secret("correct horse battery")
    assert redact("it is correct horse battery!") == "it is [redacted]!"


def test_the_longer_of_two_secrets_goes_first():
    register_secret("abcdefgh")
    register_secret("abcdefgh-ijklmnop")
    assert redact("<abcdefgh-ijklmnop>") == "<[redacted]>"


def test_a_very_short_secret_would_mask_ordinary_words_and_is_ignored():
    register_secret("a")
    assert redact("banana") == "banana"


def test_ordinary_text_stays():
    text = "The task sk-1 asks a bearer of news: monkey=5?"
    assert redact(text) == text


def test_a_logger_masks_arguments_and_tracebacks(caplog):
    register_secret("tr0ub4dor&3")
    log = get_logger("mbxai.test_redaction")
    assert get_logger("mbxai.test_redaction") is log
    with caplog.at_level(logging.DEBUG):
        try:
            raise ValueError("bad tr0ub4dor&3")
        except ValueError:
            log.exception("failed with %s", "tr0ub4dor&3")
    assert "tr0ub4dor&3" not in caplog.text
    assert "failed with [redacted]" in caplog.text
    assert "ValueError: bad [redacted]" in caplog.text


def test_a_handler_that_formats_the_exception_itself_has_none_to_format() -> None:
    register_secret("tok-987654321")
    seen: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    logger = get_logger("mbxai.test.exc_info")
    handler = Keeping()
    logger.addHandler(handler)
    try:
        raise RuntimeError("401 for tok-987654321")
    except RuntimeError:
        logger.exception("failed")
    finally:
        logger.removeHandler(handler)

    assert seen[0].exc_info is None
    assert "RuntimeError: 401 for [redacted]" in str(seen[0].exc_text)


@pytest.fixture
def eager_collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("eager_collector")
def test_a_finalizer_may_forget_a_secret_in_the_middle_of_a_look_for_one():
    class Owner:
        def __init__(self, secret: str) -> None:
            self.itself = self  # so that only the collector frees it, whenever it likes
            register_secret(secret)
            weakref.finalize(self, forget_secret, secret)

    def look() -> None:
        for number in range(200):
            Owner(f"secret-of-owner-{number}")
            register_secret(f"kept-{number}-secret")
            texts.append(redact(f"it is kept-{number}-secret"))

    texts: list[str] = []
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(20)

    assert not thread.is_alive(), "it waits for itself"
    assert texts == ["it is [redacted]"] * 200
    gc.collect()
    assert redact("secret-of-owner-7") == "secret-of-owner-7"
