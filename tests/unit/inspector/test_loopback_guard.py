"""Who gets through to a service on a person's own machine, without sockets."""

from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from mbxai.inspector import LoopbackGuard

TOKEN = "tkn-4f1b"
HOST = {"Host": "127.0.0.1:8765"}


async def welcome(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"welcome"})


async def asked(
    method: str, path: str, headers: dict[str, str], *, token: str | None = TOKEN
) -> httpx.Response:
    guard: Any = LoopbackGuard(welcome, token=token)
    transport = httpx.ASGITransport(app=guard)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765") as client:
        return await client.request(method, path, headers=headers)


async def test_the_token_comes_once_in_the_address_and_then_in_a_cookie() -> None:
    first = await asked("GET", f"/agent/inspector?token={TOKEN}", HOST)
    assert first.status_code == 303
    assert first.headers["location"] == "/agent/inspector"
    cookie = first.headers["set-cookie"]
    assert all(word in cookie.lower() for word in ("httponly", "samesite=strict", "path=/"))
    second = await asked("GET", "/agent/inspector", HOST | {"Cookie": cookie.partition(";")[0]})
    assert second.text == "welcome"


async def test_two_services_of_one_machine_have_cookies_of_their_own() -> None:
    names = []
    for port in (8765, 8766):
        answer = await asked("GET", f"/?token={TOKEN}", {"Host": f"localhost:{port}"})
        names.append(answer.headers["set-cookie"].partition("=")[0])
    assert len(set(names)) == 2
    other = {"Host": "localhost:8766", "Cookie": f"{names[0]}={TOKEN}"}
    assert (await asked("GET", "/", other)).status_code == 401


async def test_programs_send_it_as_a_header() -> None:
    answer = await asked("GET", "/agent/sessions", HOST | {"Authorization": f"Bearer {TOKEN}"})
    assert answer.text == "welcome"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 401),
        ("GET", "/?token=other", {}, 401),
        ("GET", "/?token=%ff%00", {}, 401),
        ("POST", f"/?token={TOKEN}", {}, 401),
        ("GET", "/", {"Authorization": "Bearer "}, 401),
        ("GET", "/", {"Authorization": f"Basic {TOKEN}"}, 401),
        ("GET", "/", {"Cookie": "mbxai_inspector_8765=other"}, 401),
        ("GET", "/", {"Cookie": '"=;;;[]'}, 401),
        ("GET", f"/?token={TOKEN}", {"Host": "evil.example"}, 421),
        ("GET", f"/?token={TOKEN}", {"Host": "127.0.0.1.evil.example:8765"}, 421),
        ("GET", f"/?token={TOKEN}", {"Host": "evil.example@127.0.0.1"}, 421),
        ("GET", f"/?token={TOKEN}", {"Host": ""}, 421),
        ("POST", "/", {"Origin": "https://evil.example", "Authorization": f"Bearer {TOKEN}"}, 403),
        ("POST", "/", {"Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {TOKEN}"}, 403),
    ],
)
async def test_all_others_are_refused(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = await asked(method, path, HOST | headers)
    assert answer.status_code == status
    assert TOKEN not in answer.text


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8765", "LOCALHOST"])
async def test_all_names_of_this_machine_are_served(host: str) -> None:
    assert (await asked("GET", "/", {"Host": host}, token=None)).text == "welcome"


async def test_the_way_back_stays_on_this_host() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    query = f"token={TOKEN}".encode()
    scope: Any = {"type": "http", "method": "GET", "path": "//evil.example/", "query_string": query}
    scope["headers"] = [(b"host", b"localhost")]
    await LoopbackGuard(welcome, token=TOKEN)(scope, receive, send)
    assert sent[0]["status"] == 303
    assert dict(sent[0]["headers"])[b"location"] == b"/evil.example/"


async def test_nobody_gets_a_websocket() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await LoopbackGuard(welcome, token=None)({"type": "websocket"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
