"""The agent of the pair: it finds orders in a shop that wants a login. Also what workers run.

    mbxai sessions work shop_agent:agent

Its sessions are in Redis, so that any worker may go on with them. They are sealed: only then does a
login outlive the process that took it, and reach the worker that needs it.
"""

import os

import httpx
from pydantic import BaseModel, Field

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient, DialogOption, Secret
from mbxai.sessions import RedisSessionStore, SealedSessionStore

SHOP_URL = os.environ.get("SHOP_URL", "http://127.0.0.1:8002")
# How soon another worker goes on with what one was at that was killed.
LEASE_SECONDS = float(os.environ.get("LEASE_SECONDS", "30"))
LOGIN = DialogOption(
    id="shop_credentials",
    title="Shop Credentials",
    description="Provide shop login credentials",
    parameters={"shop_url": SHOP_URL},
    credentials=["username", "password"],
)


class Order(BaseModel):
    """An order of the shop."""

    id: str = Field(description="Order ID")
    order_number: str = Field(description="Order number")
    date: str = Field(description="Order date")


async def list_orders_from_shop(username: Secret, password: Secret) -> list[Order]:
    """List the user's orders in the shop, oldest first.

    The model never sees the login: it opens the dialogue, and what the user types is given to this
    function alone.
    """
    login = httpx.BasicAuth(username.reveal(), password.reveal())
    async with httpx.AsyncClient(auth=login, timeout=10) as shop:
        answer = await shop.get(f"{SHOP_URL}/orders")
    if answer.status_code == 401:
        raise PermissionError("The shop refused the login; ask for it again.")
    return [Order.model_validate(order) for order in answer.raise_for_status().json()]


store = SealedSessionStore(RedisSessionStore(os.environ["REDIS_URL"], prefix="shop:"))
openrouter = AsyncOpenRouterClient(model="openai/gpt-4.1")
tools = AsyncToolClient(openrouter)
tools.tool(effect="read")(list_orders_from_shop)
agent = AsyncAgentClient(
    tools,
    human_in_loop=True,
    dialog_options=[LOGIN],
    session_handler=store,
    lease_seconds=LEASE_SECONDS,
)
