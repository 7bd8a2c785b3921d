"""Tasks in the machine: calls that the plan fills in, further attempts, repetitions, excesses."""

import json

import pytest
from support.agent_player import calling, saying, task
from support.agent_task_player import TaskPlayer, inner_of

import mbxai.agent.machine._tasks as tasks
from mbxai.agent._plan_models import TaskStatus
from mbxai.agent._response import response_of
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._asked_calls import MAX_ARGUMENT_CHARS, MAX_CALLS
from mbxai.agent.machine._inputs import Continued, ModelFailed, ToolPolicy, ToolStarted
from mbxai.agent.machine._snapshot import Limits, ModelStep, ToolCall
from mbxai.agent.machine._work import Work

PLAN = [task("a"), task("b", "a")]
SEND = '{"to": "ann"}'


def planned_player(*plan: dict, **options: object) -> TaskPlayer:
    """A player whose second task begins with a call of `send`."""
    fields = options.pop("planned", {})
    player = TaskPlayer(list(plan) or PLAN, **options)
    player.start().to_tasks().named("send", "look")
    return player.fill_in("b", "send", SEND, **fields)


# --- a run that is over ---------------------------------------------------------------------------


def test_a_run_that_fails_for_good_in_a_task_leaves_no_task_in_progress() -> None:
    player = TaskPlayer([task("a"), task("b"), task("c", "a")]).start().to_tasks()
    first, _second = player.snapshot.calls
    refused = ModelFailed(
        call_id=first.id, error_type="BadRequestError", message="too odd", retryable=False
    )
    player.give(refused)

    assert player.statuses() == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert player.errors()["a"] == "too odd"
    assert player.snapshot.state is AgentState.FAILED
    assert response_of(player.snapshot).current_task is None


def test_a_run_whose_call_may_be_made_again_keeps_its_tasks_as_they_were() -> None:
    player = TaskPlayer([task("a"), task("b"), task("c", "a")]).start().to_tasks()
    first = player.snapshot.calls[0]
    player.give(ModelFailed(call_id=first.id, error_type="X", message="gone", retryable=True))
    assert player.statuses() == {"a": "in_progress", "b": "in_progress", "c": "pending"}
    player.give(Continued())
    player.run()

    assert player.snapshot.state is AgentState.COMPLETED


# --- calls that the plan fills in -----------------------------------------------------------------


def test_a_planned_call_runs_without_a_model_and_its_result_is_the_tasks() -> None:
    player = planned_player(results={"send": ["sent to ann"]}).run()

    done = player.snapshot.todo_list.tasks[1]
    assert done.status is TaskStatus.COMPLETED
    assert done.result == "sent to ann"
    assert player.model_calls_of("b") == 0
    assert [(call.name, call.arguments) for call in player.ran] == [("send", SEND)]
    assert player.snapshot.state is AgentState.COMPLETED


def test_a_planned_call_that_fails_stands_in_the_conversation_that_the_model_goes_on_with() -> None:
    again = calling(("again", "send", '{"to": "bob"}'))
    player = planned_player(
        messages={"b": [again, saying("sent to bob")]},
        results={"send": [ValueError("unknown: ann"), "sent"]},
    ).run()

    talk = player.conversation("b")
    assert [m["role"] for m in talk[2:]] == ["assistant", "tool", "assistant", "tool", "assistant"]
    assert talk[2]["tool_calls"][0]["function"] == {"name": "send", "arguments": SEND}
    assert talk[2]["tool_calls"][0]["id"] == talk[3]["tool_call_id"]
    assert player.told("b") == ["unknown: ann", "sent"]
    assert player.snapshot.todo_list.tasks[1].result == "sent to bob"


def test_a_planned_call_counts_as_no_round_of_the_model() -> None:
    again = calling(("again", "send", "{}"))
    player = planned_player(
        messages={"b": [again, saying("ok")]},
        results={"send": [ValueError("no"), "sent"]},
        limits=Limits(max_tool_rounds=1),
    ).run()

    assert player.statuses()["b"] == "completed"


def test_a_planned_call_that_needs_approval_waits_for_a_person_and_then_runs() -> None:
    player = planned_player(human_in_loop=True, planned={"requires_approval": True}).run()

    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    request = player.snapshot.open_interactions()[0]
    assert "'send'" in request.prompt
    assert SEND in request.context
    assert player.ran == []

    player.answer(decision="approve")
    player.run()

    assert player.snapshot.todo_list.tasks[1].result == "send ran"
    assert player.model_calls_of("b") == 0


