"""`POST /responses` and its streams, over sockets."""

import asyncio
import gc
import json
import pickle

import anyio
import pytest
from support.published_schema import properties_of, request_problems
from support.raw_server import (
    RawServer,
    answer,
    drop,
    end,
    events,
    hang,
    part,
    repeat,
    sse_head,
    stream,
    wait,
)

from mbxai.errors import (
    AuthenticationError,
    BadRequestError,
    InvalidResponseError,
    OpenRouterConfigurationError,
    OpenRouterTimeoutError,
    ProviderStreamError,
    ProviderUnavailableError,
    RateLimitError,
    StreamInterruptedError,
    StreamProtocolError,
    StreamTruncatedError,
)
from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.wire._responses_params import ResponsesParams

KEY = "sk-or-v1-responses"
TEXT = {"type": "output_text", "text": "Hello", "annotations": []}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [TEXT],
}
WHOLE = {
    "object": "response",
    "id": "gen-1",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "output": [MESSAGE],
    "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "cost": 0.001},
}
BEGUN = {**WHOLE, "status": "in_progress", "output": [], "usage": None}
CREATED = {"type": "response.created", "response": BEGUN, "sequence_number": 0}
IN_PROGRESS = {"type": "response.in_progress", "response": BEGUN, "sequence_number": 1}
ADDED = {
    "type": "response.output_item.added",
    "output_index": 0,
    "item": {**MESSAGE, "status": "in_progress", "content": []},
}
DELTA = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0}
HEL, LO = DELTA | {"delta": "Hel"}, DELTA | {"delta": "lo"}
COMPLETED = {"type": "response.completed", "response": WHOLE, "sequence_number": 9}
EVENTS = [CREATED, IN_PROGRESS, ADDED, HEL, LO, COMPLETED]
FAILURE = {"code": "server_error", "message": "It broke."}
FAILED = {
    "type": "response.failed",
    "response": {
        **BEGUN,
        "status": "failed",
        "error": FAILURE,
        "error_type": "provider_overloaded",
    },
}


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
async def client(raw):
    async with AsyncOpenRouterClient(KEY, "a/b", raw.base_url, retry_initial_delay=0.01) as made:
        yield made


@pytest.fixture
def responses(client):
    return client.responses


def unended(*payloads):
    """Steps of a stream whose connection stays open."""
    return [sse_head(), part(events(*payloads, done=False)), hang()]


async def left(raw) -> None:
    await anyio.to_thread.run_sync(raw.wait_for, lambda seen: seen.disconnects == 1)


def last_body(raw):
    return json.loads(raw.seen().requests[-1]["body"])


# --- whole answers --------------------------------------------------------------------------------


async def test_an_answer_comes_back_typed_and_whole(raw, responses):
    raw.script(answer(WHOLE, headers={"X-Generation-Id": "gen-9", "X-Request-Id": "r"}))
    result = await responses.create("hi")
    assert result.to_dict() == WHOLE
    assert result.output_text == "Hello"
    assert result.usage.cost == 0.001
    assert result.is_complete()
    assert (result.generation_id, result.request_id, result.attempts) == ("gen-9", "r", 1)
    assert raw.seen().requests[0]["start"].startswith("POST /api/v1/responses ")


