"""Promises of the agent, rows 12 to 16: stored sessions, further turns, memory, the response."""

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import BaseModel
from support.agent_promises import Story, answer, bodies, is_chat, said, schema_names
from support.agent_story_stage import calls, evaluated, final, plan, says, task

from mbxai import (
    AgentState,
    AsyncAgentClient,
    AsyncToolClient,
    DialogOption,
    InMemorySessionHandler,
    SessionHandler,
)
from mbxai.sessions import SQLiteSessionStore
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match, Reply

JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in to Jira")


class WrittenHandler:
    """Keeps JSON text, as `json.dumps(data, default=str)` writes it; remembers every text."""

    def __init__(self) -> None:
        self.sessions: dict[str, str] = {}
        self.written: list[str] = []

    def get_session(self, agent_id: str) -> dict[str, Any] | None:
        text = self.sessions.get(agent_id)
        return json.loads(text) if text else None

    def set_session(self, agent_id: str, session_data: dict[str, Any]) -> None:
        assert json.loads(json.dumps(session_data, default=str)) == session_data
        self.sessions[agent_id] = json.dumps(session_data, default=str)
        self.written.append(self.sessions[agent_id])

    def delete_session(self, agent_id: str) -> bool:
        return self.sessions.pop(agent_id, None) is not None

    def list_sessions(self) -> list[str]:
        return list(self.sessions)

    def session_exists(self, agent_id: str) -> bool:
        return agent_id in self.sessions


