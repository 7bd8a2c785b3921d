"""schemathesis on the OpenAPI document of all that a service can offer: no request makes it fail."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from support.agent_http import agent_of, listening
from support.agent_worker_shop import Receipt, plan

from mbxai import AsyncOpenRouterClient, AsyncToolClient
from mbxai.fastapi import agent_router, anonymous, chat_router
from mbxai.testing import FakeOpenRouter

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with FakeOpenRouter(auto_overrides=plan(estimated_complexity=5)) as fake:
        app = FastAPI()
        agent = agent_of(fake, tmp_path, people=True)
        app.include_router(
            agent_router(agent, scope=anonymous, responses=[Receipt], max_waiting=1000)
        )
        client = AsyncOpenRouterClient("sk-or-v1-fake", "fake/model", fake.base_url)
        app.include_router(chat_router(AsyncToolClient(client), scope=anonymous))
        with listening(app) as address:
            yield address


@pytest.mark.timeout(280)
def test_no_request_makes_the_service_fail(url: str, tmp_path: Path) -> None:
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    assert len(paths) >= 14
    program = Path(sys.executable).with_name("schemathesis")
    words = ["--max-examples", "25", "--request-timeout", "20", "--checks", CHECKS]
    done = subprocess.run(
        [program, "run", f"{url}/openapi.json", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=270,
    )
    assert done.returncode == 0, done.stdout[-8000:]
