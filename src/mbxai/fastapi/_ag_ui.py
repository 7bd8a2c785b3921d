"""`POST .../ag-ui`: a front end that speaks AG-UI runs the agent, and answers what it asks."""

from collections.abc import AsyncGenerator
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from mbxai.errors import MBXAIError
from mbxai.fastapi._front_ends import FrontEndModel, Id, ResumeEntry, Thread, prompt_of
from mbxai.serving import SSE_HEADERS, AGUIEvent, AGUIRun, RunManager, encode_ag_ui, problem_of


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
        return StreamingResponse(_stream(thread, body), headers=SSE_HEADERS)


async def _stream(thread: Thread, body: RunAgentInput) -> AsyncGenerator[bytes]:
    async for event in _events(thread, body):
        yield encode_ag_ui(event)


async def _events(thread: Thread, body: RunAgentInput) -> AsyncGenerator[AGUIEvent]:
    run = AGUIRun(thread.agent_id, body.run_id)
    before = await thread.view()
    for told in run.begin(before.response):
        yield told
    try:
        if body.resume:
            await thread.resume(before, body.resume)
        else:
            await thread.begin(prompt_of(body.messages, "content"), body.run_id)
        followed = await thread.follow(before.last_event)
    except MBXAIError as error:
        problem = problem_of(error)
        for told in run.fail(problem.detail or problem.title, problem.code):
            yield told
        return
    async with followed as events:
        async for event in events:
            for told in run.add(event):
                yield told
    after = await thread.view()
    if after.is_running:
        last = run.fail("The run goes on without this stream.", "stream_ended")
    else:
        last = run.end(after.response)
    for told in last:
        yield told
