"""Runs a session until it rests: makes the machine's calls, gives it their outcomes, saves.

One task reads outcomes, advances the machine and saves; calls run beside it, as many as the plan
allows. A tool call is saved as started before it runs, so that no worker runs it again unknowingly.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

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
from mbxai.agent.machine._inputs import Input, ModelFailed, Ticked, ToolReturned, ToolStarted
from mbxai.agent.machine._machine import advance
from mbxai.agent.machine._snapshot import AgentSnapshot, ModelCall, ToolCall
from mbxai.agent.machine._work import Work
from mbxai.agent.running._claims import renew
from mbxai.agent.running._model_calls import ModelCaller
from mbxai.agent.running._spending import Reached, Spending
from mbxai.agent.running._tool_calls import ToolCaller
from mbxai.agent.running._tracing import RunTrace
from mbxai.agent.running._watching import Observer
from mbxai.agent.running._windows import ContextWindows
from mbxai.errors import SessionStoreError
from mbxai.sessions import CredentialVault, SessionRecord, SessionStore
from mbxai.wire import Budget, ToolProgressed

logger = get_logger(__name__)

_Outcome = tuple[str, Input | None]
"""A call's id, and what came of it; None for a call that was stopped."""


class _Running(NamedTuple):
    call: ModelCall | ToolCall
    scope: anyio.CancelScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What all runs of one agent stand on."""

    port: ClientPort
    store: SessionStore
    vault: CredentialVault
    windows: ContextWindows
    lease_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """What one run is to do, and to keep to.

    Attributes:
        owner: Under which name the session is claimed.
        final_type: The model of the final response, if the caller gave one.
        budget: Bounds of the session.
        run_budget: Bounds of this run.
        observe: Gets each event; None if nobody watches.
    """

    owner: str
    final_type: type[BaseModel] | None
    budget: Budget
    run_budget: Budget
    observe: Observer | None


class Driver:
    """One run of one session.

    Attributes:
        snapshot: The state so far; saved whenever it changed.
        exhausted: The budget's bound that stopped the run; else None.
    """

    def __init__(
        self, snapshot: AgentSnapshot, record: SessionRecord, means: Means, terms: RunTerms
    ) -> None:
        """Take a session that is claimed.

        Args:
            snapshot: Its state.
            record: As it is stored.
            means: What the agent stands on.
            terms: What is to be done.
        """
        self.snapshot = snapshot
        self.exhausted: Reached | None = None
        self.trace = RunTrace(snapshot, means.port)
        self._record = record
        self._means = means
        self._terms = terms
        on_text = None if terms.observe is None else self._tell_text
        self._models = ModelCaller(
            means.port, terms.final_type, means.windows, self.trace, on_text=on_text
        )
        self._tools = ToolCaller(means.port, means.vault, self._tell_progress)
        self._spending = Spending(snapshot, terms.budget, terms.run_budget)
        self._running: dict[str, _Running] = {}
        self._renewed = self._alive = time.monotonic()

    @property
    def final_value(self) -> BaseModel | None:
        """The final response as the model gave it, if this run came to it."""
        return self._models.final_value

    async def apply(self, *events: Input) -> None:
        """Advance the machine by these inputs and save.

        Args:
            events: Inputs, in order; if one does not fit, nothing is changed.

        Raises:
            InteractionError: An answer does not fit.
            SessionError: The session cannot be saved.
        """
        snapshot, emitted = self.snapshot, list[AgentEvent]()
        for event in events:
            stamped = event if event.now else event.model_copy(update={"now": time.time()})
            step = advance(snapshot, stamped)
            snapshot = step.snapshot
            emitted.extend(step.events)
        await self._enter(snapshot, emitted)

    async def tick(self) -> None:
        """Do what is due by now, where a person did not answer in time.

        Raises:
            SessionError: The session cannot be saved.
        """
        due = deadlines.due(self.snapshot)
        # After a failure nothing goes on by itself.
        if due is not None and due <= time.time() and self.snapshot.error is None:
            await self.apply(Ticked())

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
                            await self.apply(outcome)
                        await self._launch(group, outcomes)
            except BaseExceptionGroup as errors:
                first = _first_error(errors)
                raise first from first.__cause__
        if self.exhausted is not None:
            work = Work(self.snapshot, time.time())
            limit, message = self.exhausted.limit, self.exhausted.message
            work.emit(BudgetReached(limit=limit, message=message))
            await self._enter(work.snapshot, work.events)

    # --- running calls ----------------------------------------------------------------------------

    async def _launch(self, group: TaskGroup, outcomes: MemoryObjectSendStream[_Outcome]) -> None:
        """Start the open calls that do not run yet; none after a failure or past the budget."""
        self.exhausted = None
        self._stop_unwanted()
        if self.snapshot.error is not None:
            return
        starting: list[ModelCall | ToolCall] = []
        for call in self.snapshot.calls:
            if call.id not in self._running and self._may_start(call, starting):
                starting.append(call)
        if tools := tuple(call.id for call in starting if isinstance(call, ToolCall)):
            await self.apply(ToolStarted(call_ids=tools))
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
        wanted = {call.id for call in self.snapshot.calls if self.snapshot.error is None}
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
            await self._renew()

    def _ended(self, outcome: _Outcome) -> Input | None:
        call_id, came_of_it = outcome
        del self._running[call_id]
        return came_of_it

    def _patience(self) -> float:
        """Return the seconds until the lease must be renewed, or a request to a person expires."""
        renewal = self._renewed + self._means.lease_seconds / 3 - time.monotonic()
        due = self._due()
        return max(renewal if due is None else min(renewal, due - time.time()), 0.0)

    def _due(self) -> float | None:
        return None if self.snapshot.error is not None else deadlines.due(self.snapshot)

    # --- saving and telling -----------------------------------------------------------------------

    async def _renew(self) -> None:
        """Prolong the lease; if it ran out and another worker came in between, end this run."""
        self._renewed = now = time.monotonic()
        lease, owner = self._means.lease_seconds, self._terms.owner
        try:
            await renew(self._means.store, self._record, owner=owner, lease_seconds=lease)
        except SessionStoreError as error:
            if now - self._alive >= lease:
                raise
            # What runs is worth more than a sign of life that can be given a little later.
            logger.warning("agent %s: the lease is not renewed: %s", self._record.agent_id, error)
        else:
            self._alive = now

    async def _enter(self, snapshot: AgentSnapshot, events: Sequence[AgentEvent]) -> None:
        """Save a state and tell what led to it."""
        before, self.snapshot = self.snapshot.state, snapshot
        data = snapshot.model_dump(mode="json")
        self._record = await self._means.store.save(self._record, data, owner=self._terms.owner)
        self._alive = time.monotonic()
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
