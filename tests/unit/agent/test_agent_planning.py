"""Plans in the machine: in three steps and in one, mended, changed in a new round; tools named."""

from typing import Any

import pytest
from support.agent_player import Player, saying, task

from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._drafts import TaskDraft, TodoDraft
from mbxai.agent.machine._inputs import ModelReturned, ToolPolicy
from mbxai.agent.machine._plan_checks import MAX_KEY_CHARS, MAX_TASKS, Before, plan_problems
from mbxai.agent.machine._plan_repairs import goal_task, repaired_plan
from mbxai.agent.machine._snapshot import Limits, ModelStep, PlannedCall

MERGED = Limits(planning="merged")
ONE_TRY = Limits(max_answer_attempts=1)
READ = ToolPolicy(effect="read")
STATES = [
    AgentState.ANALYZING_REQUIREMENT,
    AgentState.ANALYZING_TOOLS,
    AgentState.GENERATING_TODO,
    AgentState.EXECUTING_TASKS,
    AgentState.EVALUATING_GOAL,
    AgentState.COMPLETED,
]
GOAL = goal_task("the goal", 3, ())


def filled(key: str, name: str, arguments: str, *after: str) -> dict[str, Any]:
    return {**task(key, *after), "tool_call": {"name": name, "arguments": arguments}}


def replan(*tasks: dict[str, Any], **changes: list[str]) -> dict[str, Any]:
    return {"tasks": list(tasks), "estimated_total_time": "", "retry": [], "skip": [], **changes}


def draft_of(*tasks: dict[str, Any]) -> TodoDraft:
    return TodoDraft.model_validate({"tasks": list(tasks), "estimated_total_time": ""})


def steps_of(player: Player) -> list[ModelStep]:
    return [call.step for call in player.prompted]


def repairs_of(player: Player) -> list[str]:
    changed = [event for event in player.events if event.type == "plan_changed"]
    return [repair for event in changed for repair in event.repairs]


# --- in one step ----------------------------------------------------------------------------------


def test_merged_planning_needs_one_call_where_stepwise_needs_three() -> None:
    merged = Player([task("a")], limits=MERGED).start().run()
    stepwise = Player([task("a")]).start().run()

    assert steps_of(merged) == [ModelStep.PLANNING, ModelStep.TASK, ModelStep.CONCLUSION]
    assert steps_of(stepwise) == [
        ModelStep.REQUIREMENT,
        ModelStep.TOOLS,
        ModelStep.PLAN,
        ModelStep.TASK,
        ModelStep.EVALUATION,
        ModelStep.FINAL,
    ]


def test_merged_planning_goes_through_the_same_states_with_the_same_events() -> None:
    seen = []
    for limits in (MERGED, Limits()):
        player = Player([task("a")], limits=limits).start().run()
        types = [e.type for e in player.events if e.type != "usage_added"]
        states = [e.state for e in player.events if e.type == "state_changed"]
        seen.append((types, states))

    assert seen[0] == seen[1]
    assert seen[0][1] == STATES


def test_merged_planning_fills_both_analyses_and_the_plan() -> None:
    player = Player([task("a")], limits=MERGED, policies={"look": READ}).start().run()

    assert player.snapshot.requirement_analysis.goal == "the goal"
    assert player.snapshot.tool_analysis.relevant_tools == ["look"]
    assert [found.title for found in player.snapshot.todo_list.tasks] == ["Title a"]
    assert player.snapshot.token_summary.todo_generation.total_tokens == 15


def test_an_unusable_merged_plan_asks_for_all_of_it_again_and_changes_nothing() -> None:
    player = Player([task("a", "gone")], [task("a")], limits=MERGED).start()
    player.give(player.outcome(player.snapshot.calls[0]))

    assert player.snapshot.state is AgentState.ANALYZING_REQUIREMENT
    assert player.snapshot.requirement_analysis is None
    again = player.snapshot.calls[0]
    assert (again.step, again.attempt) == (ModelStep.PLANNING, 2)
    assert "'gone'" in again.feedback[0]
    player.run()
    assert player.snapshot.state is AgentState.COMPLETED


def test_an_unusable_merged_plan_is_mended_past_the_bound() -> None:
    limits = Limits(planning="merged", max_answer_attempts=2)
    player = Player([task("a", "gone")], limits=limits).start().run()

    assert steps_of(player)[:2] == [ModelStep.PLANNING, ModelStep.PLANNING]
    assert repairs_of(player) == ["task 'a' no longer depends on 'gone': it could not start"]
    assert player.statuses() == {"a": "completed"}


