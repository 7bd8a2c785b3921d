"""A shop whose agent asks all that an agent can ask; `mbxai serve lamp_shop:agent` serves it."""

import os
from typing import Annotated

import anyio
from pydantic import BaseModel

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient, DialogOption, Secret
from mbxai.sessions import SealedSessionStore, SQLiteSessionStore

LOGIN = DialogOption(
    id="shop_login",
    title="Log in to the shop",
    description="The agent needs it to find the order.",
    parameters={"shop": "lamps.example.com"},
    credentials=["username", "password"],
)
BADGE = DialogOption(id="badge", title="Show the badge", description="Any will do.")


class Receipt(BaseModel):
    """What became of an order."""

    order: str
    summary: str


class Refund(BaseModel):
    """What was paid back."""

    amount: float


async def find_order(
    customer: str,
    username: Annotated[Secret, "shop_login.username"],
    password: Annotated[Secret, "shop_login.password"],
) -> str:
    """Find the last order of a customer.

    Args:
        customer: Whose order.
        username: Of the shop.
        password: Of the shop.
    """
    await anyio.sleep(0.3)
    if password.reveal() != os.environ["LAMP_SHOP_PASSWORD"]:
        return f"{username.reveal()} may not log in"
    return f"order 4711 of {customer}, <b onclick='alert(1)'>one lamp</b>"


async def ship(order: str) -> str:
    """Ship an order.

    Args:
        order: Its number.
    """
    await anyio.sleep(0.3)
    return f"order {order} is shipped"


def agent() -> AsyncAgentClient:
    """Return the agent, with its sessions in the file that the environment names."""
    tools = AsyncToolClient(AsyncOpenRouterClient())
    tools.register_tool("find_order", "Find an order", find_order, effect="read")
    tools.register_tool("ship", "Ship an order", ship)
    store = SealedSessionStore(SQLiteSessionStore(os.environ["LAMP_SHOP_SESSIONS"]))
    return AsyncAgentClient(tools, True, [LOGIN, BADGE], session_handler=store)
