"""Ten goals for an agent on the small local model, with and without tools and people.

    python tests/support/agent_story_goals.py

runs them one after the other, prints how each came to rest, and fails if one did not rest in
COMPLETED or WAITING_FOR_HUMAN with data that fits its schema.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, Field

from mbxai import (
    AgentResponse,
    AgentState,
    AsyncAgentClient,
    AsyncToolClient,
    DialogOption,
    HumanInLoopRequest,
    HumanInLoopResponse,
    HumanInteractionType,
)
from mbxai.local import LocalModel

MOST_ANSWERS = 12
RESTS = (AgentState.COMPLETED, AgentState.WAITING_FOR_HUMAN)


class Fact(BaseModel):
    """One fact."""

    answer: str


class Verdict(BaseModel):
    """What somebody thinks of something."""

    mood: Literal["good", "bad", "mixed"]
    stars: int = Field(ge=1, le=5)


class Stop(BaseModel):
    """A place on the way."""

    place: str
    minutes: int = Field(ge=1, le=600)


class Tour(BaseModel):
    """A way through a town."""

    title: str
    stops: list[Stop] = Field(min_length=1, max_length=3)


class Invoice(BaseModel):
    """What is to be paid, and when."""

    payee: str = Field(min_length=1, max_length=80)
    total: float = Field(ge=0)
    due: date
    remark: str | None


def look_up(word: str) -> str:
    """Look a word up in the dictionary."""
    return f"{word}: a thing that many people know"


def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second


def take_note(note: str) -> str:
    """Take a note for later."""
    return f"Noted: {note}"


def broken_printer(text: str) -> str:
    """Print a text on paper."""
    raise OSError(f"the printer is out of paper, {len(text)} characters wait")


def list_orders(username: str, password: str) -> list[dict[str, str]]:
    """List the orders of a shop with the user's name and password."""
    return [{"order": "ORD-2024-003", "by": username}]


def send_mail(to: str, text: str) -> str:
    """Send a mail."""
    return f"sent {len(text)} characters to {to}"


