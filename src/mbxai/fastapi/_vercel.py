"""`POST .../vercel/chat`: `useChat` of Vercel's AI SDK runs the agent, and answers what it asks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from mbxai.fastapi._front_ends import FrontEndModel, Id, ResumeEntry, Thread, prompt_of
from mbxai.serving import (
    AI_UI_DONE,
    AI_UI_HEADERS,
    AIUIRun,
    Follower,
    RunManager,
    SessionView,
    encode_ai_ui,
)


class ChatRequest(FrontEndModel):
    """What `DefaultChatTransport` sends, and answers of a person as `body: {resume: [...]}`."""

    id: Id
    messages: list[dict[str, Any]]  # Any: JSON; only the last text of the person is read
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    resume: list[ResumeEntry] | None = None


def add_vercel(router: APIRouter, runs: RunManager, response_model: type[BaseModel]) -> None:
    """Add the operations to a router.

    Args:
        router: Where.
        runs: Runs the sessions.
        response_model: What a final response is made as.
    """

    def thread_of(request: Request, agent_id: str) -> Thread:
        return Thread(runs, agent_id, cast("str", request.state.mbxai_scope), response_model)

    @router.post("/vercel/chat", response_class=StreamingResponse)
    async def chat(request: Request, body: ChatRequest) -> StreamingResponse:
        """Run the agent for `useChat` of Vercel's AI SDK; its chat is the session."""
        thread = thread_of(request, body.id)
        before = await thread.before()
        if body.resume:
            await thread.resume(before, body.resume)
        else:
            await thread.begin(prompt_of(body.messages, "parts"), _key_of(body))
        return await _streamed(thread, before)

    @router.get("/vercel/chat/{chat_id}/stream", response_class=StreamingResponse)
    async def again(request: Request, chat_id: str) -> Response:
        """Follow a chat that runs already; 204 where nothing runs."""
        thread = thread_of(request, chat_id)
        before = await thread.before()
        return await _streamed(thread, before) if before.is_running else Response(status_code=204)


async def _streamed(thread: Thread, before: SessionView) -> StreamingResponse:
    followed = await thread.follow(before.last_event)
    return StreamingResponse(_stream(thread, before, followed), headers=AI_UI_HEADERS)


async def _stream(thread: Thread, before: SessionView, followed: Follower) -> AsyncGenerator[bytes]:
    run = AIUIRun(thread.agent_id)
    for chunk in run.begin(before.response, before.last_event):
        yield encode_ai_ui(chunk)
    async with aclosing(thread.told(run, followed)) as told:
        async for chunk in told:
            yield encode_ai_ui(chunk)
    yield AI_UI_DONE


def _key_of(body: ChatRequest) -> str | None:
    """Return what makes one turn of a message that is sent twice; None: it is meant anew."""
    if body.trigger == "regenerate-message":
        return None
    found = next((m.get("id") for m in reversed(body.messages) if m.get("role") == "user"), None)
    return found if isinstance(found, str) and 0 < len(found) <= 256 else None
