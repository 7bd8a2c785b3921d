"""Which step answers which request, and how steps travel."""

import json
from typing import Any

import pytest

from mbxai.testing import Auto, Drop, Failure, Match, Raw, Reply, Stall, Step
from mbxai.testing._conversation import Conversation
from mbxai.testing._script import Script
from mbxai.testing._steps import from_json, to_json

CHAT = "/api/v1/chat/completions"


def talk(text: str = "Hi", **body: Any) -> Conversation:
    return Conversation({"messages": [{"role": "user", "content": text}], **body})


def schema(name: str) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": name}}}


def script(*steps: Step) -> Script:
    result = Script()
    result.extend(steps)
    return result


@pytest.mark.parametrize(
    "step",
    [
        Reply("Hello"),
        Reply(json=None),
        Reply(json={"a": [1]}, when=Match(schema="A", stream=False)),
        Reply(
            tool_calls=[{"name": "a", "arguments": "{"}],
            finish_reason="length",
            usage={"cost": 1},
            extra={"refusal": "no"},
        ),
        Failure(429, "slow_down", "Slow down", {"Retry-After": "1"}, metadata={"raw": "x"}),
        Failure(after_content=""),
        Drop(3),
        Stall(0.5, after_bytes=2),
        Auto(times=None),
        Raw(b"\xff\x00", 502, {"X": "y"}),
    ],
)
def test_a_step_survives_the_journey_to_the_server(step: Step) -> None:
    arrived = from_json(json.loads(json.dumps(to_json(step))))
    if isinstance(step, Raw) and isinstance(arrived, Raw):
        assert arrived.body == [b"\xff\x00"]
        assert (arrived.status, arrived.headers) == (step.status, step.headers)
    elif isinstance(step, Reply) and isinstance(arrived, Reply):
        assert list(arrived.tool_calls) == list(step.tool_calls)
        assert (arrived.json, arrived.content, arrived.when, arrived.usage, arrived.extra) == (
            step.json,
            step.content,
            step.when,
            step.usage,
            step.extra,
        )
    else:
        assert arrived == step


def test_steps_without_a_matcher_are_used_in_their_order() -> None:
    steps = script(Reply("1"), Reply("2"))
    assert [steps.take(CHAT, talk()) for _ in range(3)] == [Reply("1"), Reply("2"), None]
    assert steps.unused() == []


def test_a_matching_step_is_used_before_one_for_any_request() -> None:
    mine = Reply("mine", when=Match(schema="TodoList"))
    steps = script(Reply("any"), mine)
    assert steps.take(CHAT, talk(**schema("TodoList"))) == mine
    assert steps.take(CHAT, talk(**schema("TodoList"))) == Reply("any")


def test_every_field_of_a_matcher_must_fit() -> None:
    tools = [{"type": "function", "function": {"name": "search"}}]
    when = Match(schema="A", contains="needle", tool="search", stream=True)
    fitting: dict[str, Any] = {**schema("A"), "tools": tools, "stream": True}
    steps = script(Reply(when=when))
    assert steps.take(CHAT, talk("hay", **fitting)) is None
    assert steps.take(CHAT, talk("needle", **{**fitting, "tools": []})) is None
    assert steps.take(CHAT, talk("needle", **{**fitting, "stream": False})) is None
    assert steps.take(CHAT, talk("needle", **{**fitting, **schema("B")})) is None
    assert steps.take(CHAT, talk("a needle", **fitting)) is not None


def test_a_step_for_any_number_of_requests_comes_last_and_is_never_left_over() -> None:
    rest = Auto(times=None)
    steps = script(rest, Reply("1"))
    assert [steps.take(CHAT, talk()) for _ in range(3)] == [Reply("1"), rest, rest]
    assert script(rest).unused() == []


def test_a_repeated_step_is_left_over_until_all_its_times_are_used() -> None:
    steps = script(Auto(times=2))
    steps.take(CHAT, talk())
    assert steps.unused() == [repr(Auto(times=2))]
    steps.take(CHAT, talk())
    assert steps.unused() == []


def test_other_paths_need_a_matcher_that_names_them() -> None:
    models = Failure(503, when=Match(path="/models"))
    steps = script(Reply("chat"), models)
    assert steps.take("/api/v1/key", talk()) is None
    assert steps.take("/api/v1/models", talk()) == models
    assert script(models).is_active is False
    assert steps.is_active is True
