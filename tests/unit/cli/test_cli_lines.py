"""A run as plain lines and as JSON lines."""

import json

import pytest
from pydantic import BaseModel

from mbxai.agent.events import (
    AnswerRejected,
    BudgetReached,
    ContextCompacted,
    CredentialConcealed,
    GoalEvaluated,
    HumanExpired,
    HumanRequested,
    HumanResolved,
    PlanChanged,
    QuestionRefused,
    ResponseDelta,
    ResponseJudged,
    RunFailed,
    StateChanged,
    TaskChanged,
    ToolCalled,
    ToolEnded,
    ToolProgressed,
    ToolsChanged,
    ToolUnplanned,
    UsageAdded,
)
from mbxai.agent.models import (
    AgentFailure,
    AgentResponse,
    AgentState,
    GoalEvaluation,
    HumanInLoopRequest,
    HumanInteractionType,
    Task,
    TaskStatus,
    TodoList,
    TokenUsage,
)
from mbxai.cli._lines import event_json, event_line, outcome_json, pretty_json
from mbxai.cli._state import RunState, reduce
from mbxai.cli._text import dollars, one_line, printable, tokens

TASK = Task(
    id="a", title="Order\nit", description="d", status=TaskStatus.FAILED, error_message="no"
)
REQUEST = HumanInLoopRequest(interaction_type=HumanInteractionType.QUESTION, prompt="Which one?")
EVENTS = {
    "phase   generating todo": StateChanged(state=AgentState.GENERATING_TODO),
    "plan    1 task; mended: renamed b": PlanChanged(
        todo_list=TodoList(tasks=[TASK]), repairs=("renamed b",)
    ),
    "task    failed: Order it (no)": TaskChanged(task=TASK),
    'tool    stock {"item": 1}': ToolCalled(
        task_id="a", call_id="1", name="stock", arguments='{"item": 1}'
    ),
    "tool    stock failed": ToolEnded(task_id="a", call_id="1", name="stock", is_error=True),
    "tool    stock 40% counting": ToolProgressed(
        task_id="a", call_id="1", name="stock", message="counting", fraction=0.4
    ),
    "tool    stock counting": ToolProgressed(
        task_id="a", call_id="1", name="stock", message="counting"
    ),
    "tool    stock is not planned, a person is asked": ToolUnplanned(
        task_id="a", call_id="1", name="stock", asked=True
    ),
    "tool    stock is not planned, refused": ToolUnplanned(
        task_id="a", call_id="1", name="stock", asked=False
    ),
    "tools   new: pay, ship; changed: look": ToolsChanged(added=("pay", "ship"), changed=("look",)),
    "asks    nobody answered in time: skip": HumanExpired(interaction_id="q", action="skip"),
    "asks    the answer held a credential, which is kept apart": CredentialConcealed(
        interaction_id="q", handles=("secret://q/1",)
    ),
    "memory  9,000 tokens are summed up": ContextCompacted(task_id="a", before_tokens=9000),
    "quality good as it is": ResponseJudged(is_good=True),
    "quality to be improved: too long": ResponseJudged(is_good=False, feedback="too long"),
    "budget  max_cost_usd is 1.": BudgetReached(limit="max_cost_usd", message="max_cost_usd is 1."),
    "": ResponseDelta(text='{"item"'),
    "asks    Which one?": HumanRequested(request=REQUEST),
    "asks    answered": HumanResolved(interaction_id="q"),
    "asks    shop, declined: it asks for a credential": QuestionRefused(
        source="shop", name="buy", reason="it asks for a credential"
    ),
    "again   todo_generation: a cycle": AnswerRejected(
        step="todo_generation", problems=("a cycle",)
    ),
    "usage   1,005 tokens, $0.5000 so far": UsageAdded(
        step="task_execution", usage=TokenUsage(total_tokens=1005, cost_usd=0.5)
    ),
    "goal    not reached, 40 %": GoalEvaluated(
        evaluation=GoalEvaluation(goal_achieved=False, completion_percentage=40)
    ),
    "failed  It broke.": RunFailed(error=AgentFailure(type="E", message="It\nbroke.")),
}


class Order(BaseModel):
    item: str


@pytest.mark.parametrize(
    ("line", "event"), EVENTS.items(), ids=lambda value: getattr(value, "type", "")
)
def test_every_event_is_one_line(line, event):
    assert event_line(event, reduce(RunState(), event)) == line


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.type)
def test_every_event_is_one_json_object(event):
    line = event_json(event)
    assert "\n" not in line
    assert json.loads(line)["type"] == event.type


def test_the_outcome_has_the_answer_and_what_it_took():
    response = AgentResponse(
        agent_id="s1", state=AgentState.COMPLETED, final_response=Order(item="Lämpchen")
    )
    line = outcome_json(response)
    assert "Lämpchen" in line
    assert json.loads(line) == {
        "type": "outcome",
        "agent_id": "s1",
        "state": "completed",
        "final_response": {"item": "Lämpchen"},
        "human_interaction_requests": [],
        "error": None,
        "usage": {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 0,
            "cost_usd": 0.0,
            "cached_tokens": 0,
            "reasoning_tokens": 0,
        },
    }


def test_an_answer_without_its_model_is_written_as_it_is():
    assert json.loads(pretty_json({"item": "lamp"})) == {"item": "lamp"}


def test_text_loses_what_steers_a_terminal_and_keeps_its_lines():
    assert printable("a\x1b[31m\tb\r\nc\x00\x9b\u2066") == "a[31m\tb\nc"


def test_one_line_is_one_line_of_the_length_that_was_asked_for():
    assert one_line(" a\n\n b\t c ") == "a b c"
    assert one_line("x" * 99, 10) == "x" * 9 + "…"


def test_numbers_are_written_for_people():
    assert (tokens(1), tokens(1234)) == ("1 token", "1,234 tokens")
    assert (dollars(0), dollars(0.00123), dollars(1234.5)) == ("$0.00", "$0.0012", "$1,234.50")
