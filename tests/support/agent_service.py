"""A service with the agent that the environment describes; see `Shop.env`. For uvicorn."""

import os
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header
from support.agent_worker_shop import LEASE_SECONDS, Receipt, Shop

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient
from mbxai.fastapi import agent_router


def user(x_user: Annotated[str, Header()]) -> str:
    return x_user


def app() -> FastAPI:
    given = os.environ
    shop = Shop(
        url=given["SHOP_URL"],
        folder=Path(given["SHOP_FOLDER"]),
        store=given["SHOP_STORE"],
        prefix=given["SHOP_PREFIX"],
        seconds=float(given["SHOP_SECONDS"]),
        people=bool(given["SHOP_PEOPLE"]),
    )
    tools = AsyncToolClient(AsyncOpenRouterClient("sk-or-v1-fake", "fake/model", shop.url))
    tools.register_tool("ship", "Ship something", shop.ship, effect="idempotent")
    agent = AsyncAgentClient(
        tools, shop.people, session_handler=shop.open_store(), lease_seconds=LEASE_SECONDS
    )
    service = FastAPI()
    service.include_router(
        agent_router(agent, scope=user, responses=[Receipt], max_running=20, grace_seconds=1)
    )
    return service
