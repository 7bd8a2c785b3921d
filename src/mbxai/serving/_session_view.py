"""How a session stands, read at one moment."""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from mbxai.agent import AgentResponse, AsyncAgentClient
from mbxai.agent._response import response_of, snapshot_of
from mbxai.agent.models import AgentState
from mbxai.errors import SessionNotFoundError
from mbxai.sessions.journal import read_state

RESTS: Final = frozenset({AgentState.COMPLETED, AgentState.FAILED})
"""States in which a turn is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """How a session stands.

    Attributes:
        response: Its state.
        prompt: What its last turn is to achieve.
        version: How often it was saved; another state has another version.
        is_running: Whether its turn goes on without anybody's doing.
        last_event: Number (`seq`) of its last event.
    """

    response: AgentResponse[Any]  # Any: whatever the session was given
    prompt: str
    version: int
    is_running: bool
    last_event: int


async def read_view(
    agent: AsyncAgentClient, agent_id: str, final_type: type[BaseModel] | None = None
) -> SessionView:
    """Read how a session stands.

    Args:
        agent: Of the session's scope.
        agent_id: Which session.
        final_type: Pydantic model of the final response, to have it typed.

    Raises:
        SessionNotFoundError: There is no such session.
        SessionError: It cannot be read.
    """
    found = await read_state(agent.store, agent_id, agent.scope)
    if found is None or not found[1]:
        raise SessionNotFoundError("There is no session of this agent_id.", agent_id=agent_id)
    record, state = found
    snapshot = snapshot_of(agent_id, state)
    response = response_of(snapshot, final_type)
    rests = response.state in RESTS or response.is_waiting_for_human()
    has_post = record.answers_posted > record.answers_read
    return SessionView(
        response=response,
        prompt=snapshot.prompt,
        version=record.version,
        is_running=not rests or has_post,
        last_event=snapshot.event_sequence,
    )
