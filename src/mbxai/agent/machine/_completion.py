"""A final response in the machine: judged, if that is wanted, then the end of the turn. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._snapshot import ModelStep
from mbxai.agent.machine._work import Work

Value = Mapping[str, Any]  # Any: JSON of the caller's model


def propose(work: Work, value: Value) -> None:
    """Have a final response judged; end the turn with it if it has been judged often enough."""
    work.update(draft_response=dict(value), draft_feedback="")
    if work.snapshot.quality_checks < work.snapshot.limits.quality_iterations:
        work.call_model(ModelStep.QUALITY)
    else:
        complete(work)


def complete(work: Work) -> None:
    """End the turn with the draft that there is."""
    value = work.snapshot.draft_response
    answer = {"role": "assistant", "content": json.dumps(value, ensure_ascii=False)}
    work.update(
        final_response=value,
        draft_response=None,
        draft_feedback="",
        conversation_history=(*work.snapshot.conversation_history, answer),
    )
    work.enter(AgentState.COMPLETED)


def forget(work: Work) -> None:
    """Drop a draft that is being judged and ask for another, of another structure."""
    if work.snapshot.draft_response is None:
        return
    work.update(calls=(), draft_response=None, draft_feedback="")
    work.call_model(ModelStep.FINAL)