def test_a_declined_planned_call_leaves_the_task_to_the_model() -> None:
    player = planned_player(human_in_loop=True, planned={"requires_approval": True}).run()
    player.answer(decision="decline", note="not to ann")
    player.run()

    assert player.ran == []
    assert "not to ann" in player.told("b")[0]
    assert player.model_calls_of("b") == 1
    assert player.snapshot.todo_list.tasks[1].result == "done b"


def test_a_planned_call_is_dropped_where_a_person_changed_the_task() -> None:
    plan = [task("a"), task("b", "a", complexity=5)]
    player = planned_player(*plan, human_in_loop=True).run()
    player.answer(decision="modify", note="write to bob instead")
    player.run()

    assert player.ran == []
    assert "write to bob instead" in player.conversation("b")[1]["content"]
    assert player.statuses()["b"] == "completed"


@pytest.mark.parametrize(
    ("effect", "runs"), [pytest.param("once", 1, id="once"), pytest.param("read", 2, id="read")]
)
def test_a_planned_call_that_a_stopped_worker_began_is_resolved_like_any_other(
    effect: str, runs: int
) -> None:
    player = planned_player(planned={"effect": effect})
    player.give(player.outcome(player.snapshot.calls[0]))
    call = player.snapshot.calls[0]
    assert isinstance(call, ToolCall)
    player.give(ToolStarted(call_ids=(call.id,)), Continued())
    player.run()

    assert 1 + len(player.ran) == runs
    assert player.statuses()["b"] == "completed"
    assert ("outcome unknown" in str(player.told("b"))) == (effect == "once")
    assert all(run.id == call.id for run in player.ran)


def test_tasks_that_do_not_wait_for_each_other_begin_together_with_and_without_a_model() -> None:
    player = TaskPlayer([task("a"), task("b", "a"), task("c", "a"), task("d", "a")])
    player.start().to_tasks()
    player.fill_in("b", "send").fill_in("c", "look", effect="read")
    player.give(player.outcome(player.snapshot.calls[0]))

    kinds = [(c.kind, c.task_id) for c in player.snapshot.calls]
    assert kinds == [
        ("tool", player.task_id("b")),
        ("tool", player.task_id("c")),
        ("model", player.task_id("d")),
    ]


def test_what_depends_on_a_failed_task_is_skipped_with_the_reason() -> None:
    loop = [calling((f"c{n}", "look", json.dumps({"n": n}))) for n in range(3)]
    player = TaskPlayer(PLAN, messages={"a": loop}, limits=Limits(max_tool_rounds=2)).start().run()

    assert player.statuses() == {"a": "failed", "b": "skipped"}
    assert "'Title a', which failed" in str(player.errors()["b"])


# --- further attempts -----------------------------------------------------------------------------


def retried(player: TaskPlayer, key: str) -> None:
    """Mark a task as not begun, and start what can start; as a new round of the plan does it."""
    work = Work(player.snapshot)
    work.update(calls=(), state=AgentState.EXECUTING_TASKS, iteration_count=0)
    tasks.retry(work, player.task_id(key))
    tasks.settle(work)
    player.snapshot = work.snapshot


def failing_player() -> TaskPlayer:
    """A player whose task sends two messages and then finds no end."""
    loop = [calling((f"c{n}", "send", json.dumps({"to": n}))) for n in range(3)]
    player = TaskPlayer(
        [task("a")],
        messages={"a": loop},
        limits=Limits(max_tool_rounds=2),
        results={"send": ["sent\nwell", "x" * 5_000]},
    )
    player.start().to_tasks()
    while player.statuses()["a"] == "in_progress":
        player.give(player.outcome(player.snapshot.calls[0]))
    return player


def test_a_task_that_is_tried_again_is_told_what_its_first_attempt_did() -> None:
    player = failing_player()
    retried(player, "a")

    text = player.conversation("a")[1]["content"]
    assert 'send({"to": 0}) -> sent well' in text
    assert 'send({"to": 1}) -> xxx' in text
    assert len(text) < 2_500
    assert "Do not repeat" in text
    assert len(player.conversation("a")) == 2
    assert player.snapshot.todo_list.tasks[0].attempts == 2
    assert player.snapshot.todo_list.tasks[0].error_message is None

    player.run()

    assert player.statuses() == {"a": "completed"}


