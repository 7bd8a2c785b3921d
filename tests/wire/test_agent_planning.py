"""Merged planning, new rounds, judged drafts and marks for caches, against a fake OpenRouter."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from mbxai import (
    AgentFailedError,
    AgentState,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    HumanInLoopResponse,
)
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply


class City(BaseModel):
    """A place with people."""

    model_config = ConfigDict(title="City of the report")

    name: str = Field(alias="cityName", description="As its people write it")
    people: int


MERGED = ("Planning", "Conclusion")
ULM = {"cityName": "Ulm", "people": 126_000}


def client_of(fake: FakeOpenRouter, model: str = "openai/gpt-4") -> AsyncOpenRouterClient:
    key = fake.env()["OPENROUTER_API_KEY"]
    return AsyncOpenRouterClient(key, model, fake.base_url, max_retries=0)


def task(key: str, *after: str, **fields: Any) -> dict[str, Any]:
    return {
        "key": key,
        "title": f"Part {key}",
        "description": f"Please do-{key}.",
        "depends_on": list(after),
        "tools_needed": [],
        "estimated_complexity": 1,
        **fields,
    }


def filled(key: str, name: str, *after: str, **arguments: object) -> dict[str, Any]:
    call = {"name": name, "arguments": json.dumps(arguments)}
    return task(key, *after, tool_call=call, tools_needed=[name])


def planning(*tasks: dict[str, Any], missing: Sequence[str] = ()) -> Reply:
    return Reply(
        when=Match(schema="Planning"),
        json={
            "requirement_analysis": {
                "goal": "Describe a city",
                "sub_goals": [],
                "success_criteria": ["it is described"],
                "constraints": [],
                "complexity_estimate": 2,
            },
            "tool_analysis": {
                "relevant_tools": ["look_up"],
                "tool_mapping": [{"tool": "look_up", "purpose": "finds numbers"}],
                "missing_capabilities": list(missing),
            },
            "todo_list": {"tasks": list(tasks), "estimated_total_time": "1 minute"},
        },
    )


def evaluation(*, achieved: bool) -> dict[str, Any]:
    return {
        "feedback": "checked",
        "completed_criteria": [],
        "remaining_criteria": [] if achieved else ["it is described"],
        "next_steps": [],
        "completion_percentage": 100 if achieved else 40,
        "goal_achieved": achieved,
    }


def conclusion(final: dict[str, Any] | None, *, achieved: bool = True) -> Reply:
    value = {"goal_evaluation": evaluation(achieved=achieved), "final_response": final}
    return Reply(when=Match(schema="Conclusion"), json=value)


def replan(*tasks: dict[str, Any], **changes: list[str]) -> Reply:
    value = {"tasks": list(tasks), "estimated_total_time": "", "retry": [], "skip": [], **changes}
    return Reply(when=Match(schema="TodoList"), json=value)


def look_up(city: str) -> str:
    """Look a city up.

    Args:
        city: Its name.
    """
    return f"{city} has 126000 people"


def steps(fake: FakeOpenRouter) -> list[str | None]:
    return [request.schema_name for request in fake.requests()]


def text_of(request: Any) -> str:
    return json.dumps(request.body["messages"], ensure_ascii=False)


async def test_merged_planning_takes_three_requests_and_fills_every_field(
    fake: FakeOpenRouter,
) -> None:
    fake.script(planning(task("a"), missing=["letters"]), conclusion(ULM), Auto(times=None))
    async with client_of(fake) as client:
        response = await AsyncAgentClient(client, planning="merged").agent("Describe Ulm", City)

    assert steps(fake) == ["Planning", None, "Conclusion"]
    assert isinstance(response.final_response, City)
    assert response.final_response.name == "Ulm"
    assert response.requirement_analysis.goal == "Describe a city"
    assert response.tool_analysis.missing_capabilities == ["letters"]
    assert [found.status for found in response.todo_list.tasks] == ["completed"]
    assert response.goal_evaluation.goal_achieved
    assert response.token_summary.todo_generation.total_tokens > 0
    assert response.token_summary.final_response.total_tokens > 0


async def test_a_plan_that_fills_in_its_calls_takes_two_requests_in_all(
    fake: FakeOpenRouter,
) -> None:
    fake.script(
        planning(filled("a", "look_up", city="Ulm"), filled("b", "look_up", "a", city="Bonn")),
        conclusion(ULM),
    )
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.tool(look_up)
        response = await AsyncAgentClient(tools, planning="merged").agent("Describe Ulm", City)

    asked, concluded = fake.requests()
    assert (asked.schema_name, concluded.schema_name) == MERGED
    assert response.is_complete()
    assert [found.result for found in response.todo_list.tasks] == [
        "Ulm has 126000 people",
        "Bonn has 126000 people",
    ]
    assert '- look_up: Look a city up. Arguments: {\\"' in text_of(asked).replace("\\\\", "\\")
    assert "tool" in text_of(concluded)
    assert "<data-" in text_of(concluded)
    assert "tools" not in asked.body


async def test_a_call_that_refers_to_a_result_needs_no_model_and_no_word_of_its_order(
    fake: FakeOpenRouter,
) -> None:
    def capital(country: str) -> dict[str, str]:
        """Name a capital."""
        return {"country": country, "city": "Rome"}

    # The reference alone says what comes first.
    second = filled("b", "look_up", city="{{a.city}}")
    fake.script(planning(filled("a", "capital", country="Italy"), second), conclusion(ULM))
    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.tool(look_up)
        tools.tool(capital)
        response = await AsyncAgentClient(tools, planning="merged").agent("Describe Rome", City)

    assert steps(fake) == list(MERGED)
    first, then = response.todo_list.tasks
    assert then.dependencies == [first.id]
    assert then.result == "Rome has 126000 people"


@pytest.mark.parametrize("human_in_loop", [True, False])
async def test_a_planned_call_that_its_tools_rule_lets_pass_asks_nobody(
    fake: FakeOpenRouter, human_in_loop: bool
) -> None:
    paid: list[int] = []
    fake.script(planning(filled("a", "pay", amount=5)), conclusion(ULM))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(paying(client, paid), human_in_loop, planning="merged")
        response = await agent.agent("Pay", City)

    assert steps(fake) == list(MERGED)
    assert response.is_complete()
    assert paid == [5]


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "referred-to"])
async def test_a_planned_call_that_its_tools_rule_holds_up_waits_for_a_person(
    fake: FakeOpenRouter, is_known: bool
) -> None:
    paid: list[int] = []
    fake.script(
        planning(
            filled("a", "pay", amount=5),
            filled("b", "pay", "a", amount=500 if is_known else "{{a.next}}"),
        ),
        conclusion(ULM),
    )
    async with client_of(fake) as client:
        agent = AsyncAgentClient(paying(client, paid), True, planning="merged")
        waiting = await agent.agent("Pay", City)
        assert paid == [5]
        (request,) = waiting.human_interaction_requests
        answer = HumanInLoopResponse(
            interaction_id=request.id, response_type="decision", decision="approve"
        )
        done = await agent.agent("", City, agent_id=waiting.agent_id, human_response=answer)

    assert done.is_complete()
    assert paid == [5, 500]
    assert request.context == 'Arguments: {"amount": 500}'


def paying(client: AsyncOpenRouterClient, paid: list[int]) -> AsyncToolClient:
    """A tool that asks a person above 100, and says what to pay next."""

    def pay(amount: int) -> dict[str, int]:
        paid.append(amount)
        return {"next": 500}

    tools = AsyncToolClient(client)
    tools.register_tool("pay", "Pay", pay, requires_approval=lambda given: given["amount"] > 100)
    return tools


async def test_the_schema_of_a_conclusion_holds_the_callers_model_as_it_is(
    fake: FakeOpenRouter,
) -> None:
    fake.script(planning(task("a")), conclusion(ULM), Auto(times=None))
    async with client_of(fake) as client:
        await AsyncAgentClient(client, planning="merged").agent("Describe Ulm", City)

    sent = fake.requests()[-1].body["response_format"]["json_schema"]
    assert sent["strict"] is True
    final = sent["schema"]["properties"]["final_response"]["anyOf"][0]
    assert final["title"] == "City of the report"
    assert final["description"] == "A place with people."
    assert final["properties"]["cityName"]["description"] == "As its people write it"


async def test_a_merged_run_that_is_answered_by_any_fitting_values_ends(
    fake: FakeOpenRouter,
) -> None:
    async with client_of(fake) as client:
        response = await AsyncAgentClient(client, planning="merged").agent("Describe Ulm", City)

    assert response.is_complete()


async def test_a_goal_reached_without_a_response_takes_one_request_more(
    fake: FakeOpenRouter,
) -> None:
    fake.script(
        planning(task("a")),
        conclusion(None),
        Reply(when=Match(schema="City_of_the_report"), json=ULM),
        Auto(times=None),
    )
    async with client_of(fake) as client:
        response = await AsyncAgentClient(client, planning="merged").agent("Describe Ulm", City)

    assert steps(fake) == ["Planning", None, "Conclusion", "City_of_the_report"]
    assert response.final_response.people == 126_000


async def test_a_failed_task_is_tried_again_in_the_next_round_under_its_id(
    fake: FakeOpenRouter,
) -> None:
    cut = Reply("I beg", finish_reason="length", when=Match(contains="do-b."))
    fake.script(
        planning(task("a"), task("b")),
        *[cut] * 3,
        conclusion(None, achieved=False),
        replan(retry=["b"]),
        conclusion(ULM),
        Auto(times=None),
    )
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning="merged")
        response = await agent.agent("Describe Ulm", City)

    first, second = response.todo_list.tasks
    assert (first.attempts, second.attempts) == (1, 2)
    assert second.status == "completed"
    assert sum(name == "TodoList" for name in steps(fake)) == 1
    changed = next(r for r in fake.requests() if r.schema_name == "TodoList")
    assert "- [b] Part b (failed)" in text_of(changed)
    assert response.is_complete()


@pytest.mark.parametrize("planning_kind", ["stepwise", "merged"])
async def test_a_goal_that_is_never_reached_fails_with_its_evaluation(
    fake: FakeOpenRouter, planning_kind: Any
) -> None:
    missed = evaluation(achieved=False)
    fake.script(
        *[Reply(when=Match(schema="GoalEvaluation"), json=missed)] * 2,
        *[conclusion(None, achieved=False)] * 2,
        Auto(times=None),
    )
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning=planning_kind, max_replans=1)
        with pytest.raises(AgentFailedError, match="it is described") as caught:
            await agent.agent("Describe Ulm", City)

    response = caught.value.response
    assert response.state is AgentState.FAILED
    assert response.error.type == "GoalNotReached"
    assert response.goal_evaluation.completion_percentage == 40
    assert response.final_response is None


async def test_a_response_is_judged_and_improved_before_it_is_final(fake: FakeOpenRouter) -> None:
    bad = {"is_good": False, "feedback": "Ulm has more people"}
    fake.script(
        Reply(when=Match(schema="City_of_the_report"), json={**ULM, "people": 1}),
        Reply(when=Match(schema="QualityCheck"), json=bad),
        Reply(when=Match(schema="City_of_the_report"), json=ULM),
        Reply(when=Match(schema="QualityCheck"), json={"is_good": True, "feedback": ""}),
        Auto(times=None),
    )
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, quality_iterations=2)
        response = await agent.agent("Describe Ulm", City)

    last = ["City_of_the_report", "QualityCheck", "City_of_the_report", "QualityCheck"]
    assert steps(fake)[-4:] == last
    assert "What to change: Ulm has more people" in text_of(fake.requests()[-2])
    assert response.final_response == City.model_validate(ULM)


async def test_tools_that_the_caller_left_out_are_not_shown_to_any_step(
    fake: FakeOpenRouter,
) -> None:
    def send_letter(text: str) -> str:
        """Send a letter."""
        return text

    async with client_of(fake) as client:
        tools = AsyncToolClient(client)
        tools.tool(look_up)
        tools.tool(send_letter)
        for kind in ("stepwise", "merged"):
            agent = AsyncAgentClient(tools, planning=kind)
            await agent.agent("Describe Ulm", City, tools=["look_up"])

    sent = [json.dumps(request.body) for request in fake.requests()]
    assert not any("send_letter" in text for text in sent)
    assert sum("- look_up: " in text for text in sent) >= 3


async def test_a_model_that_keeps_nothing_by_itself_is_told_what_tasks_share(
    fake: FakeOpenRouter,
) -> None:
    fake.script(planning(task("a"), task("b")), conclusion(ULM), Auto(times=None))
    async with client_of(fake, "anthropic/claude-sonnet-4.5") as client:
        agent = AsyncAgentClient(client, planning="merged")
        await agent.agent("Describe Ulm. " + "It is in Swabia. " * 300, City)

    tasks = [r.body["messages"][1] for r in fake.requests() if r.schema_name is None]
    assert [len(message["content"]) for message in tasks] == [2, 2]
    shared, other = (message["content"][0] for message in tasks)
    assert shared == other
    assert shared["cache_control"] == {"type": "ephemeral"}
    assert shared["text"].endswith("- it is described")
    assert {message["content"][1]["text"].count("do-") for message in tasks} == {1}


async def test_other_models_get_plain_texts(fake: FakeOpenRouter) -> None:
    fake.script(planning(task("a")), conclusion(ULM), Auto(times=None))
    async with client_of(fake) as client:
        agent = AsyncAgentClient(client, planning="merged")
        await agent.agent("Describe Ulm. " + "It is in Swabia. " * 300, City)

    contents = [message["content"] for r in fake.requests() for message in r.body["messages"]]
    assert all(isinstance(content, str) for content in contents)
