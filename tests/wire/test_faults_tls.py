"""Fault T4: certificates that cannot be trusted, and those that can."""

import asyncio
import logging
import os
import subprocess
import sys

import pytest
from support.fault_certificates import Authority
from support.fault_clients import KEY, KINDS, asking
from support.raw_server import answer, chunk, completion, stream

from mbxai.errors import OpenRouterConnectionError, OpenRouterTimeoutError

kinds = pytest.mark.parametrize("kind", KINDS)
OK = answer(completion("fine"))

PROGRAM = """
import asyncio, sys
from mbxai.errors import OpenRouterConnectionError
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient
kind, address = sys.argv[1:]
user = [{"role": "user", "content": "hi"}]
async def ask():
    async with AsyncOpenRouterClient("k", "a/b", address, max_retries=2) as client:
        return await client.create(user)
def ask_blocking():
    with OpenRouterClient("k", "a/b", address, max_retries=2) as client:
        return client.create(user)
try:
    print((asyncio.run(ask()) if kind == "async" else ask_blocking()).choices[0].message.content)
except OpenRouterConnectionError as error:
    print(error.attempts, error)
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls_server(authority):
    with authority.server() as server:
        yield server


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)


@pytest.fixture(params=["self-signed", "wrong host", "expired"])
def fault(request, authority, tmp_path_factory):
    """A server that cannot be trusted, and a context; None for the usual certificates."""
    if request.param == "self-signed":
        server, context = Authority(tmp_path_factory.mktemp("stranger")).server(), None
    elif request.param == "wrong host":
        server, context = authority.server("elsewhere.example"), authority.context()
    else:
        server, context = authority.server(is_expired=True), authority.context()
    with server:
        server.script(OK)
        yield server, context


@kinds
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_t04_a_certificate_that_cannot_be_trusted_ends_the_call_at_once(
    kind, is_stream, fault
):
    server, context = fault
    async with asking(kind, server.base_url, ssl_context=context) as asker:
        with pytest.raises(OpenRouterConnectionError, match="No trusted connection") as caught:
            await asker.ask(stream=is_stream)
    assert "SSL_CERT_FILE" in caught.value.hint
    assert not isinstance(caught.value, OpenRouterTimeoutError)
    assert caught.value.attempts == len(caught.value.history) == 1
    seen = await asyncio.to_thread(server.wait_for, lambda seen: seen.open_connections == 0)
    assert seen.connections == 1
    assert seen.requests == []


@kinds
@pytest.mark.parametrize("family", ["httpx", "httpx2"])
async def test_t04_the_same_holds_for_any_http_client(kind, family, tls_server):
    tls_server.script(OK)
    async with asking(kind, tls_server.base_url, family=family) as asker:
        with pytest.raises(
            OpenRouterConnectionError, match=r"No trusted .*SSL_CERT_FILE"
        ) as caught:
            await asker.ask()
    assert caught.value.attempts == 1
    assert tls_server.seen().connections == 1
    assert tls_server.seen().requests == []


@kinds
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_t04_certificates_that_the_caller_trusts_are_accepted(
    kind, is_stream, authority, tls_server
):
    tls_server.script(stream(chunk("fine"), chunk(finish="stop")) if is_stream else OK)
    async with asking(kind, tls_server.base_url, ssl_context=authority.context()) as asker:
        result = await asker.ask(stream=is_stream)
    assert result.choices[0].message.content == "fine"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_named", [True, False])
async def test_t04_ssl_cert_file_is_read_by_a_fresh_program(kind, is_named, authority, tls_server):
    tls_server.script(OK)
    environment = os.environ | ({"SSL_CERT_FILE": str(authority.bundle)} if is_named else {})
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", PROGRAM, kind, tls_server.base_url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=9,
        check=False,
    )
    assert run.stderr == ""
    if is_named:
        assert run.stdout.strip() == "fine"
    else:
        assert run.stdout.startswith("1 No trusted connection")
        assert "SSL_CERT_FILE" in run.stdout


async def test_t04_a_server_that_speaks_no_tls_is_named_in_our_words(authority, caplog):
    caplog.set_level(logging.DEBUG)
    with authority.server() as server:
        server.script(OK)
        plain = server.base_url.replace("https:", "http:")
        async with asking("async", plain, max_retries=0) as asker:
            with pytest.raises(OpenRouterConnectionError) as caught:
                await asker.ask()
    assert caught.value.attempts == 1
    assert KEY not in caplog.text
