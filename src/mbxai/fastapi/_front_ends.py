"""How front ends that speak a protocol of their own run a session; what differs is the encoding."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mbxai.agent import AgentResponse
from mbxai.agent.events import AgentEvent
from mbxai.agent.models import AgentState, HumanInLoopResponse, HumanInteractionType
from mbxai.errors import (
    ConfigurationError,
    InteractionMismatchError,
    InteractionNotFoundError,
    MBXAIError,
    SessionNotFoundError,
)
from mbxai.serving import Follower, Problem, RunManager, SessionView, problem_of

_GOES_ON = Problem(503, "stream_ended", "The run goes on without this stream.")

Piece: TypeAlias = dict[str, Any]  # Any: JSON of the wire

Id = Annotated[str, Field(min_length=1, max_length=256)]


class FrontEndModel(BaseModel):
    """What a front end sends; what is not read is ignored."""

    model_config: ClassVar[ConfigDict] = ConfigDict(alias_generator=to_camel, extra="ignore")


class ResumeEntry(FrontEndModel):
    """An answer to one interrupt."""

    interrupt_id: Id
    status: Literal["resolved", "cancelled"]
    payload: Any = None  # Any: JSON that the interrupt's schema describes


class FrontEndRun(Protocol):
    """One run in the protocol of a front end."""

    def add(self, event: AgentEvent) -> list[Piece]:
        """Return what an event of the session is there."""
        ...

    def end(self, response: AgentResponse[Any]) -> list[Piece]:
        """Return the end of a run that rests."""
        ...

    def fail(self, problem: Problem) -> list[Piece]:
        """Return the end of a stream that cannot tell how the run ends."""
        ...


class Thread:
    """The session of a front end's thread, which the front end has named."""

    def __init__(
        self, runs: RunManager, agent_id: str, scope: str, response_model: type[BaseModel]
    ) -> None:
        """Take what it is run with.

        Args:
            runs: Runs the sessions.
            agent_id: The thread's id, which is the session's.
            scope: Who asks.
            response_model: What a final response is made as.
        """
        self.agent_id: str = agent_id
        self._runs = runs
        self._scope = scope
        self._model = response_model

    async def before(self) -> SessionView:
        """Return how the session stands before the run, also where there is none yet."""
        try:
            return await self._runs.view(self.agent_id, scope=self._scope)
        except SessionNotFoundError:
            state = AgentState.ANALYZING_REQUIREMENT
            response = AgentResponse[Any](agent_id=self.agent_id, state=state)
            return SessionView(
                response=response, prompt="", version=0, is_running=False, last_event=0
            )

    async def begin(self, prompt: str, request_key: str | None) -> None:
        """Begin the session, or a further turn of it.

        Args:
            prompt: What is to be achieved.
            request_key: What comes twice with it is begun once.
        """
        await self._runs.start(
            prompt,
            self._model,
            scope=self._scope,
            may_create=True,
            agent_id=self.agent_id,
            request_key=request_key,
        )

    async def resume(self, before: SessionView, entries: Sequence[ResumeEntry]) -> None:
        """Answer what the session has asked; an answer that is none cancels the turn.

        Args:
            before: How the session stands.
            entries: The answers.

        Raises:
            InteractionNotFoundError: One is to something that is not asked; none was taken.
            InteractionMismatchError: One does not fit; none was taken.
        """
        requests = before.response.human_interaction_requests
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
            await self._runs.cancel(self.agent_id, scope=self._scope)
        else:
            await self._runs.answer(self.agent_id, answers, scope=self._scope)

    async def follow(self, after: int) -> Follower:
        """Follow the session until it rests; who waits for people is over until it is resumed.

        Args:
            after: Number (`seq`) of the last event that is known.
        """
        return await self._runs.follow(
            self.agent_id, scope=self._scope, after=after, until_waiting=True
        )

    async def told(self, run: FrontEndRun, followed: Follower) -> AsyncGenerator[Piece]:
        """Tell what happens until the session rests, and then how it stands.

        Args:
            run: Says it in the front end's protocol.
            followed: The session's events; they are closed at the end.
        """
        try:
            async with followed as events:
                async for event in events:
                    for piece in run.add(event):
                        yield piece
            after = await self._runs.view(self.agent_id, scope=self._scope)
            last = run.fail(_GOES_ON) if after.is_running else run.end(after.response)
        except MBXAIError as error:  # deleted meanwhile, or out of reach
            last = run.fail(problem_of(error))
        for piece in last:
            yield piece


def prompt_of(messages: Sequence[dict[str, Any]], parts: str) -> str:  # Any: JSON
    """Return the last text of the person; earlier turns are in the session.

    Args:
        messages: The conversation, as the front end has it.
        parts: Name of the field that holds a message's text, or its parts.

    Raises:
        ConfigurationError: There is none.
    """
    said = next((m.get(parts) for m in reversed(messages) if m.get("role") == "user"), None)
    if isinstance(said, list):
        found = cast("list[object]", said)
        texts = [cast("dict[str, Any]", p).get("text") for p in found if isinstance(p, dict)]
        said = "\n".join(text for text in texts if isinstance(text, str))
    if not isinstance(said, str) or not said.strip():
        raise ConfigurationError("messages has no text of a user.")
    return said


def _answer(entry: ResumeEntry, kind: HumanInteractionType) -> HumanInLoopResponse:
    given: object = entry.payload
    payload = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    fixed = {"interaction_id": entry.interrupt_id, "response_type": kind}
    try:
        return HumanInLoopResponse.model_validate(payload | fixed)
    except ValidationError:
        raise InteractionMismatchError(
            "The payload does not fit the interrupt's schema.",
            interaction_id=entry.interrupt_id,
        ) from None
