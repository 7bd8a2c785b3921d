"""Credentials: handles instead of values, in every disguise, in every sink."""

import base64
import copy
import html
import io
import json
import logging
import pickle
import re
import threading
import traceback
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbxai.sessions import CredentialVault, parse_credentials

CANARY = 'cAn4ry:"tok\\en"/ä+b c=&%😀'
HANDLE = "secret://jira_auth/auth_token"


def vault_with(value: str = CANARY) -> CredentialVault:
    vault = CredentialVault()
    assert vault.put("a", "jira_auth", {"auth_token": value}) == [HANDLE]
    return vault


def test_handle_resolves_for_its_own_session_only():
    vault = vault_with()
    assert vault.resolve("a", HANDLE) == CANARY
    assert vault.resolve("b", HANDLE) is None
    assert vault.resolve("a", "secret://jira_auth/other") is None
    assert vault.resolve("a", f" {HANDLE}") is None
    assert vault.handles("a") == [HANDLE]
    assert vault.handles("b") == []


def test_odd_names_make_handles_without_odd_letters():
    vault = CredentialVault()
    (handle,) = vault.put("a", 'shop / "x"', {"pass word": "s3cret-value"})
    assert handle == "secret://shop%20%2F%20%22x%22/pass%20word"
    assert vault.resolve("a", handle) == "s3cret-value"
    vault.revoke("a", 'shop / "x"')
    assert vault.resolve("a", handle) is None


def test_revoked_and_replaced_values_do_not_resolve_but_are_still_scrubbed():
    vault = vault_with("old-token-1")
    vault.put("a", "jira_auth", {"auth_token": "new-token-2"})
    assert vault.resolve("a", HANDLE) == "new-token-2"
    vault.put("a", "jira_auth_2", {"auth_token": "other-token"})
    vault.revoke("a", "jira_auth")
    assert vault.handles("a") == ["secret://jira_auth_2/auth_token"]
    assert vault.resolve("a", HANDLE) is None
    assert vault.scrub("a", "old-token-1 new-token-2") == f"{HANDLE} {HANDLE}"
    vault.forget("a")
    assert vault.handles("a") == []
    assert vault.scrub("a", "old-token-1") == "old-token-1"
    vault.forget("a")
    vault.revoke("a", "jira_auth")


DISGUISES = {
    "exact": CANARY,
    "json": json.dumps({"x": CANARY}),
    "json unicode": json.dumps({"x": CANARY}, ensure_ascii=False),
    "json in json": json.dumps({"x": json.dumps([CANARY])}),
    "json in json unicode": json.dumps(json.dumps(CANARY, ensure_ascii=False), ensure_ascii=False),
    "repr": repr({"x": CANARY}),
    "url path": f"https://x.test/{quote(CANARY)}/y",
    "url all": f"https://x.test/{quote(CANARY, safe='')}/y",
    "url plus": f"https://x.test/?{urlencode({'t': CANARY})}",
    "url lower": re.sub("%..", lambda hit: hit[0].lower(), quote(CANARY, safe="")),
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 url": base64.urlsafe_b64encode(CANARY.encode()).decode().rstrip("="),
    "basic": "Basic " + base64.b64encode(b"user:" + CANARY.encode()).decode(),
    "basic 2": "Basic " + base64.b64encode(b"me:" + CANARY.encode() + b"tail").decode(),
    "basic 3": "Basic " + base64.b64encode(b"you:" + CANARY.encode() + b"?").decode(),
    "base64 in lines": base64.encodebytes(b"x" * 50 + CANARY.encode() + b"y" * 90).decode().strip(),
    "base64 in lines in json": json.dumps(
        base64.encodebytes(b"x" * 50 + CANARY.encode()).decode().strip()
    ),
    "base64 twice": base64.b64encode(base64.b64encode(b"me:" + CANARY.encode())).decode(),
    "hexadecimal": CANARY.encode().hex(),
    "hexadecimal in capitals": CANARY.encode().hex().upper(),
    "html": html.escape(CANARY),
    "json with escaped slashes": json.dumps(CANARY).replace("/", "\\/"),
}


