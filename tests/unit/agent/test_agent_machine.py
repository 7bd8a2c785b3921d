"""The machine: every transition, in any order of outcomes, without I/O."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.agent_player import Player, calling, saying, task

from mbxai.agent._human_models import DialogOption
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._inputs import (
    Continued,
    HumanAnswered,
    ModelFailed,
    ModelRejected,
    ToolPolicy,
    ToolReturned,
    ToolStarted,
)
from mbxai.agent.machine._machine import advance
from mbxai.agent.machine._snapshot import AgentSnapshot, AnswerRecord, Limits, ModelStep, ToolCall
from mbxai.errors import InteractionMismatchError, InteractionNotFoundError

JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in")


def test_six_steps_lead_to_a_final_response_and_every_step_is_counted() -> None:
    player = Player([task("a"), task("b", "a")]).start().run()

    assert player.snapshot.state is AgentState.COMPLETED
    assert player.snapshot.final_response == {"text": "the answer"}
    states = [event.state for event in player.events if event.type == "state_changed"]
    assert states == [
        AgentState.ANALYZING_REQUIREMENT,
        AgentState.ANALYZING_TOOLS,
        AgentState.GENERATING_TODO,
        AgentState.EXECUTING_TASKS,
        AgentState.EVALUATING_GOAL,
        AgentState.COMPLETED,
    ]
    summary = player.snapshot.token_summary
    assert summary.requirement_analysis.total_tokens == 15
    assert len(summary.task_execution) == 2
    assert summary.total_tokens == 15 * 7
    assert summary.total_cost_usd == pytest.approx(0.007)


def test_a_dependent_task_starts_after_its_dependency_and_reads_its_result() -> None:
    player = (
        Player([task("a"), task("b", "a")], messages={"a": [saying("42 apples")]}).start().run()
    )

    order = [e.task.title for e in player.events if e.type == "task_changed"]
    assert order == ["Title a", "Title a", "Title b", "Title b"]
    assert "42 apples" in player.conversation("b")[1]["content"]


def test_independent_tasks_are_open_at_the_same_time_up_to_the_bound() -> None:
    player = Player([task("a"), task("b"), task("c")], limits=Limits(max_parallel_tasks=2)).start()
    while player.snapshot.state is not AgentState.EXECUTING_TASKS:
        player.give(player.outcome(player.snapshot.calls[0]))

    assert player.statuses() == {"a": "in_progress", "b": "in_progress", "c": "pending"}
    assert len(player.snapshot.calls) == 2


EDGES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(edges=EDGES, picks=st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_any_order_of_outcomes_runs_each_task_and_each_tool_once(
    edges: list[tuple[int, int]], picks: list[int]
) -> None:
    after: dict[int, list[str]] = {n: [] for n in range(7)}
    for low, high in edges:
        if low < high:
            after[high].append(f"t{low}")
    plan = [task(f"t{n}", *dict.fromkeys(after[n])) for n in range(7)]
    messages = {f"t{n}": [calling((f"c{n}", "look", "{}"))] for n in range(7)}
    choices = iter(picks)
    player = Player(plan, messages=messages)
    player.start().run(lambda count: next(choices, 0) % count)

    assert player.snapshot.state is AgentState.COMPLETED
    assert set(player.statuses().values()) == {"completed"}
    assert sorted(call.call_id for call in player.ran) == [f"c{n}" for n in range(7)]


@settings(max_examples=40, deadline=None)
@given(picks=st.lists(st.integers(0, 50), max_size=20))
def test_outcomes_that_come_twice_or_too_late_change_nothing(picks: list[int]) -> None:
    player = Player([task("a"), task("b")], messages={"a": [calling(("c", "look", "{}"))]}).start()
    given_before: list = []
    choices = iter(picks)
    while player.snapshot.calls:
        outcome = player.outcome(
            player.snapshot.calls[next(choices, 0) % len(player.snapshot.calls)]
        )
        player.give(outcome)
        given_before.append(outcome)
        for late in given_before:
            assert advance(player.snapshot, late) == (player.snapshot, (), ())

    assert player.snapshot.state is AgentState.COMPLETED


def test_the_same_inputs_give_the_same_ids() -> None:
    first = Player([task("a")]).start().run().snapshot
    second = Player([task("a")]).start().run().snapshot

    assert first == second


def test_the_state_survives_json_with_default_str_exactly() -> None:
    player = Player(
        [task("a")],
        messages={
            "a": [calling(("c", "open_dialog", '{"dialog_option_id": "jira_auth", "reason": "r"}'))]
        },
        human_in_loop=True,
        dialog_options=[JIRA],
    )
    player.start().run()
    data = player.snapshot.model_dump(mode="json")

    assert json.loads(json.dumps(data, default=str)) == data
    assert AgentSnapshot.model_validate(data) == player.snapshot


# --- plans that cannot run ------------------------------------------------------------------------


def test_a_plan_with_unknown_keys_goes_back_to_the_model_with_the_reason() -> None:
    player = Player([task("a", "nowhere")], [task("a")]).start().run()

    retry = [call for call in player.prompted if call.step is ModelStep.PLAN][1]
    assert "nowhere" in retry.feedback[0]
    assert player.statuses() == {"a": "completed"}


def test_a_circle_is_repaired_after_the_last_attempt_and_said_so() -> None:
    player = Player([task("a", "b"), task("b", "a"), task("b")]).start().run()

    changed = next(event for event in player.events if event.type == "plan_changed")
    assert len([call for call in player.prompted if call.step is ModelStep.PLAN]) == 3
    assert any("renamed" in line for line in changed.repairs)
    assert any("no longer depends" in line for line in changed.repairs)
    assert player.snapshot.state is AgentState.COMPLETED
    assert set(player.statuses()) == {"a", "b", "b_2"}


def test_repeated_keys_that_nothing_depends_on_are_renamed_without_asking() -> None:
    player = Player([task("a"), task("a"), task("b")]).start().run()

    assert len([call for call in player.prompted if call.step is ModelStep.PLAN]) == 1
    assert player.statuses() == {"a": "completed", "a_2": "completed", "b": "completed"}


def test_a_repeated_key_that_a_task_depends_on_goes_back_to_the_model() -> None:
    player = Player([task("a"), task("a"), task("b", "a")], [task("a")]).start().run()

    retry = [call for call in player.prompted if call.step is ModelStep.PLAN][1]
    assert "which one" in retry.feedback[0]


def test_a_plan_past_the_limit_is_cut_after_the_last_attempt() -> None:
    player = Player([task(f"t{n}") for n in range(60)], limits=Limits(max_task_iterations=99))
    player.start().run()

    assert len(player.statuses()) == 50
    assert player.snapshot.state is AgentState.COMPLETED


# --- failures -------------------------------------------------------------------------------------


def test_a_failed_task_is_no_success_and_its_dependents_are_skipped_with_the_reason() -> None:
    player = Player(
        [task("a"), task("b", "a"), task("c", "b"), task("d")],
        messages={"a": [saying(""), saying(" "), saying("\u200b\u2060")]},
    )
    player.start().run()

    assert player.statuses() == {"a": "failed", "b": "skipped", "c": "skipped", "d": "completed"}
    assert player.errors()["a"] == "The answer was empty. (3 times)"
    assert player.errors()["b"] == "It depends on 'Title a', which failed."
    assert player.errors()["c"] == "It depends on 'Title b', which was skipped."


def test_an_answer_cut_at_the_token_limit_is_asked_for_again() -> None:
    player = Player([task("a")]).start()
    while player.snapshot.state is not AgentState.EXECUTING_TASKS:
        player.give(player.outcome(player.snapshot.calls[0]))
    cut = player.outcome(player.snapshot.calls[0]).model_copy(update={"finish_reason": "length"})
    player.give(cut)

    assert player.statuses() == {"a": "in_progress"}
    assert "cut" in player.conversation("a")[-1]["content"]


def test_a_task_that_never_stops_calling_tools_fails_at_the_round_limit() -> None:
    endless = [calling((f"c{n}", "look", "{}")) for n in range(9)]
    player = Player([task("a")], messages={"a": endless}, limits=Limits(max_tool_rounds=3))
    player.start().run()

    assert len(player.ran) == 3
    assert player.errors()["a"] == "The model was still calling tools after 3 rounds."


def test_a_step_whose_answers_never_fit_fails_with_the_last_problems() -> None:
    player = Player([task("a")]).start()
    for _ in range(3):
        call = player.snapshot.calls[0]
        player.give(ModelRejected(call_id=call.id, problems=("goal: missing",)))

    assert player.snapshot.error is not None
    assert player.snapshot.error.message.endswith("3 times: goal: missing")
    assert player.snapshot.error.retryable


def test_a_lost_connection_keeps_the_open_step_which_is_tried_again() -> None:
    player = Player([task("a"), task("b", "a")], messages={"a": [saying("kept")]}).start()
    while player.statuses().get("a") != "completed":
        player.give(player.outcome(player.snapshot.calls[0]))
    call = player.snapshot.calls[0]
    player.give(ModelFailed(call_id=call.id, error_type="OpenRouterConnectionError", message="no"))
    assert player.snapshot.state is AgentState.FAILED

    player.give(Continued())
    assert player.snapshot.state is AgentState.EXECUTING_TASKS
    player.run()
    assert player.snapshot.state is AgentState.COMPLETED
    assert "kept" in player.conversation("b")[1]["content"]


def test_an_interrupted_tool_that_must_run_once_is_not_run_again() -> None:
    player = Player([task("a")], messages={"a": [calling(("c", "pay", "{}"))]}).start()
    while not any(isinstance(call, ToolCall) for call in player.snapshot.calls):
        player.give(player.outcome(player.snapshot.calls[0]))
    player.give(ToolStarted(call_ids=(player.snapshot.calls[0].id,)), Continued())
    player.run()

    assert player.ran == []
    assert "outcome unknown" in player.conversation("a")[-2]["content"]


def test_an_interrupted_tool_that_may_be_repeated_runs_again_under_the_same_id() -> None:
    player = Player(
        [task("a")],
        messages={"a": [calling(("c", "look", "{}"))]},
        policies={"look": ToolPolicy(effect="read")},
    ).start()
    while not any(isinstance(call, ToolCall) for call in player.snapshot.calls):
        player.give(player.outcome(player.snapshot.calls[0]))
    before = player.snapshot.calls[0].id
    player.give(ToolStarted(call_ids=(before,)), Continued())
    player.run()

    assert [call.id for call in player.ran] == [before]


@pytest.mark.parametrize("reason", ["length", "content_filter", "error"])
def test_a_message_that_was_not_finished_runs_no_tool_and_is_no_result(reason: str) -> None:
    player = Player([task("a")], messages={"a": [calling(("c", "wipe", ""))]}).start()
    while player.snapshot.state is not AgentState.EXECUTING_TASKS:
        player.give(player.outcome(player.snapshot.calls[0]))
    for _ in range(2):  # once with a tool call, once with half a sentence
        cut = player.outcome(player.snapshot.calls[0])
        player.give(cut.model_copy(update={"finish_reason": reason}))
    assert player.statuses() == {"a": "in_progress"}
    assert "Nothing was run" in player.conversation("a")[3]["content"]

    player.run()
    assert player.ran == []
    assert player.statuses() == {"a": "completed"}


def test_two_failures_at_once_are_told_once() -> None:
    player = Player([task("a"), task("b")]).start()
    while player.snapshot.state is not AgentState.EXECUTING_TASKS:
        player.give(player.outcome(player.snapshot.calls[0]))
    for call in player.snapshot.calls:
        player.give(ModelFailed(call_id=call.id, error_type="OpenRouterError", message="no"))

    assert [event.type for event in player.events].count("run_failed") == 1


def test_blanks_around_keys_do_not_lose_a_dependency() -> None:
    player = Player([task("a "), task("b", " a")]).start().run()

    assert list(player.statuses()) == ["a", "b"]
    assert "done a" in player.conversation("b")[1]["content"]


def test_ids_of_a_session_do_not_come_back_with_its_name() -> None:
    ids = set()
    for nonce in ("one", "two"):
        player = Player([task("a")])
        player.give(player._start.model_copy(update={"nonce": nonce}))
        ids.add(player.snapshot.calls[0].id)

    assert len(ids) == 2


# --- evaluation and replanning --------------------------------------------------------------------


def test_a_goal_not_reached_leads_to_a_new_round_that_keeps_finished_work() -> None:
    player = Player([task("a")], [task("b", "a")], evaluations=[False, True]).start().run()

    assert player.statuses() == {"a": "completed", "b": "completed"}
    assert player.snapshot.replans == 1
    assert "done a" in player.conversation("b")[1]["content"]
    assert player.snapshot.state is AgentState.COMPLETED


def test_exhausted_rounds_are_a_failure_and_never_a_silent_success() -> None:
    plans = [[task(name)] for name in "abcd"]
    player = Player(*plans, evaluations=[False] * 4, limits=Limits(max_replans=2)).start().run()

    assert player.snapshot.state is AgentState.FAILED
    assert player.snapshot.error is not None
    assert player.snapshot.error.type == "GoalNotReached"
    assert player.snapshot.goal_evaluation is not None
    assert player.snapshot.goal_evaluation.completion_percentage == 40
    assert player.snapshot.final_response is None


def test_tasks_past_the_bound_of_a_round_run_in_the_next_round_without_a_new_plan() -> None:
    player = Player(
        [task(name) for name in "abc"],
        evaluations=[False, True],
        limits=Limits(max_task_iterations=2),
    )
    player.start().run()

    assert player.statuses() == {"a": "completed", "b": "completed", "c": "completed"}
    assert len([call for call in player.prompted if call.step is ModelStep.PLAN]) == 1


def test_a_new_prompt_is_a_new_turn_that_remembers_the_earlier_one() -> None:
    player = Player([task("a")]).start("first wish").run().start("second wish")

    assert player.snapshot.turn == 2
    assert player.snapshot.todo_list is None
    assert player.snapshot.conversation_history[0] == {"role": "user", "content": "first wish"}
    player.run()
    assert "first wish" in player.conversation("a")[1]["content"]
    assert "the answer" in player.conversation("a")[1]["content"]


# --- people ---------------------------------------------------------------------------------------


def asking(name: str, arguments: str) -> Player:
    return (
        Player(
            [task("a"), task("b")],
            messages={"a": [calling(("c", name, arguments))]},
            human_in_loop=True,
            dialog_options=[JIRA],
        )
        .start()
        .run()
    )


def test_a_question_waits_while_other_tasks_go_on_and_its_answer_reaches_the_task() -> None:
    player = asking("ask_question", '{"prompt": "Which region?"}')
    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    assert player.statuses() == {"a": "in_progress", "b": "completed"}

    player.answer(answer="eu-west")
    player.run()
    assert player.snapshot.state is AgentState.COMPLETED
    assert "eu-west" in player.conversation("a")[-2]["content"]
    assert len(player.snapshot.token_summary.dialog_interactions) == 1


def test_a_decision_takes_an_offered_option_in_any_case_and_refuses_others() -> None:
    player = asking("request_decision", '{"prompt": "Cloud?", "options": ["AWS", "GCP"]}')
    before = player.snapshot
    with pytest.raises(InteractionMismatchError, match="AWS, GCP"):
        player.answer(decision="Azure")
    assert player.snapshot == before

    player.answer(decision="aws")
    assert player.snapshot.interactions[0].answer is not None
    assert player.snapshot.interactions[0].answer.decision == "AWS"


def test_a_dialogue_gives_the_model_handles_only() -> None:
    player = asking("open_dialog", '{"dialog_option_id": "jira_auth", "reason": "to read it"}')
    player.answer(dialog_option_id="jira_auth", provides=("secret://jira_auth/auth_token",))
    player.run()

    result = json.loads(player.conversation("a")[-2]["content"])
    assert result["provides"] == ["secret://jira_auth/auth_token"]


def test_a_call_of_a_dialogue_that_does_not_exist_tells_the_model_which_do() -> None:
    player = asking("open_dialog", '{"dialog_option_id": "sap", "reason": ""}')

    assert player.snapshot.state is AgentState.COMPLETED
    assert "jira_auth" in player.conversation("a")[-2]["content"]


def test_the_same_answer_twice_is_nothing_and_another_one_an_error() -> None:
    player = asking("ask_question", '{"prompt": "Which region?"}')
    request = player.snapshot.open_interactions()[0]
    player.answer(answer="eu-west")
    before = player.snapshot

    def again(text: str) -> None:
        record = AnswerRecord(response_type=request.interaction_type, answer=text)
        player.give(HumanAnswered(interaction_id=request.id, answer=record))

    again("eu-west")
    assert player.snapshot == before
    with pytest.raises(InteractionMismatchError, match="already answered"):
        again("us-east")


def test_an_answer_to_an_unknown_request_names_it() -> None:
    player = asking("ask_question", '{"prompt": "Which region?"}')
    record = AnswerRecord(response_type="question", answer="x")

    with pytest.raises(InteractionNotFoundError, match="'no-such'"):
        player.give(HumanAnswered(interaction_id="no-such", answer=record))


def complex_plan() -> Player:
    plan = [task("a", complexity=4), task("b", "a")]
    return Player(plan, human_in_loop=True).start().run()


def test_a_complex_task_waits_for_a_person_and_proceeds() -> None:
    player = complex_plan()
    assert player.snapshot.open_interactions()[0].options == ("proceed", "skip", "modify", "abort")

    player.answer(decision="proceed")
    player.run()
    assert player.statuses() == {"a": "completed", "b": "completed"}


def test_a_task_skipped_by_a_person_does_not_block_its_dependents() -> None:
    player = complex_plan()
    player.answer(decision="skip")
    player.run()

    assert player.statuses() == {"a": "skipped", "b": "completed"}


def test_a_task_modified_by_a_person_runs_as_modified() -> None:
    player = complex_plan()
    player.answer(decision="modify", note="only the first page")
    player.run()

    assert "only the first page" in player.conversation("a")[1]["content"]
    assert player.statuses()["a"] == "completed"


def test_an_abort_ends_the_run_and_runs_nothing_more() -> None:
    player = complex_plan()
    player.answer(decision="abort")

    assert player.snapshot.state is AgentState.FAILED
    assert player.snapshot.error is not None
    assert player.snapshot.error.type == "Aborted"
    assert player.snapshot.calls == ()
    assert player.statuses() == {"a": "skipped", "b": "skipped"}


def test_a_modification_needs_to_say_what() -> None:
    player = complex_plan()

    with pytest.raises(InteractionMismatchError, match="additional_context"):
        player.answer(decision="modify")


def test_answers_to_requests_that_an_abort_withdrew_change_nothing() -> None:
    plan = [task("a", complexity=4), task("b", complexity=5)]
    player = Player(plan, human_in_loop=True).start().run()
    first, second = player.snapshot.open_interactions()
    for request, decision in ((first, "abort"), (second, "proceed")):
        record = AnswerRecord(response_type="decision", decision=decision)
        player.give(HumanAnswered(interaction_id=request.id, answer=record))

    assert player.snapshot.error is not None
    assert player.snapshot.error.type == "Aborted"
    assert player.statuses() == {"a": "skipped", "b": "skipped"}


def test_tasks_that_wait_for_people_take_no_other_tasks_place() -> None:
    plan = [*(task(name, complexity=5) for name in "abcd"), task("e")]
    player = Player(plan, human_in_loop=True, limits=Limits(max_parallel_tasks=4))
    player.start().run()

    assert player.statuses()["e"] == "completed"
    assert len(player.snapshot.open_interactions()) == 4


@pytest.mark.parametrize(("decision", "runs"), [("approve", 1), ("decline", 0)])
def test_a_tool_that_needs_approval_runs_only_when_approved(decision: str, runs: int) -> None:
    player = (
        Player(
            [task("a")],
            messages={"a": [calling(("c", "deploy", '{"to": "production"}'))]},
            policies={"deploy": ToolPolicy(requires_approval=True)},
            human_in_loop=True,
        )
        .start()
        .run()
    )
    assert player.ran == []
    assert "production" in player.snapshot.open_interactions()[0].context

    player.answer(decision=decision)
    player.run()
    assert len(player.ran) == runs
    assert player.snapshot.state is AgentState.COMPLETED


def test_a_tool_that_needs_approval_is_refused_where_nobody_can_be_asked() -> None:
    player = (
        Player(
            [task("a")],
            messages={"a": [calling(("c", "deploy", "{}"))]},
            policies={"deploy": ToolPolicy(requires_approval=True)},
        )
        .start()
        .run()
    )

    assert player.ran == []
    assert "no person can be asked" in player.conversation("a")[-2]["content"]


def test_results_of_a_round_go_back_in_the_order_of_the_calls() -> None:
    player = Player(
        [task("a")],
        messages={"a": [calling(("c1", "one", "{}"), ("c2", "two", "{}"))]},
    ).start()
    while len([c for c in player.snapshot.calls if isinstance(c, ToolCall)]) < 2:
        player.give(player.outcome(player.snapshot.calls[0]))
    first, second = player.snapshot.calls
    player.give(
        ToolReturned(call_id=second.id, content="2"), ToolReturned(call_id=first.id, content="1")
    )

    results = [m["content"] for m in player.conversation("a") if m["role"] == "tool"]
    assert [result.splitlines()[1] for result in results] == ["1", "2"]
