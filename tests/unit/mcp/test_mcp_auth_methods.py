"""Settings of the ways to sign in, addresses, errors: what is decided without a network."""

import asyncio
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mbxai._redaction import redact
from mbxai.errors import ConfigurationError, MCPAuthError
from mbxai.mcp.auth import (
    ClientCredentials,
    EnterpriseAuth,
    MemoryTokenStore,
    OAuth,
    PrivateKeyJWT,
    TokenKey,
)
from mbxai.mcp.auth._addresses import may_be_asked, may_be_opened, origin_of, shown
from mbxai.mcp.auth._flights import begin_or_wait
from mbxai.mcp.auth._kept_tokens import KeptTokens
from mbxai.mcp.auth._methods import client_label
from mbxai.mcp.auth._problems import auth_problem

ROOT = Path(__file__).resolve().parents[3]
SERVER = "https://mcp.example/mcp"
KEY = TokenKey(server="s", origin="https://mcp.example:443", client="c")


async def callback(url: str) -> str:
    return url


def credentials(**options: Any) -> ClientCredentials:
    given = {"client_id": "me", "client_secret": "hush-hush-4711"} | options
    return ClientCredentials(**given)


def enterprise(**options: Any) -> EnterpriseAuth:
    given: dict[str, Any] = {
        "client_id": "me",
        "client_secret": "hush-hush-4711",
        "issuer": "https://as.example",
        "assertion": lambda issuer, resource: "x",
    }
    return EnterpriseAuth(**(given | options))


def private_key(**options: Any) -> PrivateKeyJWT:
    return PrivateKeyJWT(**({"client_id": "me", "key": "hush-hush-4711"} | options))