SHOP = DialogOption(
    id="shop_credentials", title="Shop login", description="Give the shop's name and password"
)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One goal.

    Attributes:
        prompt: What is wanted.
        wanted: The final model.
        tools: What the model may call; those in `approved` only with a person's consent.
        asks: Whether people may be asked.
        answers: Whether a person answers what is asked.
        settings: More arguments of the agent.
        later: A prompt for a second turn.
    """

    name: str
    prompt: str
    wanted: type[BaseModel]
    tools: Sequence[Callable[..., object]] = ()
    approved: Sequence[Callable[..., object]] = ()
    dialogs: Sequence[DialogOption] = ()
    asks: bool = False
    answers: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    later: str = ""


GOALS = (
    Goal(name="a fact, no tools", prompt="Name the capital of France.", wanted=Fact),
    Goal(
        name="a verdict in fixed words",
        prompt="Rate this review: The food was cold, but the waiter was very kind.",
        wanted=Verdict,
    ),
    Goal(name="a list of objects", prompt="Name three places to see in Rome.", wanted=Tour),
    Goal(
        name="dates and amounts",
        prompt="Write the invoice of 120 euros for Mrs Weber, due on 1 March 2027.",
        wanted=Invoice,
    ),
    Goal(
        name="a tool that reads",
        prompt="Look up the word lighthouse and say what it is.",
        wanted=Fact,
        tools=[look_up],
    ),
    Goal(
        name="two tools",
        prompt="Add 19 and 23 and take a note of the sum.",
        wanted=Fact,
        tools=[add, take_note],
    ),
    Goal(
        name="a tool that always fails",
        prompt="Print the text: hello.",
        wanted=Fact,
        tools=[broken_printer],
    ),
    Goal(
        name="a dialogue and its credentials",
        prompt="Find my last order in the shop.",
        wanted=Fact,
        tools=[list_orders],
        dialogs=[SHOP],
        asks=True,
    ),
    Goal(
        name="a person who never answers",
        prompt="Send a mail to the person whom I name when you ask me.",
        wanted=Fact,
        approved=[send_mail],
        asks=True,
        answers=False,
    ),
    Goal(
        name="an approval, then a second turn",
        prompt="Send a mail to anna@example.com that says hello.",
        wanted=Fact,
        approved=[send_mail],
        asks=True,
        later="Say what was sent.",
    ),
)


@dataclass(frozen=True)
class Rested:
    """How a goal came to rest.

    Attributes:
        problem: What is wrong with it; empty for nothing.
        answered: How many requests a person answered.
    """

    goal: Goal
    response: AgentResponse
    problem: str
    answered: int
    seconds: float

    def row(self) -> str:
        """A line of the table."""
        calls, total = len(self.response.ledger), self.response.token_summary.total_tokens
        state = self.response.state.value
        return (
            f"| {self.goal.name} | {state} | {calls} | {total} | {self.answered} "
            f"| {self.seconds:.0f} | {self.problem} |"
        )


async def pursued(goal: Goal, model: LocalModel) -> Rested:
    """Pursue a goal until it rests, with a person if it has one."""
    began = time.monotonic()
    async with AsyncToolClient(model.client()) as tools:
        for function in (*goal.tools, *goal.approved):
            tools.register_tool(
                function.__name__,
                function.__doc__ or "",
                function,
                requires_approval=function in goal.approved,
            )
        settings = {"max_replans": 1, **goal.settings}
        agent = AsyncAgentClient(tools, goal.asks, goal.dialogs, **settings)
        response, answered = await _turn(agent, goal, goal.prompt, None)
        if goal.later and response.is_complete():
            response, more = await _turn(agent, goal, goal.later, response.agent_id)
            answered += more
    problem = problem_of(goal, response)
    return Rested(goal, response, problem, answered, time.monotonic() - began)


async def _turn(
    agent: AsyncAgentClient, goal: Goal, prompt: str, agent_id: str | None
) -> tuple[AgentResponse, int]:
    response = await agent.agent(prompt, goal.wanted, agent_id=agent_id, raise_on_failure=False)
    answered = 0
    while goal.answers and response.is_waiting_for_human() and answered < MOST_ANSWERS:
        given = [answer_to(request) for request in response.human_interaction_requests]
        answered += len(given)
        response = await agent.agent(
            final_response_structure=goal.wanted,
            agent_id=response.agent_id,
            human_response=given,
            raise_on_failure=False,
        )
    return response, answered


def answer_to(request: HumanInLoopRequest) -> HumanInLoopResponse:
    """What a patient person answers."""
    fields: dict[str, Any] = {"answer": "Please go on as you think best."}
    if request.interaction_type is HumanInteractionType.DECISION:
        fields = {"decision": request.options[0]}
    elif request.interaction_type is HumanInteractionType.DIALOG_OPTION:
        credentials = {"username": "demo.user", "password": "demo-password-123"}
        fields = {"dialog_option_id": request.dialog_options[0].id, "credentials": credentials}
    return HumanInLoopResponse(
        interaction_id=request.id, response_type=request.interaction_type, **fields
    )


def problem_of(goal: Goal, response: AgentResponse) -> str:
    """Say what is wrong with a state to rest in: all data must fit its schema."""
    if response.state not in RESTS:
        return f"{response.state.value}: {response.error}"
    AgentResponse.model_validate_json(response.model_dump_json())
    if response.is_waiting_for_human():
        return "" if response.human_interaction_requests else "waits for nothing"
    final = response.final_response
    if not isinstance(final, goal.wanted):
        return f"final_response is a {type(final).__name__}"
    goal.wanted.model_validate(final.model_dump())
    if response.todo_list is None or response.goal_evaluation is None:
        return "a step is missing"
    return ""


async def main(names: Sequence[str]) -> int:
    """Pursue all goals, or those whose names hold one of these words."""
    chosen = [g for g in GOALS if not names or any(name in g.name for name in names)]
    print("| goal | rests in | model calls | tokens | answers | seconds | problem |", flush=True)
    print("|---|---|---|---|---|---|---|", flush=True)
    rested: list[Rested] = []
    async with LocalModel() as model:
        for goal in chosen:
            rested.append(await pursued(goal, model))
            print(rested[-1].row(), flush=True)
    problems = [one for one in rested if one.problem]
    for one in problems:
        print(json.dumps(one.response.model_dump(mode="json"), indent=1)[:8000], file=sys.stderr)
    counts = {state.value: sum(r.response.state is state for r in rested) for state in AgentState}
    print(", ".join(f"{count} {state}" for state, count in counts.items() if count))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
