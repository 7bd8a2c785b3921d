"""Our model in a server's service: what it is asked, on whose terms, what the server is told."""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from mbxai.errors import ConfigurationError, OpenRouterError
from mbxai.mcp._sampling import SamplingPolicy, SamplingRequest, sampler
from mbxai.mcp.connection._callbacks import RefusedError, Sampler
from mbxai.wire import Budget, ChatCompletion

TEXT = {"type": "text", "text": "Hi"}
TOOL = {"name": "look", "description": "Look", "inputSchema": {"type": "object", "properties": {}}}


def params(*messages: Any, **more: Any) -> dict[str, Any]:
    given = messages or ({"role": "user", "content": TEXT},)
    return {"messages": list(given), "maxTokens": 100, **more}


def completion(
    content: str | None = "Hello", reason: str = "stop", cost: float = 0.01, **message: Any
) -> ChatCompletion:
    return ChatCompletion.model_validate(
        {
            "id": "gen-1",
            "model": "openai/gpt-4",
            "choices": [
                {
                    "message": {"role": "assistant", "content": content, **message},
                    "finish_reason": reason,
                }
            ],
            "usage": {"total_tokens": 30, "cost": cost},
        }
    )


class Model:
    """A model that gives one answer, and remembers what it was asked."""

    def __init__(self, answer: ChatCompletion | Exception | None = None) -> None:
        self.answer = answer or completion()
        self.asked: list[dict[str, Any]] = []

    async def create(self, **request: Any) -> ChatCompletion:
        self.asked.append(request)
        await anyio.lowlevel.checkpoint()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def sample(
    given: Mapping[str, Any], model: Model | None = None, **policy: Any
) -> dict[str, Any]:
    model = model or Model()
    return await sampler(SamplingPolicy(**policy), model.create, server="shop")(given)


# --- what the model is asked ----------------------------------------------------------------------


async def test_a_request_becomes_ours_and_the_answer_becomes_theirs() -> None:
    model = Model()
    result = await sample(
        params(systemPrompt="Be brief", temperature=0, stopSequences=["END"]), model
    )

    assert model.asked == [
        {
            "messages": [
                {"role": "system", "content": "Be brief"},
                {"role": "user", "content": "Hi"},
            ],
            "max_tokens": 100,
            "temperature": 0,
            "stop": ["END"],
        }
    ]
    assert result == {
        "role": "assistant",
        "content": {"type": "text", "text": "Hello"},
        "model": "openai/gpt-4",
        "stopReason": "endTurn",
    }


async def test_pictures_and_sound_go_to_the_model() -> None:
    model = Model()
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "data": "aGk=", "mimeType": "image/png"},
        {"type": "audio", "data": "aGk=", "mimeType": "audio/mpeg"},
    ]
    await sample(params({"role": "user", "content": content}), model)

    assert model.asked[0]["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
    ]


async def test_a_conversation_with_tools_goes_both_ways() -> None:
    call = {"id": "c2", "type": "function", "function": {"name": "look", "arguments": '{"x": 1}'}}
    model = Model(completion("Looking", "tool_calls", tool_calls=[call]))
    result = await sample(
        params(
            {"role": "user", "content": TEXT},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"y": 2}}],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "toolUseId": "c1", "content": [TEXT], "isError": True}
                ],
            },
            tools=[TOOL],
            toolChoice={"mode": "required"},
        ),
        model,
    )

    asked = model.asked[0]
    assert asked["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"y": 2}'
    assert asked["messages"][2] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "Error: Hi",
    }
    assert asked["tools"][0]["function"]["name"] == "look"
    assert asked["tool_choice"] == "required"
    assert result["stopReason"] == "toolUse"
    assert result["content"][1] == {
        "type": "tool_use",
        "id": "c2",
        "name": "look",
        "input": {"x": 1},
    }


async def test_other_servers_context_and_metadata_are_not_passed_on() -> None:
    model = Model()
    await sample(params(includeContext="allServers", metadata={"user": "x"}), model)

    assert set(model.asked[0]) == {"messages", "max_tokens"}


async def test_the_answer_is_bounded_and_a_cut_is_told() -> None:
    model = Model(completion("Half an ans", "length"))
    result = await sample(params(maxTokens=100_000), model, max_tokens=50)

    assert model.asked[0]["max_tokens"] == 50
    assert result["stopReason"] == "maxTokens"


