"""What callers see of a snapshot: the response, and the session's fields by old names. Pure."""

from typing import Any

from pydantic import BaseModel, ValidationError

from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent._people import question_of
from mbxai.agent._plan_models import Task, TaskStatus
from mbxai.agent._result_models import AgentResponse, AgentState
from mbxai.agent._stored_forms import migrated
from mbxai.agent.machine._snapshot import AgentSnapshot
from mbxai.agent.machine._work import request_of
from mbxai.errors import SessionDataError
from mbxai.wire import json_schema_of


def response_of(
    snapshot: AgentSnapshot,
    final_type: type[BaseModel] | None = None,
    *,
    final_value: BaseModel | None = None,
) -> AgentResponse:
    """Return the state of a run as callers see it.

    Args:
        snapshot: The state.
        final_type: The model that the final response is an instance of; without one, or if the
            stored response was made for another model, it is given as JSON.
        final_value: What this run's last answer gave as the final response; it is the response
            itself where the session has ended with it.

    Returns:
        A response with every field filled from what is known.

    Raises:
        SessionDataError: The stored final response does not fit the model that it was made for.
    """
    failed = snapshot.state is AgentState.FAILED
    open_interactions = () if failed else snapshot.open_interactions()
    requests = [request_of(snapshot, interaction) for interaction in open_interactions]
    return AgentResponse(
        agent_id=snapshot.agent_id,
        state=snapshot.state,
        questions=[
            question_of(i.id, i.prompt)
            for i in open_interactions
            if i.interaction_type is HumanInteractionType.QUESTION
        ],
        requirement_analysis=snapshot.requirement_analysis,
        tool_analysis=snapshot.tool_analysis,
        todo_list=snapshot.todo_list,
        current_task=current_task(snapshot),
        human_interaction_request=requests[0] if requests else None,
        human_interaction_requests=requests,
        goal_evaluation=snapshot.goal_evaluation,
        final_response=final_value
        if final_value is not None and _is_stored(snapshot, final_value)
        else _typed(snapshot, final_type),
        token_summary=snapshot.token_summary,
        ledger=list(snapshot.ledger),
        error=snapshot.error,
    )


def current_task(snapshot: AgentSnapshot) -> Task | None:
    """Return the task that is being worked on, else the one that would be next, if there is one."""
    is_over = snapshot.error is not None and not snapshot.error.retryable
    if snapshot.todo_list is None or is_over:
        return None
    running = (t for t in snapshot.todo_list.tasks if t.status is TaskStatus.IN_PROGRESS)
    return next(running, snapshot.todo_list.get_next_task())


def session_info(snapshot: AgentSnapshot) -> dict[str, Any]:  # Any: JSON of the session
    """Return a session's fields, under the names that mbxai 2.3 gave them.

    Args:
        snapshot: The state.

    Returns:
        JSON values only. Credentials are not in it: the state never holds any.
    """
    info: dict[str, Any] = snapshot.model_dump(mode="json")
    task = current_task(snapshot)
    tasks = snapshot.todo_list.tasks if snapshot.todo_list else []
    requests = [request_of(snapshot, i) for i in snapshot.open_interactions()]
    return {
        **info,
        "conversation_length": len(snapshot.conversation_history),
        "current_task": task.model_dump(mode="json") if task else None,
        "current_task_index": tasks.index(task) if task else len(tasks),
        "pending_human_request": requests[0].model_dump(mode="json") if requests else None,
    }


def snapshot_of(agent_id: str, data: dict[str, Any]) -> AgentSnapshot:  # Any: JSON of the store
    """Read a stored session.

    Args:
        agent_id: The session's id.
        data: What the store holds; empty for a session that does not exist yet.

    Returns:
        The state; a fresh one for a new session.

    Raises:
        SessionDataError: The data is no session, or one of a newer mbxai.
    """
    if not data:
        return AgentSnapshot(agent_id=agent_id)
    data = migrated(data, agent_id=agent_id)
    try:
        return AgentSnapshot.model_validate(data)
    except ValidationError as error:
        raise SessionDataError(
            f"The stored session {agent_id!r} cannot be read: {error.error_count()} problems.",
            hint="The store's content was changed from outside; delete the session to start anew.",
            agent_id=agent_id,
        ) from None


def _is_stored(snapshot: AgentSnapshot, value: BaseModel) -> bool:
    """Tell whether a value is the final response, and not a draft or one that was refused."""
    stored = snapshot.final_response
    return stored is not None and value.model_dump(mode="json", by_alias=True) == stored


def _typed(snapshot: AgentSnapshot, final_type: type[BaseModel] | None) -> object:
    value, made_for = snapshot.final_response, snapshot.final_response_structure
    if value is None or final_type is None:
        return value
    try:
        return final_type.model_validate(value)
    except ValidationError as error:
        if made_for is None or made_for.json_schema != json_schema_of(final_type):
            return value
        raise SessionDataError(
            f"The stored final response of session {snapshot.agent_id!r} cannot be read back as "
            f"{final_type.__name__}: {error.error_count()} problems.",
            hint="Fields that are excluded from JSON are not stored; read it without a model.",
            agent_id=snapshot.agent_id,
        ) from None
