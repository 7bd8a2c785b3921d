from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from pydantic import BaseModel, TypeAdapter

from mbxai.errors import (
    NotFoundError,
    OpenRouterConfigurationError,
    OpenRouterConnectionError,
    OutputTruncatedError,
    OutputValidationError,
    RateLimitError,
    RefusalError,
)
from mbxai.openrouter._strategy_memory import StrategyMemory
from mbxai.openrouter._typed import complete_typed
from mbxai.wire import Message, ParsedChatCompletion


class City(BaseModel):
    name: str
    size: int


PARIS = City(name="Paris", size=2)
JSON = '{"name": "Paris", "size": 2}'
WRONG = '{"name": "Paris", "size": "big"}'
USER = [{"role": "user", "content": "Which city?"}]
ALL = frozenset({"structured_outputs", "response_format", "tools", "tool_choice"})
OWN_TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def unsupported(what="response_format"):
    message = f"No endpoints found that support {what}."
    return NotFoundError(message, status=404, body={"message": message})


def strategy_of(params):
    kind = (params.get("response_format") or {}).get("type")
    if kind:
        return kind
    tools = [tool["function"]["name"] for tool in params.get("tools", ())]
    return "tool" if "final_answer" in tools else "prompted"


@dataclass
class ScriptedModel:
    """Answers in turn; refuses what it does not support, as OpenRouter would."""

    answers: list[Any]
    supports: frozenset[str] = ALL
    known: bool = True
    requests: list[tuple[list[Any], dict[str, Any]]] = field(default_factory=list)
    look_ups: int = 0

    async def complete(self, messages, params):
        self.requests.append((list(messages), dict(params)))
        strategy = strategy_of(params)
        if strategy == "json_schema" and "structured_outputs" not in self.supports:
            raise unsupported()
        if strategy == "tool" and "tool_choice" not in self.supports:
            raise unsupported("the provided 'tool_choice' value")
        if strategy == "json_object" and "response_format" not in self.supports:
            raise unsupported()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            in_tool = strategy == "tool" and answer.startswith("{")
            answer = calling(answer) if in_tool else {"content": answer}
        finish = answer.pop("finish_reason", "stop")
        return ParsedChatCompletion.model_validate(
            {
                "id": f"gen-{len(self.requests)}",
                "choices": [{"message": answer, "finish_reason": finish}],
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 1,
                    "total_tokens": 11,
                    "cost": 0.25,
                },
            }
        )

    async def supported_parameters(self):
        self.look_ups += 1
        return self.supports if self.known else None

    @property
    def strategies(self):
        return [strategy_of(params) for _, params in self.requests]

    async def ask(self, kind=City, messages=USER, *, retries=1, **options):
        params = options.pop("params", {})
        return await complete_typed(
            self.complete,
            self.supported_parameters,
            messages,
            kind,
            params,
            max_validation_retries=retries,
            **options,
        )


def calling(arguments, name="final_answer"):
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [call], "finish_reason": "tool_calls"}


async def test_a_model_that_can_is_asked_once_and_never_looked_up():
    model = ScriptedModel([JSON])
    answer = await model.ask(params={"seed": 1})
    message = answer.choices[0].message
    assert message.parsed == PARIS
    assert message.repaired is False
    assert (answer.strategy, answer.validation_retries) == ("json_schema", 0)
    assert answer.total_usage.cost == 0.25
    assert model.look_ups == 0
    [(messages, params)] = model.requests
    assert messages == USER
    assert params["provider"] == {"require_parameters": True}
    assert params["seed"] == 1


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (list[City], f'{{"value": [{JSON}]}}', [PARIS]),
        (Literal["yes", "no"], '{"value": "no"}', "no"),
        (TypeAdapter(int), '{"value": 3}', 3),
        (dict[str, int], '{"a": 1}', {"a": 1}),
    ],
)
async def test_any_type_comes_back_unwrapped(kind, text, value):
    for strategy in ("json_schema", "tool", "json_object", "prompted"):
        answer = await ScriptedModel([text]).ask(kind, strategy=strategy)
        assert answer.choices[0].message.parsed == value
        assert answer.strategy == strategy


async def test_c3_a_repaired_answer_says_so_and_is_not_asked_for_again():
    answer = await ScriptedModel([f"```json\n{JSON}\n```"]).ask()
    assert answer.choices[0].message.parsed == PARIS
    assert answer.choices[0].message.repaired is True
    assert answer.validation_retries == 0


@pytest.mark.parametrize(
    ("supports", "strategies"),
    [
        ({"response_format", "tools", "tool_choice"}, ["json_schema", "tool"]),
        ({"response_format"}, ["json_schema", "json_object"]),
        ({"tools"}, ["json_schema", "prompted"]),
        (set(), ["json_schema", "prompted"]),
    ],
)
async def test_what_is_not_supported_is_looked_up_and_asked_in_the_best_other_way(
    supports, strategies
):
    model = ScriptedModel([JSON], supports=frozenset(supports))
    answer = await model.ask(retries=0)
    assert answer.choices[0].message.parsed == PARIS
    assert model.strategies == strategies
    assert answer.strategy == strategies[-1]
    assert answer.validation_retries == 0
    assert model.look_ups == 1


