"""Every change of `AgentState` that there is, and what brings it about.

The table is data, so that documentation can show it. `Work.enter` makes no change that is not in
it.
"""

from typing import Final, NamedTuple

from mbxai.agent._result_models import AgentState
from mbxai.errors import AgentError

_REQUIREMENT: Final = AgentState.ANALYZING_REQUIREMENT
_TOOLS: Final = AgentState.ANALYZING_TOOLS
_PLAN: Final = AgentState.GENERATING_TODO
_EXECUTING: Final = AgentState.EXECUTING_TASKS
_WAITING: Final = AgentState.WAITING_FOR_HUMAN
_EVALUATING: Final = AgentState.EVALUATING_GOAL
_COMPLETED: Final = AgentState.COMPLETED
_FAILED: Final = AgentState.FAILED

_NEW_PROMPT: Final = "a new prompt begins a new turn"
_CALL_FAILED: Final = "the model could not be called, or gave no answer that could be used"
_TRIED_AGAIN: Final = "the failed call is made again"


class Transition(NamedTuple):
    """One change of state.

    Attributes:
        source: The state before.
        target: The state after; the same for a session's first prompt.
        reason: What brings it about, in words.
    """

    source: AgentState
    target: AgentState
    reason: str


TRANSITIONS: Final = (
    Transition(_REQUIREMENT, _REQUIREMENT, "the session's first prompt begins its first turn"),
    Transition(_COMPLETED, _REQUIREMENT, _NEW_PROMPT),
    Transition(_FAILED, _REQUIREMENT, f"{_NEW_PROMPT}, or {_TRIED_AGAIN}"),
    Transition(_REQUIREMENT, _TOOLS, "the requirement analysis is there"),
    Transition(_TOOLS, _PLAN, "the tool analysis is there"),
    Transition(_PLAN, _EXECUTING, "a plan that can run is there"),
    Transition(_EXECUTING, _WAITING, "no call is open, but a request to a person is"),
    Transition(_WAITING, _EXECUTING, "an answer, or the end of its time, lets a task go on"),
    Transition(_EXECUTING, _EVALUATING, "every task that could run has ended"),
    Transition(
        _WAITING,
        _EVALUATING,
        "an answer, or the end of its time, ends the last task, or takes a goal as it is",
    ),
    Transition(_EVALUATING, _EXECUTING, "the goal is not reached, and planned tasks are left"),
    Transition(_EVALUATING, _PLAN, "the goal is not reached, and a new round is planned"),
    Transition(_EVALUATING, _WAITING, "the goal is not reached in the end, and a person decides"),
    Transition(_WAITING, _PLAN, "a person wants one more round, and nothing is planned for it"),
    Transition(_EVALUATING, _COMPLETED, "the final response is there"),
    Transition(_REQUIREMENT, _FAILED, _CALL_FAILED),
    Transition(_TOOLS, _FAILED, _CALL_FAILED),
    Transition(_PLAN, _FAILED, _CALL_FAILED),
    Transition(_EXECUTING, _FAILED, f"{_CALL_FAILED}, or a person aborted the run"),
    Transition(
        _WAITING,
        _FAILED,
        "a person, or the end of the time to answer, aborted the run, or left the goal unreached",
    ),
    Transition(_EVALUATING, _FAILED, f"{_CALL_FAILED}, or the goal was not reached in the end"),
    Transition(_FAILED, _TOOLS, _TRIED_AGAIN),
    Transition(_FAILED, _PLAN, _TRIED_AGAIN),
    Transition(_FAILED, _EXECUTING, _TRIED_AGAIN),
    Transition(_FAILED, _EVALUATING, _TRIED_AGAIN),
)
"""Every change of state, in the order of a run: turns, steps, failures, new attempts."""

_ALLOWED: Final = frozenset((change.source, change.target) for change in TRANSITIONS)


def check(source: AgentState, target: AgentState) -> None:
    """Refuse a change of state that there is not.

    Args:
        source: The state before.
        target: The state after.

    Raises:
        AgentError: The table does not have it. The transition is dropped as a whole, so that the
            session stays as it was last saved.
    """
    if (source, target) not in _ALLOWED:
        raise AgentError(
            f"A session cannot go from {source.value} to {target.value}.",
            hint="This is a fault of mbxai, please report it; the session is as it was before.",
        )