@pytest.mark.parametrize("name", DISGUISES)
def test_value_is_found_in_disguise(name):
    text = vault_with().scrub("a", f"before {DISGUISES[name]} after")
    assert HANDLE in text
    assert text.startswith("before ")
    assert text.endswith(" after")
    needles = [CANARY, quote_plus(CANARY), "cAn4ry", json.dumps(CANARY)[1:-1]]
    core = base64.b64encode(CANARY.encode()).decode()[4:20]
    assert not [needle for needle in (*needles, core) if needle in text]


def test_a_short_value_is_found_as_a_whole_part_of_what_base64_says():
    vault = vault_with("4711")
    basic = base64.b64encode(b"bo:4711").decode()
    assert vault.scrub("a", f"Basic {basic}") == f"Basic {HANDLE}"
    assert HANDLE in vault.scrub("a", json.dumps({"x": f"first\n{basic}"}))
    other = base64.b64encode(b"bo:147110").decode()
    assert vault.scrub("a", f"Basic {other} authentication") == f"Basic {other} authentication"


def test_a_handle_in_base64_is_no_secret():
    text = base64.b64encode(HANDLE.encode()).decode()
    assert vault_with().scrub("a", text) == text


def test_other_sessions_text_is_left_alone():
    assert vault_with().scrub("b", CANARY) == CANARY


def test_value_given_with_blanks_around_it_is_found_without_them():
    assert vault_with("  my-token-77\n").scrub("a", "t=my-token-77.") == f"t={HANDLE}."


def test_longer_value_wins_over_its_beginning():
    vault = CredentialVault()
    vault.put("a", "o", {"short": "abcdef", "long": "abcdefghij"})
    assert vault.scrub("a", "abcdefghij abcdef!") == "secret://o/long secret://o/short!"


def test_value_that_occurs_in_a_handle_does_not_tear_it_apart():
    vault = CredentialVault()
    vault.put("a", "secret", {"password": "secret://"})
    vault.put("a", "shop", {"password": "password"})
    text = "use secret://secret/password, the password"
    assert vault.scrub("a", text) == "use secret://secret/password, the secret://shop/password"


def test_short_values_are_replaced_only_as_a_whole_string():
    vault = CredentialVault()
    vault.put("a", "shop", {"username": "demo", "pin": 'a"b'})
    user = "secret://shop/username"
    assert vault.scrub("a", "demo") == user
    assert vault.scrub("a", " demo\n") == user
    assert vault.scrub("a", "a demonstration of a demo") == "a demonstration of a demo"
    assert vault.scrub("a", '{"demo": "demo", "x": ["demo"]}') == (
        f'{{"demo": "{user}", "x": ["{user}"]}}'
    )
    nested = json.dumps({"body": json.dumps({"user": "demo"})})
    assert json.loads(json.loads(vault.scrub("a", nested))["body"]) == {"user": user}
    assert json.loads(vault.scrub("a", json.dumps({"pin": 'a"b'}))) == {"pin": "secret://shop/pin"}


def test_empty_values_are_kept_and_scrub_nothing():
    vault = vault_with("")
    assert vault.resolve("a", HANDLE) == ""
    assert vault.scrub("a", '"" and nothing') == '"" and nothing'
    assert vault.put("a", "none", {}) == []
    assert vault.scrub("a", "") == ""


def test_no_sink_of_the_vault_shows_a_value():
    vault = vault_with("canary-9f8e7d")
    stream = io.StringIO()
    logger = logging.getLogger("test.vault.sinks")
    logger.addHandler(logging.StreamHandler(stream))
    logger.warning("%r %s %r", vault, vault, vars(vault))
    vault.scrub("a", "x")
    logger.warning("%r", vars(vault))
    try:
        vault.put("a", "o", {"x": 7})  # a mistake inside the vault's own frames
    except (TypeError, AttributeError) as error:
        details = traceback.TracebackException.from_exception(error, capture_locals=True)
        stream.write("".join(details.format()))
    for way in (pickle.dumps, copy.copy, copy.deepcopy, lambda v: pickle.dumps(vars(v))):
        with pytest.raises(TypeError) as caught:
            way(vault)
        stream.write(repr(caught.value))
    assert "••••••" in stream.getvalue()
    assert "canary" not in stream.getvalue()


