"""Answers of the model that cannot be used: asked for again, within a bound. Pure."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

import mbxai.agent.machine._compaction as compaction
import mbxai.agent.machine._completion as completion
import mbxai.agent.machine._prompts as prompts
import mbxai.agent.machine._rounds as rounds
from mbxai.agent._events import AnswerRejected
from mbxai.agent._plan_models import TaskStatus
from mbxai.agent._result_models import AgentFailure
from mbxai.agent.machine._inputs import ModelReturned
from mbxai.agent.machine._snapshot import ModelCall, ModelStep
from mbxai.agent.machine._work import Work

Draft = TypeVar("Draft", bound=BaseModel)

_MAX_PROBLEMS = 10


def draft_of(work: Work, call: ModelCall, event: ModelReturned, kind: type[Draft]) -> Draft | None:
    """Return an answer as its draft; if it does not fit, ask again and return None.

    A client has checked the answer against the same type. This is for clients that do not, and for
    answers to calls that another version of this library opened.
    """
    try:
        return kind.model_validate(event.value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = tuple(
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in found[:_MAX_PROBLEMS]
        )
        reject(work, call, problems, "OutputValidationError")
        return None


def reject(work: Work, call: ModelCall, problems: tuple[str, ...], error_type: str) -> None:
    """Ask again with feedback; past the bound the task, or the run, fails."""
    if call.attempt < work.snapshot.limits.max_answer_attempts:
        work.emit(AnswerRejected(step=call.step, problems=problems))
        if call.step is ModelStep.TASK and call.task_id is not None:
            rounds.advise(work, call.task_id, prompts.unusable_answer(problems))
        work.call_model(
            call.step, task_id=call.task_id, attempt=call.attempt + 1, feedback=problems
        )
        return
    if call.step is ModelStep.COMPACTION:
        compaction.give_up(work, call)
        return
    if work.snapshot.draft_response is not None:
        # Neither a verdict nor a better response came; the one that there is fits.
        work.emit(AnswerRejected(step=call.step, problems=problems))
        completion.complete(work)
        return
    message = f"The model's answer could not be used {call.attempt} times: {'; '.join(problems)}"
    if call.task_id is not None:
        work.end_task(call.task_id, TaskStatus.FAILED, error=message)
        return
    work.call_model(call.step)
    work.fail(AgentFailure(type=error_type, message=message, step=call.step, retryable=True))
