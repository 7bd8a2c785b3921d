"""The live view: what a person sees of a run, without a terminal."""

import io

import pytest
from rich.console import Console, Group

from mbxai.agent.events import (
    AnswerRejected,
    HumanRequested,
    HumanResolved,
    PlanChanged,
    RunFailed,
    StateChanged,
    TaskChanged,
    ToolCalled,
    ToolEnded,
    UsageAdded,
)
from mbxai.agent.models import (
    AgentFailure,
    AgentResponse,
    AgentState,
    HumanInLoopRequest,
    HumanInteractionType,
    Task,
    TaskStatus,
    TodoList,
    TokenSummary,
    TokenUsage,
)
from mbxai.cli._state import PHASES, RunState, reduce, resumed
from mbxai.cli._view import ASCII_MARKS, UNICODE_MARKS, Room, lines_of


def task(key: str, title: str = "", **fields) -> Task:
    return Task(id=key, title=title or f"Task {key}", description="What is done.", **fields)


def after(*events, state: RunState | None = None) -> RunState:
    state = state or RunState(goal="Order a lamp", model="openai/gpt-4.1")
    for event in events:
        state = reduce(state, event)
    return state


def plan(*tasks: Task) -> PlanChanged:
    return PlanChanged(todo_list=TodoList(tasks=list(tasks)))


def entered(state: AgentState) -> StateChanged:
    return StateChanged(state=state)


def shown(state: RunState, *, width: int = 80, height: int = 24, marks=UNICODE_MARKS) -> str:
    room = Room(width=width, height=height, marks=marks)
    console = Console(record=True, file=io.StringIO(), width=width, height=height)
    console.print(Group(*lines_of(state, seconds=0.0, room=room)))
    return console.export_text()


def question(key: str, task_id: str | None = None) -> HumanInLoopRequest:
    return HumanInLoopRequest(
        id=key,
        interaction_type=HumanInteractionType.QUESTION,
        prompt="Which colour?",
        task_id=task_id,
    )


EXECUTING = (
    entered(AgentState.ANALYZING_REQUIREMENT),
    entered(AgentState.ANALYZING_TOOLS),
    entered(AgentState.GENERATING_TODO),
    plan(task("a"), task("b"), task("c")),
    entered(AgentState.EXECUTING_TASKS),
)


def test_the_current_phase_is_marked_between_what_is_done_and_what_is_to_come():
    text = shown(after(*EXECUTING))
    assert "✓ requirement  ✓ tools  ✓ plan  ⠋ tasks  ○ evaluation  ○ answer" in text


def test_a_completed_run_has_six_done_phases():
    text = shown(after(*EXECUTING, entered(AgentState.COMPLETED)))
    assert "✓ requirement  ✓ tools  ✓ plan  ✓ tasks  ✓ evaluation  ✓ answer" in text


def test_a_failed_run_marks_the_phase_in_which_it_failed():
    failure = AgentFailure(type="ProviderUnavailableError", message="503")
    text = shown(after(*EXECUTING, entered(AgentState.FAILED), RunFailed(error=failure)))
    assert "✓ plan  ✗ tasks  ○ evaluation" in text


def test_a_waiting_run_marks_the_phase_and_the_task_that_asks():
    state = after(
        *EXECUTING,
        TaskChanged(task=task("a", status=TaskStatus.IN_PROGRESS)),
        HumanRequested(request=question("q", "a")),
        entered(AgentState.WAITING_FOR_HUMAN),
    )
    text = shown(state)
    assert "? tasks" in text
    assert "? Task a" in text
    assert not state.is_running


def test_each_status_of_a_task_has_its_mark_and_its_reason():
    text = shown(
        after(
            entered(AgentState.EXECUTING_TASKS),
            plan(
                task("a", status=TaskStatus.COMPLETED),
                task("b", status=TaskStatus.FAILED, error_message="the shop is closed"),
                task("c", status=TaskStatus.SKIPPED, error_message="b failed"),
                task("d", status=TaskStatus.IN_PROGRESS),
                task("e"),
            ),
        )
    )
    lines = [line.rstrip() for line in text.splitlines()]
    start = lines.index("  ✓ Task a")
    assert lines[start : start + 7] == [
        "  ✓ Task a",
        "  ✗ Task b",
        "      the shop is closed",
        "  – Task c",  # noqa: RUF001
        "      b failed",
        "  ⠋ Task d",
        "  ○ Task e",
    ]


def test_a_tool_call_stands_under_its_task_until_it_ends():
    calling = after(
        *EXECUTING,
        TaskChanged(task=task("a", status=TaskStatus.IN_PROGRESS)),
        ToolCalled(task_id="a", call_id="1", name="stock", arguments='{"item": "lamp"}'),
    )
    lines = [line.rstrip() for line in shown(calling).splitlines()]
    assert lines[lines.index("  ⠋ Task a") + 1] == '      stock {"item": "lamp"}'
    ended = after(ToolEnded(task_id="a", call_id="1", name="stock", is_error=False), state=calling)
    assert "stock" not in shown(ended)
    assert "1 tool call ·" in shown(ended)


def test_calls_of_two_tasks_with_the_same_id_are_kept_apart():
    state = after(
        *EXECUTING,
        ToolCalled(task_id="a", call_id="1", name="stock", arguments="{}"),
        ToolCalled(task_id="b", call_id="1", name="price", arguments="{}"),
        ToolEnded(task_id="a", call_id="1", name="stock", is_error=False),
    )
    assert [run.name for run in state.running_tools] == ["price"]


