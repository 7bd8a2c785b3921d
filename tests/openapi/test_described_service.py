"""schemathesis on the OpenAPI document of all that a service can offer: no request makes it fail."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from support.agent_http import agent_of
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
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


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
