"""`POST .../ag-ui`: a front end that speaks AG-UI runs the agent, and answers what it asks."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, ClassVar, Literal, cast

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mbxai.agent import AgentResponse
from mbxai.agent.models import AgentState, HumanInLoopResponse, HumanInteractionType
from mbxai.errors import (
    ConfigurationError,
    InteractionMismatchError,
    InteractionNotFoundError,
    MBXAIError,
    SessionNotFoundError,
)
from mbxai.serving import SSE_HEADERS, RunManager, SessionView, problem_of
from mbxai.serving._ag_ui import AGUIEvent, AGUIRun, encode_ag_ui

Id = Annotated[str, Field(min_length=1, max_length=256)]


class _Wire(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(alias_generator=to_camel, extra="ignore")


class ResumeEntry(_Wire):
    """An answer to one interrupt."""

    interrupt_id: Id
    status: Literal["resolved", "cancelled"]
    payload: Any = None  # Any: JSON that the interrupt's schema describes


class RunAgentInput(_Wire):
    """What a front end sends to begin a run, or to resume one; what is not read is ignored."""

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
        asked = _Run(runs, body, response_model, cast("str", request.state.mbxai_scope))
        return StreamingResponse(asked.stream(), headers=SSE_HEADERS)


class _Run:
    """One run that a front end asked for."""

    def __init__(
        self, runs: RunManager, body: RunAgentInput, response_model: type[BaseModel], scope: str
    ) -> None:
        self._runs = runs
        self._body = body
        self._model = response_model
        self._scope = scope
        self._thread = body.thread_id

    async def stream(self) -> AsyncGenerator[bytes]:
        """Give the run as server-sent events."""
        run = AGUIRun(self._thread, self._body.run_id)
        before = await self._view()
        response = before.response if before else _nothing_yet(self._thread)
        for event in run.begin(response):
            yield encode_ag_ui(event)
        try:
            await self._begin(before)
        except MBXAIError as error:
            problem = problem_of(error)
            for event in run.fail(problem.detail or problem.title, problem.code):
                yield encode_ag_ui(event)
            return
        async for event in self._events(run, before.last_event if before else 0):
            yield encode_ag_ui(event)

    async def _events(self, run: AGUIRun, after: int) -> AsyncGenerator[AGUIEvent]:
        # Who waits for people is over for the front end, until it resumes.
        followed = await self._runs.follow(
            self._thread, scope=self._scope, after=after, until_waiting=True
        )
        async with followed as events:
            async for event in events:
                for told in run.add(event):
                    yield told
        view = await self._view()
        if view is None or view.is_running:
            last = run.fail("The run goes on without this stream.", "stream_ended")
        else:
            last = run.end(view.response)
        for told in last:
            yield told

    async def _begin(self, before: SessionView | None) -> None:
        if self._body.resume:
            await self._resume(before, self._body.resume)
        else:
            await self._runs.start(
                _prompt_of(self._body.messages),
                self._model,
                scope=self._scope,
                may_create=True,
                agent_id=self._thread,
                request_key=self._body.run_id,
            )

    async def _resume(self, before: SessionView | None, entries: list[ResumeEntry]) -> None:
        requests = before.response.human_interaction_requests if before else []
        kinds = {request.id: request.interaction_type for request in requests}
        answers: list[HumanInLoopResponse] = []
        for entry in entries:
            if (kind := kinds.get(entry.interrupt_id)) is None:
                raise InteractionNotFoundError(
                    "There is no such open interrupt.", interaction_id=entry.interrupt_id
                )
            if entry.status == "resolved":
                answers.append(_answer(entry, kind))
        if len(answers) < len(entries):
            await self._runs.cancel(self._thread, scope=self._scope)
        else:
            await self._runs.answer(self._thread, answers, scope=self._scope)

    async def _view(self) -> SessionView | None:
        try:
            return await self._runs.view(self._thread, scope=self._scope)
        except SessionNotFoundError:
            return None


def _answer(entry: ResumeEntry, kind: HumanInteractionType) -> HumanInLoopResponse:
    given: object = entry.payload
    payload = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    fixed = {"interaction_id": entry.interrupt_id, "response_type": kind}
    try:
        return HumanInLoopResponse.model_validate(payload | fixed)
    except ValidationError:
        raise InteractionMismatchError(
            "The payload does not fit the interrupt's responseSchema.",
            interaction_id=entry.interrupt_id,
        ) from None


def _prompt_of(messages: list[dict[str, Any]]) -> str:
    """The last text of the person; earlier turns are in the session."""
    said = next((m.get("content") for m in reversed(messages) if m.get("role") == "user"), None)
    if isinstance(said, list):
        parts = cast("list[object]", said)
        texts = [cast("dict[str, Any]", p).get("text") for p in parts if isinstance(p, dict)]
        said = "\n".join(text for text in texts if isinstance(text, str))
    if not isinstance(said, str) or not said.strip():
        raise ConfigurationError("messages has no text of a user.")
    return said


def _nothing_yet(agent_id: str) -> AgentResponse[Any]:
    return AgentResponse[Any](agent_id=agent_id, state=AgentState.ANALYZING_REQUIREMENT)
