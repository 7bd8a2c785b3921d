"""Runs a session until it rests: makes the machine's calls, gives it their outcomes, saves.

One task reads outcomes, advances the machine and saves; calls run beside it, as many as the plan
allows. A tool call is saved as started before it runs, so that no worker runs it again unknowingly.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from pydantic import BaseModel

import mbxai.agent.machine._deadlines as deadlines
from mbxai._cancellation import is_being_cancelled
from mbxai._redaction import get_logger
from mbxai._telemetry import Span
from mbxai.agent._events import (
    AgentEvent,
    BudgetReached,
    QuestionRefused,
    ResponseDelta,
    StateChanged,
)
from mbxai.agent._ports import ClientPort
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._inputs import (
    Input,
    ModelFailed,
    Ticked,
    ToolReturned,
    ToolStarted,
    TurnCancelled,
)
from mbxai.agent.machine._machine import advance
from mbxai.agent.machine._snapshot import AgentSnapshot, ModelCall, ToolCall
from mbxai.agent.machine._work import Work
from mbxai.agent.running._model_calls import ModelCaller
from mbxai.agent.running._spending import Reached, Spending
from mbxai.agent.running._state_dump import StateDump
from mbxai.agent.running._tool_calls import ToolCaller
from mbxai.agent.running._tracing import RunTrace
from mbxai.agent.running._watching import Observer
from mbxai.agent.running._windows import ContextWindows
from mbxai.errors import SessionStoreError
from mbxai.sessions import CredentialVault, PostedAnswer, SessionStore
from mbxai.sessions.journal import Journal
from mbxai.wire import Budget, ToolProgressed

logger = get_logger(__name__)

_Outcome = tuple[str, Input | None]
"""A call's id, and what came of it; None for a call that was stopped."""


AnswerReader: TypeAlias = Callable[[AgentSnapshot, Sequence[PostedAnswer]], list[Input]]
"""Turns answers of the inbox into inputs of the machine; what does not fit is left out."""

CREDENTIALS: Final = "vault"
"""Key of a stored state, beside those of the snapshot, in stores that seal."""

_INBOX_SECONDS: Final = 1.0


