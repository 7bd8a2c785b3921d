"""Evaluations that contradict themselves, and goals that are not reached in the last round."""

from typing import Any

import pytest
from support.agent_player import Player, task

from mbxai.agent._human_models import AnswerDeadline, HumanInteractionType
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine import _evaluation_checks as checks
from mbxai.agent.machine._drafts import EvaluationDraft
from mbxai.agent.machine._inputs import HumanAnswered, Ticked
from mbxai.agent.machine._prompts import step_messages
from mbxai.agent.machine._snapshot import AnswerRecord, Limits, ModelCall, ModelStep
from mbxai.agent.machine._work import request_of
from mbxai.errors import InteractionExpiredError, InteractionMismatchError

Planning = Any  # "stepwise" or "merged"
BOTH = pytest.mark.parametrize("planning", ["stepwise", "merged"])
START = 1_000_000.0


def evaluation(
    *, achieved: bool, remaining: tuple[str, ...] = (), percentage: int = 50
) -> dict[str, Any]:
    return {
        "feedback": "checked",
        "completed_criteria": [],
        "remaining_criteria": list(remaining),
        "next_steps": [],
        "completion_percentage": percentage,
        "goal_achieved": achieved,
    }


REACHED = evaluation(achieved=True, percentage=100)
MISSED = evaluation(achieved=False, remaining=("a proof",), percentage=40)
NOTHING_LEFT = evaluation(achieved=False)
STILL_LEFT = evaluation(achieved=True, remaining=("a proof",), percentage=100)


def player_of(planning: Planning, *given: dict[str, Any], **options: Any) -> Player:
    """A run whose evaluations are these; what comes after them says that the goal is reached."""
    answers: dict[ModelStep, list[dict[str, Any]]] = {ModelStep.EVALUATION: list(given)}
    if planning == "merged":
        pairs = [{"goal_evaluation": each, "final_response": {"text": "early"}} for each in given]
        answers = {ModelStep.CONCLUSION: pairs}
    bounds = {"max_replans": 0, **options.pop("bounds", {})}
    limits = Limits(planning=planning, **bounds)
    plans = [[task(name)] for name in "abcd"]
    return Player(*plans, answers=answers, limits=limits, **options).start().run()


def evaluations_of(player: Player) -> list[ModelCall]:
    steps = (ModelStep.EVALUATION, ModelStep.CONCLUSION)
    return [call for call in player.prompted if call.step in steps]


# --- what contradicts itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        pytest.param(REACHED, [], id="reached"),
        pytest.param(MISSED, [], id="missed"),
        pytest.param(evaluation(achieved=True, percentage=95), [], id="reached-by-95-percent"),
        pytest.param(evaluation(achieved=True, remaining=("", " ")), [], id="blank"),
        pytest.param(
            NOTHING_LEFT, ["goal_achieved is false, but remaining_criteria is empty."], id="empty"
        ),
        pytest.param(
            STILL_LEFT,
            ["goal_achieved is true, but remaining_criteria names 'a proof'."],
            id="remaining",
        ),
        pytest.param(
            evaluation(achieved=False, remaining=("a proof",), percentage=100),
            ["goal_achieved is false, but completion_percentage is 100."],
            id="all-of-it",
        ),
        pytest.param(
            evaluation(achieved=False, percentage=100),
            [
                "goal_achieved is false, but remaining_criteria is empty.",
                "goal_achieved is false, but completion_percentage is 100.",
            ],
            id="both",
        ),
    ],
)
def test_an_evaluation_is_held_against_itself(given: dict[str, Any], facts: list[str]) -> None:
    found = checks.contradictions(EvaluationDraft.model_validate(given))

    assert [each.what for each in found] == facts
    assert all(each.line().startswith(each.what) for each in found)


def test_many_long_criteria_make_a_short_line() -> None:
    given = evaluation(achieved=True, remaining=tuple("x" * 10_000 for _ in range(1_000)))
    [found] = checks.contradictions(EvaluationDraft.model_validate(given))

    assert len(found.line()) < 2_000
    assert "and more" in found.what


# --- asking again ---------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("given", [NOTHING_LEFT, STILL_LEFT])
def test_an_evaluation_that_contradicts_itself_is_asked_for_again(
    planning: Planning, given: dict[str, Any]
) -> None:
    player = player_of(planning, given)

    first, second = evaluations_of(player)
    assert (first.attempt, second.attempt) == (1, 2)
    assert "remaining_criteria" in second.feedback[0]
    rejected = [event for event in player.events if event.type == "answer_rejected"]
    assert [(e.step, e.problems) for e in rejected] == [(first.step, second.feedback)]
    assert player.snapshot.state is AgentState.COMPLETED
    assert player.snapshot.goal_evaluation.remaining_criteria == []
    assert len(player.snapshot.ledger) == player.snapshot.model_calls == len(player.prompted)


