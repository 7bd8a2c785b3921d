"""What a scripted model says in an agent run whose every answer matters: with its own price."""

from typing import Any

from pydantic import BaseModel

from mbxai import AsyncOpenRouterClient
from mbxai.agent.events import AgentEvent
from mbxai.testing import FakeOpenRouter, Match, Reply


class Story(BaseModel):
    title: str
    status: str


STORY = {"title": "The end", "status": "told"}
REQUIREMENT = {
    "goal": "Tell it",
    "sub_goals": [],
    "success_criteria": ["it is told"],
    "constraints": [],
    "complexity_estimate": 2,
}
TOOLS: dict[str, Any] = {"relevant_tools": [], "tool_mapping": [], "missing_capabilities": []}
EVALUATION = {
    "feedback": "done",
    "completed_criteria": ["it is told"],
    "remaining_criteria": [],
    "next_steps": [],
    "completion_percentage": 100,
    "goal_achieved": True,
}


def client_of(fake: FakeOpenRouter, **options: Any) -> AsyncOpenRouterClient:
    key = fake.env()["OPENROUTER_API_KEY"]
    options = {"max_retries": 0, **options}
    return AsyncOpenRouterClient(key, "openai/gpt-4", fake.base_url, **options)


def plan_of(*titles: str, **fields: Any) -> dict[str, Any]:
    tasks = [
        {
            "key": f"t{number}",
            "title": title,
            "description": f"Do {title}",
            "depends_on": [],
            "tools_needed": [],
            "estimated_complexity": 1,
            **fields,
        }
        for number, title in enumerate(titles, 1)
    ]
    return {"tasks": tasks, "estimated_total_time": "1 min"}


def planned(*titles: str, **fields: Any) -> Reply:
    return Reply(when=Match(schema="TodoList"), json=plan_of(*titles, **fields))


class Till:
    """Replies that each cost something else, and what they cost together.

    Attributes:
        charged: Prompt, completion, cached and reasoning tokens, and USD.
    """

    def __init__(self) -> None:
        self.charged: dict[str, float] = dict.fromkeys(
            ("prompt", "completion", "cached", "reasoning", "usd"), 0
        )
        self.count = 0

    def reply(self, *args: Any, **fields: Any) -> Reply:
        self.count += 1
        number = self.count
        used = {
            "prompt": 100 + number,
            "completion": 10 + number,
            "cached": number,
            "reasoning": number % 3,
            "usd": number / 1024,
        }
        for name, value in used.items():
            self.charged[name] += value
        usage = {
            "prompt_tokens": used["prompt"],
            "completion_tokens": used["completion"],
            "total_tokens": used["prompt"] + used["completion"],
            "cost": used["usd"],
            "prompt_tokens_details": {"cached_tokens": used["cached"]},
            "completion_tokens_details": {"reasoning_tokens": used["reasoning"]},
        }
        return Reply(*args, usage=usage, **fields)


def sequence_of(events: list[AgentEvent]) -> list[int]:
    """Numbers of the events that are counted."""
    return [e.seq for e in events if e.type not in ("response_delta", "tool_progressed")]


def schemas_of(fake: FakeOpenRouter) -> list[str | None]:
    return [request.schema_name for request in fake.requests() if "messages" in request.body]
