"""Deadlines of requests: the default action, and answers that come too late."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.agent_player import Player, calling, task

from mbxai.agent._human_models import AnswerDeadline
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._deadlines import due
from mbxai.agent.machine._inputs import HumanAnswered, Input, Ticked, ToolAsked, ToolPolicy
from mbxai.agent.machine._machine import advance
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    AnswerRecord,
    Interaction,
    Limits,
    StoredQuestion,
    ToolCall,
)
from mbxai.agent.machine._work import request_of
from mbxai.errors import InteractionExpiredError, InteractionMismatchError

START = 1_000_000.0
SECONDS = 60.0
LATE = START + SECONDS


class Clocked(Player):
    """A player whose inputs come at a time."""

    now = START

    def give(self, *inputs: Input) -> None:
        super().give(*(given.model_copy(update={"now": self.now}) for given in inputs))

    def tick(self, now: float = LATE) -> None:
        self.now = now
        self.give(Ticked())


def asking(*calls: tuple[str, str, str], **actions: str) -> Clocked:
    """Task "a" makes these calls of tools; task "b" has nothing to ask."""
    deadline = AnswerDeadline(seconds=SECONDS, **actions)
    player = Clocked(
        [task("a"), task("b")],
        messages={"a": [calling(*calls)]},
        policies={"deploy": ToolPolicy(requires_approval=True)},
        human_in_loop=True,
        limits=Limits(deadline=deadline),
    )
    player.start().run()
    return player


QUESTION = ("c", "ask_question", '{"prompt": "Which region?"}')
DEPLOY = ("c", "deploy", '{"to": "production"}')


def complex_tasks(**actions: str) -> Clocked:
    player = Clocked(
        [task("a", complexity=4), task("b", "a")],
        human_in_loop=True,
        limits=Limits(deadline=AnswerDeadline(seconds=SECONDS, **actions)),
    )
    player.start().run()
    return player


def expired(player: Player) -> list[tuple[str, str]]:
    return [(e.interaction_id, e.action) for e in player.events if e.type == "human_expired"]


def elicited(**actions: str) -> Clocked:
    """A tool that has begun asks a person something."""
    player = Clocked(
        [task("a")],
        messages={"a": [calling(("c", "book", "{}"))]},
        human_in_loop=True,
        limits=Limits(deadline=AnswerDeadline(seconds=SECONDS, **actions)),
    ).start()
    while not any(isinstance(call, ToolCall) for call in player.snapshot.calls):
        player.give(player.outcome(player.snapshot.calls[0]))
    question = StoredQuestion(message="A seat?", form={"type": "object"}, state="sealed")
    player.give(ToolAsked(call_id=player.snapshot.calls[0].id, question=question))
    return player


# --- when ------------------------------------------------------------------------------------------


def test_a_request_says_in_utc_when_it_expires() -> None:
    player = asking(QUESTION)
    request = request_of(player.snapshot, player.snapshot.open_interactions()[0])

    assert request.expires_at == datetime.fromtimestamp(LATE, UTC)
    assert request.expires_at.utcoffset() is not None
    assert due(player.snapshot) == LATE


def test_nothing_expires_before_its_time() -> None:
    player = asking(QUESTION)
    before = player.snapshot
    player.tick(LATE - 0.001)

    assert player.snapshot == before
    assert expired(player) == []


def test_without_a_deadline_requests_stay_open_for_ever() -> None:
    player = Clocked([task("a")], messages={"a": [calling(QUESTION)]}, human_in_loop=True)
    player.start().run()
    player.tick(START * 1000)

    assert due(player.snapshot) is None
    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    request = request_of(player.snapshot, player.snapshot.open_interactions()[0])
    assert request.expires_at is None


def test_a_request_that_was_open_before_there_was_a_deadline_never_expires() -> None:
    player = Clocked([task("a")], messages={"a": [calling(QUESTION)]}, human_in_loop=True)
    player.start().run()
    limits = Limits(deadline=AnswerDeadline(seconds=1))
    player.snapshot = player.snapshot.model_copy(update={"limits": limits})
    player.tick(START * 1000)

    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN


def test_where_no_clock_is_read_nothing_expires() -> None:
    player = asking(QUESTION)
    timeless = Player(
        [task("a")],
        messages={"a": [calling(QUESTION)]},
        human_in_loop=True,
        limits=player.snapshot.limits,
    )
    timeless.start().run()
    timeless.give(Ticked(now=LATE))

    assert due(timeless.snapshot) is None
    assert timeless.snapshot.state is AgentState.WAITING_FOR_HUMAN


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), 1e12])
def test_an_impossible_deadline_is_refused(seconds: float) -> None:
    with pytest.raises(ValidationError, match="seconds"):
        AnswerDeadline(seconds=seconds)


def test_the_earliest_of_several_open_requests_is_due_first() -> None:
    player = asking(QUESTION)
    early = player.snapshot.open_interactions()[0]
    later = early.model_copy(update={"id": "i-2", "expires_at": LATE + 5})
    never = early.model_copy(update={"id": "i-3", "expires_at": None})
    player.snapshot = player.snapshot.model_copy(update={"interactions": (never, later, early)})

    assert due(player.snapshot) == LATE
    player.tick()
    assert [i.id for i in player.snapshot.open_interactions()] == ["i-3", "i-2"]
    assert due(player.snapshot) == LATE + 5


# --- what is done instead --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "statuses"),
    [
        ("proceed", {"a": "completed", "b": "completed"}),
        ("skip", {"a": "skipped", "b": "completed"}),
        ("abort", {"a": "skipped", "b": "skipped"}),
    ],
)
def test_a_complex_task_that_nobody_decided_on_takes_the_default_action(
    action: str, statuses: dict[str, str]
) -> None:
    player = complex_tasks(complexity=action)
    request = player.snapshot.open_interactions()[0]
    player.tick()
    player.run()

    assert player.statuses() == statuses
    assert expired(player) == [(request.id, action)]
    done = AgentState.FAILED if action == "abort" else AgentState.COMPLETED
    assert player.snapshot.state is done
    closed = player.snapshot.interactions[0]
    assert (closed.expired, closed.withdrawn, closed.answer) == (True, True, None)
    assert ("in time" in str(player.errors()["a"])) is (action != "proceed")


@pytest.mark.parametrize(("action", "runs"), [("approve", 1), ("decline", 0)])
def test_a_tool_that_nobody_approved_takes_the_default_action(action: str, runs: int) -> None:
    player = asking(DEPLOY, approval=action)
    player.tick()
    player.run()

    assert len(player.ran) == runs
    assert player.snapshot.state is AgentState.COMPLETED
    assert [kind for _id, kind in expired(player)] == [action]
    told = player.conversation("a")[-2]["content"]
    assert ("nobody approved in time" in told) is (action == "decline")


def test_what_text_of_others_may_have_asked_for_is_never_approved_by_default() -> None:
    player = asking(DEPLOY, approval="approve")
    asked = player.snapshot.interactions[0].model_copy(update={"is_unplanned": True})
    player.snapshot = player.snapshot.model_copy(update={"interactions": (asked,)})
    player.tick()
    player.run()

    assert player.ran == []
    assert [kind for _id, kind in expired(player)] == ["decline"]


def test_a_model_that_nobody_answered_is_told_so_and_goes_on() -> None:
    player = asking(QUESTION, ask="tell")
    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    player.tick()
    assert player.snapshot.state is AgentState.EXECUTING_TASKS
    player.run()

    assert player.snapshot.state is AgentState.COMPLETED
    assert "nobody answered in time" in player.conversation("a")[-2]["content"]
    assert player.snapshot.human_context == ()


def test_a_run_that_must_not_go_on_without_an_answer_is_aborted() -> None:
    player = asking(QUESTION, ask="abort")
    player.tick()

    assert player.snapshot.state is AgentState.FAILED
    assert player.snapshot.error is not None
    assert player.snapshot.error.type == "Aborted"
    assert "in time" in player.snapshot.error.message
    assert player.snapshot.open_interactions() == ()
    assert player.snapshot.calls == ()


def test_a_tool_that_nobody_answered_is_told_cancel_and_goes_on() -> None:
    player = elicited(ask="tell")
    player.tick()

    (call,) = player.snapshot.calls
    assert isinstance(call, ToolCall)
    assert call.answer is not None
    assert (call.answer.action, call.answer.state) == ("cancel", "sealed")
    assert [kind for _id, kind in expired(player)] == ["cancel"]
    closed = player.snapshot.interactions[0]
    assert closed.paused is None
    assert "sealed" not in closed.model_dump_json()
    assert player.run().snapshot.state is AgentState.COMPLETED


def test_a_tool_that_nobody_answered_can_end_the_run() -> None:
    player = elicited(ask="abort")
    player.tick()

    assert player.snapshot.state is AgentState.FAILED
    assert player.snapshot.calls == ()


def test_a_second_question_of_a_tool_has_its_own_time() -> None:
    player = elicited(ask="tell")
    player.tick()
    (call,) = player.snapshot.calls
    player.give(ToolAsked(call_id=call.id, question=StoredQuestion(message="Sure?", form={})))

    assert due(player.snapshot) == LATE + SECONDS


def test_all_that_is_due_expires_at_once_and_the_rest_stays_open() -> None:
    second = ("d", "request_decision", '{"prompt": "Cloud?", "options": ["A", "B"]}')
    player = asking(QUESTION, second)
    early, late = player.snapshot.open_interactions()
    late = late.model_copy(update={"expires_at": LATE + 1})
    player.snapshot = player.snapshot.model_copy(update={"interactions": (early, late)})
    player.tick()
    assert [i.id for i in player.snapshot.open_interactions()] == [late.id]
    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN

    player.answer(decision="b")
    player.run()
    results = [m["content"] for m in player.conversation("a") if m["role"] == "tool"]
    assert "nobody answered in time" in results[0]
    assert '"B"' in results[1]


def test_requests_that_an_abort_withdrew_do_not_expire_as_well() -> None:
    player = asking(QUESTION, ("d", "ask_question", '{"prompt": "And why?"}'), ask="abort")
    first = player.snapshot.open_interactions()[0]
    player.tick()

    assert expired(player) == [(first.id, "abort")]
    assert len([e for e in player.events if e.type == "run_failed"]) == 1


def test_two_calls_of_one_id_expire_each_by_itself() -> None:
    player = asking(QUESTION, DEPLOY, approval="approve")
    assert len(player.snapshot.open_interactions()) == 2
    player.tick()
    player.run()

    assert player.snapshot.state is AgentState.COMPLETED
    assert [call.name for call in player.ran] == ["deploy"]


def test_an_abort_says_of_which_tools_the_outcome_is_not_known() -> None:
    player = Clocked(
        [task("a", complexity=5), task("b")],
        messages={"b": [calling(("c", "deploy", "{}"))]},
        human_in_loop=True,
        limits=Limits(deadline=AnswerDeadline(seconds=SECONDS, complexity="abort")),
    ).start()
    while not any(isinstance(call, ToolCall) for call in player.snapshot.calls):
        player.give(player.outcome(player.snapshot.calls[0]))
    (call,) = player.snapshot.calls
    begun = call.model_copy(update={"started": True})
    player.snapshot = player.snapshot.model_copy(update={"calls": (begun,)})
    player.tick()
    after = player.snapshot
    player.give(player.outcome(begun))

    assert "The outcome of deploy is not known" in str(player.errors()["b"])
    assert player.snapshot == after


def test_a_tick_that_comes_twice_changes_nothing_more() -> None:
    player = asking(QUESTION)
    player.tick()
    before = player.snapshot
    player.tick(LATE + 1)

    assert player.snapshot == before


def test_an_expired_request_survives_json() -> None:
    player = elicited()
    player.tick()
    data = player.snapshot.model_dump(mode="json")

    assert AgentSnapshot.model_validate(data) == player.snapshot


def test_a_model_that_asks_again_and_again_is_ended_by_the_bound_on_rounds() -> None:
    player = Clocked(
        [task("a")],
        messages={"a": [calling((f"c{n}", *QUESTION[1:])) for n in range(20)]},
        human_in_loop=True,
        limits=Limits(deadline=AnswerDeadline(seconds=SECONDS), max_tool_rounds=3),
    )
    player.start().run()
    for _ in range(10):
        if player.snapshot.state is AgentState.WAITING_FOR_HUMAN:
            player.tick(player.now + SECONDS)
            player.run()

    assert len(expired(player)) == 3
    assert player.statuses() == {"a": "failed"}


# --- answers that come too late --------------------------------------------------------------------


def answered(request: Interaction, text: str, *, now: float) -> HumanAnswered:
    record = AnswerRecord(response_type=request.interaction_type, answer=text)
    return HumanAnswered(interaction_id=request.id, answer=record, now=now)


def test_an_answer_to_an_expired_request_is_refused_and_changes_nothing() -> None:
    player = asking(QUESTION)
    request = player.snapshot.open_interactions()[0]
    player.tick()
    before = player.snapshot

    with pytest.raises(InteractionExpiredError, match="in time") as caught:
        advance(player.snapshot, answered(request, "eu-west", now=LATE + 1))
    assert caught.value.interaction_id == request.id
    assert player.snapshot == before


def test_an_answer_after_the_time_is_refused_also_where_no_tick_came() -> None:
    player = asking(QUESTION)
    request = player.snapshot.open_interactions()[0]

    with pytest.raises(InteractionExpiredError):
        advance(player.snapshot, answered(request, "eu-west", now=LATE))
    step = advance(player.snapshot, answered(request, "eu-west", now=LATE - 0.001))
    assert step.snapshot.interactions[0].answer is not None


def test_an_answer_given_in_time_may_be_repeated_after_it() -> None:
    player = asking(QUESTION)
    request = player.snapshot.open_interactions()[0]
    player.give(answered(request, "eu-west", now=START))
    before = player.snapshot
    player.tick(LATE + 10)
    assert player.snapshot == before

    assert advance(before, answered(request, "eu-west", now=LATE + 10)).snapshot == before
    with pytest.raises(InteractionMismatchError):
        advance(before, answered(request, "us-east", now=LATE + 10))


def test_an_answer_to_a_request_that_was_withdrawn_in_time_changes_nothing() -> None:
    plan = [task("a", complexity=4), task("b", complexity=5)]
    limits = Limits(deadline=AnswerDeadline(seconds=SECONDS))
    player = Clocked(plan, human_in_loop=True, limits=limits)
    player.start().run()
    withdrawn = player.snapshot.open_interactions()[1]
    player.answer(decision="abort")
    before = player.snapshot
    record = AnswerRecord(response_type="decision", decision="proceed")

    late = HumanAnswered(interaction_id=withdrawn.id, answer=record, now=LATE + 1)
    assert advance(before, late).snapshot == before


def test_a_late_answer_to_a_tool_is_too_late_whether_it_fits_or_not() -> None:
    player = elicited()
    request = player.snapshot.open_interactions()[0]
    player.tick()

    with pytest.raises(InteractionExpiredError):
        advance(player.snapshot, answered(request, "", now=LATE + 1))


STEPS = st.lists(st.tuples(st.sampled_from(["answer", "tick", "outcome"]), st.integers(0, 9)))


@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
def test_in_any_order_of_answers_and_ticks_each_request_is_closed_once(
    steps: list[tuple[str, int]],
) -> None:
    plan = [task(name, complexity=5) for name in "ab"] + [task("c")]
    player = Clocked(
        plan,
        messages={"c": [calling(QUESTION, ("d", *DEPLOY[1:]))]},
        policies={"deploy": ToolPolicy(requires_approval=True)},
        human_in_loop=True,
        limits=Limits(deadline=AnswerDeadline(seconds=SECONDS)),
    )
    player.start().run()
    for kind, number in [*steps, ("tick", 9), ("tick", 9)]:
        requests = player.snapshot.open_interactions()
        if kind == "tick":
            player.tick(player.now + number * 10)
        elif kind == "answer" and requests:
            request = requests[number % len(requests)]
            fields = {"decision": request.options[0]} if request.options else {"answer": "x"}
            record = AnswerRecord(response_type=request.interaction_type, **fields)
            player.give(HumanAnswered(interaction_id=request.id, answer=record))
        elif kind == "outcome" and player.snapshot.calls:
            calls = player.snapshot.calls
            player.give(player.outcome(calls[number % len(calls)]))
    player.run()

    closed = [e.interaction_id for e in player.events if e.type == "human_resolved"]
    closed += [interaction_id for interaction_id, _action in expired(player)]
    assert sorted(closed) == sorted(i.id for i in player.snapshot.interactions)
    assert player.snapshot.state is AgentState.COMPLETED
    assert len(player.ran) <= 1
