"""The agent service of the pair: what `agent_router` makes of the agent, for the UI service.

    pip install "mbxai[cli,fastapi,redis]" uvicorn
    cd examples/fastapi_shop
    export OPENROUTER_API_KEY=... REDIS_URL=redis://127.0.0.1:6379/0
    export MBXAI_SESSION_KEY=$(python -c "import mbxai.sessions as s; print(s.KeyRing.generate())")
    export SERVICE_TOKEN=$(python -c "import secrets; print(secrets.token_urlsafe())")

    uvicorn shop_service:app --port 8002 &
    uvicorn agent_service:app --port 8001 &
    mbxai sessions work shop_agent:agent &
    mbxai sessions work shop_agent:agent &
    uvicorn ui_service:app --port 8000 &

    curl 127.0.0.1:8000/chat --cookie user=ann --json '{"message": "Give me my last order"}'
    curl 127.0.0.1:8000/sessions/ID --cookie user=ann
    curl 127.0.0.1:8000/sessions/ID/credentials --cookie user=ann --json '{
        "interaction_id": "...", "username": "demo", "password": "demo123"}'

1. The user asks; the UI begins a session here, and one of the two workers runs it.
2. The agent finds that it must log in, and the session rests; the UI shows the dialogue.
3. What the user types goes to the shop's tool, in whichever worker goes on. The model, the logs and
   the events never hold it. A worker that is killed loses nothing.
"""

import hmac
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException
from shop_agent import Order, agent, openrouter

from mbxai.fastapi import agent_router

SERVICE_TOKEN = os.environ["SERVICE_TOKEN"]


def user(x_service_token: Annotated[str, Header()], x_user: Annotated[str, Header()]) -> str:
    """Believe the UI service, and nobody else, who its user is."""
    if not hmac.compare_digest(x_service_token.encode(), SERVICE_TOKEN.encode()):
        raise HTTPException(403)
    return x_user


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
    async with openrouter, agent:
        yield


app = FastAPI(lifespan=lifespan)
# Requests are taken here, runs are the workers': each can be restarted without the other.
app.include_router(agent_router(agent, scope=user, responses=[Order], works=False))