# --- calls that the plan fills in -----------------------------------------------------------------


def test_a_task_whose_call_is_filled_in_needs_no_model() -> None:
    plan = [filled("a", "look", '{"at": 1}')]
    player = Player(plan, limits=MERGED, policies={"look": READ}).start().run()

    assert steps_of(player) == [ModelStep.PLANNING, ModelStep.CONCLUSION]
    assert [(call.name, call.arguments) for call in player.ran] == [("look", '{"at": 1}')]
    assert player.snapshot.todo_list.tasks[0].result == "look ran"


def test_a_filled_in_call_bears_the_policy_of_its_tool_and_names_it() -> None:
    policy = ToolPolicy(effect="idempotent", source="files", requires_approval=True)
    plan = [filled("a", "put", "{}")]
    player = Player(plan, limits=MERGED, policies={"put": policy}, human_in_loop=True).start().run()

    run = next(iter(player.snapshot.runs.values()))
    assert run.planned == PlannedCall(
        name="put", arguments="{}", effect="idempotent", requires_approval=True, source="files"
    )
    assert player.snapshot.todo_list.tasks[0].tools_needed == ["put"]
    assert player.snapshot.open_interactions()[0].purpose == "approval"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("gone", "{}", id="unknown-tool"),
        pytest.param("ask_question", '{"prompt": "?"}', id="a-persons-tool"),
        pytest.param("look", "at the sea", id="no-json"),
        pytest.param("look", "[1]", id="no-object"),
        pytest.param("look", "", id="empty"),
        pytest.param("look", '{"a": ' * 50_000, id="deep-and-cut"),
        pytest.param("look", '{"a": ' * 9_000 + "1" + "}" * 9_000, id="deep"),
        pytest.param("look", '{"a": "' + "x" * 300_000 + '"}', id="huge"),
        pytest.param("look", '{"a": ' + "9" * 9_000 + "}", id="digits"),
    ],
)
def test_a_call_that_cannot_be_made_is_left_to_the_model(name: str, arguments: str) -> None:
    plan = [filled("a", name, arguments)]
    player = Player(plan, limits=MERGED, policies={"look": READ}).start().run()

    assert next(iter(player.snapshot.runs.values())).planned is None
    assert player.ran == []
    assert player.statuses() == {"a": "completed"}


def test_a_call_whose_text_only_mentions_a_result_is_left_to_the_model() -> None:
    call = '{"body": "We found {{a}}"}'
    plan = [task("a"), filled("b", "look", call)]
    player = Player(plan, limits=MERGED, policies={"look": READ}).start().run()

    assert player.ran == []
    assert player.statuses() == {"a": "completed", "b": "completed"}
    letter = [filled("b", "look", '{"body": "Dear {{name}}"}')]
    other = Player(letter, limits=MERGED, policies={"look": READ}).start().run()
    assert len(other.ran) == 1


def test_stepwise_plans_fill_in_no_calls() -> None:
    player = Player([filled("a", "look", "{}")], policies={"look": READ}).start().run()

    assert player.ran == []
    assert ModelStep.TASK in steps_of(player)


# --- unusable plans -------------------------------------------------------------------------------


def test_an_empty_plan_goes_back_to_the_model() -> None:
    player = Player([], [task("a")]).start().run()

    rejected = [event for event in player.events if event.type == "answer_rejected"]
    assert rejected[0].problems == ("tasks: the plan is empty; give at least one task",)
    assert player.statuses() == {"a": "completed"}


@pytest.mark.parametrize("planning", ["stepwise", "merged"])
def test_a_plan_that_stays_empty_becomes_the_goal_itself(planning: Any) -> None:
    limits = Limits(planning=planning, max_answer_attempts=2)
    player = Player([], limits=limits, policies={"look": READ}).start().run()

    only = player.snapshot.todo_list.tasks[0]
    assert (only.title, only.description) == ("Reach the goal", "the goal")
    assert only.tools_needed == ["look"]
    assert repairs_of(player) == ["the plan was empty: the goal itself is its only task"]
    assert player.snapshot.state is AgentState.COMPLETED