def test_a_third_attempt_is_told_of_both_before_it() -> None:
    player = failing_player()
    retried(player, "a")
    player.run()
    retried(player, "a")

    text = player.conversation("a")[1]["content"]
    assert 'send({"to": 0})' in text
    assert player.snapshot.todo_list.tasks[0].attempts == 3


def test_an_attempt_that_was_ended_during_a_call_says_that_its_outcome_is_not_known() -> None:
    player = TaskPlayer([task("a")], messages={"a": [calling(("c", "send", SEND))]})
    player.start().to_tasks()
    player.give(player.outcome(player.snapshot.calls[0]))
    player.give(ToolStarted(call_ids=(player.snapshot.calls[0].id,)))
    work = Work(player.snapshot)
    work.end_task(player.task_id("a"), TaskStatus.FAILED, error="ended")
    player.snapshot = work.snapshot
    retried(player, "a")

    assert f"send({SEND}) -> outcome unknown" in player.conversation("a")[1]["content"]


def test_a_planned_call_that_was_made_is_not_made_again_by_itself() -> None:
    player = planned_player(results={"send": ["sent"]}).run()
    retried(player, "b")

    assert [call.kind for call in player.snapshot.calls] == ["model"]
    assert f"send({SEND}) -> sent" in player.conversation("b")[1]["content"]


def test_a_planned_call_that_was_never_made_is_made_by_the_next_attempt() -> None:
    loop = [calling((f"c{n}", "look", json.dumps({"n": n}))) for n in range(3)]
    player = planned_player(messages={"a": loop}, limits=Limits(max_tool_rounds=2))
    player.named("look", "send")
    while player.statuses()["b"] == "pending":
        player.give(player.outcome(player.snapshot.calls[0]))
    work = Work(player.snapshot)
    work.update(calls=(), state=AgentState.EXECUTING_TASKS)
    tasks.retry(work, player.task_id("a"))
    tasks.retry(work, player.task_id("b"))
    tasks.settle(work)
    player.snapshot = work.snapshot
    player.run()

    assert player.statuses() == {"a": "completed", "b": "completed"}
    assert [call.name for call in player.ran][-1] == "send"


def test_a_refused_call_is_nothing_that_was_done() -> None:
    policies = {"send": ToolPolicy(requires_approval=True)}
    player = TaskPlayer(
        [task("a")], messages={"a": [calling(("c", "send", SEND))]}, policies=policies
    )
    player.start().run()
    retried(player, "a")

    assert "send(" not in player.conversation("a")[1]["content"]


# --- repetitions ----------------------------------------------------------------------------------


def repeating(*arguments: str, **options: object) -> TaskPlayer:
    messages = [calling((f"c{n}", "look", text)) for n, text in enumerate(arguments)]
    player = TaskPlayer([task("a")], messages={"a": [*messages, saying("ok")]}, **options)
    player.start().run()
    return player


def test_the_same_call_with_the_same_result_is_run_no_more_than_the_bound() -> None:
    player = repeating('{"q": 1, "r": 2}', '{"r": 2, "q": 1}', '{"q":1,"r":2}', '{"q": 1, "r": 2}')

    assert len(player.ran) == 3
    assert "same result again and again" in player.told("a")[3]
    assert player.statuses() == {"a": "completed"}


def test_a_call_whose_result_changes_may_be_repeated() -> None:
    player = repeating(
        *["{}"] * 6, results={"look": ["1", "2", "1", "2", "1", "2"]}, limits=Limits(max_repeats=2)
    )

    assert len(player.ran) == 6


def test_a_tool_that_may_be_repeated_is() -> None:
    policies = {"look": ToolPolicy(effect="read", may_repeat=True)}
    player = repeating(*["{}"] * 6, policies=policies)

    assert len(player.ran) == 6


def test_a_model_that_repeats_on_and_on_ends_its_task_at_the_bound_of_rounds() -> None:
    player = repeating(*["{}"] * 12, limits=Limits(max_repeats=2, max_tool_rounds=5))

    assert len(player.ran) == 2
    assert player.statuses() == {"a": "failed"}


