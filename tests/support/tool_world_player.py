"""Plays a planned conversation with a real client against a fake OpenRouter."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from support.sent_requests import problems_of
from support.tool_world import Runs, World
from support.tool_world_faults import TROUBLES
from support.tool_world_home import CODE, Home
from support.tool_world_plan import Answer, Plan, Turn

from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.testing import FakeOpenRouter, Reply, Step
from mbxai.tools import AsyncToolClient, ToolContext
from mbxai.wire import ChatCompletion, Usage

MakeWorld = Callable[[dict[str, Any], Runs], World]

SYSTEM = {"role": "system", "content": "Be brief."}


class ChattyFake(FakeOpenRouter):
    """A fake server whose long conversations are checked against the published schema by `play`.

    Each request holds all messages of the one before; to check them all each time takes most of
    the time of these tests.
    """

    def reset(self) -> None:
        """Forget the script and the requests, which nobody has checked."""
        self._ask("POST", "/reset", {})


class Summary(BaseModel):
    """What a typed answer is to be."""

    summary: str
    calls: int


@dataclass(kw_only=True)
class TurnRecord:
    """What became of one turn.

    Attributes:
        before: The caller's messages as they were given.
        kept: The same list after the call.
        bodies: All requests.
        heard: All text that a reader of the stream saw; of a whole answer its text.
        completion: The answer.
        parsed: The value of a typed answer.
        usage: Tokens and cost of the turn.
        after: The whole conversation as it goes on.
        new: What the turn has added to it.
    """

    before: list[dict[str, Any]]
    kept: list[dict[str, Any]]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    heard: str = ""
    completion: ChatCompletion | None = None
    parsed: object = None
    usage: Usage | None = None
    after: Sequence[Mapping[str, Any]] = ()
    new: Sequence[Mapping[str, Any]] = ()


@dataclass(kw_only=True)
class Record:
    """What became of a conversation.

    Attributes:
        turns: Its turns.
        state: Of the world at the end.
        runs: The run keys of all calls of the tools' functions, sorted.
    """

    turns: list[TurnRecord] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)


async def play(plan: Plan, fake: FakeOpenRouter, live: MakeWorld | None = None) -> Record:
    """Play a conversation to its end.

    Args:
        plan: What is said.
        fake: Says it; its script and requests are forgotten.
        live: Makes the world with the tools; by default the plan's kind does.
    """
    runs = Runs(plan.traps)
    world = (live or plan.kind.live)(copy.deepcopy(plan.kind.start), runs)
    record = Record()
    messages: list[dict[str, Any]] = [dict(SYSTEM)]
    async with (
        AsyncOpenRouterClient(
            token=fake.api_key,
            base_url=fake.base_url,
            model="fake/model",
            max_retries=3,
            retry_initial_delay=0.001,
            retry_max_delay=0.001,
        ) as inner,
        AsyncToolClient(inner) as client,
    ):
        world.register(client, **({"parallel": False} if plan.is_ordered else {}))
        for turn in plan.turns:
            messages = [*messages, {"role": "user", "content": turn.question}]
            played = await _play_turn(plan, turn, messages, fake, client, _context(world))
            record.turns.append(played)
            messages = [copy.deepcopy(dict(message)) for message in played.after]
    record.state = world.state()
    record.runs = sorted(runs.seen)
    return record


async def _play_turn(
    plan: Plan,
    turn: Turn,
    messages: list[dict[str, Any]],
    fake: FakeOpenRouter,
    client: AsyncToolClient,
    context: ToolContext[Any],
) -> TurnRecord:
    fake.reset()
    fake.script(*(step for answer in turn.answers for step in _steps(answer)))
    record = TurnRecord(before=copy.deepcopy(messages), kept=messages)
    options: dict[str, Any] = {"max_rounds": 60, "context": context}
    if turn.tool_choice is not None:
        options["tool_choice"] = turn.tool_choice
    if turn.wants_data:
        answer: Any = await client.parse(messages, Summary, strategy="json_schema", **options)
        record.parsed = answer.choices[0].message.parsed
    elif plan.is_streamed:
        async with client.stream(messages, **options) as stream:
            record.heard = "".join([text async for text in stream.text_stream])
        answer = stream.completion
        assert stream.usage == answer.usage
    else:
        answer = await client.chat(messages, **options)
    record.heard = record.heard or answer.text
    record.completion, record.usage = answer, answer.usage
    record.after, record.new = answer.run.messages, answer.run.new_messages
    record.bodies = [request.json for request in fake.requests()]
    fake.verify()
    assert _problems(record.bodies, len(messages) - 1) == []
    return record


def _problems(bodies: list[dict[str, Any]], known: int) -> list[str]:
    """What the published schema says against requests; each message and tool is read once."""
    problems: list[str] = []
    tools: Any = None
    for body in bodies:
        said = body["messages"]
        news = {**body, "messages": said[min(known, len(said)) - 1 :]}
        if news.get("tools") == tools:
            news.pop("tools", None)
        problems += problems_of("POST", "/api/v1/chat/completions", news)
        known, tools = len(said) + 1, body.get("tools")
    return problems


def _context(world: World) -> ToolContext[Any]:
    deps = world.house if isinstance(world, Home) else None
    return ToolContext(deps=deps, secrets={"code": CODE})


def _steps(answer: Answer) -> Iterator[Step]:
    if answer.trouble:
        yield TROUBLES[answer.trouble]
    prompt, said, cost = answer.usage
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
        "cost": cost / 1024,
    }
    extra = {"reasoning_details": list(answer.details)} if answer.details else {}
    more: dict[str, Any] = {"finish_reason": answer.finish_reason, "usage": usage, "extra": extra}
    if answer.data is not None:
        yield Reply(json=answer.data, **more)
        return
    calls = [
        {"name": call.tool, "arguments": call.text, "id": call_id}
        for call, call_id in zip(answer.calls, answer.ids, strict=True)
    ]
    yield Reply(answer.text or (None if calls else ""), tool_calls=calls, **more)
