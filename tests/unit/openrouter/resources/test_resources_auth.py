"""Pairs of PKCE, and the address that a person opens."""

import base64
import hashlib
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter.resources.auth import (
    AsyncAuth,
    Auth,
    PKCEPair,
    authorization_url,
    create_pkce_pair,
)


def test_a_pair_is_as_rfc_7636_wants_it():
    pair = create_pkce_pair()
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", pair.code_verifier)
    digest = hashlib.sha256(pair.code_verifier.encode()).digest()
    assert base64.urlsafe_b64decode(pair.code_challenge + "=") == digest
    assert "=" not in pair.code_challenge
    assert pair.code_challenge_method == "S256"


def test_pairs_differ_and_do_not_show_their_verifier():
    pairs = {create_pkce_pair() for _ in range(50)}
    assert len(pairs) == 50
    assert all(pair.code_verifier not in repr(pair) for pair in pairs)
    assert PKCEPair("secret-verifier", "c") == PKCEPair("secret-verifier", "c")


def test_the_address_holds_what_openrouter_asks_for():
    address = urlsplit(
        authorization_url(
            "http://localhost:3000/back?a=1&b=2", code_challenge="c-_", key_label="My app"
        )
    )
    assert f"{address.scheme}://{address.netloc}{address.path}" == "https://openrouter.ai/auth"
    assert parse_qs(address.query) == {
        "callback_url": ["http://localhost:3000/back?a=1&b=2"],
        "code_challenge": ["c-_"],
        "code_challenge_method": ["S256"],
        "key_label": ["My app"],
    }


def test_without_a_callback_the_code_is_shown_on_the_screen():
    assert authorization_url(code_challenge="c") == (
        "https://openrouter.ai/auth?code_challenge=c&code_challenge_method=S256"
    )


@pytest.mark.parametrize(
    "callback", ["https://a.b/c", "http://127.0.0.1:9/", "http://[::1]:9/", "http://LOCALHOST/"]
)
def test_browsers_may_come_back_by_https_or_to_this_machine(callback):
    assert "callback_url=" in authorization_url(callback, code_challenge="c")


@pytest.mark.parametrize(
    "callback",
    [
        "http://a.b/c",
        "http://localhost.evil.example/",
        "ftp://localhost/",
        "https://",
        "//a.b",
        "http://[::1",
        "",
        5,
    ],
)
def test_browsers_come_back_nowhere_else(callback):
    with pytest.raises(OpenRouterConfigurationError, match="callback_url"):
        authorization_url(callback, code_challenge="c")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"code_challenge": ""}, "code_challenge"),
        ({"code_challenge": "c", "code_challenge_method": "s256"}, "code_challenge_method"),
        ({"code_challenge": "c", "key_label": "x" * 101}, "key_label"),
    ],
)
def test_an_impossible_argument_is_named(arguments, name):
    with pytest.raises(OpenRouterConfigurationError, match=name):
        authorization_url(**arguments)


def test_both_faces_have_the_local_functions():
    assert AsyncAuth.create_pkce_pair is Auth.create_pkce_pair is create_pkce_pair
    assert AsyncAuth.authorization_url is Auth.authorization_url is authorization_url