def test_a_plan_of_too_many_tasks_goes_back_and_is_cut_past_the_bound() -> None:
    plan = [task(f"t{number}") for number in range(MAX_TASKS + 3)]
    limits = Limits(max_answer_attempts=2, max_task_iterations=MAX_TASKS)
    player = Player(plan, limits=limits).start().run()

    rejected = [event for event in player.events if event.type == "answer_rejected"]
    assert rejected[0].problems == ("tasks: 53 are too many; give at most 50",)
    assert repairs_of(player) == ["3 tasks past the limit were dropped"]
    assert len(player.snapshot.todo_list.tasks) == MAX_TASKS


def test_only_the_dependency_that_closes_a_circle_is_dropped() -> None:
    made = repaired_plan(draft_of(task("a", "c"), task("b", "a"), task("c", "b")), Before(), GOAL)

    assert [found.depends_on for found in made.tasks] == [["c"], ["a"], []]
    assert made.repairs == ["task 'c' no longer depends on 'b': it could not start"]


def test_a_task_cannot_depend_on_itself() -> None:
    made = repaired_plan(draft_of(task("a", "a")), Before(), GOAL)

    assert made.tasks[0].depends_on == []


def test_keys_without_a_word_or_without_an_end_are_renamed_and_still_meant() -> None:
    long = "k" * 1_000
    made = repaired_plan(draft_of(task(""), task(long), task("b", "", long)), Before(), GOAL)

    assert [found.key for found in made.tasks] == ["task", "k" * MAX_KEY_CHARS, "b"]
    assert made.tasks[2].depends_on == ["task", "k" * MAX_KEY_CHARS]
    assert [repair.rpartition(": ")[2] for repair in made.repairs] == [
        "it had no key",
        "the key was too long",
    ]


def test_what_is_wrong_with_a_plan_is_said_briefly_however_much_it_is() -> None:
    unknown = [f"{'x' * 5_000}{number}" for number in range(100)]
    problems = plan_problems(draft_of(task("a", *unknown)), Before())

    assert len(problems) == 21
    assert max(map(len, problems)) < 310
    assert problems[-1] == "... and 80 more"


HUGE = [
    pytest.param([task(f"t{n}") for n in range(10_000)], id="many"),
    pytest.param([task(f"t{n}", f"t{(n + 1) % 10_000}") for n in range(10_000)], id="circle"),
    pytest.param([task("t", "t") for _ in range(10_000)], id="one-key"),
    pytest.param(
        [task(f"t{n}", *(f"t{m}" for m in range(50))) for n in range(50)], id="all-on-all"
    ),
    pytest.param([task("a", *(f"u{n}" for n in range(10_000)))], id="unknown"),
]


@pytest.mark.parametrize("plan", HUGE)
def test_huge_plans_are_mended_at_once(plan: list[dict[str, Any]]) -> None:
    player = Player(plan, limits=Limits(max_answer_attempts=2, max_task_iterations=0)).start()
    while player.snapshot.todo_list is None:
        player.give(player.outcome(player.snapshot.calls[0]))

    assert 1 <= len(player.snapshot.todo_list.tasks) <= MAX_TASKS
    assert len(repairs_of(player)) <= 21


def test_a_value_that_is_no_plan_at_all_is_asked_for_again() -> None:
    player = Player([task("a")]).start()
    nonsense: list[Any] = []
    for _ in range(5_000):
        nonsense = [nonsense]
    player.give(ModelReturned(call_id=player.snapshot.calls[0].id, value={"goal": nonsense}))

    again = player.snapshot.calls[0]
    assert (again.step, again.attempt) == (ModelStep.REQUIREMENT, 2)
    assert again.feedback[0].startswith("goal: ")


# --- the tool analysis ----------------------------------------------------------------------------


def test_the_tool_analysis_names_tools_that_exist_and_keeps_what_is_missing() -> None:
    analysis = {
        "relevant_tools": ["gone", "look", "look"],
        "tool_mapping": [{"tool": "look", "purpose": "see"}, {"tool": "gone", "purpose": "go"}],
        "missing_capabilities": ["send letters"],
    }
    player = Player(
        [task("a")], answers={ModelStep.TOOLS: [analysis]}, policies={"look": READ}
    ).start()
    player.run()

    found = player.snapshot.tool_analysis
    assert found.relevant_tools == ["look"]
    assert found.tool_mapping == {"look": "see"}
    assert found.missing_capabilities == ["send letters"]


