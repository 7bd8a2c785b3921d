"""How long credentials are kept, and that logs do not show them meanwhile."""

import gc

from mbxai._redaction import redact
from mbxai.sessions import CredentialVault


def test_credentials_are_forgotten_when_their_time_is_up() -> None:
    clock = [0.0]
    vault = CredentialVault(ttl_seconds=10, now=lambda: clock[0])
    [handle] = vault.put("a", "login", {"token": "tok-111111"})
    clock[0] = 9.0
    assert vault.resolve("a", handle) == "tok-111111"  # a use prolongs it
    clock[0] = 18.0
    assert vault.handles("a") == [handle]
    clock[0] = 19.0

    assert vault.resolve("a", handle) is None
    assert vault.handles("a") == []


def test_a_kept_credential_is_redacted_until_the_last_session_with_it_is_forgotten() -> None:
    vault = CredentialVault()
    vault.put("a", "login", {"token": "tok-222222"})
    vault.put("b", "login", {"token": "tok-222222"})
    vault.forget("a")
    assert "tok-222222" not in redact("got tok-222222")

    vault.forget("b")
    assert redact("got tok-222222") == "got tok-222222"


def test_a_pin_is_scrubbed_where_it_is_a_word_of_its_own() -> None:
    vault = CredentialVault()
    vault.put("a", "login", {"pin": "4711"})

    assert vault.scrub("a", "the pin was 4711.") == "the pin was secret://login/pin."
    assert vault.scrub("a", "order 147110 of 2026") == "order 147110 of 2026"


def test_a_credential_is_redacted_in_the_way_python_shows_it() -> None:
    vault = CredentialVault()
    vault.put("a", "login", {"key": "line one\nline\\two"})

    assert "two" not in redact(str(KeyError("line one\nline\\two")))


def test_a_vault_that_is_dropped_leaves_nothing_to_redact() -> None:
    vault = CredentialVault()
    vault.put("a", "login", {"token": "tok-333333"})
    assert "tok-333333" not in redact("got tok-333333")
    del vault
    gc.collect()

    assert redact("got tok-333333") == "got tok-333333"