async def test_a_model_that_nobody_knows_is_asked_in_every_way():
    model = ScriptedModel([JSON], supports=frozenset(), known=False)
    assert (await model.ask()).choices[0].message.parsed == PARIS
    assert model.strategies == ["json_schema", "tool", "json_object", "prompted"]
    assert model.look_ups == 1


async def test_when_no_way_is_left_the_refusal_is_raised():
    async def refuse(messages, params):
        strategies.append(strategy_of(params))
        raise unsupported("anything")

    strategies: list[str] = []
    model = ScriptedModel([], known=False)
    with pytest.raises(NotFoundError):
        await complete_typed(refuse, model.supported_parameters, USER, City, {})
    assert strategies == ["json_schema", "tool", "json_object", "prompted"]


async def test_a_look_up_that_fails_is_no_reason_to_fail():
    model = ScriptedModel([JSON], supports=frozenset({"response_format"}))

    async def broken():
        raise OpenRouterConnectionError("no answer")

    answer = await complete_typed(model.complete, broken, USER, City, {})
    assert answer.strategy == "json_object"


async def test_what_worked_is_remembered_by_model():
    memory = StrategyMemory()
    model = ScriptedModel([JSON, JSON], supports=frozenset({"response_format"}))
    await model.ask(memory=memory, model="a/b")
    await model.ask(memory=memory, model="a/b")
    assert model.strategies == ["json_schema", "json_object", "json_object"]
    other = ScriptedModel([JSON])
    await other.ask(memory=memory, model="c/d")
    assert other.strategies == ["json_schema"]


async def test_what_failed_is_not_remembered():
    memory = StrategyMemory()
    model = ScriptedModel([WRONG, JSON], supports=frozenset({"response_format"}))
    with pytest.raises(OutputValidationError):
        await model.ask(memory=memory, model="a/b", retries=0)
    assert memory.first("a/b") == "json_schema"


def test_the_memory_forgets_the_oldest_of_many_models():
    memory = StrategyMemory()
    for number in range(1000):
        memory.worked(f"m/{number}", "tool")
    assert memory.first("m/0") == "json_schema"
    assert memory.first("m/999") == "tool"
    memory.worked("m/999", "json_schema")
    assert memory.first("m/999") == "json_schema"


async def test_words_instead_of_json_are_followed_by_another_way_of_asking():
    model = ScriptedModel(["It is Paris.", JSON])
    answer = await model.ask()
    assert model.strategies == ["json_schema", "tool"]
    assert answer.choices[0].message.parsed == PARIS
    assert model.requests[1][0] == USER
    # That answer was paid for.
    assert answer.validation_retries == 1
    assert answer.total_usage.cost == 0.5


async def test_words_are_answered_where_there_is_no_other_way():
    model = ScriptedModel(["It is Paris.", JSON])
    answer = await model.ask(strategy="json_schema")
    assert model.strategies == ["json_schema", "json_schema"]
    assert answer.choices[0].message.parsed == PARIS
    assert model.requests[1][0][1] == {"role": "assistant", "content": "It is Paris."}


async def test_c4_a_misfit_is_asked_for_again_with_its_problems():
    model = ScriptedModel([WRONG, JSON])
    answer = await model.ask()
    assert answer.choices[0].message.parsed == PARIS
    assert answer.validation_retries == 1
    assert answer.total_usage.cost == 0.5
    assert answer.total_usage.total_tokens == 22
    assert answer.usage.cost == 0.25
    messages, params = model.requests[1]
    assert messages[:1] == USER
    assert messages[1] == {"role": "assistant", "content": WRONG}
    assert messages[2]["role"] == "user"
    assert "size: " in messages[2]["content"]
    assert params == model.requests[0][1]
    assert len(USER) == 1


@pytest.mark.parametrize("retries", [0, 1, 3])
async def test_c4_retries_are_bounded_and_the_error_holds_all_answers(retries):
    model = ScriptedModel([WRONG] * 9)
    with pytest.raises(OutputValidationError) as caught:
        await model.ask(retries=retries)
    error = caught.value
    assert len(model.requests) == 1 + retries
    assert [completion.id for completion in error.completions] == [
        f"gen-{number + 1}" for number in range(1 + retries)
    ]
    assert error.completion is error.completions[-1]
    assert error.total_usage.cost == 0.25 * (1 + retries)
    assert error.problems[0].startswith("size: ")