@pytest.mark.parametrize("make", [credentials, enterprise, private_key])
def test_secrets_are_neither_in_repr_nor_in_what_is_logged(make: Callable[[], object]) -> None:
    method = make()
    assert "hush" not in repr(method)
    assert redact("it was hush-hush-4711") == "it was [redacted]"


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (OAuth, {"scopes": "read write"}, "list of words"),
        (OAuth, {"scopes": ["read write"]}, "one word"),
        (OAuth, {"scopes": ['x", resource_metadata="https://evil']}, "one word"),
        (OAuth, {"client_secret": "s"}, "needs client_id"),
        (OAuth, {"client_id": "a", "client_metadata_url": "https://a.example/b"}, "not both"),
        (OAuth, {"client_metadata_url": "http://a.example/b"}, "https"),
        (OAuth, {"client_metadata_url": "https://a.example"}, "path"),
        (OAuth, {"wait_seconds": 0}, "wait_seconds"),
        (OAuth, {"callback": callback}, "redirect_uri"),
        (OAuth, {"callback": callback, "redirect_uri": "back"}, "whole address"),
        (OAuth, {"open_browser": False}, "nobody would learn"),
        (OAuth, {"redirect_port": 70_000}, "redirect_port"),
        (OAuth, {"redirect_uri": "https://app.example/back"}, "without callback"),
        (OAuth, {"redirect_uri": "http://127.0.0.1/back"}, "without callback"),
        (OAuth, {"redirect_uri": "http://localhost:99999/back"}, "without callback"),
        (OAuth, {"method": "jwt"}, "method"),
        (OAuth, {"issuer": "as.example"}, "issuer"),
        (credentials, {"client_id": ""}, "needed"),
        (credentials, {"client_secret": ""}, "needed"),
        (credentials, {"method": "none"}, "method"),
        (private_key, {"client_id": ""}, "needed"),
        (private_key, {"key": ""}, "either key or assertion"),
        (private_key, {"assertion": str}, "either key or assertion"),
        (enterprise, {"issuer": ""}, "needed"),
    ],
)
def test_impossible_settings_are_refused_at_once(
    make: Callable[..., object], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make(**options)


def test_the_same_settings_written_again_are_equal() -> None:
    first = OAuth(scopes=["a"], open_browser=lambda url: None)
    again = OAuth(scopes=("a",), open_browser=lambda url: None)
    assert first == again
    assert hash(first) == hash(again)
    assert replace(first, client_name="other") != first


def test_tokens_of_different_clients_are_kept_under_different_keys() -> None:
    methods = [
        OAuth(),
        OAuth(account="alice"),
        OAuth(client_id="me"),
        OAuth(client_metadata_url="https://a.example/b"),
        credentials(),
        private_key(),
        enterprise(),
        enterprise(account="alice"),
    ]
    assert len({client_label(method) for method in methods}) == len(methods)


@pytest.mark.parametrize(
    ("url", "server", "issuer", "allowed"),
    [
        ("https://as.example/token", SERVER, "", True),
        ("http://as.example/token", SERVER, "", False),
        ("http://as.example/token", SERVER, "http://as.example", True),
        ("http://127.0.0.1:9/token", SERVER, "", False),
        ("http://169.254.169.254/latest", SERVER, "", False),
        ("http://127.0.0.1:9/token", "http://localhost:8/mcp", "", True),
        ("http://[::1]:9/token", "http://localhost:8/mcp", "", True),
        ("http://intra:8/token", "http://intra:8/mcp", "", True),
        ("http://intra:9/token", "http://intra:8/mcp", "", False),
        ("file:///etc/passwd", SERVER, "", False),
        ("http://[", SERVER, "", False),
    ],
)
def test_a_login_asks_only_where_it_is_no_trap(
    url: str, server: str, issuer: str, allowed: bool
) -> None:
    assert may_be_asked(url, server_url=server, issuer=issuer) is allowed


@pytest.mark.parametrize(
    ("url", "server", "allowed"),
    [
        ("https://as.example/a?state=b", SERVER, True),
        ("http://as.example/a", SERVER, False),
        ("http://intra:8/a", "http://intra:8/mcp", False),
        ("http://localhost:9/a", "http://127.0.0.1:8/mcp", True),
        ("http://localhost:9/a", SERVER, False),
        ("http://localhost.evil.example/a", "http://127.0.0.1:8/mcp", False),
        ("https://as.example/a b", SERVER, False),
        ("https://as.example/`x`", SERVER, False),
        ("https://as.example/\n", SERVER, False),
        ("https://as.example/ä", SERVER, False),
        ("javascript:alert(1)", SERVER, False),
        ("file:///etc/passwd", SERVER, False),
        ("--help", SERVER, False),
        ("https://[", SERVER, False),
    ],
)
def test_a_browser_is_only_sent_to_plain_addresses_with_tls(
    url: str, server: str, allowed: bool
) -> None:
    assert may_be_opened(url, server_url=server) is allowed


def test_origins_are_written_in_one_way() -> None:
    assert origin_of("https://MCP.example/x?y") == origin_of("https://mcp.example:443/")
    assert origin_of("http://[::1]:8/") == "http://[::1]:8"
    assert origin_of("http://a.example/") != origin_of("https://a.example/")


def test_an_address_is_shown_without_password_and_query() -> None:
    assert shown("https://me:pw@as.example/token?key=1#x") == "https://as.example/token"


def test_the_browser_gets_the_address_as_one_word_and_no_shell_reads_it(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys\nopen({str(seen)!r}, 'a').write(repr(sys.argv[1:]))\n"
    )
    browser.chmod(0o755)
    url = f"https://as.example/a?x=1&y=$(touch%20{tmp_path}/no);touch${{IFS}}{tmp_path}/no"
    module = ROOT / "src/mbxai/mcp/auth/_browser.py"  # alone, as the package takes long to load
    program = "import runpy, sys; print(runpy.run_path(sys.argv[1])['open_browser'](sys.argv[2]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(module), url],
        env={**os.environ, "BROWSER": str(browser)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.strip() == "True"
    assert seen.read_text() == repr([url])
    assert not (tmp_path / "no").exists()


def package_error(name: str, text: str) -> Exception:
    from mcp.client.auth import exceptions

    return getattr(exceptions, name)(text)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "OAuthTokenError",
            'Token exchange failed (400): {"error": "invalid_grant", "error_description": "too\\nold"}',
            "the authorization server refused the token (HTTP 400): invalid_grant: too old",
        ),
        (
            "OAuthTokenError",
            "Token exchange failed (502): <html>code=abc</html>",
            "the authorization server refused the token (HTTP 502)",
        ),
        (
            "OAuthRegistrationError",
            'Registration failed: 403 {"error": "invalid_redirect_uri"}',
            "the authorization server refused to register us (HTTP 403): invalid_redirect_uri",
        ),
        (
            "OAuthTokenError",
            "Invalid token response: 1 validation error input_value={'refresh_token': 'abc'}",
            "the authorization server gave no usable token",
        ),
        (
            "OAuthFlowError",
            "State parameter mismatch: abc != abc",
            "the browser came back with an answer to another question",
        ),
        ("OAuthFlowError", "Other\x1b[31m trouble", "Other [31m trouble"),
    ],
)
def test_errors_of_the_package_become_one_line_without_secrets(
    name: str, text: str, said: str
) -> None:
    error = package_error(name, text)
    assert auth_problem(error) == said
    assert auth_problem(ExceptionGroup("x", [ValueError(), error])) == said


