"""An agent's router, served by uvicorn in a thread, and a client whose user is ann."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Header, HTTPException
from support.agent_worker_shop import Receipt, Shop, plan

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient, DialogOption
from mbxai.fastapi import agent_router
from mbxai.sessions import InMemorySessionStore, SessionStore
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

SECRET = "pw-canary-3e99d1"
LOGIN = DialogOption(id="login", title="Log in", description="To the shop", credentials=["pin"])


def user(x_user: str = Header()) -> str:
    if x_user == "stranger":
        raise HTTPException(403)
    return x_user


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """An application, served by uvicorn in a thread; its address."""
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


@contextmanager
def served(agent: AsyncAgentClient, **options: Any) -> Iterator[httpx.Client]:
    app = FastAPI()
    app.include_router(agent_router(agent, **{"scope": user, "responses": [Receipt], **options}))
    with (
        listening(app) as url,
        httpx.Client(base_url=url, headers={"X-User": "ann"}, timeout=20) as client,
    ):
        yield client


def asking_at_once(fake: FakeOpenRouter) -> AsyncAgentClient:
    """An agent that asks a question and for a log-in in one breath, and then gets both answers."""
    dialog = {"dialog_option_id": "login", "reason": "it"}
    calls = [
        {"name": "ask_question", "arguments": {"prompt": "Which box?"}},
        {"name": "open_dialog", "arguments": dialog},
    ]
    fake.script(
        Reply(when=Match(schema="TodoList"), json=plan(tools_needed=[])["TodoList"]),
        Reply(tool_calls=calls, when=Match(tool="open_dialog")),
        Reply("It is shipped", when=Match(tool="open_dialog")),
        Auto(times=None),
    )
    client = AsyncOpenRouterClient("sk-or-v1-fake", "fake/model", fake.base_url, max_retries=0)
    return AsyncAgentClient(client, True, [LOGIN])


def agent_of(
    fake: FakeOpenRouter,
    folder: Path,
    *,
    people: bool = False,
    seconds: float = 0.0,
    store: SessionStore | None = None,
) -> AsyncAgentClient:
    shop = Shop(url=fake.base_url, folder=folder, seconds=seconds)
    client = AsyncOpenRouterClient("sk-or-v1-fake", "fake/model", fake.base_url, max_retries=0)
    tools = AsyncToolClient(client)
    tools.register_tool("ship", "Ship something", shop.ship, effect="idempotent")
    return AsyncAgentClient(tools, people, session_handler=store or InMemorySessionStore())