async def test_every_parameter_is_sent_as_the_published_schema_says(raw, responses):
    raw.script(answer(WHOLE))
    tool = {
        "type": "function",
        "name": "f",
        "description": "d",
        "parameters": {"type": "object", "properties": {}},
        "strict": None,
    }
    await responses.create(
        [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        model="c/d",
        instructions="Be brief.",
        max_output_tokens=9,
        tools=[tool, {"type": "openrouter:datetime"}],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        max_tool_calls=3,
        stop_server_tools_when=[{"type": "step_count_is", "step_count": 2}],
        text={"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        modalities=["text"],
        image_config={"aspect_ratio": "1:1"},
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        top_logprobs=2,
        frequency_penalty=0.1,
        presence_penalty=0.1,
        truncation="auto",
        models=["e/f"],
        provider={"order": ["openai"]},
        plugins=[{"id": "web"}],
        route="fallback",
        service_tier="auto",
        prompt={"id": "p", "variables": {"a": "b"}},
        previous_response_id=None,
        store=False,
        background=False,
        cache_control={"type": "ephemeral"},
        prompt_cache_key="k",
        prompt_cache_options={"mode": "explicit"},
        debug={"echo_upstream_body": True},
        session_id="s",
        user="u",
        safety_identifier="u",
        metadata={"a": "b"},
        trace={"trace_id": "t"},
        cache=True,
        anthropic_beta=["x-1"],
        extra_headers={"X-Of-Mine": "1"},
        timeout=5.0,
    )
    body = last_body(raw)
    assert request_problems("/responses", body) == []
    assert set(body) == properties_of("ResponsesRequest") - {"stream"}
    assert set(body) - {"model", "input"} <= set(ResponsesParams.__annotations__)
    assert body["model"] == "c/d"
    headers = raw.seen().requests[0]["headers"]
    assert headers["x-openrouter-cache"] == "true"
    assert headers["x-anthropic-beta"] == "x-1"
    assert headers["x-of-mine"] == "1"


async def test_what_is_not_given_is_not_sent_and_unknown_keywords_are(raw, responses):
    raw.script(answer(WHOLE))
    await responses.create("hi", of_tomorrow=1, extra_body={"input": "ho"})
    assert last_body(raw) == {"model": "a/b", "input": "ho", "of_tomorrow": 1}


async def test_an_answer_goes_into_the_next_request(raw, responses):
    raw.script(answer(WHOLE))
    first = await responses.create("hi")
    user = {"role": "user", "content": "and?"}
    await responses.create([user, *first.to_input()])
    assert last_body(raw)["input"] == [user, MESSAGE]
    await responses.create([user, *first.output])
    assert last_body(raw)["input"] == [user, MESSAGE]


async def test_a_cut_answer_is_a_result_that_is_not_complete(raw, responses):
    cut = {**WHOLE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    raw.script(answer(cut))
    result = await responses.create("hi")
    assert not result.is_complete()
    assert result.incomplete_details.reason == "max_output_tokens"
    assert result.output_text == "Hello"


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        ({"error": FAILURE}, ProviderUnavailableError, "server_error"),
        ({"error": FAILURE, "error_type": "rate_limit_exceeded"}, RateLimitError, None),
        ({"error": None}, ProviderUnavailableError, "server"),
    ],
)
async def test_a_response_that_failed_is_an_error_though_its_status_is_200(
    raw, client, fields, kind, code
):
    raw.script(answer({**WHOLE, "status": "failed", "output": [], **fields}))
    once = client.with_options(max_retries=0).responses
    with pytest.raises(kind) as caught:
        await once.create("hi")
    assert caught.value.code == (code or fields["error_type"])
    assert len(caught.value.history) == 1
    assert pickle.loads(pickle.dumps(caught.value)).code == caught.value.code


@pytest.mark.parametrize("body", ['{"object": "list", "data": []}', '{"output": null}', "{}"])
async def test_an_answer_without_output_is_no_response(raw, responses, body):
    raw.script(answer(body))
    with pytest.raises(InvalidResponseError) as caught:
        await responses.create("hi")
    assert "output" in str(caught.value)


async def test_an_error_status_is_typed_and_a_passing_one_tried_again(raw, responses):
    refusal = {"error": {"code": "invalid_prompt", "message": "No tool output found."}}
    raw.script(answer(refusal, status=400))
    with pytest.raises(BadRequestError, match="No tool output found"):
        await responses.create("hi")
    raw.script(answer({"error": FAILURE}, status=503), answer(WHOLE))
    assert (await responses.create("hi")).attempts == 2


@pytest.mark.parametrize(
    ("given", "params", "named"),
    [
        ("", {}, "input"),
        ("  ", {}, "input"),
        ([], {}, "input"),
        (None, {}, "input"),
        ({"role": "user"}, {}, "input"),
        ([7], {}, r"input\[0\]"),
        ("hi", {"max_output_tokens": 0}, "max_output_tokens"),
        ("hi", {"max_output_tokens": True}, "max_output_tokens"),
        ("hi", {"temperature": 3}, "temperature"),
        ("hi", {"stop": list("abcde")}, "stop"),
        ("hi", {"models": []}, "models"),
        ("hi", {"store": True}, "store"),
        ("hi", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ("hi", {"timeout": 0}, "timeout"),
        ("hi", {"stream": True}, "stream"),
        ("hi", {"extra_body": 7}, "extra_body"),
        ("hi", {"cache": "yes"}, "cache"),
        ("hi", {"model": 7}, "model"),
        ("hi", {"metadata": {"a": object()}}, "metadata"),
    ],
)
@pytest.mark.parametrize("method", ["create", "stream"])
async def test_what_cannot_be_sent_is_named_before_anything_is_sent(
    raw, responses, method, given, params, named
):
    raw.script(answer(WHOLE))
    with pytest.raises(OpenRouterConfigurationError, match=named):
        await getattr(responses, method)(given, **params)
    assert raw.seen().requests == []


# --- streams --------------------------------------------------------------------------------------


async def test_a_stream_gives_every_event_and_adds_up_to_the_answer(raw, responses):
    raw.script(stream(": OPENROUTER PROCESSING", *EVENTS, headers={"X-Request-Id": "r"}))
    async with await responses.stream("hi") as opened:
        assert [event.to_dict() async for event in opened] == EVENTS
        final = await opened.get_final_response()
    assert final.to_dict() == WHOLE
    assert (opened.request_id, opened.generation_id, opened.attempts) == ("r", "gen-1", 1)
    assert final.history == opened.history
    assert last_body(raw) == {"model": "a/b", "input": "hi", "stream": True}
    assert request_problems("/responses", last_body(raw)) == []


async def test_the_text_comes_as_it_grows(raw, responses):
    raw.script(stream(*EVENTS))
    opened = await responses.stream("hi")
    assert [text async for text in opened.text_stream] == ["Hel", "lo"]
    assert (await opened.get_final_response()).output_text == "Hello"


async def test_a_finished_stream_gives_its_connection_back(raw, responses):
    # The end of the body comes a little after `[DONE]`, and must be waited for.
    raw.script([sse_head(), part(events(*EVENTS)), wait(0.02), end()])
    for _ in range(2):
        await (await responses.stream("hi")).get_final_response()
    assert raw.seen().connections == 1


async def test_a_stream_ends_soon_after_its_last_event_though_the_server_says_no_more(
    raw, responses
):
    raw.script(unended(*EVENTS))
    opened = await responses.stream("hi")
    with anyio.fail_after(5):
        assert (await opened.get_final_response()).to_dict() == WHOLE
    await left(raw)


async def test_a_connection_that_breaks_after_the_last_event_cost_nothing(raw, responses):
    raw.script([sse_head(), part(events(*EVENTS, done=False)), drop(reset=True)])
    opened = await responses.stream("hi")
    assert (await opened.get_final_response()).to_dict() == WHOLE


async def test_a_cut_answer_is_the_final_response_and_is_not_complete(raw, responses):
    cut = {**WHOLE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    raw.script(stream(CREATED, ADDED, HEL, {"type": "response.incomplete", "response": cut}))
    final = await (await responses.stream("hi")).get_final_response()
    assert final.to_dict() == cut
    assert not final.is_complete()


@pytest.mark.parametrize("done", [True, False])
async def test_a_stream_without_its_last_event_is_truncated(raw, responses, done):
    raw.script(stream(*EVENTS[:-1], done=done))
    opened = await responses.stream("hi")
    with pytest.raises(StreamTruncatedError) as caught:
        await opened.get_final_response()
    assert caught.value.partial.output_text == "Hello"
    assert not caught.value.partial.is_complete()
    assert pickle.loads(pickle.dumps(caught.value)).partial.output_text == "Hello"


async def test_a_stream_that_is_cut_in_the_last_line_is_truncated(raw, responses):
    raw.script(
        [sse_head(), part(events(*EVENTS[:-1], done=False) + b'data: {"type": "resp'), end()]
    )
    opened = await responses.stream("hi")
    with pytest.raises(StreamTruncatedError):
        await opened.get_final_response()


async def test_a_stream_that_was_closed_has_no_final_response(raw, responses):
    raw.script(unended(*EVENTS[:-1]))
    opened = await responses.stream("hi")
    await opened.aclose()
    with pytest.raises(StreamTruncatedError, match="closed"):
        await opened.get_final_response()


async def test_a_broken_connection_is_an_interruption_with_what_came(raw, responses):
    raw.script([sse_head(), part(events(*EVENTS[:4], done=False)), drop(reset=True)])
    opened = await responses.stream("hi")
    with pytest.raises(StreamInterruptedError) as caught:
        await opened.get_final_response()
    assert caught.value.partial.output_text == "Hel"
    assert caught.value.generation_id == "gen-1"


async def test_what_is_no_event_is_a_protocol_error(raw, responses):
    raw.script([sse_head(), part(events(CREATED, ADDED, "data: {nothing", LO)), end()])
    opened = await responses.stream("hi")
    with pytest.raises(StreamProtocolError, match="no event"):
        await opened.get_final_response()


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (FAILED, "provider_overloaded"),
        ({"type": "error", "code": "server_error", "message": "It broke."}, "server_error"),
        ({"type": "response.error", "error": FAILURE}, "server_error"),
        ({"error": {"code": 502, "message": "It broke."}}, 502),
    ],
)
async def test_an_error_inside_a_stream_is_typed_and_has_what_came(raw, responses, told, code):
    raw.script(stream(CREATED, ADDED, HEL, told))
    opened = await responses.stream("hi")
    with pytest.raises(ProviderStreamError, match="It broke") as caught:
        await opened.get_final_response()
    assert caught.value.code == code
    assert caught.value.partial.output_text == "Hel"
    assert len(raw.seen().requests) == 1


@pytest.mark.parametrize("before", [(), (CREATED, IN_PROGRESS)])
async def test_an_error_before_any_content_is_tried_again(raw, responses, before):
    raw.script(stream(*before, FAILED), stream(*EVENTS))
    opened = await responses.stream("hi")
    assert opened.attempts == 2
    assert opened.history[0].outcome == "ProviderUnavailableError"
    assert [event.to_dict() async for event in opened] == EVENTS


@pytest.mark.parametrize(
    "first",
    [
        stream(CREATED, done=False),
        stream(done=False),
        [sse_head(), part(events(CREATED, done=False)), drop(reset=True)],
        answer(WHOLE),
    ],
    ids=["no content", "empty", "broken", "not streamed"],
)
async def test_a_stream_that_never_began_is_tried_again(raw, responses, first):
    raw.script(first, stream(*EVENTS))
    opened = await responses.stream("hi")
    assert (await opened.get_final_response()).to_dict() == WHOLE
    assert opened.attempts == 2


async def test_a_refusal_of_a_stream_is_the_error_that_it_names(raw, responses):
    refusal = {"error": {"code": 401, "message": "No."}}
    for script in (answer(refusal, status=401), answer(refusal), stream(refusal)):
        raw.script(script)
        with pytest.raises(AuthenticationError):
            await responses.stream("hi")


async def test_events_of_tomorrow_come_through(raw, responses):
    event = {"type": "response.of_tomorrow", "delta": {"a": 1}, "error": "of a part only"}
    raw.script(stream(CREATED, event, COMPLETED))
    async with await responses.stream("hi") as opened:
        assert [seen.to_dict() async for seen in opened] == [CREATED, event, COMPLETED]


async def test_a_second_reader_is_refused_and_the_first_reads_on(raw, responses):
    raw.script([sse_head(), part(events(*EVENTS[:3], done=False)), wait(0.3),
                part(events(*EVENTS[3:])), end()])  # fmt: skip
    opened = await responses.stream("hi")
    for _ in range(3):
        await anext(opened)
    first = asyncio.create_task(anext(opened))
    await asyncio.sleep(0)
    with pytest.raises(OpenRouterConfigurationError, match="another task"):
        await anext(opened)
    assert (await first).to_dict() == HEL
    assert (await opened.get_final_response()).to_dict() == WHOLE


async def test_leaving_the_block_closes_the_connection(raw, responses):
    raw.script(unended(*EVENTS[:4]))
    async with await responses.stream("hi") as opened:
        async for _ in opened:
            break
    await left(raw)
    assert [event async for event in opened] == []


async def test_cancelling_a_reader_closes_the_connection(raw, responses):
    raw.script(unended(*EVENTS[:4]))
    opened = await responses.stream("hi")
    with anyio.move_on_after(0.2) as scope:
        async for _ in opened:
            pass
    assert scope.cancelled_caught
    await left(raw)


async def test_closing_from_another_task_ends_the_reader_without_an_error(raw, responses):
    raw.script(unended(*EVENTS[:4]))
    opened = await responses.stream("hi")

    async def read():
        return [event.type async for event in opened]

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    await opened.aclose()
    await opened.aclose()
    with anyio.fail_after(5):
        assert len(await reader) == 4
    await left(raw)


async def test_a_dropped_stream_gives_its_connection_back(raw, responses):
    raw.script(unended(*EVENTS[:4]))
    opened = await responses.stream("hi")
    del opened
    gc.collect()
    await left(raw)
    assert raw.seen().disconnects == 1


async def test_the_time_limits_of_the_client_hold_for_events(raw, client):
    raw.script(unended(*EVENTS[:4]))
    responses = client.with_options(idle_timeout=0.2).responses
    opened = await responses.stream("hi")
    with pytest.raises(OpenRouterTimeoutError):
        await opened.get_final_response()
    await left(raw)


async def test_the_time_of_the_call_is_up_inside_a_stream(raw, responses):
    raw.script(unended(*EVENTS[:4]))
    opened = await responses.stream("hi", timeout=0.5)
    with pytest.raises(OpenRouterTimeoutError):
        await opened.get_final_response()


async def test_an_event_may_be_as_large_as_an_answer_and_no_larger(raw, client):
    responses = client.with_options(max_response_bytes=3_000_000).responses
    picture = {"type": "image_generation_call", "id": "i", "result": "A" * 2_000_000}
    whole = {**WHOLE, "output": [picture]}
    raw.script(stream(CREATED, ADDED, {"type": "response.completed", "response": whole}))
    opened = await responses.stream("hi")
    assert (await opened.get_final_response()).to_dict() == whole
    block = b"x" * 65536
    raw.script(
        [
            sse_head(),
            part(events(CREATED, ADDED, done=False) + b"data: "),
            repeat(b"%x\r\n%s\r\n" % (len(block), block), 60),
            hang(),
        ]
    )
    opened = await responses.stream("hi")
    with pytest.raises(StreamProtocolError):
        await opened.get_final_response()


async def test_a_prelude_without_end_does_not_hold_a_stream_up(raw, responses):
    raw.script(unended(*[IN_PROGRESS] * 70))
    with anyio.fail_after(5):
        opened = await responses.stream("hi")
    await opened.aclose()
    await left(raw)
