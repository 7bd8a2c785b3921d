"""Fault T15: redirects, and with them the rule that the key goes to one origin only."""

import asyncio

import pytest
from support.fault_clients import KEY, KINDS, PROMPT, asking
from support.raw_server import RawServer, answer, chunk, completion, stream

from mbxai.errors import OpenRouterAPIError, OpenRouterConfigurationError, OpenRouterConnectionError

pytestmark = pytest.mark.parametrize("kind", KINDS)
families = pytest.mark.parametrize("family", [None, "httpx"], ids=str)
all_families = pytest.mark.parametrize("family", [None, "httpx", "httpx2"], ids=str)
OK = answer(completion("moved"))


def to(location: str, status: int = 307):
    return answer(b"", status=status, headers={"Location": location})


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(scope="module")
def other():
    with RawServer() as server:
        yield server


@families
@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_t15_a_post_follows_a_redirect_on_its_own_server(
    kind, family, status, is_stream, raw
):
    good = stream(chunk("moved"), chunk(finish="stop")) if is_stream else OK
    raw.script(to("/there", status), good)
    async with asking(kind, raw.base_url, family=family) as asker:
        result = await asker.ask(stream=is_stream)
    assert result.choices[0].message.content == "moved"
    assert result.attempts == 1
    first, second = raw.seen().requests
    assert second["start"] == "POST /there HTTP/1.1"
    assert second["body"] == first["body"]
    assert second["headers"]["authorization"] == f"Bearer {KEY}"


@families
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_t15_a_get_follows_a_redirect_on_its_own_server(kind, family, status, raw):
    raw.script(to(f"{raw.base_url}/there?page=2", status), answer({"data": [1]}))
    async with asking(kind, raw.base_url, family=family) as asker:
        result = await asker.run("request", "GET", "workspaces")
    assert result.to_dict() == {"data": [1]}
    second = raw.seen().requests[1]
    assert second["start"] == "GET /api/v1/there?page=2 HTTP/1.1"
    assert second["headers"]["authorization"] == f"Bearer {KEY}"


@all_families
@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("status", [307, 308])
async def test_t15_a_redirect_to_another_server_gets_nothing(
    kind, family, method, status, raw, other
):
    other.script(OK)
    raw.script(to(f"{other.base_url}/chat/completions", status))
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(
            OpenRouterConnectionError, match=r"another server, 127\.0\.0\.1"
        ) as caught:
            await (asker.ask() if method == "POST" else asker.run("request", "GET", "workspaces"))
    assert caught.value.attempts == 1
    assert other.seen().connections == 0
    assert len(raw.seen().requests) == 1


@pytest.mark.parametrize(
    "location",
    [
        "https://127.0.0.1:{port}/x",  # another scheme
        "http://localhost:{port}/x",  # another name of the same machine
        "//evil.example/x",
        "http://127.0.0.1.evil.example/x",
        "http://127.0.0.1:{port}@evil.example/x",
        "ftp://127.0.0.1:{port}/x",
        "file:///etc/hosts",
        "http://[::1",
        "javascript:alert(1)",
    ],
)
async def test_t15_nothing_that_looks_like_the_same_server_is_taken_for_it(kind, location, raw):
    raw.script(to(location.format(port=raw.port)))
    async with asking(kind, raw.base_url) as asker:
        with pytest.raises(OpenRouterConnectionError, match="sent the request elsewhere") as caught:
            await asker.ask()
    assert caught.value.attempts == 1
    seen = raw.seen()
    assert (len(seen.requests), seen.connections) == (1, 1)
    assert KEY not in str(caught.value)
    assert PROMPT not in str(caught.value)


@all_families
async def test_t15_a_login_inside_the_address_does_not_replace_the_key(kind, family, raw):
    raw.script(to(f"http://me:pass@127.0.0.1:{raw.port}/there"), OK)
    async with asking(kind, raw.base_url, family=family) as asker:
        assert (await asker.ask()).choices[0].message.content == "moved"
    assert raw.seen().requests[1]["headers"]["authorization"] == f"Bearer {KEY}"


@families
async def test_a_login_inside_a_path_does_not_replace_the_key_either(kind, family, raw):
    raw.script(answer({"data": []}))
    async with asking(kind, raw.base_url, family=family) as asker:
        await asker.run("request", "GET", f"http://me:pass@127.0.0.1:{raw.port}/there")
    assert raw.seen().requests[0]["headers"]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [301, 302, 303, 304])
async def test_t15_a_post_never_becomes_a_get(kind, status, raw):
    raw.script(to("/there", status))
    async with asking(kind, raw.base_url) as asker:
        with pytest.raises(OpenRouterAPIError) as caught:
            await asker.ask()
    assert caught.value.status == status
    assert len(raw.seen().requests) == 1


@families
async def test_t15_a_circle_ends(kind, family, raw):
    raw.script(to("/api/v1/chat/completions"))
    async with asking(kind, raw.base_url, family=family) as asker:
        with pytest.raises(OpenRouterConnectionError, match="in a circle") as caught:
            await asker.ask()
    assert caught.value.attempts == 1
    assert len(raw.seen().requests) == 4


async def test_t15_redirects_leave_no_connection_behind(kind, raw):
    raw.script(to("/there"), OK)
    async with asking(kind, raw.base_url, max_connections=1) as asker:
        assert (await asker.ask(timeout=5.0)).attempts == 1
    await asyncio.to_thread(raw.wait_for, lambda seen: seen.open_connections == 0)


@pytest.mark.parametrize("path", ["https://evil.example/x", "//evil.example/x"])
async def test_the_key_is_sent_to_no_path_that_leads_to_another_server(kind, path, raw):
    raw.script(OK)
    async with asking(kind, raw.base_url) as asker:
        with pytest.raises(OpenRouterConfigurationError):
            await asker.run("request", "GET", path)
    assert raw.seen().connections == 0
