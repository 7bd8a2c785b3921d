"""The two services of the README of mbxai 2.3.0, unchanged, as two real uvicorn processes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from support import seed

from mbxai.testing import FakeOpenRouter

UI = seed.block("class CredentialsForm(BaseModel):")
AGENT = seed.block("def list_orders_from_shop(")

SERVE = """
import sys, uvicorn
uvicorn.run(app, host=sys.argv[1], port=8001, log_level="debug", loop="asyncio")
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[FakeOpenRouter, httpx.Client]]:
    """The fake behind both services, and a browser of the first one."""
    with (
        FakeOpenRouter() as fake,
        seed.served(tmp_path / "agent", AGENT + SERVE, fake.env(), port=8001) as agent_host,
    ):
        names = {"agent-service:8001": (agent_host, 8001)}
        with (
            seed.served(tmp_path / "ui", UI + SERVE, names=names, port=8001) as ui_host,
            httpx.Client(base_url=f"http://{ui_host}:8001", timeout=20) as ui,
        ):
            yield fake, ui


def ask(ui: httpx.Client, user: str = "u1") -> dict[str, str]:
    message = "Give me my last order from this online shop"
    return ui.post("/chat", json={"message": message, "user_id": user}).json()


@pytest.mark.slow
def test_the_order_comes_back_and_the_credentials_reach_only_the_shop(
    shop: tuple[FakeOpenRouter, httpx.Client], tmp_path: Path
) -> None:
    fake, ui = shop
    asked = ask(ui)
    assert asked["type"] == "credentials_form"
    assert asked["shop_url"] == "https://shop.example.com"

    form = {"username": "demo", "password": "demo123", "shop_url": asked["shop_url"]}
    order = ui.post(
        "/submit_credentials", params={"session_id": asked["session_id"]}, json=form
    ).json()

    assert order == {
        "type": "order_result",
        "message": "Your last order: #ORD-2024-003 from 2024-01-25 (ID: ord_003)",
    }
    assert "demo123" not in str([request.body for request in fake.requests()])
    assert "demo123" not in (tmp_path / "agent" / "service.log").read_text()


@pytest.mark.slow
def test_twenty_requests_at_once_to_endpoints_that_block_are_all_answered(
    shop: tuple[FakeOpenRouter, httpx.Client],
) -> None:
    _, ui = shop
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: ask(ui, f"u{n}"), range(20)))
    assert {answer["type"] for answer in answers} == {"credentials_form"}
    assert len({answer["session_id"] for answer in answers}) == 20