def test_tokens_and_cost_add_up():
    usage = TokenUsage(prompt_tokens=900, completion_tokens=100, total_tokens=1000, cost_usd=0.002)
    added = UsageAdded(step="task_execution", usage=usage)
    assert "2,000 tokens · $0.0040 · openai/gpt-4.1" in shown(after(*EXECUTING, added, added))


def test_an_answered_request_is_no_longer_open():
    state = after(
        HumanRequested(request=question("q")),
        HumanRequested(request=question("r")),
        HumanResolved(interaction_id="q"),
    )
    assert [request.id for request in state.requests] == ["r"]


def test_a_rejected_answer_is_a_remark_until_something_else_happens():
    state = after(entered(AgentState.GENERATING_TODO))
    rejected = after(AnswerRejected(step="todo_generation", problems=("a cycle",)), state=state)
    assert "asked again: a cycle" in shown(rejected)
    assert "asked again" not in shown(after(entered(AgentState.EXECUTING_TASKS), state=rejected))


@pytest.mark.parametrize("width", [8, 20, 44, 60, 80, 200])
@pytest.mark.parametrize("marks", [UNICODE_MARKS, ASCII_MARKS])
def test_no_line_is_wider_than_the_terminal(width, marks):
    state = after(
        *EXECUTING,
        plan(
            task("a", "A very long title, " * 20, status=TaskStatus.IN_PROGRESS),
            task("b", "灯" * 99),
        ),
        ToolCalled(
            task_id="a", call_id="1", name="stock", arguments='{"item": "%s"}' % ("x" * 500)
        ),
        AnswerRejected(step="task_execution", problems=("problem " * 50,)),
    )
    lines = lines_of(state, seconds=75.0, room=Room(width=width, marks=marks))
    assert max(line.cell_len for line in lines) <= width


def test_a_narrow_terminal_gets_the_current_phase_alone():
    text = shown(after(*EXECUTING), width=44)
    assert "⠋ tasks  step 4 of 6" in text
    assert "evaluation" not in text


def test_ascii_marks_are_ascii():
    state = after(*EXECUTING, TaskChanged(task=task("a", status=TaskStatus.IN_PROGRESS)))
    assert shown(state, marks=ASCII_MARKS).isascii()


@pytest.mark.parametrize("at", [0, 5, 29])
@pytest.mark.parametrize("height", [6, 12, 24])
def test_a_long_plan_is_shown_around_the_task_in_progress(at, height):
    statuses = [TaskStatus.COMPLETED] * at + [TaskStatus.IN_PROGRESS] + [TaskStatus.PENDING] * 30
    tasks = [task(str(i), f"Step number {i}", status=s) for i, s in enumerate(statuses[:30])]
    lines = lines_of(
        after(entered(AgentState.EXECUTING_TASKS), plan(*tasks)),
        seconds=0.0,
        room=Room(width=80, height=height),
    )
    text = [line.plain for line in lines]
    assert f"  ⠋ Step number {at}" in text
    assert len(lines) <= max(height, 12)
    named = [line for line in text if "Step number" in line]
    before = sum(int(line.split()[1]) for line in text if line.endswith(" before"))
    more = sum(int(line.split()[1]) for line in text if line.endswith(" more"))
    assert before + len(named) + more == 30


def test_text_of_a_model_cannot_steer_the_terminal_or_use_markup():
    state = after(
        *EXECUTING,
        plan(
            task("a", "\x1b[2Jbold [red]lamp[/red]\nnext\x07\u202e", status=TaskStatus.IN_PROGRESS)
        ),
        ToolCalled(task_id="a", call_id="1", name="\x9bx", arguments="\x1b]0;title\x07"),
    )
    text = "".join(line.plain for line in lines_of(state, seconds=0.0, room=Room()))
    assert not set(text) & set("\x1b\x07\x9b\u202e\n")
    assert "[2Jbold [red]lamp[/red] next" in text


def test_a_new_turn_starts_an_empty_plan_and_keeps_what_was_spent():
    spent = UsageAdded(step="final_response", usage=TokenUsage(total_tokens=7))
    state = after(*EXECUTING, spent, entered(AgentState.COMPLETED))
    state = after(entered(AgentState.ANALYZING_REQUIREMENT), state=state)
    assert (state.tasks, state.phase, state.usage.total_tokens) == ((), PHASES[0], 7)


def test_a_session_that_goes_on_shows_what_is_known_of_it():
    response = AgentResponse(
        state=AgentState.WAITING_FOR_HUMAN,
        todo_list=TodoList(tasks=[task("a", status=TaskStatus.IN_PROGRESS)]),
        human_interaction_requests=[question("q", "a")],
        token_summary=TokenSummary(goal_evaluation=TokenUsage(total_tokens=5)),
    )
    text = shown(resumed(response, goal="", model=""))
    assert "The session goes on" in text
    assert "? Task a" in text
    assert "5 tokens" in text


def test_the_clock_counts_minutes():
    [header, *_] = lines_of(RunState(goal="g"), seconds=125.0, room=Room(width=30))
    assert header.plain.endswith(" 2 min 05 s")
    assert header.cell_len == 30


def test_a_stopped_run_shows_no_spinner():
    state = RunState(
        state=AgentState.EXECUTING_TASKS, phase=AgentState.EXECUTING_TASKS, is_stopped=True
    )
    assert not set("".join(line.plain for line in lines_of(state, seconds=1.0, room=Room()))) & set(
        UNICODE_MARKS.spinner
    )