class RedisHandler(WrittenHandler):
    """The same on a real Redis."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__()
        self._client = client
        self._prefix = f"promises:{uuid.uuid4()}:"

    def get_session(self, agent_id: str) -> dict[str, Any] | None:
        text = self._client.get(self._prefix + agent_id)
        return json.loads(text) if text else None

    def set_session(self, agent_id: str, session_data: dict[str, Any]) -> None:
        super().set_session(agent_id, session_data)
        self._client.set(self._prefix + agent_id, self.sessions[agent_id], ex=600)


@pytest.fixture
def redis_handler(redis_url: str) -> Iterator[RedisHandler]:
    with closing(redis.Redis.from_url(redis_url)) as client:
        yield RedisHandler(client)


@pytest.fixture(params=["written", "redis", "sqlite"])
async def places(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[list[SessionHandler | SQLiteSessionStore]]:
    """One place for sessions, opened twice, as two processes would."""
    if request.param == "sqlite":
        stores = [SQLiteSessionStore(tmp_path / "sessions.sqlite") for _ in range(2)]
        yield [*stores]
        for store in stores:
            await store.aclose()
    elif request.param == "redis":
        yield [request.getfixturevalue("redis_handler")] * 2
    else:
        yield [WrittenHandler()] * 2


# --- row 12 ---------------------------------------------------------------------------------------


async def test_row_12_a_session_is_finished_by_another_agent_from_what_is_stored(
    fake: FakeOpenRouter, client: AsyncToolClient, places: list[Any]
) -> None:
    fake.script(
        plan(task("a"), task("b")),
        calls("a", "ask_question", prompt="Which region?"),
        Auto(times=None),
    )
    first, second = (AsyncAgentClient(client, True, session_handler=place) for place in places)
    waiting = await first.agent("Deploy it", Story, agent_id="s")
    made = len(fake.requests())
    reply = answer(waiting.human_interaction_request, answer="eu-west")
    done = await second.agent("", Story, agent_id="s", human_response=reply)

    assert done.is_complete()
    assert "eu-west" in said(bodies(fake))
    assert schema_names(fake).count("RequirementAnalysis") == 1
    assert len(fake.requests()) > made


async def test_row_12_what_is_stored_is_json_with_a_version_and_grows_with_each_step(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    handler = WrittenHandler()
    agent = AsyncAgentClient(client, True, [JIRA], session_handler=handler)
    fake.script(plan(task("a")), says("a", "Done."), Auto(times=None))
    done = await agent.agent("Summarise", Story)
    written = [json.loads(text) for text in handler.written]
    states = [data["state"] for data in written if "state" in data]  # the claim comes before
    stored = written[-1]

    assert list(dict.fromkeys(states)) == [
        "analyzing_requirement",
        "analyzing_tools",
        "generating_todo",
        "executing_tasks",
        "evaluating_goal",
        "completed",
    ]
    assert stored["schema_version"] == 1
    versions = [data["version"] for data in written]
    assert versions == sorted(versions)
    assert len(set(versions)) > len(set(states))
    schema = stored["final_response_structure"]
    assert schema["name"] == "Story"
    assert set(schema["json_schema"]["properties"]) == {"title", "status"}
    assert stored["final_response"] == done.final_response.model_dump()
    assert "class" not in handler.written[-1]


async def test_row_12_a_run_that_stops_after_any_step_goes_on_with_the_next_one(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    """Each failure ends the run in a step; another agent goes on from what is stored."""
    names = ("RequirementAnalysis", "ToolAnalysis", "TodoList", "GoalEvaluation", "Story")
    fake.script(*(Failure(500, when=Match(schema=name)) for name in names), Auto(times=None))
    handler, response = WrittenHandler(), None
    for _ in range(len(names) + 1):
        agent = AsyncAgentClient(client, session_handler=handler)
        response = await agent.agent("Summarise", Story, agent_id="s", raise_on_failure=False)

    assert response is not None
    assert response.is_complete()
    assert schema_names(fake) == [name for name in names for _ in range(2)]


async def test_row_12_the_class_is_supplied_again_by_whoever_reads_the_response(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    handler = WrittenHandler()
    fake.script(final("Story", title="Login", status="open"), Auto(times=None))
    done = await AsyncAgentClient(client, session_handler=handler).agent("Summarise", Story)
    other = AsyncAgentClient(client, session_handler=handler)

    plain = await other.get_response(done.agent_id)
    typed = await other.get_response(done.agent_id, Story)
    assert plain.final_response == {"title": "Login", "status": "open"}
    assert typed.final_response == Story(title="Login", status="open")


# --- row 13 ---------------------------------------------------------------------------------------


def test_row_13_the_handler_in_memory_gives_and_takes_copies() -> None:
    handler = InMemorySessionHandler()
    given = {"todo_list": [{"status": "pending"}]}
    handler.set_session("s", given)
    given["todo_list"][0]["status"] = "changed by the giver"
    taken = handler.get_session("s")
    assert taken == {"todo_list": [{"status": "pending"}]}
    taken["todo_list"][0]["status"] = "changed by the taker"

    assert handler.get_session("s") == {"todo_list": [{"status": "pending"}]}


async def test_row_13_a_run_cannot_be_changed_through_its_response(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client, session_handler=InMemorySessionHandler())
    done = await agent.agent("Summarise", Story)
    before = done.model_copy(deep=True)
    done.todo_list.tasks[0].title = "changed"
    done.requirement_analysis.success_criteria.append("changed")

    assert await agent.get_response(done.agent_id, Story) == before


# --- rows 14 and 15 -------------------------------------------------------------------------------


class Report(BaseModel):
    text: str


async def test_row_14_a_second_prompt_is_a_new_turn_that_knows_the_first(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client)
    fake.script(
        plan(task("a")), final("Story", title="The blue door", status="found"), Auto(times=None)
    )
    first = await agent.agent("Which door is in the hall?", Story)
    made = len(fake.requests())
    fake.script(plan(task("b")), Auto(times=None))
    second = await agent.agent("And what is behind it?", Report, agent_id=first.agent_id)

    assert second.agent_id == first.agent_id
    assert isinstance(second.final_response, Report)
    later = [request for request in fake.requests()[made:] if is_chat(request)]
    assert [r.schema_name for r in later if r.schema_name] == [
        "RequirementAnalysis",
        "ToolAnalysis",
        "TodoList",
        "GoalEvaluation",
        "Report",
    ]
    for request in later:
        told = said(request.json)
        assert "Which door is in the hall?" in told
        assert "The blue door" in told
        assert "And what is behind it?" in told
    assert second.goal_evaluation is not None
    assert [t.title for t in second.todo_list.tasks] == ["Part b"]
    assert second.token_summary.total_tokens > first.token_summary.total_tokens


async def test_row_15_prompts_and_answers_of_all_turns_are_remembered(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    handler = WrittenHandler()
    fake.script(*(final("Story", title=f"T{n}", status="ok") for n in range(3)), Auto(times=None))
    for number in range(3):
        agent = AsyncAgentClient(client, session_handler=handler)
        await agent.agent(f"Question {number}", Story, agent_id="s")
    info = await AsyncAgentClient(client, session_handler=handler).get_session_info("s")

    assert info["conversation_length"] == 6
    assert [message["role"] for message in info["conversation_history"]] == [
        "user",
        "assistant",
    ] * 3
    assert [m["content"] for m in info["conversation_history"] if m["role"] == "user"] == [
        "Question 0",
        "Question 1",
        "Question 2",
    ]
    assert ["T0" in m["content"] for m in info["conversation_history"]].index(True) == 1


async def test_row_15_a_memory_that_grows_too_long_is_summed_up(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    summary = {"summary": "The hall has a blue door."}
    fake.script(Reply(json=summary, when=Match(schema="Summary")), Auto(times=None))
    agent = AsyncAgentClient(client, max_context_tokens=400)
    for number in range(3):
        prompt = f"Question {number}: {'which door is it ' * 40}"
        response = await agent.agent(prompt, Story, agent_id="s")
        assert response.is_complete()
    info = await agent.get_session_info("s")
    names = schema_names(fake)
    [asked] = bodies(fake, "Summary")

    assert "Question 0" in said(asked)
    assert info["history_summary"] == "The hall has a blue door."
    assert "Question 0" not in str(info["conversation_history"])
    assert "Question 1" in str(info["conversation_history"])
    last = [r for r in fake.requests() if is_chat(r)][-1]
    assert names.index("Summary") == len(names) - 1 - names[::-1].index("RequirementAnalysis") - 1
    assert "The hall has a blue door." in said(last.json)
    assert "Question 0" not in said(last.json)
    assert "Question 2" in said(last.json)


# --- row 16 ---------------------------------------------------------------------------------------


async def test_row_16_a_completed_response_has_every_field(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(plan(task("a")), says("a", "A door."), evaluated(achieved=True), Auto(times=None))
    response = await AsyncAgentClient(client).agent("Summarise", Story, agent_id="mine")
    summary = response.token_summary

    assert response.agent_id == "mine"
    assert response.state is AgentState.COMPLETED
    assert response.requirement_analysis.success_criteria
    assert response.tool_analysis is not None
    assert [t.result for t in response.todo_list.tasks] == ["A door."]
    assert response.goal_evaluation.completion_percentage == 100
    assert isinstance(response.final_response, Story)
    for step in (
        summary.requirement_analysis,
        summary.tool_analysis,
        summary.todo_generation,
        *summary.task_execution,
        summary.goal_evaluation,
        summary.final_response,
    ):
        assert step.total_tokens > 0
    assert response.error is None
    assert response.human_interaction_request is None
    assert response.questions == []


async def test_row_16_waiting_and_failed_responses_have_all_that_is_known(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(task("a"), task("b", "a")),
        calls("a", "ask_question", prompt="Which region?"),
        Failure(402, message="Insufficient credits", when=Match(schema="GoalEvaluation")),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, human_in_loop=True)
    waiting = await agent.agent("Deploy it", Story)
    reply = answer(waiting.human_interaction_request, answer="eu-west")
    failed = await agent.agent(
        "", Story, agent_id=waiting.agent_id, human_response=reply, raise_on_failure=False
    )

    assert waiting.is_waiting_for_human()
    assert waiting.current_task.title == "Part a"
    assert [question.question for question in waiting.questions] == ["Which region?"]
    assert waiting.has_questions()
    assert failed.state is AgentState.FAILED
    assert failed.error.message
    for response in (waiting, failed):
        assert response.requirement_analysis is not None
        assert response.tool_analysis is not None
        assert [t.title for t in response.todo_list.tasks] == ["Part a", "Part b"]
        assert response.token_summary.total_tokens > 0
    assert [t.status for t in failed.todo_list.tasks] == ["completed", "completed"]
