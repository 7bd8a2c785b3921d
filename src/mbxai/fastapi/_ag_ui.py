"""`POST .../ag-ui`: a front end that speaks AG-UI runs the agent, and answers what it asks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from mbxai.errors import MBXAIError
from mbxai.fastapi._front_ends import FrontEndModel, Id, ResumeEntry, Thread, prompt_of
from mbxai.serving import SSE_HEADERS, AGUIRun, RunManager, SessionView, encode_ag_ui, problem_of


class RunAgentInput(FrontEndModel):
    """What a front end sends to begin a run, or to resume one."""

    thread_id: Id
    run_id: Id
    messages: list[dict[str, Any]]  # Any: JSON; only the last text of the person is read
    resume: list[ResumeEntry] | None = None


def add_ag_ui(router: APIRouter, runs: RunManager, response_model: type[BaseModel]) -> None:
    """Add the operation to a router.

    Args:
        router: Where.
        runs: Runs the sessions.
        response_model: What a final response is made as.
    """

    @router.post("/ag-ui", response_class=StreamingResponse)
    async def run(request: Request, body: RunAgentInput) -> StreamingResponse:
        """Run the agent for a front end that speaks AG-UI 1.0."""
        scope = cast("str", request.state.mbxai_scope)
        thread = Thread(runs, body.thread_id, scope, response_model)
        before = await thread.before()
        return StreamingResponse(_stream(thread, before, body), headers=SSE_HEADERS)


async def _stream(
    thread: Thread, before: SessionView, body: RunAgentInput
) -> AsyncGenerator[bytes]:
    run = AGUIRun(thread.agent_id, body.run_id)
    for event in run.begin(before.response):
        yield encode_ag_ui(event)
    try:
        if body.resume:
            await thread.resume(before, body.resume)
        else:
            await thread.begin(prompt_of(body.messages, "content"), body.run_id)
        followed = await thread.follow(before.last_event)
    except MBXAIError as error:
        for event in run.fail(problem_of(error)):
            yield encode_ag_ui(event)
        return
    async with aclosing(thread.told(run, followed)) as told:
        async for event in told:
            yield encode_ag_ui(event)
