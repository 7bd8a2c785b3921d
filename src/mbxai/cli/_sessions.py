"""`mbxai sessions`: stored sessions listed, shown, exported, answered, forked, deleted, swept."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from mbxai.agent import AgentClient
from mbxai.agent.models import HumanInLoopRequest, HumanInLoopResponse
from mbxai.cli._exit_codes import DONE, FAILED, WAITS_FOR_PERSON
from mbxai.cli._failures import tell
from mbxai.cli._people import StandardInput, answers_to
from mbxai.cli._sessions_store import opened_sessions, seconds_of
from mbxai.cli._sessions_view import (
    export_json,
    json_line,
    session_json,
    session_text,
    summary_json,
    summary_line,
    tools_of,
)
from mbxai.cli._text import one_line
from mbxai.errors import ConfigurationError, SessionNotFoundError

_PAGE: Final = 100
_SWEPT_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the sessions are, and how they are told of.

    Attributes:
        store: As for `store_of`.
        scope: Whose sessions.
        as_json: Whether standard output is JSON.
    """

    store: str
    scope: str = ""
    as_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswer:
    """An answer on the command line; all None: the person is asked.

    Attributes:
        request: Which request is answered; None: the only open one.
        decision: The option that was chosen.
        answer: The words.
        content: A JSON object, for a form.
    """

    request: str | None = None
    decision: str | None = None
    answer: str | None = None
    content: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether there is one."""
        return (self.decision, self.answer, self.content) != (None, None, None)


def listed(place: Place, *, status: str | None, cursor: str | None, limit: int) -> int:
    """Write the sessions of a store, the newest first.

    Args:
        place: Where.
        status: Only those in this state; None: all.
        cursor: Where an earlier list ended; None: from the beginning.
        limit: How many at most.

    Returns:
        The exit code.

    Raises:
        MBXAIError: The store cannot be read.
    """
    with opened_sessions(place.store, scope=place.scope) as agent:
        while limit > 0:
            page = agent.sessions.list(status=status, cursor=cursor, limit=min(limit, _PAGE))
            width = max((len(session.agent_id) for session in page.sessions), default=0)
            text = partial(summary_line, now=time.time(), width=width)
            for session in page.sessions:
                _write(summary_json(session) if place.as_json else text(session))
            limit -= len(page.sessions)
            cursor = page.next_cursor
            if cursor is None:
                break
    if cursor is not None and place.as_json:
        _write(json_line({"type": "more", "cursor": cursor}))
    elif cursor is not None:
        tell(f"There are more: --cursor {cursor}")
    return DONE


def shown(place: Place, agent_id: str) -> int:
    """Write a session's state: plan, open requests, usage, answer.

    Args:
        place: Where.
        agent_id: Which session.

    Returns:
        The exit code.

    Raises:
        MBXAIError: There is no such session, or the store cannot be read.
    """
    with opened_sessions(place.store, scope=place.scope) as agent:
        response = agent.sessions.get(agent_id)
        record = agent.store.load(agent_id, scope=place.scope)
    if record is None:  # deleted in between
        raise SessionNotFoundError(f"Agent session {agent_id} not found", agent_id=agent_id)
    _write((session_json if place.as_json else session_text)(response, record))
    return DONE


def exported(place: Place, agent_id: str) -> int:
    """Write all that is known of a session as JSON, without credentials.

    Args:
        place: Where; `as_json` puts it on one line.
        agent_id: Which session.

    Returns:
        The exit code.

    Raises:
        MBXAIError: There is no such session, or the store cannot be read.
    """
    with opened_sessions(place.store, scope=place.scope) as agent:
        content = agent.sessions.export(agent_id)
    _write(export_json(content, as_line=place.as_json))
    return DONE


def answered(place: Place, agent_id: str, given: GivenAnswer) -> int:
    """Leave answers for whoever runs a session, or will run it.

    Args:
        place: Where.
        agent_id: Which session.
        given: The answer; where there is none, the person at the terminal is asked.

    Returns:
        The exit code.

    Raises:
        MBXAIError: There is no such session or request, or the answer does not fit.
    """
    with opened_sessions(place.store, scope=place.scope) as agent:
        requests = agent.sessions.get(agent_id).human_interaction_requests
        tools = tools_of(agent.sessions.info(agent_id))
    if given.request is not None:
        requests = [request for request in requests if request.id == given.request]
    if not requests:
        asked = "nobody" if given.request is None else f"no answer to {one_line(given.request)}"
        tell(f"The session {one_line(agent_id)} waits for {asked}.")
        return FAILED
    answers = [_answer(requests, given)] if given.is_given else _asked(requests, place)
    if not answers:
        tell("Nobody answered.")
        return WAITS_FOR_PERSON
    # Opened anew, since people take their time.
    with opened_sessions(place.store, scope=place.scope, tools=tools) as agent:
        agent.sessions.answer(agent_id, answers)
    ids = [answer.interaction_id for answer in answers]
    said = f"{len(ids)} answer{'' if len(ids) == 1 else 's'} left for session {one_line(agent_id)}."
    _write(json_line({"agent_id": agent_id, "answered": ids}) if place.as_json else said)
    return DONE


def cancelled(place: Place, agent_ids: Sequence[str]) -> int:
    """Have sessions end, whoever runs them.

    Args:
        place: Where.
        agent_ids: Which ones.

    Returns:
        The exit code: FAILED if one was over, or not there; the others end all the same.

    Raises:
        MBXAIError: The store cannot be written.
    """
    code = DONE
    with opened_sessions(place.store, scope=place.scope) as agent:
        for agent_id in agent_ids:
            try:
                was_open = agent.sessions.cancel(agent_id)
                said = "will end" if was_open else "was over"
            except SessionNotFoundError:
                was_open, said = False, "is not there"
            if place.as_json:
                _write(json_line({"agent_id": agent_id, "cancelled": was_open}))
            elif was_open:
                _write(f"Session {one_line(agent_id)} {said}.")
            else:
                tell(f"Session {one_line(agent_id)} {said}.")
            code = code if was_open else FAILED
    return code


def forked(place: Place, agent_id: str, *, at: int | None, new_agent_id: str | None) -> int:
    """Make another session that begins where one was, and write its id.

    Args:
        place: Where.
        agent_id: Which session.
        at: Number of the event after which the fork begins; None: as it is now.
        new_agent_id: The fork's id; None: a new one.

    Returns:
        The exit code.

    Raises:
        MBXAIError: There is no such session or event, or there is one of the new id.
    """
    with opened_sessions(place.store, scope=place.scope) as agent:
        fork = agent.sessions.fork(agent_id, at=at, new_agent_id=new_agent_id)
    _write(json_line({"agent_id": fork, "fork_of": agent_id}) if place.as_json else one_line(fork))
    return DONE


def deleted(place: Place, agent_ids: Sequence[str]) -> int:
    """Delete sessions.

    Args:
        place: Where.
        agent_ids: Which ones.

    Returns:
        The exit code: FAILED if one was not there; the others are deleted all the same.

    Raises:
        MBXAIError: The store cannot be written.
    """
    code = DONE
    with opened_sessions(place.store, scope=place.scope) as agent:
        for agent_id in agent_ids:
            was_there = _delete(agent, agent_id)
            if place.as_json:
                _write(json_line({"agent_id": agent_id, "deleted": was_there}))
            elif was_there:
                _write(f"Session {one_line(agent_id)} is deleted.")
            else:
                tell(f"There is no session {one_line(agent_id)}.")
            code = code if was_there else FAILED
    return code


def swept(place: Place, *, older_than: str) -> int:
    """Remove the sessions that nobody saved for a while, of all scopes.

    Args:
        place: Where.
        older_than: How long, such as `30d`.

    Returns:
        The exit code.

    Raises:
        MBXAIError: It is no span of time, or the store cannot be written.
    """
    count = 0
    with opened_sessions(place.store, ttl_seconds=seconds_of(older_than)) as agent:
        while (removed := agent.store.sweep(limit=_SWEPT_AT_ONCE)) > 0:
            count += removed
    said = f"{count} session{'' if count == 1 else 's'} removed."
    _write(json_line({"removed": count}) if place.as_json else said)
    return DONE


def _delete(agent: AgentClient, agent_id: str) -> bool:
    try:
        return agent.sessions.delete(agent_id)
    except SessionNotFoundError:  # an id that no session can have
        return False


def _asked(requests: Sequence[HumanInLoopRequest], place: Place) -> list[HumanInLoopResponse]:
    from rich.console import Console

    console = Console(stderr=place.as_json)
    return answers_to(requests, StandardInput(console), console)


def _answer(requests: Sequence[HumanInLoopRequest], given: GivenAnswer) -> HumanInLoopResponse:
    if len(requests) > 1:
        raise ConfigurationError(
            f"The session waits for {len(requests)} answers.",
            hint=f"Say which: --request {' or '.join(request.id for request in requests)}",
        )
    return HumanInLoopResponse(
        interaction_id=requests[0].id,
        response_type=requests[0].interaction_type,
        decision=given.decision,
        answer=given.answer,
        content=None if given.content is None else _object(given.content),
    )


def _object(text: str) -> dict[str, object]:
    value: object = None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigurationError("--content is no JSON.") from error
    if not isinstance(value, dict):
        raise ConfigurationError("--content is no JSON object.")
    return cast("dict[str, object]", value)


_write: Callable[[str], None] = partial(print, flush=True)
