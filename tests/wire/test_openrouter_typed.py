import json

import pytest
from pydantic import BaseModel
from support.client_kinds import KINDS, USER, opened, wait_for
from support.raw_server import RawServer, answer, completion, drop, hang, wait

from mbxai.errors import (
    NotFoundError,
    OpenRouterConfigurationError,
    OpenRouterTimeoutError,
    OutputValidationError,
    ProviderUnavailableError,
)


class City(BaseModel):
    name: str
    size: int


ULM = City(name="Ulm", size=120)
GOOD = '{"name": "Ulm", "size": 120}'
REFUSED = answer(
    {
        "error": {
            "code": 404,
            "message": "No endpoints found that can handle the requested parameters.",
        }
    },
    status=404,
)


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture(params=KINDS)
async def client(raw, request):
    async with opened(request.param, raw.base_url) as made:
        yield made


def said(text, **fields):
    return answer(completion(text, **fields))


def called(arguments, name="final_answer", call_id="c1"):
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return answer(completion(message={"content": None, "tool_calls": [call]}))


def endpoints(*supported):
    """What some endpoints of the model support, one list each."""
    return answer({"data": {"endpoints": [{"supported_parameters": own} for own in supported]}})


def bodies(raw):
    return [json.loads(seen["body"] or "null") for seen in raw.seen().requests]


def starts(raw):
    return [seen["start"].removesuffix(" HTTP/1.1") for seen in raw.seen().requests]


def value_of(result):
    return result.choices[0].message.parsed


CHAT = "POST /api/v1/chat/completions"
LOOK_UP = "GET /api/v1/models/a/b/endpoints"


async def test_a_model_without_structured_outputs_is_looked_up_and_asked_with_a_tool(raw, client):
    raw.script(REFUSED, endpoints(["tools", "tool_choice"], ["temperature"]), called(GOOD))
    result = await client.parse(USER, City, temperature=0.5)
    assert (value_of(result), result.strategy, result.attempts) == (ULM, "tool", 1)
    assert starts(raw) == [CHAT, LOOK_UP, CHAT]
    first, _, second = bodies(raw)
    assert first["response_format"]["json_schema"]["strict"] is True
    assert first["provider"] == {"require_parameters": True}
    [tool] = second["tools"]
    assert second["tool_choice"]["function"]["name"] == tool["function"]["name"] == "final_answer"
    assert tool["function"]["parameters"] == first["response_format"]["json_schema"]["schema"]
    assert "response_format" not in second
    assert second["temperature"] == first["temperature"] == 0.5
    assert second["messages"] == USER


@pytest.mark.parametrize(
    ("supported", "strategy", "reply"),
    [
        ([["tools", "tool_choice"]], "tool", called(GOOD)),
        ([["tools"], ["response_format"]], "json_object", said(GOOD)),
        ([["temperature"]], "prompted", said(GOOD)),
        ([], "tool", called(GOOD)),
    ],
    ids=["tool", "json_object", "prompted", "nobody knows"],
)
async def test_the_best_way_that_an_endpoint_supports_is_taken_and_remembered(
    raw, client, supported, strategy, reply
):
    raw.script(REFUSED, endpoints(*supported), reply)
    results = [await client.parse(USER, City) for _ in range(2)]
    assert [(value_of(result), result.strategy) for result in results] == [(ULM, strategy)] * 2
    assert starts(raw) == [CHAT, LOOK_UP, CHAT, CHAT]
    assert bodies(raw)[2] == bodies(raw)[3]


async def test_a_look_up_that_fails_leaves_every_way_open(raw, client):
    gone = answer({"error": {"code": 404, "message": "no such model"}}, status=404)
    raw.script(REFUSED, gone, REFUSED, REFUSED, said(f"Here: {GOOD}"))
    result = await client.parse(USER, City)
    assert (value_of(result), result.strategy) == (ULM, "prompted")
    assert starts(raw) == [CHAT, LOOK_UP, CHAT, CHAT, CHAT]
    formats = [(body or {}).get("response_format", {}).get("type") for body in bodies(raw)]
    assert formats == ["json_schema", None, None, "json_object", None]
    assert result.choices[0].message.repaired


async def test_a_given_way_is_the_only_one(raw, client):
    raw.script(REFUSED)
    with pytest.raises(NotFoundError):
        await client.parse(USER, City, strategy="json_schema")
    assert starts(raw) == [CHAT]


async def test_a_refusal_for_another_reason_is_raised_as_it_is(raw, client):
    raw.script(answer({"error": {"code": 404, "message": "No endpoints match your data policy"}}, status=404))  # fmt: skip
    with pytest.raises(NotFoundError, match="data policy"):
        await client.parse(USER, City)
    assert starts(raw) == [CHAT]


