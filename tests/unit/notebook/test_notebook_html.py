"""How results look in a notebook: text stays text, what is absent is absent, long things are cut."""

import subprocess
import sys
from html.parser import HTMLParser

import pytest
from pydantic import BaseModel, SecretStr

from mbxai.agent.models import (
    AgentFailure,
    AgentResponse,
    AgentState,
    GoalEvaluation,
    HumanInLoopRequest,
    HumanInteractionType,
    RequirementAnalysis,
    Task,
    TaskStatus,
    TodoList,
    TokenSummary,
    TokenUsage,
)
from mbxai.openrouter._pages import AsyncPage, ListAnswer, Page
from mbxai.sessions import SessionPage, SessionRecord, SessionSummary
from mbxai.tools import PendingCall, ToolCall
from mbxai.tools.loop._answer import completion_with_run
from mbxai.tools.loop._run import ToolRun
from mbxai.wire import ChatCompletion, ToolResult, WireModel

EVIL = (
    '</pre></td><script>alert(1)</script><img src="//x" onerror="a()"> & "q" \u202egnp.exe \ud800'
)
TOLD = '</pre></td><script>alert(1)</script><img src="//x" onerror="a()"> & "q" gnp.exe'
TAGS = {"b", "bdi", "details", "div", "li", "pre", "span", "summary", "ul"}
TAGS |= {"table", "tbody", "td", "th", "thead", "tr"}
LONG = "word " * 10_000