class _Running(NamedTuple):
    call: ModelCall | ToolCall
    scope: anyio.CancelScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all runs of one agent stand on.

    Attributes:
        scope: Whose sessions they are.
        vault: Credentials of the sessions of this scope.
        lease_seconds: How long a session stays claimed after a sign of life.
        keep_log_rows: Rows of a log that are kept; None: all.
    """

    port: ClientPort
    store: SessionStore
    scope: str
    vault: CredentialVault
    windows: ContextWindows
    lease_seconds: float
    keep_log_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """What one run is to do, and to keep to.

    Attributes:
        owner: Under which name the session is claimed.
        final_type: The model of the final response, if the caller gave one.
        budget: Bounds of the session.
        run_budget: Bounds of this run.
        observe: Gets each event; None if nobody watches.
        read_answers: Understands what people posted to the inbox.
        is_traced: Whether there is a span of it.
    """

    owner: str
    final_type: type[BaseModel] | None
    budget: Budget
    run_budget: Budget
    observe: Observer | None
    read_answers: AnswerReader
    is_traced: bool = True


class Driver:
    """One run of one session.

    Attributes:
        snapshot: The state so far; saved whenever it changed.
        exhausted: The budget's bound that stopped the run; else None.
    """

    def __init__(
        self, snapshot: AgentSnapshot, journal: Journal, means: Means, terms: RunTerms
    ) -> None:
        """Take a session that is claimed.

        Args:
            snapshot: Its state.
            journal: Where it is written.
            means: What the agent stands on.
            terms: What is to be done.
        """
        self.snapshot = snapshot
        self.exhausted: Reached | None = None
        self.trace = RunTrace(snapshot, means.port, is_traced=terms.is_traced)
        self._journal = journal
        self._dump = StateDump()
        self._saved = snapshot
        self._untold: list[AgentEvent] = []  # events of inputs that are not saved yet
        self._means = means
        self._terms = terms
        on_text = None if terms.observe is None else self._tell_text
        self._models = ModelCaller(
            means.port, terms.final_type, means.windows, self.trace, on_text=on_text
        )
        self._tools = ToolCaller(means.port, means.vault, self._tell_progress)
        self._spending = Spending(snapshot, terms.budget, terms.run_budget)
        self._running: dict[str, _Running] = {}
        self._is_cancelled = False
        self._renewed = self._alive = self._looked = time.monotonic()

    @property
    def version(self) -> int:
        """How often the session was saved by now."""
        return self._journal.record.version

    @property
    def final_value(self) -> BaseModel | None:
        """The final response as the model gave it, if this run came to it."""
        return self._models.final_value

    async def apply(self, *events: Input, answers_read: int = 0) -> None:
        """Advance the machine by these inputs and save.

        Args:
            events: Inputs, in order; if one does not fit, nothing is changed.
            answers_read: The last answer of the inbox that is among them.

        Raises:
            InteractionError: An answer does not fit.
            SessionError: The session cannot be saved.
        """
        self._advance(*events)
        if events or answers_read:
            await self._save(answers_read=answers_read)

    async def tick(self) -> None:
        """Do what is due by now, where a person did not answer in time.

        Raises:
            SessionError: The session cannot be saved.
        """
        due = deadlines.due(self.snapshot)
        # After a failure nothing goes on by itself.
        if due is not None and due <= time.time() and self.snapshot.error is None:
            await self.apply(Ticked())

    async def take_answers(self) -> None:
        """Do what people posted to the inbox since it was read last.

        That the turn is cancelled is done once the tools that run have come back.

        Raises:
            SessionError: The inbox cannot be read, or the session not be saved.
        """
        record = self._journal.record
        posted = await self._means.store.read_answers(
            record.agent_id, scope=record.scope, after=record.answers_read
        )
        if posted:
            inputs = self._terms.read_answers(self.snapshot, posted)
            if self._running and any(isinstance(event, TurnCancelled) for event in inputs):
                self._is_cancelled = True
                return
            await self.apply(*inputs, answers_read=posted[-1].number)
            self._is_cancelled = False

    async def run(self) -> None:
        """Run until the session rests.

        Raises:
            SessionError: The session cannot be saved, or another worker took it over.
        """
        outcomes, inbox = anyio.create_memory_object_stream[_Outcome](math.inf)
        with outcomes, inbox:
            try:
                async with anyio.create_task_group() as group:
                    await self.tick()
                    await self._launch(group, outcomes)
                    while self._running:
                        outcome = await self._next_outcome(inbox)
                        if outcome is not None:
                            self._advance(outcome)
                        await self._launch(group, outcomes)
                    if self._is_cancelled:
                        await self.take_answers()
            except BaseExceptionGroup as errors:
                first = _first_error(errors)
                raise first from first.__cause__
        if self.exhausted is not None:
            work = Work(self.snapshot, time.time())
            limit, message = self.exhausted.limit, self.exhausted.message
            work.emit(BudgetReached(limit=limit, message=message))
            self._enter(work.snapshot, work.events)
            await self._save()

    # --- running calls ----------------------------------------------------------------------------

    async def _launch(self, group: TaskGroup, outcomes: MemoryObjectSendStream[_Outcome]) -> None:
        """Save, and start the open calls that do not run yet, as far as the budget goes.

        After a failure or a cancellation none is started. What is saved says already that tools
        have begun.
        """
        self.exhausted = None
        self._stop_unwanted()
        starting: list[ModelCall | ToolCall] = []
        for call in () if self._is_stopping else self.snapshot.calls:
            if call.id not in self._running and self._may_start(call, starting):
                starting.append(call)
        if tools := tuple(call.id for call in starting if isinstance(call, ToolCall)):
            self._advance(ToolStarted(call_ids=tools))
        if self.snapshot is not self._saved:
            await self._save()
        ids = {call.id for call in starting}
        for call in self.snapshot.calls:
            if call.id in ids:
                running = _Running(call, anyio.CancelScope())
                self._running[call.id] = running
                group.start_soon(self._run_call, *running, outcomes)

    def _may_start(
        self, call: ModelCall | ToolCall, starting: Sequence[ModelCall | ToolCall]
    ) -> bool:
        """Check the budgets, counting calls that are under way, or about to be, as made."""
        under_way = [running.call for running in self._running.values()]
        number = sum(other.kind == call.kind for other in (*under_way, *starting))
        reached = self._spending.reached(self.snapshot, call.kind, number)
        self.exhausted = self.exhausted or reached
        return reached is None

    def _stop_unwanted(self) -> None:
        """Stop what only costs money: calls of the model after a failure, or of a task that ended.

        A tool that runs is waited for, its outcome must be known.
        """
        wanted = set[str]() if self._is_stopping else {call.id for call in self.snapshot.calls}
        for call, scope in self._running.values():
            if isinstance(call, ModelCall) and call.id not in wanted:
                scope.cancel()

    async def _run_call(
        self,
        call: ModelCall | ToolCall,
        scope: anyio.CancelScope,
        outcomes: MemoryObjectSendStream[_Outcome],
    ) -> None:
        outcome: Input | None = None
        span = self.trace.call(call)
        with scope, span.current():
            outcome = await self._made(call, span)
            self.trace.came_back(span, outcome)
        outcomes.send_nowait((call.id, outcome))

    async def _made(self, call: ModelCall | ToolCall, span: Span) -> Input:
        """Make a call; that something within the user's own client was cancelled is a failure."""
        try:
            if isinstance(call, ModelCall):
                return await self._models.call(call, self.snapshot, span)
            return await self._tools.call(call, self.snapshot)
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            name, message = type(error).__name__, "Something that the client awaited was cancelled."
            if isinstance(call, ModelCall):
                return ModelFailed(call_id=call.id, error_type=name, message=message)
            return ToolReturned(call_id=call.id, content=message, is_error=True)

    async def _next_outcome(self, inbox: MemoryObjectReceiveStream[_Outcome]) -> Input | None:
        """Wait for a call to end, and return None if it was stopped; renew the lease meanwhile."""
        while True:
            # First, since a slow store may leave no time to wait for one.
            with suppress(anyio.WouldBlock):
                return self._ended(inbox.receive_nowait())
            with anyio.move_on_after(self._patience()):
                return self._ended(await inbox.receive())
            due = self._due()
            if due is not None and due <= time.time():
                return Ticked()
            if self._renews_in() <= 0:
                await self._renew()
            if self._looks_in() <= 0 and await self._look():
                return None

    def _ended(self, outcome: _Outcome) -> Input | None:
        call_id, came_of_it = outcome
        del self._running[call_id]
        return came_of_it

    def _patience(self) -> float:
        """Return the seconds until something is due: a sign of life, a deadline, the inbox."""
        due = self._due()
        waits = [self._renews_in(), self._looks_in()]
        if due is not None:
            waits.append(due - time.time())
        return max(min(waits), 0.0)

    @property
    def _is_stopping(self) -> bool:
        return self.snapshot.error is not None or self._is_cancelled

    async def _look(self) -> bool:
        """Look into the inbox while calls run; return whether that changes what is to be done."""
        self._looked = time.monotonic()
        before = (self.snapshot, self._is_cancelled)
        try:
            await self.take_answers()
        except SessionStoreError as error:
            # What runs is worth more than an answer that can be read a little later.
            logger.warning("agent %s: the inbox is not read: %s", self.snapshot.agent_id, error)
        return before != (self.snapshot, self._is_cancelled)

    def _looks_in(self) -> float:
        return self._looked + _INBOX_SECONDS - time.monotonic()

    def _renews_in(self) -> float:
        return self._renewed + self._means.lease_seconds / 3 - time.monotonic()

    def _due(self) -> float | None:
        return None if self.snapshot.error is not None else deadlines.due(self.snapshot)

    # --- saving and telling -----------------------------------------------------------------------

    async def _renew(self) -> None:
        """Prolong the lease; if it ran out and another worker came in between, end this run."""
        self._renewed = now = time.monotonic()
        record = self._journal.record
        try:
            await self._means.store.heartbeat(record, owner=self._terms.owner)
        except SessionStoreError as error:
            if now - self._alive >= self._means.lease_seconds:
                raise
            # What runs is worth more than a sign of life that can be given a little later.
            logger.warning("agent %s: the lease is not renewed: %s", record.agent_id, error)
        else:
            self._alive = now

    def _advance(self, *inputs: Input) -> None:
        """Advance the machine; if an input does not fit, nothing is changed."""
        snapshot, emitted = self.snapshot, list[AgentEvent]()
        for event in inputs:
            stamped = event if event.now else event.model_copy(update={"now": time.time()})
            step = advance(snapshot, stamped)
            snapshot = step.snapshot
            emitted.extend(step.events)
        self._enter(snapshot, emitted)

    def _enter(self, snapshot: AgentSnapshot, events: Sequence[AgentEvent]) -> None:
        self.snapshot = snapshot
        self._untold.extend(events)

    async def _save(self, *, answers_read: int = 0) -> None:
        """Save the state and tell what led to it."""
        before, snapshot, events = self._saved.state, self.snapshot, self._untold
        await self._journal.save(
            self._stored(snapshot),
            owner=self._terms.owner,
            events=[event.model_dump(mode="json") for event in events],
            at=time.time(),
            status=snapshot.state.value,
            answers_read=answers_read,
            keep_rows=self._means.keep_log_rows,
        )
        self._saved, self._untold = snapshot, []
        self._alive = time.monotonic()
        if self._journal.record.answers_posted > self._journal.record.answers_read:
            self._looked = -math.inf  # at once
        for event in events:
            if isinstance(event, StateChanged):
                logger.info("agent %s: %s -> %s", snapshot.agent_id, before.value, event.state)
                before = event.state
            elif isinstance(event, QuestionRefused):
                asker = event.source or event.name
                logger.warning(
                    "agent %s: %s is declined: %s", snapshot.agent_id, asker, event.reason
                )
            else:
                logger.debug("agent %s: %s %d", snapshot.agent_id, event.type, event.seq)
            self.trace.observe(event)
            self._tell(event)

    def _stored(self, snapshot: AgentSnapshot) -> dict[str, Any]:  # Any: JSON
        """Return what is stored of a state; if it is sealed, with the credentials of its turn."""
        state = self._dump.dump(snapshot)
        is_sealed = getattr(self._means.store, "is_sealed", False)
        error = snapshot.error
        is_over = not error.retryable if error else snapshot.state is AgentState.COMPLETED
        if is_sealed and not is_over:
            credentials = self._means.vault.contents(snapshot.agent_id)
            if credentials:
                state[CREDENTIALS] = credentials
        return state

    def _tell(self, event: AgentEvent) -> None:
        if self._terms.observe is not None:
            self._terms.observe(event)

    def _tell_text(self, text: str) -> None:
        self._tell(ResponseDelta(text=text, seq=self.snapshot.event_sequence))

    def _tell_progress(self, event: ToolProgressed) -> None:
        """Tell how far a tool is; as a piece of text, it is not counted."""
        self._tell(event.model_copy(update={"seq": self.snapshot.event_sequence}))


def _first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one error that ended a run; the others only followed from it."""
    first = errors.exceptions[0]
    return _first_error(first) if isinstance(first, BaseExceptionGroup) else first  # pyright: ignore[reportUnknownArgumentType]