def test_named_are_the_tools_of_the_analysis_of_the_tasks_and_of_the_caller() -> None:
    analysis = {"relevant_tools": ["look"], "tool_mapping": [], "missing_capabilities": []}
    policies = dict.fromkeys(("look", "put", "send", "other"), READ)
    plan = [{**task("a"), "tools_needed": ["put", "gone"]}]
    player = Player(plan, answers={ModelStep.TOOLS: [analysis]}, policies=policies)
    player.start().run()
    assert player.snapshot.named_tools == ("look", "put")

    limited = Player(plan, answers={ModelStep.TOOLS: [analysis]}, policies=policies)
    limited.give(limited._start.model_copy(update={"tools": ("send",)}))
    limited.run()
    assert limited.snapshot.named_tools == ("send", "look", "put")


@pytest.mark.parametrize(("has_read", "named"), [(False, ("look", "put")), (True, ("look",))])
def test_a_later_plan_names_tools_only_before_text_of_others_was_read(
    has_read: bool, named: tuple[str, ...]
) -> None:
    analysis = {"relevant_tools": ["look"], "tool_mapping": [], "missing_capabilities": []}
    player = Player(
        [task("a")],
        [{**task("b"), "tools_needed": ["put"]}],
        answers={ModelStep.TOOLS: [analysis]},
        policies={"look": READ, "put": READ},
        evaluations=[False, True],
    ).start()
    while player.snapshot.state is not AgentState.EVALUATING_GOAL:
        player.give(player.outcome(player.snapshot.calls[0]))
    player.snapshot = player.snapshot.model_copy(update={"read_untrusted": has_read})
    player.run()

    assert player.snapshot.named_tools == named


# --- a new round ----------------------------------------------------------------------------------


def changed_player(change: dict[str, Any], *others: dict[str, Any], **options: Any) -> Player:
    """One whose tasks "a" completes, "b" fails, and "c", which needs "b", is skipped."""
    limits = options.pop("limits", Limits(max_answer_attempts=3))
    player = Player(
        [task("a"), task("b", "a"), task("c", "b")],
        messages={"b": [saying("")] * limits.max_answer_attempts},
        evaluations=[False, True],
        limits=limits,
        **options,
    ).start()
    while player.snapshot.state is not AgentState.GENERATING_TODO or not player.snapshot.replans:
        player.give(player.outcome(player.snapshot.calls[0]))
    assert player.statuses() == {"a": "completed", "b": "failed", "c": "skipped"}
    player._answers[ModelStep.PLAN] = [change, *others]
    return player


def test_tasks_that_are_tried_again_keep_their_ids_and_finished_ones_stay() -> None:
    player = changed_player(replan(retry=["b", "c"]))
    before = [found.id for found in player.snapshot.todo_list.tasks]
    player.run()

    tasks = player.snapshot.todo_list.tasks
    assert [found.id for found in tasks] == before
    assert player.statuses() == {"a": "completed", "b": "completed", "c": "completed"}
    assert [found.attempts for found in tasks] == [1, 2, 1]
    assert [found.error_message for found in tasks] == [None, None, None]
    assert player.snapshot.state is AgentState.COMPLETED


def test_new_tasks_may_depend_on_finished_tasks_and_on_those_tried_again() -> None:
    player = changed_player(replan(task("d", "a", "b"), retry=["b"])).run()

    assert player.statuses() == {
        "a": "completed",
        "b": "completed",
        "c": "skipped",
        "d": "completed",
    }
    told = player.conversation("d")[1]["content"]
    assert "done a" in told
    assert "done b" in told


def test_a_task_is_tried_again_without_the_one_that_is_skipped() -> None:
    player = changed_player(replan(retry=["c"], skip=["b"])).run()

    assert player.statuses() == {"a": "completed", "b": "skipped", "c": "completed"}
    assert player.errors()["b"] == "The new plan does without it."
    assert player.snapshot.todo_list.tasks[2].dependencies == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(replan(), "the plan is empty", id="nothing"),
        pytest.param(replan(retry=["x"]), "retry: 'x' is the key of no task", id="retry-unknown"),
        pytest.param(replan(retry=["a"]), "retry: 'a' is the key of no task", id="retry-finished"),
        pytest.param(
            replan(task("d"), skip=["x"]), "skip: 'x' is the key of no task", id="skip-unknown"
        ),
        pytest.param(replan(retry=["b"], skip=["b"]), "'b' is in both", id="both"),
        pytest.param(replan(retry=["c"]), "retry: 'c' needs 'b'", id="cause-not-retried"),
        pytest.param(
            replan(task("d", "b")), "names 'b', which failed or was skipped", id="on-failed"
        ),
        pytest.param(
            replan(task("a"), task("d", "a")), "'a' is the key of 2 tasks", id="which-one"
        ),
    ],
)
def test_a_change_that_cannot_be_made_goes_back_to_the_model(
    change: dict[str, Any], problem: str
) -> None:
    player = changed_player(change, replan(task("e"))).run()

    problems = [
        e.problems
        for e in player.events
        if e.type == "answer_rejected" and e.step == "todo_generation"
    ]
    assert len(problems) == 1
    assert problem in problems[0][0]
    assert player.statuses()["e"] == "completed"


