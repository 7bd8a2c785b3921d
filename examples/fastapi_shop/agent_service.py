"""The agent service of a pair: an agent that finds orders in a shop, behind one endpoint.

    pip install "mbxai[fastapi]" httpx uvicorn
    export OPENROUTER_API_KEY=...
    uvicorn --app-dir examples/fastapi_shop agent_service:app --port 8001
    uvicorn --app-dir examples/fastapi_shop ui_service:app --port 8000

    curl 127.0.0.1:8000/chat --json '{"message": "Give me my last order"}'
    curl 127.0.0.1:8000/credentials --json '{"username": "demo", "password": "demo123",
        "session_id": "...", "interaction_id": "..."}'

1. The user asks; the UI sends the message to this service, whose agent finds that it must log in.
2. The response rests in `waiting_for_human` with the dialogue `shop_credentials`; the UI shows it.
3. The UI sends what the user typed as `HumanInLoopResponse(credentials=...)`. The shop's tool gets
   the values; the model, the logs and the session do not. The run goes on to the order.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from mbxai import (
    AgentResponse,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    DialogOption,
    HumanInLoopResponse,
    InteractionError,
    MBXAIError,
    Secret,
    SessionBusyError,
)

SHOP_URL = os.environ.get("SHOP_URL", "https://shop.example.com")
LOGIN = DialogOption(
    id="shop_credentials",
    title="Shop Credentials",
    description="Provide shop login credentials",
    parameters={"shop_url": SHOP_URL},
)


class Order(BaseModel):
    """An order of the shop."""

    id: str = Field(description="Order ID")
    order_number: str = Field(description="Order number")
    date: str = Field(description="Order date")


class AgentRequest(BaseModel):
    """A prompt that starts a session, or answers with which one goes on."""

    prompt: str = ""
    agent_id: str | None = None
    answers: list[HumanInLoopResponse] = []


def list_orders_from_shop(username: Secret, password: Secret) -> list[Order]:
    """List the user's orders in the shop, oldest first."""
    if (username.reveal(), password.reveal()) != ("demo", "demo123"):
        raise PermissionError(f"{SHOP_URL} refused the login")
    return [
        Order(id="ord_001", order_number="ORD-2024-001", date="2024-01-15"),
        Order(id="ord_002", order_number="ORD-2024-002", date="2024-01-20"),
    ]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with (
        AsyncOpenRouterClient(model="openai/gpt-4.1") as openrouter,
        AsyncToolClient(openrouter) as tools,
    ):
        tools.tool(effect="read")(list_orders_from_shop)
        app.state.agent = AsyncAgentClient(tools, human_in_loop=True, dialog_options=[LOGIN])
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/agent")
async def run(request: AgentRequest) -> AgentResponse:
    agent: AsyncAgentClient = app.state.agent
    return await agent.agent(
        request.prompt, Order, agent_id=request.agent_id, human_response=request.answers
    )


@app.exception_handler(MBXAIError)
async def failed(_: Request, error: MBXAIError) -> JSONResponse:
    is_conflict = isinstance(error, (InteractionError, SessionBusyError))
    return JSONResponse({"detail": str(error)}, status_code=409 if is_conflict else 502)
