"""Fault T14: proxies that the environment names, with a real one that opens tunnels."""

import os
import socket
import traceback

import pytest
from support.fault_certificates import Authority
from support.fault_clients import KEY, KINDS, PROMPT, asking
from support.fault_proxy import ConnectProxy
from support.raw_server import answer, chunk, completion, stream

from mbxai.errors import OpenRouterConnectionError, OpenRouterTimeoutError

pytestmark = pytest.mark.parametrize("kind", KINDS)
OK = answer(completion("fine"))
PASSWORD = "canary-b00f"
LOGIN_IN_BASE64 = "bWU6Y2FuYXJ5LWIwMGY="


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls_server(authority):
    with authority.server() as server:
        yield server


@pytest.fixture
def proxy():
    with ConnectProxy() as made:
        yield made


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_t14_the_proxy_of_the_environment_opens_the_tunnel(
    kind, name, proxy, tls_server, authority, monkeypatch
):
    tls_server.script(OK)
    monkeypatch.setenv(name, f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
    async with asking(kind, tls_server.base_url, ssl_context=authority.context()) as asker:
        for _ in range(2):
            assert (await asker.ask()).choices[0].message.content == "fine"
    seen = proxy.seen()
    assert seen.opened == 1  # and reused
    (head,) = seen.heads
    assert head[0] == f"CONNECT 127.0.0.1:{tls_server.port} HTTP/1.1"
    assert any(line.lower().startswith("proxy-authorization: basic ") for line in head)
    assert not any(KEY in line for line in head)
    headers = tls_server.seen().requests[0]["headers"]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "proxy-authorization" not in headers


async def test_t14_streams_go_through_the_tunnel_too(
    kind, proxy, tls_server, authority, monkeypatch
):
    tls_server.script(stream(chunk("fine"), chunk(finish="stop")))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    async with asking(kind, tls_server.base_url, ssl_context=authority.context()) as asker:
        assert (await asker.ask(stream=True)).choices[0].message.content == "fine"
    assert proxy.seen().opened == 1


@pytest.mark.parametrize(
    "exception", [None, "127.0.0.1", "other.example,127.0.0.1", "*", "127.0.0.1:{port}"]
)
async def test_t14_without_a_proxy_or_with_no_proxy_the_way_is_direct(
    kind, exception, proxy, tls_server, authority, monkeypatch
):
    tls_server.script(OK)
    if exception is not None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", exception.format(port=tls_server.port))
    async with asking(kind, tls_server.base_url, ssl_context=authority.context()) as asker:
        assert (await asker.ask()).choices
    assert proxy.seen().heads == []


async def test_t14_a_no_proxy_for_others_changes_nothing(
    kind, proxy, tls_server, authority, monkeypatch
):
    tls_server.script(OK)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", "other.example,127.0.0.2,127.0.0.1:1")
    async with asking(kind, tls_server.base_url, ssl_context=authority.context()) as asker:
        assert (await asker.ask()).choices
    assert proxy.seen().opened == 1


@pytest.mark.parametrize("status", [407, 403, 502])
async def test_t14_a_proxy_that_refuses_is_named_and_not_asked_again(
    kind, status, tls_server, authority, monkeypatch
):
    tls_server.script(OK)
    with ConnectProxy(status=status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
        async with asking(kind, tls_server.base_url, ssl_context=authority.context()) as asker:
            with pytest.raises(
                OpenRouterConnectionError, match=r"through the proxy.*HTTPS_PROXY"
            ) as caught:
                await asker.ask()
        assert len(proxy.seen().heads) == 1
    assert not isinstance(caught.value, OpenRouterTimeoutError)
    assert caught.value.attempts == 1
    assert tls_server.seen().requests == []
    _assert_tells_nothing(caught.value)


async def test_t14_a_proxy_that_is_not_there_is_a_connection_error_without_its_password(
    kind, tls_server, authority, monkeypatch
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://me:{PASSWORD}@127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("HTTPS_PROXY", address)
        async with asking(kind, tls_server.base_url, ssl_context=authority.context()) as asker:
            with pytest.raises(OpenRouterConnectionError, match="No connection") as caught:
                await asker.ask()
    assert caught.value.attempts == 3
    _assert_tells_nothing(caught.value)


async def test_t14_a_certificate_behind_the_proxy_is_checked_all_the_same(
    kind, proxy, tls_server, monkeypatch
):
    tls_server.script(OK)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    async with asking(kind, tls_server.base_url) as asker:
        with pytest.raises(
            OpenRouterConnectionError, match=r"No trusted .*SSL_CERT_FILE"
        ) as caught:
            await asker.ask()
    assert caught.value.attempts == 1
    assert proxy.seen().opened == 1
    assert tls_server.seen().requests == []


def _assert_tells_nothing(error: BaseException) -> None:
    shown = f"{error!r} {error.__dict__} {''.join(traceback.format_exception(error))}"
    for secret in (PASSWORD, LOGIN_IN_BASE64, KEY, PROMPT):
        assert secret not in shown