def test_long_errors_are_cut() -> None:
    assert len(auth_problem(package_error("OAuthFlowError", "x" * 5_000)) or "") < 400


def test_other_errors_are_no_problem_of_the_login() -> None:
    assert auth_problem(ValueError("Token exchange failed (400)")) is None
    assert auth_problem(ExceptionGroup("x", [OSError()])) is None
    assert auth_problem(MCPAuthError("ours", hint="Try.")) == "ours Try."


def kept(store: MemoryTokenStore, seconds: float = 1000.0) -> KeptTokens:
    return KeptTokens(store, KEY, now=lambda: seconds)


async def saved(store: MemoryTokenStore, **token: Any) -> None:
    from mcp.shared.auth import OAuthToken

    await kept(store).set_tokens(OAuthToken(access_token="access-4711", **token))


@pytest.mark.parametrize(
    ("expires_in", "seconds", "expired"),
    [
        (3600, 4569, False),
        (3600, 4570, True),
        (10, 1008, False),
        (10, 1009, True),
        (None, 9e9, False),
    ],
)
async def test_a_token_is_renewed_a_little_before_it_expires_also_after_a_restart(
    expires_in: int | None, seconds: float, expired: bool
) -> None:
    store = MemoryTokenStore()
    await saved(store, expires_in=expires_in)
    later = kept(store, seconds)
    await later.load()
    assert later.access_token == "access-4711"
    assert later.is_expired is expired


async def test_kept_tokens_are_taken_out_of_logs_until_they_are_replaced() -> None:
    store = MemoryTokenStore()
    await saved(store, refresh_token="refresh-4711")
    later = kept(store)
    await later.load()
    hidden = redact("access-4711 refresh-4711")
    assert hidden == "[redacted] [redacted]"
    assert "4711" not in repr(later)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 99, "tokens": {"access_token": "x"}}',
                                  '{"format": 1, "tokens": [], "client": 3, "expires_at": "x"}'])  # fmt: skip
async def test_a_record_that_cannot_be_read_counts_as_none(text: str) -> None:
    store = MemoryTokenStore()
    await store.save(KEY, text)
    tokens = kept(store)
    await tokens.load()
    assert (tokens.access_token, tokens.can_refresh, tokens.is_expired) == ("", False, False)


async def test_a_new_registration_takes_the_refresh_token_of_the_former_one_away() -> None:
    from mcp.shared.auth import OAuthClientInformationFull

    store = MemoryTokenStore()
    await saved(store, refresh_token="refresh-4711")
    tokens = kept(store)
    await tokens.load()
    await tokens.set_client_info(OAuthClientInformationFull(client_id="new"))
    record = json.loads(await store.load(KEY) or "")
    assert record["tokens"]["access_token"] == "access-4711"
    assert "refresh_token" not in record["tokens"]


class BrokenStore(MemoryTokenStore):
    async def load(self, key: TokenKey) -> str | None:
        raise OSError("disk says very-secret-token")

    async def save(self, key: TokenKey, text: str) -> None:
        raise OSError("disk says very-secret-token")


async def test_a_store_that_fails_is_an_error_without_its_words() -> None:
    tokens = kept(BrokenStore())
    with pytest.raises(MCPAuthError, match=r"could not load \(OSError\)") as caught:
        await tokens.load()
    with pytest.raises(MCPAuthError, match=r"could not save \(OSError\)"):
        await tokens.save()
    assert "secret" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).server == "s"


async def test_a_flight_is_waited_for_from_another_thread() -> None:
    flight = await begin_or_wait("key", nullcontext)
    assert flight is not None
    outcomes: list[object] = []
    waits = threading.Event()

    class Waiting:
        def __enter__(self) -> None:
            waits.set()

        def __exit__(self, *exc_info: object) -> None:
            pass

    async def wait() -> None:
        try:
            outcomes.append(await asyncio.wait_for(begin_or_wait("key", Waiting), 5))
        except MCPAuthError as error:
            outcomes.append(error.message)

    thread = threading.Thread(target=lambda: asyncio.run(wait()))
    thread.start()
    await asyncio.to_thread(waits.wait, 5)
    flight.land(MCPAuthError("went wrong"))
    flight.land()
    await asyncio.to_thread(thread.join, 5)
    free = await begin_or_wait("key", nullcontext)
    assert outcomes == ["went wrong"]
    assert free is not None
    free.land()


def test_the_packages_log_of_others_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    from mbxai.mcp.auth._renewal import _tame_logger

    _tame_logger()
    with caplog.at_level(logging.ERROR):
        logging.getLogger("mcp.client.auth.oauth2").error("OAuth flow error of somebody else")
    assert "somebody else" in caplog.text
