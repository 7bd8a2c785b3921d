from collections.abc import MutableMapping
from typing import Any

import pytest

from mbxai.mcp.serving._http_app import HostGuard


async def status_of(hosts: list[str], **headers: str) -> int:
    sent: list[MutableMapping[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is read")

    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    await HostGuard(app, hosts)({"type": "http", "headers": raw}, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8000", "[::1]:80", "[::1]", "LOCALHOST:1"]
)
async def test_this_machine_is_served(host: str) -> None:
    assert await status_of([], host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil:80"]
)
async def test_other_names_are_refused(host: str) -> None:
    assert await status_of([], host=host) == 421


async def test_pages_of_other_hosts_are_refused() -> None:
    assert await status_of([], host="localhost:8000", origin="http://evil.example") == 403
    assert await status_of([], host="localhost:8000", origin="null") == 403
    assert await status_of([], host="localhost:8000", origin="http://localhost:3000") == 200


async def test_a_name_can_be_allowed_and_all_can() -> None:
    assert await status_of(["mcp.example.org"], host="mcp.example.org") == 200
    assert await status_of(["mcp.example.org"], host="other.example.org") == 421
    assert await status_of(["*"], host="anything", origin="http://anything") == 200
