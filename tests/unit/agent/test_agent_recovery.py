"""Calls that a worker began and never finished, in the machine: run again, asked, decided, told."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.agent_player import Player, calling, task

from mbxai.agent._human_models import AnswerDeadline, HumanInteractionType
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._inputs import (
    Continued,
    HumanAnswered,
    ModelFailed,
    Ticked,
    ToolAsked,
    ToolPolicy,
    ToolReconciled,
    ToolReturned,
    ToolStarted,
)
from mbxai.agent.machine._machine import advance
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    AnswerRecord,
    Interaction,
    Limits,
    ModelStep,
    StoredQuestion,
    ToolCall,
)
from mbxai.errors import InteractionExpiredError, InteractionMismatchError

POLICIES = {
    "look": ToolPolicy(effect="read"),
    "put": ToolPolicy(effect="idempotent"),
    "pay": ToolPolicy(effect="once", source="bank"),
}
BEGUN = 1_790_000_000.0


def cut_off(
    name: str = "pay", *, reconcilable: tuple[str, ...] = (), **options: Any
) -> tuple[Player, ToolCall]:
    """A session whose worker stopped while a tool ran, taken up by another; and the call."""
    asking = {"messages": {"a": [calling(("c-1", name, '{"amount": 5}'))]}}
    player = Player([task("a")], policies=POLICIES, **{"human_in_loop": True, **asking, **options})
    player.start()
    while not isinstance(player.snapshot.calls[0], ToolCall):
        player.give(player.outcome(player.snapshot.calls[0]))
    call = player.snapshot.calls[0]
    player.give(ToolStarted(call_ids=(call.id,), now=BEGUN))
    player.give(Continued(reconcilable=reconcilable, now=BEGUN + 90))
    return player, call


def open_tool(player: Player) -> ToolCall:
    (call,) = player.snapshot.calls
    assert isinstance(call, ToolCall)
    return call


def request(player: Player) -> Interaction:
    (asked,) = player.snapshot.open_interactions()
    return asked


def told(player: Player) -> dict[str, Any]:
    """What the model got as the result of the call."""
    messages = [m for m in player.conversation("a") if m["role"] == "tool"]
    return json.loads(messages[-1]["content"])


def started(player: Player) -> ToolCall:
    player.give(ToolStarted(call_ids=(open_tool(player).id,), now=BEGUN + 100))
    return open_tool(player)


# --- by effect ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["look", "put"])
def test_what_may_be_repeated_runs_again_under_the_same_key(name: str) -> None:
    player, before = cut_off(name)

    call = started(player)

    assert (call.key or call.id) == before.id
    assert call.attempt == 2
    assert player.run().snapshot.state is AgentState.COMPLETED


def test_what_runs_once_is_not_run_again_and_a_person_decides() -> None:
    player, _ = cut_off()

    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    assert player.snapshot.calls == ()
    asked = request(player)
    assert asked.purpose == "recovery"
    assert asked.options == ("it was done", "run it again", "skip")
    assert "'pay' of the server 'bank'" in asked.prompt
    assert "2026-09-21 at 14:13:20 UTC" in asked.prompt
    assert 'Arguments: {"amount": 5}' in asked.context


def test_without_people_the_model_is_told_that_the_outcome_is_not_known() -> None:
    player, _ = cut_off(human_in_loop=False)
    player.run()

    assert "outcome unknown" in told(player)["error"]
    assert player.ran == []
    assert player.snapshot.state is AgentState.COMPLETED


def test_where_it_is_not_known_since_when_the_request_does_not_say() -> None:
    player, _ = cut_off()
    data = player.snapshot.model_dump(mode="json")
    data["interactions"], data["state"] = [], "executing_tasks"
    call = request(player).paused
    assert call is not None
    data["calls"] = [{**call.model_dump(mode="json"), "started": True, "started_at": None}]
    player.snapshot = AgentSnapshot.model_validate(data)
    player.give(Continued())

    assert "was interrupted. Whether" in request(player).prompt


# --- decisions of a person ------------------------------------------------------------------------


def test_it_was_done_is_told_to_the_model_with_the_persons_words() -> None:
    player, _ = cut_off()
    player.answer(decision="IT WAS DONE", note="receipt 17")
    player.run()

    assert told(player) == {
        "result": "interrupted, but a person says that it was done",
        "remark": "receipt 17",
    }
    assert player.ran == []
    ended = [event for event in player.events if event.type == "tool_ended"]
    assert [event.is_error for event in ended] == [False]


def test_run_it_again_runs_under_the_same_key_as_the_wish_of_a_person() -> None:
    player, before = cut_off()
    player.answer(decision="run it again")

    call = started(player)
    assert call.key == before.id
    assert call.id != before.id
    assert call.attempt == 2
    assert call.approved
    assert request_count(player) == 0
    player.give(ToolReturned(call_id=before.id, content="too late"))
    assert open_tool(player).id == call.id
    assert player.run().snapshot.state is AgentState.COMPLETED
    assert "pay ran" in json.dumps(player.conversation("a"))


def request_count(player: Player) -> int:
    return len(player.snapshot.open_interactions())


def test_a_run_that_a_person_wanted_and_that_is_cut_off_too_is_asked_about_again() -> None:
    player, before = cut_off()
    player.answer(decision="run it again")
    started(player)
    player.give(Continued())

    player.answer(decision="run it again")
    call = started(player)

    assert call.key == before.id
    assert call.attempt == 3
    assert "14:15:00" in player.snapshot.interactions[-1].prompt


def test_skip_is_told_to_the_model_as_unknown() -> None:
    player, _ = cut_off()
    player.answer(decision="skip", note="ask the bank")
    player.run()

    assert "outcome unknown" in told(player)["error"]
    assert "a person skipped it" in told(player)["error"]
    assert told(player)["remark"] == "ask the bank"
    assert player.ran == []


def test_a_later_attempt_at_the_task_knows_what_a_person_said() -> None:
    player, _ = cut_off(evaluations=[False], limits=Limits(max_replans=1))
    player.answer(decision="it was done", note="receipt 17")
    player._plans = [[], [{**task("a"), "key": "again"}]]
    player.run()

    assert "receipt 17" in " ".join(run.did[0] for run in player.snapshot.runs.values() if run.did)


def test_another_word_is_refused_and_the_same_answer_twice_changes_nothing() -> None:
    player, _ = cut_off()
    asked = request(player)
    with pytest.raises(InteractionMismatchError, match="it was done, run it again, skip"):
        player.answer(decision="approve")
    player.answer(decision="run it again")
    answer = player.snapshot.interactions[0].answer
    assert answer is not None

    twice = advance(player.snapshot, HumanAnswered(interaction_id=asked.id, answer=answer))

    assert twice == (player.snapshot, (), ())


def test_where_nobody_decides_in_time_it_is_skipped() -> None:
    player, _ = cut_off(limits=Limits(deadline=AnswerDeadline(seconds=60, approval="approve")))
    asked = request(player)
    assert asked.expires_at == BEGUN + 150
    player.give(Ticked(now=BEGUN + 151))
    player.run()

    assert "nobody answered in time" in told(player)["error"]
    assert player.ran == []
    late = AnswerRecord(response_type=HumanInteractionType.DECISION, decision="skip")
    with pytest.raises(InteractionExpiredError):
        player.give(HumanAnswered(interaction_id=asked.id, answer=late, now=BEGUN + 152))


# --- reconcile ------------------------------------------------------------------------------------


def test_a_tool_that_can_say_it_is_asked_before_a_person() -> None:
    player, before = cut_off(reconcilable=("pay",))

    call = open_tool(player)
    assert call.reconciles
    assert call.key == before.id
    assert not call.started
    assert request_count(player) == 0


def test_what_the_tool_says_that_it_did_is_its_result() -> None:
    player, _ = cut_off(reconcilable=("pay",))
    call = started(player)
    player.give(ToolReconciled(call_id=call.id, outcome="done", content="paid: receipt 17"))
    player.run()

    assert "paid: receipt 17" in player.conversation("a")[-2]["content"]
    assert player.ran == []
    assert player.snapshot.state is AgentState.COMPLETED


def test_where_the_tool_says_that_nothing_happened_it_runs_under_the_same_key() -> None:
    player, before = cut_off(reconcilable=("pay",))
    asked = started(player)
    player.give(ToolReconciled(call_id=asked.id, outcome="not_done"))

    call = started(player)
    assert not call.reconciles
    assert call.key == before.id
    assert call.attempt == 2
    assert len({before.id, asked.id, call.id}) == 3


@pytest.mark.parametrize("outcome", ["unknown", "returned"])
def test_where_the_tool_cannot_say_it_a_person_decides(outcome: str) -> None:
    player, _ = cut_off(reconcilable=("pay",))
    call = started(player)
    if outcome == "unknown":
        player.give(ToolReconciled(call_id=call.id, outcome="unknown"))
    else:  # the client was cancelled within, for example
        player.give(ToolReturned(call_id=call.id, content="cancelled", is_error=True))

    assert request(player).purpose == "recovery"
    assert "14:13:20" in request(player).prompt
    player.answer(decision="run it again")
    assert not open_tool(player).reconciles


def test_an_interrupted_question_to_the_tool_is_asked_again() -> None:
    player, before = cut_off(reconcilable=("pay",))
    first = started(player)
    player.give(Continued(reconcilable=("pay",)))
    second = started(player)

    assert second.reconciles
    assert second.key == before.id
    assert second.attempt == 1
    player.give(ToolReconciled(call_id=first.id, outcome="done", content="too late"))
    assert open_tool(player).id == second.id
    player.give(Continued())  # by a worker whose tool cannot say it
    assert request(player).purpose == "recovery"


def test_only_tools_that_run_once_are_asked_what_they_did() -> None:
    player, _ = cut_off("put", reconcilable=("put", "pay"))

    assert not open_tool(player).reconciles


def test_a_call_that_goes_on_with_an_answer_keeps_it_when_it_runs_again() -> None:
    player, before = cut_off()
    player.answer(decision="run it again")
    call = started(player)
    form = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    question = StoredQuestion(message="Where?", form=form, state="opaque")
    player.give(ToolAsked(call_id=call.id, question=question))
    player.answer(answer="Oslo")
    started(player)
    player.give(Continued())
    player.answer(decision="run it again")

    again = open_tool(player)
    assert again.answer is not None
    assert again.answer.content == {"city": "Oslo"}
    assert again.key == before.id


# --- beside all else ------------------------------------------------------------------------------


def test_a_run_that_is_aborted_while_a_person_is_asked_says_what_is_not_known() -> None:
    player = Player(
        [task("a"), task("b")],
        messages={"a": [calling(("c-1", "pay", "{}"))]},
        policies=POLICIES,
        human_in_loop=True,
    )
    player.start()
    while not any(isinstance(call, ToolCall) for call in player.snapshot.calls):
        player.give(player.outcome(player.snapshot.calls[0]))
    call = next(call for call in player.snapshot.calls if isinstance(call, ToolCall))
    model = next(call for call in player.snapshot.calls if not isinstance(call, ToolCall))
    player.give(ToolStarted(call_ids=(call.id,)), Continued())
    assert model.step is ModelStep.TASK
    failure = ModelFailed(call_id=model.id, error_type="E", message="no", retryable=False)
    player.give(failure)

    assert player.snapshot.state is AgentState.FAILED
    assert "The outcome of pay is not known" in str(player.errors()["a"])
    assert request_count(player) == 0


def test_a_failed_run_that_is_tried_again_asks_and_then_goes_on() -> None:
    player = Player(
        [task("a"), task("b")],
        messages={"a": [calling(("c-1", "pay", "{}"))]},
        policies=POLICIES,
        human_in_loop=True,
    )
    player.start()
    while not any(isinstance(call, ToolCall) for call in player.snapshot.calls):
        player.give(player.outcome(player.snapshot.calls[0]))
    call = next(call for call in player.snapshot.calls if isinstance(call, ToolCall))
    model = next(call for call in player.snapshot.calls if not isinstance(call, ToolCall))
    player.give(ToolStarted(call_ids=(call.id,)))
    player.give(ModelFailed(call_id=model.id, error_type="E", message="busy"))
    player.give(Continued())
    assert request(player).purpose == "recovery"
    player.run()
    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    player.answer(decision="it was done")

    assert player.run().snapshot.state is AgentState.COMPLETED


@settings(max_examples=60, deadline=None)
@given(
    course=st.lists(
        st.sampled_from(["crash", "crash and ask", "done", "not_done", "unknown", "again"]),
        max_size=12,
    )
)
def test_however_often_it_is_cut_off_the_key_stays_and_each_run_was_allowed(
    course: list[str],
) -> None:
    player, before = cut_off()
    runs, allowed = 1, 1
    for step in course:
        calls = [call for call in player.snapshot.calls if isinstance(call, ToolCall)]
        if not calls:
            if not player.snapshot.open_interactions():
                break
            player.answer(decision="run it again" if step == "again" else "skip")
            allowed += step == "again"
            continue
        call = calls[0]
        if not call.started:
            call = started(player)
            runs += not call.reconciles
            assert (call.key or call.id) == before.id
        if step.startswith("crash"):
            player.give(Continued(reconcilable=("pay",) if step == "crash and ask" else ()))
        elif call.reconciles and step in ("done", "not_done", "unknown"):
            allowed += step == "not_done"
            player.give(ToolReconciled(call_id=call.id, outcome=step))  # pyright: ignore[reportArgumentType]
    assert runs <= allowed