@BOTH
def test_the_model_is_told_both_answers_that_agree_with_themselves(planning: Planning) -> None:
    player = player_of(planning, STILL_LEFT)
    asked = [
        step_messages(player.snapshot, call, [])[1]["content"] for call in evaluations_of(player)
    ]

    assert asked[1].startswith(asked[0]), "the beginning that a provider has in its cache is kept"
    told = asked[1].removeprefix(asked[0])
    assert "goal_achieved is true, but remaining_criteria names 'a proof'." in told
    assert '"goal_achieved": true' in told
    assert '"goal_achieved": false' in told


@BOTH
@pytest.mark.parametrize("given", [NOTHING_LEFT, STILL_LEFT])
def test_a_model_that_keeps_contradicting_itself_never_makes_a_reached_goal(
    planning: Planning, given: dict[str, Any]
) -> None:
    player = player_of(planning, given, given, given)

    assert [call.attempt for call in evaluations_of(player)] == [1, 2, 3]
    error = player.snapshot.error
    assert (error.type, error.retryable) == ("GoalNotReached", False)
    assert "contradicts itself" in error.message
    assert "remaining_criteria" in error.message
    assert player.snapshot.goal_evaluation.goal_achieved is False
    assert player.snapshot.goal_evaluation.remaining_criteria == given["remaining_criteria"]
    assert player.snapshot.final_response is None
    told = [event.evaluation for event in player.events if event.type == "goal_evaluated"]
    assert told == [player.snapshot.goal_evaluation]


@BOTH
def test_another_round_comes_before_a_contradiction_is_the_end(planning: Planning) -> None:
    player = player_of(planning, *[STILL_LEFT] * 3, bounds={"max_replans": 1})

    assert player.snapshot.replans == 1
    assert player.statuses() == {"a": "completed", "b": "completed"}
    assert [call.attempt for call in evaluations_of(player)] == [1, 2, 3, 1]
    assert player.snapshot.state is AgentState.COMPLETED
    assert player.snapshot.goal_evaluation.goal_achieved


def test_how_often_is_asked_is_the_bound_of_all_answers() -> None:
    player = player_of("stepwise", NOTHING_LEFT, bounds={"max_answer_attempts": 1})

    assert len(evaluations_of(player)) == 1
    assert player.snapshot.error.type == "GoalNotReached"


# --- a person decides -----------------------------------------------------------------------------


@BOTH
def test_where_people_may_be_asked_the_last_round_ends_with_a_decision(planning: Planning) -> None:
    player = player_of(planning, MISSED, human_in_loop=True)

    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    assert player.snapshot.error is None
    [open_] = player.snapshot.open_interactions()
    request = request_of(player.snapshot, open_)
    assert request.interaction_type is HumanInteractionType.DECISION
    assert request.options == ["accept", "try_again", "abort"]
    assert "40 %" in request.prompt
    assert request.context == "The model says what is missing: a proof"
    assert request.task_id is None


@BOTH
def test_an_accepted_goal_gets_its_response_and_keeps_its_honest_evaluation(
    planning: Planning,
) -> None:
    player = player_of(planning, MISSED, human_in_loop=True)
    player.answer(decision=" Accept ", note="good enough for today")
    assert [call.step for call in player.snapshot.calls] == [ModelStep.FINAL]
    prompt = step_messages(player.snapshot, player.snapshot.calls[0], [])[1]["content"]
    player.run()

    assert "good enough for today" in prompt
    assert player.snapshot.state is AgentState.COMPLETED
    assert player.snapshot.final_response == {"text": "the answer"}
    assert player.snapshot.goal_evaluation.goal_achieved is False
    assert player.snapshot.goal_evaluation.remaining_criteria == ["a proof"]
    assert player.statuses() == {"a": "completed"}


def test_what_was_still_planned_is_skipped_when_a_person_accepts() -> None:
    limits = Limits(max_replans=0, max_task_iterations=1)
    player = Player([task("a"), task("b")], evaluations=[False], human_in_loop=True, limits=limits)
    player.start().run()
    player.answer(decision="accept")

    assert player.statuses() == {"a": "completed", "b": "skipped"}
    assert player.errors()["b"] == "A person accepted what there is."
    assert player.run().snapshot.state is AgentState.COMPLETED