async def test_c4_a_misfit_in_the_answer_tool_is_answered_with_a_result_of_the_call():
    model = ScriptedModel([WRONG, JSON])
    answer = await model.ask(strategy="tool")
    assert answer.choices[0].message.parsed == PARIS
    assistant, result = model.requests[1][0][1:]
    assert assistant["tool_calls"][0]["function"]["arguments"] == WRONG
    assert result["role"] == "tool"
    assert result["tool_call_id"] == "c1"
    assert "size: " in result["content"]


async def test_json_text_is_taken_where_the_answer_tool_was_ignored():
    answer = await ScriptedModel([{"content": JSON}]).ask(strategy="tool")
    assert answer.choices[0].message.parsed == PARIS


async def test_an_empty_answer_is_asked_for_again_without_an_empty_message():
    model = ScriptedModel([{"content": ""}, JSON])
    assert (await model.ask()).choices[0].message.parsed == PARIS
    assert [message["role"] for message in model.requests[1][0]] == ["user", "user"]


async def test_a_call_of_a_tool_that_nobody_offered_is_no_answer():
    model = ScriptedModel([calling("{}", name="search"), JSON])
    answer = await model.ask()
    assert answer.choices[0].message.parsed == PARIS
    assert [message["role"] for message in model.requests[1][0]] == ["user", "user"]


async def test_thoughts_go_back_with_the_answer_that_they_led_to():
    thoughts = [{"type": "reasoning.encrypted", "data": "x"}]
    model = ScriptedModel([{"content": WRONG, "reasoning_details": thoughts}, JSON])
    await model.ask()
    assert model.requests[1][0][1]["reasoning_details"] == thoughts


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"content": JSON, "finish_reason": "length"}, OutputTruncatedError),
        ({"content": None, "refusal": "no"}, RefusalError),
    ],
)
async def test_c2_what_was_cut_or_refused_is_never_asked_for_again(message, kind):
    model = ScriptedModel([WRONG, message, JSON])
    with pytest.raises(kind) as caught:
        await model.ask(retries=5)
    assert len(model.requests) == 2
    assert len(caught.value.completions) == 2
    assert caught.value.total_usage.cost == 0.5


async def test_other_errors_pass_through():
    model = ScriptedModel([RateLimitError("slow down", status=429), JSON])
    with pytest.raises(RateLimitError):
        await model.ask()
    assert len(model.requests) == 1


async def test_a_given_strategy_is_the_only_one():
    model = ScriptedModel([JSON], supports=frozenset())
    with pytest.raises(NotFoundError):
        await model.ask(strategy="json_schema")
    assert model.strategies == ["json_schema"]
    assert model.look_ups == 0


async def test_tools_of_the_caller_stay_and_their_calls_come_back_unparsed():
    model = ScriptedModel([{**calling("{}", name="look"), "parsed": {"from": "the server"}}])
    answer = await model.ask(params={"tools": [OWN_TOOL], "tool_choice": "auto"})
    message = answer.choices[0].message
    assert message.parsed is None
    assert message.tool_calls[0].function.name == "look"
    assert model.requests[0][1]["tools"] == [OWN_TOOL]


async def test_with_tools_of_the_caller_the_answer_tool_is_skipped():
    memory = StrategyMemory()
    memory.worked("a/b", "tool")
    model = ScriptedModel([JSON], supports=frozenset({"response_format", "tools", "tool_choice"}))
    answer = await model.ask(params={"tools": [OWN_TOOL]}, memory=memory, model="a/b")
    assert model.strategies == ["json_schema", "json_object"]
    assert answer.choices[0].message.parsed == PARIS
    assert model.requests[1][1]["tools"] == [OWN_TOOL]


async def test_a_conversation_with_tool_results_and_earlier_answers_is_sent_whole():
    earlier = Message.model_validate(calling("{}", name="look"))
    messages = [*USER, earlier, {"role": "tool", "tool_call_id": "c1", "content": "seen"}]
    model = ScriptedModel([JSON], supports=frozenset())
    await model.ask(messages=messages)
    sent = model.requests[-1][0]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool"]
    assert messages[1] is earlier


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"retries": -1}, "max_validation_retries"),
        ({"retries": True}, "max_validation_retries"),
        ({"retries": 1.0}, "max_validation_retries"),
        ({"strategy": "best"}, "strategy"),
        ({"strategy": None}, "strategy"),
        ({"strategy": ["auto"]}, "strategy"),
        ({"kind": "City"}, "response_format"),
        ({"kind": None}, "response_format"),
        ({"kind": object.__init__}, "response_format"),
        ({"kind": type("NoSchema", (), {})}, "response_format"),
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"strategy": "tool", "params": {"tools": [OWN_TOOL]}}, "tools"),
    ],
)
async def test_an_argument_that_cannot_be_used_is_named_before_anything_is_sent(options, name):
    model = ScriptedModel([JSON])
    with pytest.raises(OpenRouterConfigurationError, match=name):
        await model.ask(**options)
    assert model.requests == []
