"""The UI service of the pair: talks to the user, shows the login form, and asks the agent service.

    uvicorn ui_service:app --port 8000

agent_service.py says how all work together. AGENT_URL is where the agent service is,
http://127.0.0.1:8001 unless set. This service keeps nothing, and a password is only passed on.
"""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import Cookie, FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from ui_forms import ChatMessage, Credentials, Shown, shown

from mbxai.serving import SSE_HEADERS

AGENT_URL = os.environ.get("AGENT_URL", "http://127.0.0.1:8001")
SERVICE_TOKEN = os.environ["SERVICE_TOKEN"]


User = Annotated[str, Cookie(alias="user")]  # a real service looks its own login up


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    headers = {"X-Service-Token": SERVICE_TOKEN}
    async with httpx.AsyncClient(base_url=AGENT_URL, headers=headers, timeout=30) as agent:
        app.state.agent = agent
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/chat", status_code=202)
async def chat(user: User, message: ChatMessage) -> Shown:
    begun = await ask(user, "POST", "", {"prompt": message.message})
    return Shown(type="working", session_id=begun["agent_id"])


@app.get("/sessions/{session_id}")
async def session(user: User, session_id: str) -> Shown:
    return shown(await ask(user, "GET", f"/{session_id}"))


@app.post("/sessions/{session_id}/credentials", status_code=202)
async def credentials(user: User, session_id: str, form: Credentials) -> Shown:
    answer = {
        "interaction_id": form.interaction_id,
        "response_type": "dialog_option",
        "dialog_option_id": "shop_credentials",
        "credentials": {"username": form.username, "password": form.password.get_secret_value()},
    }
    return shown(await ask(user, "POST", f"/{session_id}/responses", answer))


@app.get("/sessions/{session_id}/events")
async def events(
    user: User, session_id: str, last_event_id: Annotated[str, Header()] = ""
) -> StreamingResponse:
    """Pass on what happens, for a browser's EventSource."""
    client: httpx.AsyncClient = app.state.agent
    headers = {"X-User": user, "Last-Event-ID": last_event_id}
    path = f"/agent/sessions/{session_id}/events"
    request = client.build_request("GET", path, headers=headers, timeout=None)
    try:
        answer = await client.send(request, stream=True)
    except httpx.HTTPError as error:
        raise HTTPException(502, "The agent cannot be reached.") from error

    async def passed_on() -> AsyncGenerator[bytes]:
        try:
            async for piece in answer.aiter_bytes():
                yield piece
        except httpx.HTTPError:
            pass  # the browser comes back, and goes on after the last event that it has
        finally:
            await answer.aclose()

    return StreamingResponse(passed_on(), answer.status_code, SSE_HEADERS)


# Any: the JSON of the agent service, which its OpenAPI document describes.
async def ask(user: str, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
    client: httpx.AsyncClient = app.state.agent
    try:
        answer = await client.request(
            method, f"/agent/sessions{path}", json=body, headers={"X-User": user}
        )
    except httpx.HTTPError as error:
        raise HTTPException(502, "The agent cannot be reached.") from error
    if answer.status_code in (404, 409, 422, 429):
        raise HTTPException(answer.status_code, answer.json()["title"])
    if answer.is_error:
        raise HTTPException(502, "The agent could not go on.")
    return answer.json()