@BOTH
def test_a_person_may_allow_one_more_round_again_and_again(planning: Planning) -> None:
    player = player_of(planning, MISSED, MISSED, human_in_loop=True)
    player.answer(decision="try_again", note="look in the cellar")
    assert player.snapshot.state is AgentState.GENERATING_TODO
    plan = step_messages(player.snapshot, player.snapshot.calls[0], [])[1]["content"]
    player.run()

    assert "look in the cellar" in plan
    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    assert player.snapshot.replans == 1
    player.answer(decision="try_again")
    player.run()
    assert player.snapshot.state is AgentState.COMPLETED
    assert player.statuses() == {"a": "completed", "b": "completed", "c": "completed"}
    assert player.snapshot.goal_evaluation.goal_achieved
    assert len({i.id for i in player.snapshot.interactions}) == 2


def test_one_more_round_goes_on_with_what_is_planned() -> None:
    limits = Limits(max_replans=0, max_task_iterations=1)
    player = Player([task("a"), task("b")], evaluations=[False], human_in_loop=True, limits=limits)
    player.start().run()
    player.answer(decision="try_again")

    assert player.snapshot.state is AgentState.EXECUTING_TASKS
    player.run()
    assert player.statuses() == {"a": "completed", "b": "completed"}
    assert sum(call.step is ModelStep.PLAN for call in player.prompted) == 1


def test_a_person_may_abort_a_goal_that_is_not_reached() -> None:
    player = player_of("stepwise", MISSED, human_in_loop=True)
    player.answer(decision="abort")

    assert player.snapshot.state is AgentState.FAILED
    assert player.snapshot.error.type == "Aborted"
    assert player.snapshot.goal_evaluation.completion_percentage == 40


def test_a_decision_that_was_not_offered_changes_nothing() -> None:
    player = player_of("stepwise", MISSED, human_in_loop=True)
    before = player.snapshot
    with pytest.raises(InteractionMismatchError, match="accept, try_again, abort"):
        player.answer(decision="proceed")

    assert player.snapshot == before


def test_the_same_decision_twice_is_one_round() -> None:
    player = player_of("stepwise", MISSED, human_in_loop=True)
    request = player.snapshot.open_interactions()[0]
    player.answer(decision="try_again")
    before = player.snapshot
    record = AnswerRecord(response_type=request.interaction_type, decision="try_again")
    player.give(HumanAnswered(interaction_id=request.id, answer=record))

    assert player.snapshot == before


def test_a_person_sees_what_is_hidden_in_the_words_of_the_model() -> None:
    hidden = evaluation(achieved=False, remaining=("a \u202eproof",), percentage=40)
    player = player_of("stepwise", hidden, human_in_loop=True)

    context = player.snapshot.open_interactions()[0].context
    assert context == "The model says what is missing: a \\u202eproof"


def test_a_contradiction_reaches_the_person_in_words() -> None:
    player = player_of("stepwise", *[STILL_LEFT] * 3, human_in_loop=True)

    request = player.snapshot.open_interactions()[0]
    assert "contradicts itself" in request.context
    assert "remaining_criteria names 'a proof'" in request.context
    assert player.snapshot.goal_evaluation.goal_achieved is False


# --- nobody decides -------------------------------------------------------------------------------


def waiting(**actions: str) -> Player:
    """A run that waits for a decision since `START`, for a minute."""
    deadline = AnswerDeadline(seconds=60, **actions)
    limits = Limits(max_replans=0, deadline=deadline)
    player = Player([task("a")], evaluations=[False], human_in_loop=True, limits=limits).start()
    while player.snapshot.calls:
        given = player.outcome(player.snapshot.calls[0])
        player.give(given.model_copy(update={"now": START}))
    return player


@pytest.mark.parametrize("actions", [{}, {"goal": "fail"}])
def test_a_goal_on_which_nobody_decides_in_time_is_not_reached(actions: dict[str, str]) -> None:
    player = waiting(**actions)
    request = player.snapshot.open_interactions()[0]
    player.give(Ticked(now=START + 60))

    error = player.snapshot.error
    assert (error.type, error.step, error.retryable) == (
        "GoalNotReached",
        "goal_evaluation",
        False,
    )
    assert error.message == (
        "The goal is not reached (40 %). The model says what is missing: it is reached"
    )
    assert [e.action for e in player.events if e.type == "human_expired"] == ["fail"]
    record = AnswerRecord(response_type=request.interaction_type, decision="accept")
    with pytest.raises(InteractionExpiredError):
        player.give(HumanAnswered(interaction_id=request.id, answer=record))


def test_a_goal_on_which_nobody_decides_may_be_taken_as_it_is() -> None:
    player = waiting(goal="accept")
    player.give(Ticked(now=START + 59))
    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    player.give(Ticked(now=START + 60))
    player.run()

    assert player.snapshot.state is AgentState.COMPLETED
    assert player.snapshot.goal_evaluation.goal_achieved is False
    assert player.snapshot.final_response == {"text": "the answer"}
