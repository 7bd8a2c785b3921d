"""Runs of sessions: claimed, opened, run until they rest, given back."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from uuid import uuid4

import anyio
from pydantic import BaseModel

import mbxai.agent._inbox as inbox
import mbxai.agent._response as response
import mbxai.agent._turns as turns
import mbxai.agent.machine._deadlines as deadlines
import mbxai.agent.machine._definition as definition
from mbxai.agent._events import AgentEvent
from mbxai.agent._limits import checked_budget, checked_callback, limits_with
from mbxai.agent._ports import ClientPort
from mbxai.agent._result_models import AgentResponse
from mbxai.agent._turns import AgentOptions, SubmitOptions, TurnDefaults
from mbxai.agent.machine._inputs import Input
from mbxai.agent.machine._snapshot import AgentSnapshot, FinalSchema
from mbxai.agent.running._claims import claimed, give_back
from mbxai.agent.running._driver import CREDENTIALS, Driver, Means, RunTerms
from mbxai.agent.running._watching import Observer, both, watched
from mbxai.agent.running._windows import ContextWindows
from mbxai.errors import (
    AgentFailedError,
    BudgetExceededError,
    ConfigurationError,
    SessionBusyError,
    SessionNotFoundError,
)
from mbxai.sessions import (
    CredentialVault,
    PostedAnswer,
    SessionRecord,
    as_store,
    id_of_request,
    new_agent_id,
)
from mbxai.sessions.journal import opened, read_state
from mbxai.wire import Budget

RETRY_SECONDS: Final = 30.0
"""Pause before a worker tries a session again that failed for a passing reason; it doubles."""

MAX_FAILURES: Final = 5
"""Failures in a row after which no worker tries again by itself."""


_BEGINNING_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSetup:
    """What one agent runs its sessions with.

    Attributes:
        means: Client, store, vault.
        defaults: What a turn gets where a call does not say otherwise.
        budget: Bounds of each session.
        run_budget: Bounds of each run.
        on_event: Told of each event.
    """

    means: Means
    defaults: TurnDefaults
    budget: Budget
    run_budget: Budget
    on_event: Callable[[AgentEvent], object] | None


def means_of(
    ai_client: object,
    session_handler: object,
    *,
    lease_seconds: float,
    keep_log_rows: int | None,
) -> Means:
    """Return what the runs of an agent stand on, in the scope of nobody in particular.

    Args:
        ai_client: Any client.
        session_handler: A store or a handler; None: this process's memory.
        lease_seconds: How long a session stays claimed after a sign of life.
        keep_log_rows: Rows of a log that are kept, 1 or more; None: all.

    Returns:
        The means, with a vault of their own.

    Raises:
        ConfigurationError: One of them is impossible.
    """
    if not lease_seconds > 0:
        raise ConfigurationError(f"lease_seconds must be positive, not {lease_seconds!r}.")
    if keep_log_rows is not None and keep_log_rows < 1:
        raise ConfigurationError(f"keep_log_rows must be 1 or more, not {keep_log_rows!r}.")
    port = ClientPort(ai_client)
    return Means(
        port=port,
        store=as_store(session_handler),
        scope="",
        vault=CredentialVault(),
        windows=ContextWindows(port),
        lease_seconds=lease_seconds,
        keep_log_rows=keep_log_rows,
    )


async def run(
    setup: AgentSetup,
    prompt: str,
    final_type: type[BaseModel] | None,
    options: AgentOptions,
    *,
    watcher: Observer | None,
) -> AgentResponse:
    """Check what a caller gave, and run a session under the eyes of those who want to see.

    Args:
        setup: The agent.
        prompt: What is to be achieved.
        final_type: Pydantic model of the final response.
        options: The caller's other arguments.
        watcher: Gets each event; None if nobody watches.

    Returns:
        The state in which the run rests.

    Raises:
        MBXAIError: As `agent()` says.
    """
    final_schema = _checked(setup, final_type, options)
    running = partial(_run, setup, prompt, final_type, final_schema, options)
    callback = checked_callback(options.get("on_event")) or setup.on_event
    if callback is None:
        return await running(watcher)

    async def run_with(observe: Observer) -> AgentResponse:
        return await running(both(watcher, observe))

    return await watched(callback, run_with)


async def submit(
    setup: AgentSetup, prompt: str, final_type: type[BaseModel] | None, options: SubmitOptions
) -> str:
    """Store a session, or a turn of one, that a worker is to run.

    Args:
        setup: The agent.
        prompt: What is to be achieved.
        final_type: Pydantic model of the final response.
        options: The caller's other arguments.

    Returns:
        The session's id.

    Raises:
        MBXAIError: As `agent()` says; nothing was stored.
    """
    final_schema = _checked(setup, final_type, options)
    request = turns.request_of(options)
    key, given_id = options.get("request_key"), options.get("agent_id")
    new_id = new_agent_id() if key is None else id_of_request(key, setup.means.scope)
    agent_id = given_id or new_id
    terms = replace(_terms(setup, final_type, options, None), is_traced=False)
    try:
        async with _held(setup, agent_id, terms) as held:
            snapshot = held.driver.snapshot
            is_again = bool(request and not given_id and snapshot.turn)
            if not is_again and request not in snapshot.requests:
                _check_over(snapshot, prompt, options)
                await _begin(setup, held.driver, prompt, final_schema, options, request=request)
                held.due_at = time.time()
    except SessionBusyError:
        # A worker may be at it, or the same request that came a moment before.
        if not request or not await _was_submitted(setup, agent_id, request):
            raise
    return agent_id


def _check_over(snapshot: AgentSnapshot, prompt: str, options: AgentOptions) -> None:
    """Refuse a prompt that nobody would read, since the turn before is not over."""
    is_going = snapshot.can_be_cancelled and snapshot.error is None
    if prompt and is_going and not options.get("human_response"):
        raise SessionBusyError(
            f"The turn of session {snapshot.agent_id!r} is not over.",
            hint="Answer what it asks, wait for its end, or cancel it.",
            agent_id=snapshot.agent_id,
        )


async def _was_submitted(setup: AgentSetup, agent_id: str, request: str) -> bool:
    """Say whether a session that somebody has begins, or began, with this request."""
    with anyio.move_on_after(_BEGINNING_SECONDS):
        while True:
            found = await read_state(setup.means.store, agent_id, setup.means.scope)
            if found is not None and found[1]:
                return request in response.snapshot_of(agent_id, found[1]).requests
            await anyio.sleep(_BEGINNING_SECONDS / 100)  # whoever came first is storing it
    return False


async def resume(
    setup: AgentSetup, agent_id: str, watcher: Observer | None = None
) -> AgentResponse:
    """Let a session go on without a caller, and store when a worker is wanted again.

    Args:
        setup: The agent.
        agent_id: Which session.
        watcher: Gets each event; None if nobody watches.

    Returns:
        The state in which the run rests, whatever it is.

    Raises:
        SessionNotFoundError: There is no such session.
        SessionError: Another worker runs it, or it cannot be stored.
        BudgetExceededError: A bound is reached.
    """

    async def run_with(observe: Observer | None) -> AgentResponse:
        terms = _terms(setup, None, {}, observe)
        # A session that is cut off, or cannot be read, before its state is known is still due.
        async with _held(setup, agent_id, terms, unopened_due_at=time.time()) as held:
            if held.driver.snapshot.turn == 0:
                raise not_found(agent_id)
            held.is_unattended = True
            await _begin(setup, held.driver, "", None, {})
            await held.driver.run()
        return _outcome(setup, held.driver, None, raises=False)

    if setup.on_event is None:
        return await run_with(watcher)

    async def run_watched(observe: Observer) -> AgentResponse:
        return await run_with(both(watcher, observe))

    return await watched(setup.on_event, run_watched)


async def settle(setup: AgentSetup, agent_id: str) -> None:
    """Take in what a session's inbox has, and start nothing.

    Args:
        setup: The agent.
        agent_id: Which session.

    Raises:
        SessionError: Another worker runs it, or it cannot be stored.
    """
    terms = replace(_terms(setup, None, {}, None), is_traced=False)
    async with _held(setup, agent_id, terms) as held:
        await held.driver.take_answers()


def not_found(agent_id: str) -> SessionNotFoundError:
    """Say that there is no such session.

    Args:
        agent_id: Which one.

    Returns:
        The error, to be raised.
    """
    return SessionNotFoundError(f"Agent session {agent_id} not found", agent_id=agent_id)


def _checked(
    setup: AgentSetup, final_type: type[BaseModel] | None, options: AgentOptions
) -> FinalSchema | None:
    final_schema = turns.final_schema_of(final_type)
    turns.check_tools(options.get("tools"), setup.means.port.tool_infos())
    limits_with(setup.defaults.limits, turns.limit_options(options))
    return final_schema


async def _run(
    setup: AgentSetup,
    prompt: str,
    final_type: type[BaseModel] | None,
    final_schema: FinalSchema | None,
    options: AgentOptions,
    observe: Observer | None,
) -> AgentResponse:
    agent_id = options.get("agent_id") or new_agent_id()
    terms = _terms(setup, final_type, options, observe)
    async with _held(setup, agent_id, terms) as held:
        await _begin(setup, held.driver, prompt, final_schema, options)
        await held.driver.run()
    return _outcome(setup, held.driver, final_type, raises=options.get("raise_on_failure", True))


class _Held:
    """A session that is claimed.

    Attributes:
        driver: Its run.
        is_unattended: Whether no caller will come back for it.
        due_at: From when on a worker is wanted; None: as the state says.
    """

    def __init__(self, driver: Driver, record: SessionRecord) -> None:
        self.driver = driver
        self._record = record
        self.is_unattended = False
        self.due_at: float | None = None

    def wanted_from(self, now: float) -> float | None:
        """Return from when on a worker is wanted, in seconds since 1970; None: none is."""
        snapshot = self.driver.snapshot
        if self.due_at is not None or self.driver.exhausted is not None:
            return self.due_at
        if not self.is_unattended and self.driver.version == self._record.version:
            return self._record.due_at  # nothing has become of it
        if snapshot.error is None:
            is_cut_off = self.is_unattended and bool(snapshot.calls)
            return now if is_cut_off else deadlines.due(snapshot)
        if not (self.is_unattended and snapshot.error.retryable):
            return None
        tries = snapshot.failures
        return now + RETRY_SECONDS * 2 ** (tries - 1) if tries <= MAX_FAILURES else None


@asynccontextmanager
async def _held(
    setup: AgentSetup, agent_id: str, terms: RunTerms, *, unopened_due_at: float | None = None
) -> AsyncGenerator[_Held]:
    """Claim a session and read it; give it back however the caller leaves."""
    means = setup.means
    record = await claimed(
        means.store,
        agent_id,
        owner=terms.owner,
        lease_seconds=means.lease_seconds,
        scope=means.scope,
        due_at=unopened_due_at,
    )
    held: _Held | None = None
    try:
        journal = await opened(means.store, record)
        if credentials := journal.state.get(CREDENTIALS):  # only a store that seals has them
            means.vault.restore(agent_id, credentials)
        snapshot = response.snapshot_of(agent_id, journal.state)
        held = _Held(Driver(snapshot, journal, means, terms), record)
        with held.driver.trace.span():
            yield held
    finally:
        kept = record.due_at if unopened_due_at is None else unopened_due_at
        due_at = held.wanted_from(time.time()) if held else kept
        await give_back(means.store, record, owner=terms.owner, due_at=due_at)


async def _begin(
    setup: AgentSetup,
    driver: Driver,
    prompt: str,
    final_schema: FinalSchema | None,
    options: AgentOptions,
    *,
    request: str = "",
) -> None:
    """Do what is due, what was posted, and what the caller wants, up to the first call."""
    seen = setup.means.port.definitions()
    policy = options.get("on_changed_tools")
    changed = definition.inputs_of(driver.snapshot, seen, final_schema=final_schema, policy=policy)
    await driver.apply(*changed)
    was_waiting = bool(driver.snapshot.open_interactions())
    await driver.take_answers()
    await driver.tick()
    inputs = turns.inputs_of(
        driver.snapshot,
        # What ends because nobody answered is told before anything new begins.
        "" if was_waiting else prompt,
        final_schema,
        options,
        defaults=setup.defaults,
        tools=setup.means.port.tool_infos(),
        vault=setup.means.vault,
        now=time.time(),
        request=request,
    )
    await driver.apply(*definition.stamped(inputs, seen))


def _terms(
    setup: AgentSetup,
    final_type: type[BaseModel] | None,
    options: AgentOptions,
    observe: Observer | None,
) -> RunTerms:
    means = setup.means

    def read_answers(snapshot: AgentSnapshot, posted: Sequence[PostedAnswer]) -> list[Input]:
        names = {tool.name for tool in means.port.tool_infos()}
        return inbox.inputs_of(snapshot, posted, means.vault, tools=names)

    return RunTerms(
        owner=str(uuid4()),
        final_type=final_type,
        budget=checked_budget("budget", options.get("budget")) or setup.budget,
        run_budget=checked_budget("run_budget", options.get("run_budget")) or setup.run_budget,
        observe=observe,
        read_answers=read_answers,
    )


def _outcome(
    setup: AgentSetup, driver: Driver, final_type: type[BaseModel] | None, *, raises: bool
) -> AgentResponse:
    outcome = response.response_of(driver.snapshot, final_type, final_value=driver.final_value)
    own = {option.id: option for option in setup.defaults.dialog_options}
    for request in outcome.human_interaction_requests:
        request.dialog_options = [own.get(o.id, o) for o in request.dialog_options]
    if driver.exhausted:
        larger = "" if driver.exhausted.is_of_run else " and a larger budget"
        raise BudgetExceededError(
            driver.exhausted.message,
            hint=f"Call agent() again with agent_id={outcome.agent_id!r}{larger}.",
            limit=driver.exhausted.limit,
            response=outcome,
        )
    if outcome.error is not None and raises:
        hint = (
            f"Call agent() again with agent_id={outcome.agent_id!r} to try that step again."
            if outcome.error.retryable
            else "A new prompt on the same agent_id starts a new turn."
        )
        raise AgentFailedError(outcome.error.message, hint=hint, response=outcome)
    return outcome