def test_other_calls_are_not_held_up_by_a_repeated_one() -> None:
    player = repeating("{}", "{}", '{"q": 1}', "{}", limits=Limits(max_repeats=2))

    assert [call.arguments for call in player.ran] == ["{}", "{}", '{"q": 1}']


# --- excesses -------------------------------------------------------------------------------------


def test_a_message_with_too_many_calls_is_refused_as_a_whole_and_its_calls_are_not_kept() -> None:
    flood = calling(*((f"c{n}", "look", "{}") for n in range(MAX_CALLS + 500)))
    player = TaskPlayer([task("a")], messages={"a": [flood, saying("ok")]}).start().run()

    assert player.ran == []
    assert len(player.told("a")) == MAX_CALLS
    assert len(player.conversation("a")[2]["tool_calls"]) == MAX_CALLS
    assert "too many calls" in player.told("a")[0]
    assert player.statuses() == {"a": "completed"}


def test_giant_arguments_are_refused_and_not_kept() -> None:
    giant = json.dumps({"text": "x" * MAX_ARGUMENT_CHARS})
    both = calling(("c1", "write", giant), ("c2", "look", "{}"))
    player = TaskPlayer([task("a")], messages={"a": [both, saying("ok")]}).start().run()

    assert [call.name for call in player.ran] == ["look"]
    assert "too long" in player.told("a")[0]
    assert len(str(player.snapshot)) < MAX_ARGUMENT_CHARS


def test_calls_that_a_message_gives_one_id_get_each_its_own_result() -> None:
    message = calling(("c", "look", '{"n": 1}'), ("c", "look", '{"n": 2}'), ("c_2", "send", "{}"))
    player = TaskPlayer(
        [task("a")],
        messages={"a": [message, saying("ok")]},
        results={"look": ["first", "second"], "send": ["sent"]},
    )
    player.start().to_tasks()
    player.give(player.outcome(player.snapshot.calls[0]))
    assert len({call.call_id for call in player.snapshot.calls}) == 3
    player.run(choose=lambda count: count - 1)

    talk = player.conversation("a")
    ids = [call["id"] for call in talk[2]["tool_calls"]]
    assert len(set(ids)) == 3
    assert ids[0] == "c"
    assert ids == [m["tool_call_id"] for m in talk if m["role"] == "tool"]
    assert player.told("a") == ["second", "first", "sent"]
    assert sorted(call.arguments for call in player.ran) == ['{"n": 1}', '{"n": 2}', "{}"]


def test_of_two_calls_of_one_id_a_person_approves_each_by_itself() -> None:
    gated = ToolPolicy(requires_approval=True)
    player = TaskPlayer(
        [task("a")],
        messages={"a": [calling(("c", "send", '{"n": 1}'), ("c", "send", '{"n": 2}'))]},
        policies={"send": gated},
        human_in_loop=True,
    )
    player.start().run()
    player.answer(decision="decline")
    player.answer(decision="approve")
    player.run()

    assert [call.arguments for call in player.ran] == ['{"n": 2}']
    assert "declined" in player.told("a")[0]
    assert player.told("a")[1] == "send ran"


def test_a_call_without_a_name_is_answered() -> None:
    player = TaskPlayer(
        [task("a")],
        messages={"a": [calling(("c", "", "")), saying("ok")]},
        policies={"look": ToolPolicy()},
    )
    player.start().run()

    assert player.ran == []
    assert "There is no tool ''" in player.told("a")[0]
    assert player.statuses() == {"a": "completed"}


def test_a_tool_that_is_not_offered_is_named_to_the_model_and_to_no_person() -> None:
    policies = {"look": ToolPolicy(), "send": ToolPolicy()}
    player = TaskPlayer(
        [task("a")],
        messages={"a": [calling(("c", "delete_all", "{}")), saying("ok")]},
        policies=policies,
        human_in_loop=True,
    )
    player.start().run()

    assert player.snapshot.interactions == ()
    assert "Tools that may be used: look, send" in player.told("a")[0]


def test_results_come_back_with_where_they_come_from() -> None:
    policies = {"look": ToolPolicy(source="a-server")}
    player = TaskPlayer(
        [task("a")], messages={"a": [calling(("c", "look", "{}"))]}, policies=policies
    )
    player.start().run()

    shown = player.conversation("a")[3]["content"]
    assert 'tool="look" server="a-server"' in shown
    assert inner_of(shown) == "look ran"
    assert any(call.step is ModelStep.TASK for call in player.prompted)