async def test_half_a_call_of_a_cut_answer_is_left_out_and_the_cut_told() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"x": '}}
    model = Model(completion(None, "length", tool_calls=[call]))
    result = await sample(params(tools=[TOOL]), model)

    assert result["stopReason"] == "maxTokens"
    assert result["content"] == {"type": "text", "text": ""}


# --- which model ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "hints", "chosen"),
    [
        ((), [{"name": "gpt-4"}], None),
        (("openai/gpt-4", "anthropic/claude-opus"), [], "openai/gpt-4"),
        (("openai/gpt-4", "anthropic/claude-opus"), [{"name": "Claude"}], "anthropic/claude-opus"),
        (("openai/gpt-4",), [{"name": "claude"}], "openai/gpt-4"),
        (("a/one", "b/two"), [{"name": "three"}, {"name": "two"}, {"name": "one"}], "b/two"),
        (("a/one",), [{}, "x", {"name": 5}], "a/one"),
    ],
)
async def test_hints_choose_among_the_allowed_models_only(
    models: tuple[str, ...], hints: list[Any], chosen: str | None
) -> None:
    model = Model()
    await sample(params(modelPreferences={"hints": hints}), model, models=models)

    assert model.asked[0].get("model") == chosen


# --- on whose terms -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "used", "allowed"),
    [
        (Budget(max_requests=2), {}, 2),
        (Budget(max_cost_usd=0.03), {"cost": 0.01}, 3),
        (Budget(max_tokens=60), {}, 2),
        (None, {}, 5),
    ],
)
async def test_the_budget_bounds_all_servers_together(
    budget: Budget | None, used: dict[str, Any], allowed: int, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model(completion(**used))
    policy = SamplingPolicy(budget=budget)
    samplers = [sampler(policy, model.create, server=name) for name in ("a", "b")]
    outcomes: list[str] = []
    with caplog.at_level(logging.WARNING, "mbxai"):
        for number in range(5):
            try:
                await samplers[number % 2](params())
                outcomes.append("answered")
            except RefusedError as error:
                outcomes.append(f"{error.code}: {error.message}")

    refused = ["-1: User rejected sampling request"] * (5 - allowed)
    assert outcomes == ["answered"] * allowed + refused
    assert len(caplog.records) == len(refused)
    assert policy.spent.requests == allowed


async def test_requests_under_way_count_before_they_are_answered() -> None:
    model = Model()
    sampling = sampler(SamplingPolicy(budget=Budget(max_requests=1)), model.create, server="s")
    refused: list[int] = []

    async def one() -> None:
        try:
            await sampling(params())
        except RefusedError as error:
            refused.append(error.code)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(one)

    assert (len(model.asked), refused) == (1, [-1, -1])


@pytest.mark.parametrize("agrees", [True, False, None, "yes", RuntimeError("no idea")])
async def test_who_approves_sees_the_request_and_only_true_is_a_yes(agrees: Any) -> None:
    model, seen = Model(), list[SamplingRequest]()

    async def approve(request: SamplingRequest) -> Any:
        seen.append(request)
        if isinstance(agrees, Exception):
            raise agrees
        return agrees

    for decide in (approve, lambda request: approve(request)):  # noqa: PLW0108  # not async itself
        sampling = sampler(
            SamplingPolicy(models=["m/x"], approve=decide), model.create, server="shop"
        )
        if agrees is True:
            assert (await sampling(params(tools=[TOOL])))["role"] == "assistant"
        else:
            with pytest.raises(RefusedError) as caught:
                await sampling(params(tools=[TOOL]))
            assert caught.value.code == -1
    assert len(model.asked) == (2 if agrees is True else 0)
    assert (seen[0].server, seen[0].model, seen[0].max_tokens) == ("shop", "m/x", 100)
    assert seen[0].tools == ["look"]
    assert seen[0].messages[0]["content"] == "Hi"


async def test_what_our_provider_says_is_logged_and_the_server_is_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = Model(OpenRouterError("key sk-or-v1-abcdefghijklm has no credit"))
    with (
        caplog.at_level(logging.WARNING, "mbxai"),
        pytest.raises(RefusedError) as caught,
    ):
        await sample(params(), model)

    assert (caught.value.code, caught.value.message) == (-32603, "The model could not be asked.")
    assert "no credit" in caplog.text
    assert "sk-or-v1" not in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        {"messages": [], "maxTokens": 5},
        {"messages": [{"role": "user", "content": TEXT}]},
        params(maxTokens=0),
        params(maxTokens=True),
        params({"role": "system", "content": TEXT}),
        params({"role": "user", "content": {"type": "hologram"}}),
        params({"role": "user", "content": {"type": "image", "data": "x", "mimeType": "text/css"}}),
        params({"role": "assistant", "content": []}),
        params(tools=[{}]),
        {"messages": "hello", "maxTokens": 5},
        {},
    ],
)
async def test_a_request_that_is_none_is_refused_before_anything_is_spent(given: Any) -> None:
    model = Model()
    with pytest.raises(RefusedError) as caught:
        await sample(json.loads(json.dumps(given)), model)

    assert caught.value.code == -32602
    assert model.asked == []


