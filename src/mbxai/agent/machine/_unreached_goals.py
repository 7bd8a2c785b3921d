"""A goal that is not reached: a new round of the plan, a person's decision, or failure. Pure."""

from typing import Final

import mbxai.agent.machine._defence as defence
import mbxai.agent.machine._tasks as tasks
from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent._plan_models import TaskStatus
from mbxai.agent._result_models import AgentFailure, AgentState
from mbxai.agent.machine._snapshot import Interaction, ModelStep
from mbxai.agent.machine._work import Work

OPTIONS: Final = ("accept", "try_again", "abort")


def go_on(work: Work, why: str) -> None:
    """Go on with the plan or with a new one; past the bound ask a person, or fail.

    Args:
        work: The transition; its last evaluation says that the goal is not reached.
        why: What is missing, in a sentence.
    """
    if work.snapshot.replans < work.snapshot.limits.max_replans:
        replan(work)
    elif work.snapshot.human_in_loop:
        _ask(work, why)
    else:
        fail(work, why)


def replan(work: Work) -> None:
    """Go on with what is still planned; only if nothing is, ask for new tasks."""
    work.update(replans=work.snapshot.replans + 1, iteration_count=0)
    if any(task.status is TaskStatus.PENDING for task in work.tasks()):
        work.enter(AgentState.EXECUTING_TASKS)
    else:
        work.enter(AgentState.GENERATING_TODO)
        work.call_model(ModelStep.PLAN)


def accept(work: Work, reason: str) -> None:
    """Ask for the final response from what there is; the evaluation stays as it is.

    Args:
        work: The transition.
        reason: Who takes what there is, in a sentence.
    """
    tasks.skip_pending(work, reason)
    work.enter(AgentState.EVALUATING_GOAL)
    work.call_model(ModelStep.FINAL)


def fail(work: Work, why: str) -> None:
    """End the run for good.

    Args:
        work: The transition.
        why: What is missing, in a sentence.
    """
    is_merged = work.snapshot.limits.planning == "merged"
    step = ModelStep.CONCLUSION if is_merged else ModelStep.EVALUATION
    message = f"The goal is not reached ({_percentage(work)} %). {why}"
    work.fail(AgentFailure(type="GoalNotReached", message=message, step=step))


def _ask(work: Work, why: str) -> None:
    work.ask(
        Interaction(
            id=work.new_id(),
            purpose="goal",
            interaction_type=HumanInteractionType.DECISION,
            prompt=f"The goal is not reached ({_percentage(work)} %), and no round of the plan is"
            " left. Accept what there is, try again in one more round, or abort?",
            options=OPTIONS,
            context=defence.visible(why),
        )
    )
    work.enter(AgentState.WAITING_FOR_HUMAN)


def _percentage(work: Work) -> int:
    evaluation = work.snapshot.goal_evaluation
    return evaluation.completion_percentage if evaluation else 0
