"""The UI service of a pair: talks to the user, shows the login form, and asks the agent service.

    uvicorn --app-dir examples/fastapi_shop ui_service:app --port 8000

agent_service.py says how the two work together. AGENT_URL is where the agent service is,
http://127.0.0.1:8001 unless set. This service keeps nothing: the form carries what names the
session, and a password is only passed on.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import httpx
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, SecretStr

from mbxai import AgentResponse

AGENT_URL = os.environ.get("AGENT_URL", "http://127.0.0.1:8001")


class ChatMessage(BaseModel):
    """What the user says."""

    message: str


class CredentialsForm(BaseModel):
    """A login form to show; what the user types goes to `/credentials`."""

    type: Literal["credentials_form"] = "credentials_form"
    message: str
    shop_url: str
    session_id: str
    interaction_id: str


class Credentials(BaseModel):
    """The form, filled in."""

    session_id: str
    interaction_id: str
    username: str
    password: SecretStr


class Answer(BaseModel):
    """A text to show."""

    type: Literal["order_result", "message"]
    message: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with httpx.AsyncClient(base_url=AGENT_URL, timeout=300.0) as agent:
        app.state.agent = agent
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/chat")
async def chat(message: ChatMessage) -> CredentialsForm | Answer:
    return await ask_agent({"prompt": message.message})


@app.post("/credentials")
async def credentials(form: Credentials) -> CredentialsForm | Answer:
    answer = {
        "interaction_id": form.interaction_id,
        "response_type": "dialog_option",
        "dialog_option_id": "shop_credentials",
        "credentials": {"username": form.username, "password": form.password.get_secret_value()},
    }
    return await ask_agent({"agent_id": form.session_id, "answers": [answer]})


async def ask_agent(request: dict[str, object]) -> CredentialsForm | Answer:
    client: httpx.AsyncClient = app.state.agent
    try:
        reply = (await client.post("/agent", json=request)).raise_for_status()
    except httpx.HTTPError as error:
        raise HTTPException(502, "The agent could not go on.") from error
    response = AgentResponse.model_validate_json(reply.content)
    if not (asked := response.human_interaction_request):
        order = response.final_response
        text = f"Your last order: #{order['order_number']} from {order['date']} (ID: {order['id']})"
        return Answer(type="order_result", message=text)
    if not asked.dialog_options:
        return Answer(type="message", message=asked.prompt)
    return CredentialsForm(
        message="Please provide your shop credentials",
        shop_url=asked.dialog_options[0].parameters["shop_url"],
        session_id=response.agent_id,
        interaction_id=asked.id,
    )
