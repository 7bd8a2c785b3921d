"""The view of a run in a cell, from its events."""

from mbxai.agent.events import (
    AnswerRejected,
    HumanRequested,
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
    AgentState,
    HumanInLoopRequest,
    HumanInteractionType,
    Task,
    TaskStatus,
    TodoList,
    TokenUsage,
)
from mbxai.cli._state import RunState, reduce
from mbxai.notebook._view import run_html, run_text

TASK = Task(id="a", title="Find <b>lamps</b>", description="x")
USAGE = TokenUsage(total_tokens=1_200, cost_usd=0.0105)
CALL = ToolCalled(task_id="a", call_id="c", name="search", arguments='{"q": "<i>"}')
EXECUTING = (
    StateChanged(state=AgentState.GENERATING_TODO),
    PlanChanged(todo_list=TodoList(tasks=[TASK])),
    UsageAdded(step="todo_generation", usage=USAGE),
    StateChanged(state=AgentState.EXECUTING_TASKS),
    TaskChanged(task=TASK.model_copy(update={"status": TaskStatus.IN_PROGRESS})),
)


def after(*events: object) -> RunState:
    state = RunState()
    for event in events:
        state = reduce(state, event)
    return state


def test_a_running_task_is_shown_with_the_phases_the_tool_and_the_cost():
    html = run_html(after(*EXECUTING, CALL)).replace("\N{NO-BREAK SPACE}", " ")
    assert "✓ requirement  ✓ tools  ✓ plan  ▸ tasks  ○ evaluation  ○ answer" in html
    assert "Find &lt;b&gt;lamps&lt;/b&gt;" in html
    assert "▸ in progress" in html
    assert "search {&quot;q&quot;: &quot;&lt;i&gt;&quot;}" in html
    ended = ToolEnded(task_id="a", call_id="c", name="search", is_error=False)
    state = after(*EXECUTING, CALL, ended)
    assert "search" not in run_html(state)
    assert run_text(state) == (
        "Agent run: executing tasks, 1 task, 1 tool call, 1,200 tokens, 0.0105 USD"
    )


def test_a_run_that_rests_says_why():
    asked = HumanInLoopRequest(
        id="q", interaction_type=HumanInteractionType.QUESTION, prompt="Which <u>?"
    )
    waits = StateChanged(state=AgentState.WAITING_FOR_HUMAN)
    waiting = run_html(after(*EXECUTING, HumanRequested(request=asked), waits))
    assert "?\N{NO-BREAK SPACE}tasks" in waiting
    assert "Which &lt;u&gt;?" in waiting
    failure = AgentFailure(type="PlanError", message="the shop is <closed>")
    state = StateChanged(state=AgentState.FAILED)
    failed = run_html(after(*EXECUTING, state, RunFailed(error=failure)))
    assert "✗\N{NO-BREAK SPACE}tasks" in failed
    assert "the shop is &lt;closed&gt;" in failed
    again = AnswerRejected(step="todo_generation", problems=("no <tasks>",))
    assert "asked again: no &lt;tasks&gt;" in run_html(after(*EXECUTING, again))