async def test_a_users_own_client_may_give_its_own_completion() -> None:
    class Answer:
        content = "Hello"

    class Choice:
        message = Answer()
        finish_reason = "stop"

    class Completion:
        choices = (Choice(),)

    async def create(**_request: Any) -> Completion:
        return Completion()

    result = await sampler(SamplingPolicy(models=["m/x"]), create, server="s")(params())

    assert (result["content"]["text"], result["model"]) == ("Hello", "m/x")


@pytest.mark.parametrize("given", [None, 5, ChatCompletion()])
async def test_an_answer_that_is_none_is_told_as_a_failure(given: Any) -> None:
    async def create(**_request: Any) -> Any:
        return given

    with pytest.raises(RefusedError, match="no answer"):
        await sampler(SamplingPolicy(), create, server="s")(params())


@pytest.mark.parametrize(
    "wrong", [{"models": "m/x"}, {"models": [5]}, {"max_tokens": 0}, {"budget": 5}]
)
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="SamplingPolicy"):
        SamplingPolicy(**wrong)


# --- requests at the same time --------------------------------------------------------------------


class SlowModel(Model):
    """A model that answers after others have had the time to ask; counts those at once."""

    def __init__(self, cost: float = 0.05) -> None:
        super().__init__(completion(cost=cost))
        self.now = self.most = 0

    async def create(self, **request: Any) -> ChatCompletion:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        self.now -= 1
        return await super().create(**request)


@pytest.mark.parametrize("bound", [{"max_cost_usd": 0.1}, {"max_tokens": 60}])
async def test_requests_at_the_same_time_do_not_pass_the_budget_together(
    bound: dict[str, Any],
) -> None:
    model = SlowModel()
    policy = SamplingPolicy(budget=Budget(**bound))
    ask = sampler(policy, model.create, server="shop")
    outcomes = await asyncio.gather(*(ask(params()) for _ in range(30)), return_exceptions=True)
    assert (len(model.asked), model.most) == (2, 1)
    assert sum(isinstance(outcome, RefusedError) for outcome in outcomes) == 28
    assert policy.spent.requests == 2


async def test_without_a_bound_of_cost_requests_run_at_the_same_time() -> None:
    model = SlowModel()
    ask = sampler(SamplingPolicy(budget=Budget(max_requests=5)), model.create, server="shop")
    await asyncio.gather(*(ask(params()) for _ in range(8)), return_exceptions=True)
    assert (len(model.asked), model.most) == (5, 5)


async def test_a_request_that_fails_or_is_cancelled_lets_the_next_one_begin() -> None:
    begun = asyncio.Event()

    async def create(**request: Any) -> ChatCompletion:
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        return completion()

    policy = SamplingPolicy()
    ask = sampler(policy, create, server="shop")
    broken = sampler(policy, Model(OpenRouterError("no")).create, server="shop")

    async def asked(one: Sampler) -> dict[str, Any]:
        return dict(await one(params()))

    first = asyncio.create_task(asked(ask))
    await asyncio.wait_for(begun.wait(), 5)
    others = [asyncio.create_task(asked(one)) for one in (broken, ask)]
    await asyncio.sleep(0)
    first.cancel()
    failed, answered = await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 5)
    assert isinstance(failed, RefusedError)
    assert isinstance(answered, dict)


async def test_the_budget_holds_across_event_loops() -> None:
    model = SlowModel()
    ask = sampler(SamplingPolicy(budget=Budget(max_cost_usd=0.05)), model.create, server="shop")

    def run() -> None:
        async def several() -> None:
            await asyncio.gather(*(ask(params()) for _ in range(5)), return_exceptions=True)

        asyncio.run(several())

    async with asyncio.timeout(5):
        await asyncio.gather(*(asyncio.to_thread(run) for _ in range(4)))
    assert len(model.asked) == 1
