import asyncio
import os
from typing import Self

import httpx
import pytest
import trustme
from support.raw_server import RawServer, answer, completion

from mbxai.errors import OpenRouterConfigurationError, OpenRouterConnectionError
from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.openrouter import _pools as pools
from mbxai.openrouter import _transport as transport

KEY = "sk-or-v1-network"
USER = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_server(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    for number, blob in enumerate(leaf.cert_chain_pems):
        blob.write_to_path(folder / "cert.pem", append=number > 0)
    with RawServer(
        answer(completion()), tls=(str(folder / "cert.pem"), str(folder / "key.pem"))
    ) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh_trust(monkeypatch):
    """No test inherits what another one trusted, or the proxies of this machine."""
    monkeypatch.setattr(pools, "_contexts", {})
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


async def test_a_certificate_of_a_stranger_is_refused_at_once(tls_server):
    tls_server.script(answer(completion()))
    async with AsyncOpenRouterClient(KEY, "a/b", tls_server.base_url) as client:
        with pytest.raises(
            OpenRouterConnectionError, match=r"No trusted connection.*SSL_CERT_FILE"
        ) as caught:
            await client.create(USER)
    assert caught.value.attempts == 1
    assert tls_server.seen().requests == []


async def test_ssl_cert_file_is_honoured(tls_server, authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls_server.script(answer(completion()))
    async with AsyncOpenRouterClient(KEY, "a/b", tls_server.base_url) as client:
        assert (await client.create(USER)).choices


async def test_a_certificate_for_another_name_is_refused(
    tls_server, authority, tmp_path, monkeypatch
):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls_server.script(answer(completion()))
    address = tls_server.base_url.replace("127.0.0.1", "localhost")
    async with AsyncOpenRouterClient(KEY, "a/b", address) as client:
        with pytest.raises(OpenRouterConnectionError, match="No trusted connection"):
            await client.create(USER)


class Proxy:
    """Answers CONNECT with a status and notes the first lines."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.lines: list[str] = []

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.lines.extend(head.decode().split("\r\n"))
        writer.write(f"HTTP/1.1 {self.status} Nope\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used(name, monkeypatch):
    async with Proxy(407) as proxy:
        monkeypatch.setenv(name, f"http://me:pass@127.0.0.1:{proxy.port}")
        async with AsyncOpenRouterClient(KEY, "a/b", "https://api.example/v1") as client:
            with pytest.raises(
                OpenRouterConnectionError, match="No connection through the proxy"
            ) as caught:
                await client.create(USER)
    assert caught.value.attempts == 1
    assert proxy.lines[0].startswith("CONNECT api.example:443")
    assert any(line.lower() == "proxy-authorization: basic bwu6cgfzcw==" for line in proxy.lines)
    assert not any(KEY in line for line in proxy.lines)


def test_no_proxy_is_honoured(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert transport.proxy_for(httpx.URL("https://api.example/")) is not None
    monkeypatch.setenv("NO_PROXY", "other.example,.example")
    assert transport.proxy_for(httpx.URL("https://api.example/")) is None


def test_plain_http_to_this_machine_never_leaves_it_through_a_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    assert transport.proxy_for(httpx.URL("http://127.0.0.1:8000/")) is None


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "nonsense://x", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused_when_the_client_is_made(address, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", address)
    with pytest.raises(OpenRouterConfigurationError, match="HTTPS_PROXY or ALL_PROXY"):
        AsyncOpenRouterClient(KEY, "a/b", "https://api.example/v1")