@pytest.mark.parametrize(
    ("change", "repair", "statuses"),
    [
        pytest.param(
            replan(task("d"), retry=["x", "a"], skip=["y"]),
            ["'x', 'a' cannot be tried again", "'y' cannot be skipped: no task has the key"],
            {"b": "failed", "c": "skipped", "d": "completed"},
            id="unknown",
        ),
        pytest.param(
            replan(task("d"), retry=["b", "c"], skip=["b"]),
            ["'b' cannot be tried again"],
            {"b": "skipped", "c": "completed", "d": "completed"},
            id="both",
        ),
        pytest.param(
            replan(task("d"), retry=["c"]),
            ["'c' cannot be tried again"],
            {"b": "failed", "c": "skipped", "d": "completed"},
            id="cause-not-retried",
        ),
        pytest.param(
            replan(task("b"), task("d", "b")),
            ["task 'b' was renamed to 'b_2': the key was taken"],
            {"b": "failed", "c": "skipped", "b_2": "completed", "d": "completed"},
            id="old-key-means-the-new-task",
        ),
        pytest.param(
            replan(),
            ["the plan was empty: the goal itself is its only task"],
            {"b": "failed", "c": "skipped", "goal": "completed"},
            id="nothing",
        ),
    ],
)
def test_a_change_that_cannot_be_made_is_mended_past_the_bound(
    change: dict[str, Any], repair: list[str], statuses: dict[str, str]
) -> None:
    player = changed_player(change, limits=ONE_TRY).run()

    assert repairs_of(player) == repair
    assert player.statuses() == {"a": "completed", **statuses}


def test_what_a_person_skipped_is_not_tried_again() -> None:
    player = Player(
        [task("a", complexity=5)], human_in_loop=True, evaluations=[False, True]
    ).start()
    player._answers[ModelStep.PLAN] = [replan(*[task("a", complexity=5)]), replan(retry=["a"])]
    player.run()
    player.answer(decision="skip")
    player._answers[ModelStep.PLAN].append(replan(task("b", "a")))
    player.run()

    problems = [e.problems for e in player.events if e.type == "answer_rejected"]
    assert problems == [("retry: 'a' is the key of no task that failed or was skipped",)]
    assert player.statuses() == {"a": "skipped", "b": "completed"}


def test_a_new_round_of_merged_planning_may_fill_in_calls() -> None:
    limits = Limits(planning="merged")
    player = Player(
        [task("a")],
        [filled("b", "look", "{}")],
        evaluations=[False, True],
        limits=limits,
        policies={"look": READ},
    )
    player.start().run()

    assert steps_of(player) == [
        ModelStep.PLANNING,
        ModelStep.TASK,
        ModelStep.CONCLUSION,
        ModelStep.PLAN,
        ModelStep.CONCLUSION,
    ]
    assert [call.name for call in player.ran] == ["look"]


def test_the_bound_of_started_tasks_counts_anew_in_each_round() -> None:
    limits = Limits(max_task_iterations=2, max_replans=2)
    player = Player(
        [task(name) for name in "abc"],
        [task(name) for name in "de"],
        evaluations=[False, False, True],
        limits=limits,
    )
    player.start().run()

    assert set(player.statuses().values()) == {"completed"}
    assert len(player.statuses()) == 5
    assert player.snapshot.replans == 2


def test_the_task_that_is_the_goal_is_given_all_results_so_far() -> None:
    made = repaired_plan(draft_of(), Before(finished={"a": "1", "b": "2"}), GOAL)

    assert isinstance(made.tasks[0], TaskDraft)
    assert made.tasks[0].depends_on == ["a", "b"]