class Markup(HTMLParser):
    """Reads HTML as a browser does."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def read(value: object) -> Markup:
    markup = Markup(value._repr_html_())
    assert not markup.open
    assert set(markup.tags) <= TAGS
    assert markup.attributes <= {"class", "dir", "style"}
    return markup


class Outcome(BaseModel):
    text: str
    token: SecretStr = SecretStr("hunter2")


class Broken(BaseModel):
    thing: object


def completion(text: str | None = "Paris.", **message: object) -> ChatCompletion:
    return ChatCompletion.from_object(
        {
            "id": "gen-1",
            "model": "openai/gpt-4.1",
            "choices": [
                {"message": {"content": text, **message}, "finish_reason": "stop"},
            ],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "total_tokens": 12,
                "cost": 0.002,
            },
        }
    )


def plan(count: int, **fields: object) -> TodoList:
    tasks = [Task(id=f"t{n}", title=f"Task {n}", description=LONG, **fields) for n in range(count)]
    return TodoList(tasks=tasks)


def question(text: str) -> HumanInLoopRequest:
    return HumanInLoopRequest(
        id="q1",
        interaction_type=HumanInteractionType.QUESTION,
        prompt=text,
        options=[text],
        context=text,
        source=text,
    )


def session(text: str) -> SessionSummary:
    return SessionSummary(
        agent_id=text,
        scope=text,
        version=3,
        status=text,
        is_claimed=False,
        created_at=1_700_000_000.0,
        updated_at=1e300,
    )


def record(text: str) -> SessionRecord:
    return SessionRecord(agent_id=text, version=1, fence=1, data={"secret": "hunter2"})


def tool_completion(text: str) -> ChatCompletion:
    run = ToolRun(
        messages=[{"role": "user", "content": text}] * 3,
        new_messages=[],
        results=[ToolResult(call_id="c", name=text, content=text, is_error=True)],
        pending=[PendingCall(call=ToolCall("d", text, text), reason="approval")],
        rounds=2,
    )
    return completion_with_run(completion(text), run)


def response(text: str, state: AgentState, **fields: object) -> AgentResponse:
    todo = TodoList(
        tasks=[
            Task(
                id="a", title=text, description=text, status=TaskStatus.FAILED, error_message=text
            ),
            Task(
                id="b", title="Pay", description="x", dependencies=["a", text], tools_needed=[text]
            ),
        ]
    )
    usage = TokenUsage(prompt_tokens=1_000, completion_tokens=200, total_tokens=1_200, cost_usd=0.5)
    return AgentResponse(
        agent_id="agt_1",
        state=state,
        todo_list=todo,
        token_summary=TokenSummary(requirement_analysis=usage, task_execution=[usage, usage]),
        **fields,
    )


def evaluation(text: str) -> GoalEvaluation:
    return GoalEvaluation(
        goal_achieved=False, completion_percentage=40, remaining_criteria=[text], feedback=text
    )


def page(text: str) -> AsyncPage:
    items = [WireModel.from_object({"id": "m1", "name": text, "key": "hunter2"})]
    return AsyncPage(ListAnswer[WireModel](total_count=7), items, None)


def everything(text: str) -> list[object]:
    call = {"id": "c", "type": "function", "function": {"name": text, "arguments": text}}
    waiting = {"human_interaction_requests": [question(text)], "goal_evaluation": evaluation(text)}
    failed = AgentFailure(type="GoalNotReached", message=text)
    return [
        completion(text, reasoning=text, refusal=text, tool_calls=[call], parsed={"a": text}),
        tool_completion(text),
        PendingCall(call=ToolCall("d", text, text), reason="approval"),
        response(text, AgentState.COMPLETED, final_response=Outcome(text=text)),
        response(text, AgentState.WAITING_FOR_HUMAN, **waiting),
        response(text, AgentState.FAILED, error=failed),
        response(text, AgentState.FAILED).todo_list,
        RequirementAnalysis(
            goal=text, sub_goals=[text], success_criteria=[text], complexity_estimate=3
        ),
        evaluation(text),
        question(text),
        session(text),
        record(text),
        SessionPage(sessions=(session(text),), next_cursor=text),
        page(text),
        Page(page(text)),
    ]


def test_text_of_others_never_becomes_markup():
    for value in everything(EVIL):
        shown = read(value)
        assert " ".join(TOLD.split()) in " ".join(shown.text.replace("\\", "").split()), value
        assert "\u202e" not in shown.text
        value._repr_html_().encode()  # as a kernel sends it
        assert "hunter2" not in shown.text


@pytest.mark.parametrize(
    "value",
    [
        ChatCompletion(),
        completion(None),
        AgentResponse(state=AgentState.ANALYZING_REQUIREMENT),
        AgentResponse(state=AgentState.COMPLETED, final_response=Broken(thing=object())),
        TodoList(),
        TokenSummary(),
        SessionPage(sessions=(), next_cursor=None),
        AsyncPage(ListAnswer[WireModel](), [], None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_absent_is_not_shown(value: object):
    assert "None" not in read(value).text
    assert "\n" not in repr(value)


def test_a_completion_shows_its_text_and_what_it_cost():
    shown = read(completion("One.\nTwo.")).text
    assert "One.\nTwo." in shown
    assert "openai/gpt-4.1  ·  stop  ·  12 tokens  ·  0.002 USD" in shown
    assert repr(completion(LONG)) == (
        "ChatCompletion(id='gen-1', model='openai/gpt-4.1', finish_reason='stop',"
        " text_length=50000, total_tokens=12, cost=0.002)"
    )


def test_a_plan_is_a_table_in_which_tasks_wait_for_numbers():
    shown = read(response("Order", AgentState.FAILED).todo_list)
    assert shown.tags.count("tr") == 3
    cells = " ".join(shown.text.split())
    assert "2 tasks · 1 failed · 1 pending" in cells
    assert "1 ✗ failed Order (Order)" in cells
    assert "2 ○ pending Pay 1, Order Order" in cells


def test_a_large_plan_and_a_long_text_are_cut_and_tell_by_how_much():
    shown = read(plan(80))
    assert shown.tags.count("tr") == 51
    assert "… and 30 more tasks" in shown.text
    assert "… and 30,000 more characters" in read(completion(LONG)).text
    assert "After" not in shown.text  # nobody waits for another


def test_a_run_that_waits_shows_the_question_and_one_that_failed_the_reason():
    asked = {"human_interaction_requests": [question("Which colour?")]}
    waiting = read(response("Order", AgentState.WAITING_FOR_HUMAN, **asked)).text
    assert "waiting for human  ·  3,600 tokens  ·  1.50 USD  ·  agt_1" in waiting
    assert "Which colour?" in waiting
    error = AgentFailure(type="PlanError", message="a circle")
    assert "PlanError: a circle" in read(response("x", AgentState.FAILED, error=error)).text


def test_a_repr_is_one_short_line_without_texts():
    for value in everything(LONG)[:7]:
        line = repr(value)
        if isinstance(value, PendingCall):  # what a person agrees to
            continue
        assert "\n" not in line
        assert len(line) < 300
        assert "word word word word word word word word word word word word word" not in line
    assert repr(response("x", AgentState.FAILED)) == (
        "AgentResponse(agent_id='agt_1', state='failed', tasks=2, total_tokens=3600, cost_usd=1.5)"
    )
    assert repr(plan(3).tasks[0]) == "Task(id='t0', title='Task 0', status='pending', attempts=0)"
    assert repr(SessionPage(sessions=(session("s"),), next_cursor="c")) == (
        "SessionPage(sessions=1, next_cursor='c')"
    )
    run = repr(tool_completion(LONG).run)
    assert run == "ToolRun(messages=3, rounds=2, results=1, pending=1, completions=0)"


def test_results_are_made_without_what_shows_them():
    code = (
        "import sys, mbxai.agent, mbxai.mcp; from mbxai.wire import ChatCompletion;"
        "made = ChatCompletion(id='1'); assert 'mbxai._notebook' not in sys.modules;"
        "repr(made); assert 'mbxai._notebook' in sys.modules and 'IPython' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=10)
