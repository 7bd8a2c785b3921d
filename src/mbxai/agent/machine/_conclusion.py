"""Steps 5 and 6 in the machine: evaluation, a new round of the plan, the final response. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import mbxai.agent.machine._completion as completion
import mbxai.agent.machine._evaluation_checks as checks
import mbxai.agent.machine._rejections as rejections
import mbxai.agent.machine._tasks as tasks
import mbxai.agent.machine._unreached_goals as unreached
from mbxai.agent._events import GoalEvaluated, ResponseJudged
from mbxai.agent._plan_models import GoalEvaluation
from mbxai.agent.machine._drafts import ConclusionDraft, EvaluationDraft, QualityDraft
from mbxai.agent.machine._inputs import ModelReturned
from mbxai.agent.machine._snapshot import ModelCall, ModelStep
from mbxai.agent.machine._work import Work

NOT_GOOD_ENOUGH: Final = "It is not good enough."

MAX_DEPTH: Final = 150
"""How deep a final response may be nested: what can still be stored, and shown to a model again."""


def on_evaluation(work: Work, call: ModelCall, event: ModelReturned) -> None:
    draft = rejections.draft_of(work, call, event, EvaluationDraft)
    if draft is not None and _may_take(work, call, draft) and _is_reached(work, draft):
        work.call_model(ModelStep.FINAL)


def on_conclusion(work: Work, call: ModelCall, event: ModelReturned) -> None:
    """Take an evaluation and, if the goal is reached, the final response beside it."""
    draft = rejections.draft_of(work, call, event, ConclusionDraft)
    value = event.value.get("final_response")
    if draft is None or not _can_be_kept(work, call, value):
        return
    if not _may_take(work, call, draft.goal_evaluation):
        return
    if _is_reached(work, draft.goal_evaluation):
        if isinstance(value, dict):
            completion.propose(work, cast("dict[str, Any]", value))
        else:
            work.call_model(ModelStep.FINAL)


def on_final(work: Work, call: ModelCall, event: ModelReturned) -> None:
    if _can_be_kept(work, call, event.value):
        completion.propose(work, event.value)


def on_quality(work: Work, call: ModelCall, event: ModelReturned) -> None:
    """Take a verdict on the draft: it is good, or another one is asked for."""
    draft = rejections.draft_of(work, call, event, QualityDraft)
    if draft is None:
        return
    work.update(quality_checks=work.snapshot.quality_checks + 1)
    work.emit(ResponseJudged(is_good=draft.is_good, feedback=draft.feedback))
    if draft.is_good:
        completion.complete(work)
    else:
        work.update(draft_feedback=draft.feedback.strip() or NOT_GOOD_ENOUGH)
        work.call_model(ModelStep.FINAL)


def _may_take(work: Work, call: ModelCall, draft: EvaluationDraft) -> bool:
    """Ask again for an evaluation that contradicts itself, as often as may be asked."""
    found = checks.contradictions(draft)
    if not found or call.attempt >= work.snapshot.limits.max_answer_attempts:
        return True
    lines = tuple(each.line() for each in found)
    rejections.reject(work, call, lines, "OutputValidationError")
    return False


def _is_reached(work: Work, draft: EvaluationDraft) -> bool:
    """Note an evaluation; if the goal is not reached, go on with the plan or with a new one.

    One that still contradicts itself when it may not be asked for again counts as not reached.
    """
    found = checks.contradictions(draft)
    evaluation = GoalEvaluation.model_validate(draft.model_dump())
    if found:
        evaluation = evaluation.model_copy(update={"goal_achieved": False})
    work.update(goal_evaluation=evaluation)
    work.emit(GoalEvaluated(evaluation=evaluation))
    if evaluation.goal_achieved:
        tasks.skip_pending(work, "The goal was reached without it.")
    else:
        missing = "; ".join(evaluation.remaining_criteria)
        why = checks.in_words(found) if found else f"The model says what is missing: {missing}"
        unreached.go_on(work, why)
    return evaluation.goal_achieved


def _can_be_kept(work: Work, call: ModelCall, value: Any) -> bool:  # Any: JSON
    """Refuse what cannot be written down: a recursive model can be nested without end."""
    level: list[Any] = [value]
    for _depth in range(MAX_DEPTH):
        level = [part for each in level for part in _parts(each)]
        if not level:
            return True
    problem = "the final response is nested too deeply"
    rejections.reject(work, call, (problem,), "OutputValidationError")
    return False


def _parts(value: Any) -> Iterable[Any]:  # Any: JSON
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()