@given(
    st.dictionaries(
        st.sampled_from(["user", "password", "token", "a b"]), st.text(min_size=6), min_size=1
    ),
    st.data(),
)
def test_no_value_is_left_and_scrubbing_twice_changes_nothing(credentials, data):
    vault = CredentialVault()
    handles = vault.put("a", "opt", credentials)
    parts = st.one_of(
        st.text(max_size=10), st.sampled_from([*credentials.values()]), st.sampled_from(handles)
    )
    text = "|".join(data.draw(st.lists(parts, max_size=6)))
    clean = vault.scrub("a", text)
    assert vault.scrub("a", clean) == clean
    rest = clean
    for handle in handles:
        rest = rest.replace(handle, "\x00|\x00")
    assert not [value for value in credentials.values() if value in rest and "|" not in value]


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.text(), st.integers()), max_size=5))
def test_scrubbed_json_text_is_still_json(extra):
    vault = CredentialVault()
    vault.put("a", "o", {"t": CANARY, "u": 'sho"t'})
    text = json.dumps({**extra, "t": CANARY, "u": 'sho"t'})
    scrubbed = json.loads(vault.scrub("a", text))
    assert scrubbed["t"] == "secret://o/t"
    assert scrubbed["u"] == "secret://o/u"


def test_many_threads_share_a_vault():
    vault = CredentialVault()
    problems: list[str] = []

    def work(n: int) -> None:
        for k in range(20):
            (handle,) = vault.put("a", f"o{n}", {f"k{k}": f"value-{n}-{k}-end"})
            if vault.scrub("a", f"value-{n}-{k}-end") != handle:
                problems.append(handle)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not problems
    assert len(vault.handles("a")) == 160


@pytest.mark.parametrize(
    ("text", "credentials"),
    [
        ("auth_token:abc", {"auth_token": "abc"}),
        ("auth_token: abc \n", {"auth_token": "abc"}),
        ("username:u,password:p", {"username": "u", "password": "p"}),
        ("username:u, password:p", {"username": "u", "password": "p"}),
        ("username:u,password:p:q,r", {"username": "u", "password": "p:q,r"}),
        ("approved_by:john.doe@company.com", {"approved_by": "john.doe@company.com"}),
        ("url:https://x.test:8443/a,https://y", {"url": "https://x.test:8443/a,https://y"}),
        ("token:a,token:b", {"token": "a,token:b"}),
        ("token:,user:u", {"token": "", "user": "u"}),
        ('{"user": "u", "pin": 7}', {"user": "u", "pin": "7"}),
        ("plain-token", {"value": "plain-token"}),
        (" Bearer abc:def ", {"value": "Bearer abc:def"}),
        ("https://x.test/cb?code=1", {"value": "https://x.test/cb?code=1"}),
        ("[1, 2]", {"value": "[1, 2]"}),
        ("one, user:u", {"value": "one, user:u"}),
        ("", {}),
        (" \n", {}),
    ],
)
def test_credentials_are_read_from_text(text, credentials):
    assert parse_credentials(text) == credentials


def test_expected_names_keep_commas_in_values_together():
    text = "username:u,password:a,b:c,username2:d"
    assert parse_credentials(text, ["username", "password"]) == {
        "username": "u",
        "password": "a,b:c,username2:d",
    }
    assert parse_credentials(text) == {
        "username": "u",
        "password": "a",
        "b": "c",
        "username2": "d",
    }
    assert parse_credentials("approved_by:x", ["auth_token"]) == {"value": "approved_by:x"}


def test_a_piece_of_a_credential_is_not_taken_for_a_name():
    assert parse_credentials("AKIASECRET99:part2") == {"value": "AKIASECRET99:part2"}
    assert parse_credentials("password:abc,XY12secret:rest") == {"password": "abc,XY12secret:rest"}


@given(st.text())
def test_no_text_breaks_the_reading_and_no_value_is_lost(text):
    credentials = parse_credentials(text)
    assert all(isinstance(value, str) for value in credentials.values())
    assert bool(credentials) is bool(text.strip())
