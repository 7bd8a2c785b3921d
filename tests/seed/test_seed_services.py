"""The two services of the README of mbxai 2.3.0, unchanged, as two real uvicorn processes."""

from pathlib import Path

import httpx
import pytest
from support import seed

from mbxai.testing import FakeOpenRouter

UI = seed.block("class CredentialsForm(BaseModel):")
AGENT = seed.block("def list_orders_from_shop(")

SERVE = """
import sys, uvicorn
uvicorn.run(app, host=sys.argv[1], port=8001, log_level="debug")
"""


@pytest.mark.slow
def test_the_order_comes_back_and_the_credentials_reach_only_the_shop(tmp_path: Path) -> None:
    with (
        FakeOpenRouter() as fake,
        seed.served(tmp_path / "agent", AGENT + SERVE, fake.env(), port=8001) as agent_host,
    ):
        names = {"agent-service:8001": (agent_host, 8001)}
        with (
            seed.served(tmp_path / "ui", UI + SERVE, names=names, port=8001) as ui_host,
            httpx.Client(base_url=f"http://{ui_host}:8001", timeout=20) as ui,
        ):
            asked = ui.post(
                "/chat",
                json={"message": "Give me my last order from this online shop", "user_id": "u1"},
            ).json()
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