async def test_the_model_is_told_what_did_not_fit(raw, client):
    raw.script(said('{"name": "Ulm"}'), said('{"name": 1, "size": "x"}'), said(GOOD))
    result = await client.parse(USER, City, max_validation_retries=2)
    assert (value_of(result), result.validation_retries) == (ULM, 2)
    assert result.total_usage.cost == pytest.approx(0.003)
    first, second, third = (body["messages"] for body in bodies(raw))
    assert first == USER
    assert second[:2] == [*USER, {"role": "assistant", "content": '{"name": "Ulm"}'}]
    assert second[2]["role"] == "user"
    assert "- size: Field required" in second[2]["content"]
    assert third[:3] == second
    assert "- name: Input should be a valid string" in third[4]["content"]
    assert all(body["response_format"] == bodies(raw)[0]["response_format"] for body in bodies(raw))


async def test_the_feedback_to_a_tool_call_is_its_result(raw, client):
    raw.script(called('{"name": "Ulm"}', call_id="c7"), called(GOOD))
    result = await client.parse(USER, City, strategy="tool")
    assert value_of(result) == ULM
    _, (user, call, told) = (body["messages"] for body in bodies(raw))
    assert [user] == USER
    assert (call["role"], call["content"], call["tool_calls"][0]["id"]) == ("assistant", None, "c7")
    assert (told["role"], told["tool_call_id"]) == ("tool", "c7")
    assert "size: Field required" in told["content"]


async def test_words_instead_of_json_lead_to_another_way_of_asking(raw, client):
    raw.script(said("It is Ulm."), endpoints(["tools", "tool_choice"]), called(GOOD))
    result = await client.parse(USER, City)
    assert (value_of(result), result.strategy, result.validation_retries) == (ULM, "tool", 1)
    assert bodies(raw)[2]["messages"] == USER


async def test_the_attempts_of_each_answer_are_its_own(raw, client):
    raw.script(said('{"name": "Ulm"}'), answer(b"", status=503), said(GOOD))
    result = await client.parse(USER, City)
    assert (result.attempts, result.validation_retries) == (2, 1)
    assert [attempt.outcome for attempt in result.history] == ["ProviderUnavailableError", "ok"]


async def test_an_outage_between_two_answers_is_raised(raw, client):
    raw.script(said('{"name": "Ulm"}'), answer(b"", status=503))
    with pytest.raises(ProviderUnavailableError):
        await client.parse(USER, City)
    assert len(raw.seen().requests) == 5


async def test_the_deadline_covers_all_answers(raw, client):
    raw.script([wait(0.2), *said('{"name": "Ulm"}')])
    with pytest.raises(OpenRouterTimeoutError, match=r"within 1\.5 s") as caught:
        await client.parse(USER, City, timeout=1.5, max_validation_retries=50)
    assert len(raw.seen().requests) >= 2
    assert isinstance(caught.value, TimeoutError)


async def test_the_deadline_covers_the_look_up(raw, client):
    raw.script(REFUSED, [hang()])
    with pytest.raises(OpenRouterTimeoutError):
        await client.parse(USER, City, timeout=0.5)
    seen = await wait_for(raw, lambda seen: seen.disconnects == 1)
    assert len(seen.requests) == 2


async def test_a_wrapped_value_is_asked_for_and_taken_out(raw, client):
    raw.script(said(f'{{"value": [{GOOD}]}}'), said(f"[{GOOD}]"))
    results = [await client.parse(USER, list[City]) for _ in range(2)]
    assert [value_of(result) for result in results] == [[ULM], [ULM]]
    assert [result.choices[0].message.repaired for result in results] == [False, True]
    schema = bodies(raw)[0]["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["value"]


async def test_tools_of_the_caller_stay_beside_the_type(raw, client):
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    raw.script(called("{}", name="look"), said(GOOD))
    waiting = await client.parse(USER, City, tools=[tool])
    assert (value_of(waiting), waiting.message.tool_calls[0].function.name) == (None, "look")
    assert value_of(await client.parse(USER, City, tools=[tool])) == ULM
    for body in bodies(raw):
        assert body["tools"] == [tool]
        assert body["response_format"]["type"] == "json_schema"
    with pytest.raises(OpenRouterConfigurationError, match="strategy"):
        await client.parse(USER, City, tools=[tool], strategy="tool")


async def test_an_answer_that_never_fits_ends_with_its_problems(raw, client):
    raw.script(said("{}"))
    with pytest.raises(OutputValidationError) as caught:
        await client.parse(USER, City)
    assert caught.value.problems == ("name: Field required", "size: Field required")
    assert (len(caught.value.completions), caught.value.total_usage.cost) == (2, 0.002)


async def test_a_dropped_connection_is_no_reason_to_ask_in_another_way(raw, client):
    raw.script([drop()], said(GOOD))
    result = await client.parse(USER, City)
    assert (value_of(result), result.strategy, result.attempts) == (ULM, "json_schema", 2)
    assert starts(raw) == [CHAT, CHAT]
