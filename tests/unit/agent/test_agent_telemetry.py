"""Spans of a run: names, parents, attributes, and what is never in them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from support.agent_scripts import Story, client_of, planned

import mbxai._telemetry as telemetry
from mbxai import (
    AgentClient,
    AgentFailedError,
    AsyncAgentClient,
    AsyncToolClient,
    Budget,
    BudgetExceededError,
    DialogOption,
    HumanInLoopResponse,
)
from mbxai._settings import telemetry_settings
from mbxai._telemetry import NOTHING
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply

TOKEN = "oauth_token_abc123"


class Keeper(SpanProcessor):
    """Keeps spans while a test of this file runs; the process has one provider for good."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.is_open = True

    def on_end(self, span: ReadableSpan) -> None:
        if self.is_open:
            self.exporter.export((span,))


@pytest.fixture(scope="module")
def exporter() -> Iterator[InMemorySpanExporter]:
    keeper, provider = Keeper(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(keeper)
    trace.set_tracer_provider(provider)
    yield keeper.exporter
    keeper.is_open = False


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


def ours(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return [
        span
        for span in spans.get_finished_spans()
        if span.instrumentation_scope is not None and span.instrumentation_scope.name == "mbxai"
    ]


def named(spans: InMemorySpanExporter, beginning: str) -> list[ReadableSpan]:
    return [span for span in ours(spans) if span.name.startswith(beginning)]


def parent_of(span: ReadableSpan, spans: InMemorySpanExporter) -> ReadableSpan | None:
    above = span.parent.span_id if span.parent else None
    return next((s for s in spans.get_finished_spans() if s.context.span_id == above), None)


def line_of(span: ReadableSpan, spans: InMemorySpanExporter) -> list[str]:
    """Names from a span up to the run."""
    names = [span.name]
    while (above := parent_of(span, spans)) is not None:
        span = above
        names.append(span.name)
    return names


def dumped(spans: InMemorySpanExporter) -> str:
    return "".join(span.to_json() for span in ours(spans))


def look(place: str) -> str:
    """Look at a place."""
    return "a dusty trunk"


LOOKING = Reply(
    tool_calls=[{"name": "look", "arguments": {"place": "the attic"}}], when=Match(tool="look")
)


async def test_a_run_has_spans_of_steps_tasks_tools_and_model_calls(
    fake: FakeOpenRouter, spans: InMemorySpanExporter
):
    fake.script(planned("Look"), LOOKING, Auto(times=None))
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look", look, effect="read")
        response = await AsyncAgentClient(tools).agent("Look around", Story)

    (run,) = named(spans, "invoke_agent")
    assert run.parent is None
    assert run.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert run.attributes["gen_ai.conversation.id"] == response.agent_id
    assert run.attributes["mbxai.agent.state"] == "completed"
    assert run.status.status_code is StatusCode.UNSET

    assert [span.name for span in named(spans, "step ")] == [
        "step analyzing_requirement",
        "step analyzing_tools",
        "step generating_todo",
        "step executing_tasks",
        "step evaluating_goal",
    ]
    (task,) = named(spans, "task")
    assert task.attributes["mbxai.agent.task.id"] == response.todo_list.tasks[0].id
    assert task.attributes["mbxai.agent.task.status"] == "completed"

    (tool,) = named(spans, "execute_tool")
    assert tool.name == "execute_tool look"
    assert tool.attributes["gen_ai.tool.name"] == "look"
    assert tool.attributes["gen_ai.operation.name"] == "execute_tool"
    assert line_of(tool, spans) == [
        "execute_tool look",
        "task",
        "step executing_tasks",
        "invoke_agent",
    ]

    chats = named(spans, "chat ")
    assert {span.name for span in chats} == {"chat openai/gpt-4"}
    assert {span.kind for span in chats} == {SpanKind.CLIENT}
    assert len(chats) == len(response.ledger)
    for field, attribute in (
        ("prompt_tokens", "gen_ai.usage.input_tokens"),
        ("completion_tokens", "gen_ai.usage.output_tokens"),
    ):
        counted = [getattr(entry, field) for entry in response.ledger]
        assert [span.attributes[attribute] for span in chats] == counted
    first = chats[0].attributes
    assert first["gen_ai.provider.name"] == "openrouter"
    assert first["gen_ai.request.model"] == first["gen_ai.response.model"] == "openai/gpt-4"
    assert first["gen_ai.response.id"] == response.ledger[0].generation_id
    assert first["gen_ai.response.finish_reasons"] == ("stop",)
    assert first["gen_ai.output.type"] == "json"


async def test_tasks_that_run_together_keep_their_own_parents(
    fake: FakeOpenRouter, spans: InMemorySpanExporter
):
    fake.script(
        planned("One", "Two"),
        *[
            Reply(
                tool_calls=[{"name": "meet", "arguments": {"who": who}}],
                when=Match(tool="meet", contains=f"Do {who}"),
            )
            for who in ("One", "Two")
        ],
        Auto(times=None),
    )
    inside: list[str] = []
    together = anyio.Event()

    async def meet(who: str) -> str:
        """Wait for the other one."""
        with trace.get_tracer("app").start_as_current_span(f"inside {who}"):
            inside.append(who)
            if len(inside) == 2:
                together.set()
            with anyio.fail_after(5):
                await together.wait()
        return f"met {who}"

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("meet", "Meet", meet, effect="read")
        response = await AsyncAgentClient(tools).agent("Meet", Story)

    assert response.is_complete()
    ids = {task.title: task.id for task in response.todo_list.tasks}
    for who in ("One", "Two"):
        (own,) = [s for s in spans.get_finished_spans() if s.name == f"inside {who}"]
        tool = parent_of(own, spans)
        assert tool is not None
        assert tool.name == "execute_tool meet"
        task = parent_of(tool, spans)
        assert task is not None
        assert task.attributes["mbxai.agent.task.id"] == ids[who]
    assert len({span.context.trace_id for span in ours(spans)}) == 1


async def test_a_run_stands_inside_of_the_callers_span(
    fake: FakeOpenRouter, spans: InMemorySpanExporter
):
    async with client_of(fake) as client:
        with trace.get_tracer("app").start_as_current_span("request"):
            await AsyncAgentClient(client).agent("Tell it", Story)
    (run,) = named(spans, "invoke_agent")
    assert line_of(run, spans) == ["invoke_agent", "request"]


def test_a_blocking_run_stands_inside_of_the_callers_span(
    fake: FakeOpenRouter, spans: InMemorySpanExporter
):
    agent = AgentClient(client_of(fake))
    with trace.get_tracer("app").start_as_current_span("request"):
        agent.agent("Tell it", Story)
    (run,) = named(spans, "invoke_agent")
    assert line_of(run, spans) == ["invoke_agent", "request"]


async def test_content_is_in_no_span_unless_it_is_asked_for(
    fake: FakeOpenRouter, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
):
    async def run() -> str:
        spans.clear()
        fake.reset()
        fake.script(planned("Look"), LOOKING, Auto(times=None))
        async with client_of(fake) as client:
            tools = AsyncToolClient(client)
            tools.register_tool("look", "Look", look, effect="read")
            await AsyncAgentClient(tools).agent("Look for treasure", Story)
        return dumped(spans)

    monkeypatch.delenv("MBXAI_LOG_CONTENT", raising=False)
    plain = await run()
    for said in ("treasure", "the attic", "dusty trunk", "Do Look"):
        assert said not in plain
    monkeypatch.setenv("MBXAI_LOG_CONTENT", "1")
    whole = await run()
    for said in ("treasure", "the attic", "dusty trunk", "Do Look"):
        assert said in whole
    (tool,) = named(spans, "execute_tool")
    assert json.loads(tool.attributes["gen_ai.tool.call.arguments"]) == {"place": "the attic"}
    asked = [json.loads(s.attributes["gen_ai.input.messages"]) for s in named(spans, "chat")]
    assert all(message["parts"] for messages in asked for message in messages)
    kinds = {part["type"] for messages in asked for m in messages for part in m["parts"]}
    assert kinds == {"text", "tool_call", "tool_call_response"}


async def test_errors_are_recorded_by_their_type_alone(
    fake: FakeOpenRouter, spans: InMemorySpanExporter
):
    fake.script(Failure(401, message=f"No auth for {TOKEN}"))
    async with client_of(fake) as client:
        with pytest.raises(AgentFailedError):
            await AsyncAgentClient(client).agent("Tell it", Story)

    (run,) = named(spans, "invoke_agent")
    (chat,) = named(spans, "chat")
    for span in (run, chat):
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description is None
        assert span.attributes["error.type"] == "AuthenticationError"
        assert not span.events
    assert TOKEN not in dumped(spans)


async def test_refused_answers_failed_tools_and_bounds_are_errors_of_their_spans(
    fake: FakeOpenRouter, spans: InMemorySpanExporter
):
    def stumble(place: str) -> str:
        """Look at a place."""
        raise ValueError(TOKEN)

    fake.script(
        Reply("no JSON", when=Match(schema="RequirementAnalysis")),
        planned("Look"),
        LOOKING,
        Auto(times=None),
    )
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look", stumble, effect="read")
        with pytest.raises(BudgetExceededError):
            await AsyncAgentClient(tools).agent("Look", Story, budget=Budget(max_requests=6))

    (run,) = named(spans, "invoke_agent")
    assert run.attributes["error.type"] == "BudgetExceededError"
    (tool,) = named(spans, "execute_tool")
    assert tool.attributes["error.type"] == "ToolError"
    refused = [s for s in named(spans, "chat") if "error.type" in s.attributes]
    assert [s.attributes["error.type"] for s in refused] == ["OutputValidationError"]
    assert TOKEN not in dumped(spans)


async def test_a_cancelled_run_ends_all_its_spans(
    fake: FakeOpenRouter, spans: InMemorySpanExporter
):
    entered = anyio.Event()

    async def stare(place: str) -> str:
        """Look for ever."""
        entered.set()
        await anyio.sleep_forever()
        return ""

    fake.script(planned("Look"), LOOKING, Auto(times=None))
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("look", "Look", stare, effect="read")
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: AsyncAgentClient(tools).agent("Look", Story))
            with anyio.fail_after(5):
                await entered.wait()
            group.cancel_scope.cancel()

    names = [span.name for span in ours(spans)]
    assert names[-4:] == ["execute_tool look", "task", "step executing_tasks", "invoke_agent"]
    (tool,) = named(spans, "execute_tool")
    assert tool.attributes["error.type"] == "CancelledError"


async def test_a_credential_is_in_no_span_even_with_content(
    fake: FakeOpenRouter, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MBXAI_LOG_CONTENT", "yes")
    dialog = {"dialog_option_id": "jira_auth", "reason": "to log in"}
    handle = {"auth_token": "secret://jira_auth/auth_token"}
    fake.script(
        planned("Log in"),
        Reply(
            tool_calls=[{"name": "open_dialog", "arguments": dialog}],
            when=Match(tool="open_dialog"),
        ),
        Reply(tool_calls=[{"name": "fetch", "arguments": handle}], when=Match(tool="fetch")),
        Auto(times=None),
    )
    got: list[str] = []

    def fetch(auth_token: str) -> str:
        """Fetch with a token."""
        got.append(auth_token)
        return f"fetched with {auth_token}"

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("fetch", "Fetch", fetch, effect="read")
        jira = DialogOption(id="jira_auth", title="Jira", description="Log in to Jira")
        agent = AsyncAgentClient(tools, True, [jira])
        waiting = await agent.agent("Fetch it", Story)
        answer = HumanInLoopResponse(
            interaction_id=waiting.human_interaction_request.id,
            response_type="dialog_option",
            dialog_option_id="jira_auth",
            credentials={"auth_token": TOKEN},
        )
        done = await agent.agent(
            agent_id=waiting.agent_id, human_response=answer, final_response_structure=Story
        )

    assert done.is_complete()
    assert got == [TOKEN]
    assert "secret://jira_auth/auth_token" in dumped(spans)
    assert TOKEN not in dumped(spans)
    # The run that went on knows its task by its id, though it did not begin it.
    resumed = [s for s in named(spans, "task") if s.attributes.get("mbxai.agent.task.status")]
    assert len(resumed) == 1


@pytest.mark.parametrize(
    ("said", "has_content"),
    [("", False), ("0", False), ("no", False), ("1", True), (" True ", True), ("on", True)],
)
def test_content_is_switched_on_by_a_word(monkeypatch: pytest.MonkeyPatch, said, has_content):
    monkeypatch.setenv("MBXAI_LOG_CONTENT", said)
    assert telemetry_settings().has_content is has_content


def test_nothing_is_recorded_where_nobody_traces():
    with NOTHING.current():
        NOTHING.put({"a": 1})
        NOTHING.fail("ValueError")
    assert NOTHING.child("inside", {}) is NOTHING
    assert not NOTHING.is_recording


PROGRAM = """
import sys
from mbxai import AgentClient, OpenRouterClient
from mbxai.testing import FakeOpenRouter
from pydantic import BaseModel

class Story(BaseModel):
    title: str

with FakeOpenRouter() as fake:
    client = OpenRouterClient("sk-or-test-key", base_url=fake.base_url)
    assert AgentClient(client).agent("Tell it", Story).is_complete()
    if sys.argv[1:] == ["traced"]:
        import opentelemetry.trace  # without a provider, as where only the interface is there
        assert AgentClient(client).agent("Tell it", Story).is_complete()
    client.close()
print("opentelemetry" in sys.modules)
"""


@pytest.mark.parametrize(("words", "is_loaded"), [((), "False"), (("traced",), "True")])
def test_a_run_loads_nothing_for_spans_that_nobody_wants(words: tuple[str, ...], is_loaded: Any):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.strip() == is_loaded, done.stderr


# --- runs that are begun elsewhere ----------------------------------------------------------------

ELSEWHERE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_what_was_asked_for_elsewhere_is_in_its_trace(spans: InMemorySpanExporter) -> None:
    telemetry.begun("run", {}, traceparent=ELSEWHERE).end()
    (span,) = named(spans, "run")
    assert span.parent is not None
    assert span.parent.is_remote
    assert f"{span.context.trace_id:032x}" == ELSEWHERE[3:35]
    assert f"{span.parent.span_id:016x}" == ELSEWHERE[36:52]


def test_inside_of_another_span_it_has_a_link_instead(spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("app").start_as_current_span("here") as here:
        telemetry.begun("run", {}, traceparent=ELSEWHERE).end()
        assert telemetry.current_traceparent()[3:35] == f"{here.get_span_context().trace_id:032x}"
    (span,) = named(spans, "run")
    assert span.parent == here.get_span_context()
    (link,) = span.links
    assert f"{link.context.trace_id:032x}" == ELSEWHERE[3:35]


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "nonsense",
        ELSEWHERE[:-1],
        ELSEWHERE + "0",
        ELSEWHERE.upper(),
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    ],
)
def test_what_is_no_trace_is_none(spans: InMemorySpanExporter, broken: str) -> None:
    telemetry.begun("run", {}, traceparent=broken).end()
    (span,) = named(spans, "run")
    assert span.parent is None
    assert span.links == ()


async def test_a_turn_that_was_submitted_is_in_the_trace_of_who_did(
    fake: FakeOpenRouter, spans: InMemorySpanExporter
) -> None:
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client)
        with trace.get_tracer("app").start_as_current_span("request") as request:
            agent_id = await agent.submit("Tell it", Story)
        assert named(spans, "invoke_agent") == []
        await agent.resume(agent_id)
    (run,) = named(spans, "invoke_agent")
    assert run.context.trace_id == request.get_span_context().trace_id
    assert run.parent is not None
    assert run.parent.span_id == request.get_span_context().span_id
