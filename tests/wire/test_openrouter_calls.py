import asyncio
import gzip
import logging
import socket
import traceback

import anyio
import httpx
import pytest
from pydantic import BaseModel
from support.raw_server import (
    RawServer,
    answer,
    completion,
    drop,
    hang,
    send,
    wait,
)

from mbxai.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    InvalidResponseError,
    MBXAIError,
    OpenRouterConfigurationError,
    OpenRouterConnectionError,
    OpenRouterTimeoutError,
    OutputTruncatedError,
    OutputValidationError,
    ProviderUnavailableError,
    RateLimitError,
)
from mbxai.openrouter import AsyncOpenRouterClient

KEY = "sk-or-v1-canary-7f3a"
USER = [{"role": "user", "content": "a very private prompt"}]


class City(BaseModel):
    name: str
    size: int


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
async def client(raw):
    async with AsyncOpenRouterClient(KEY, "a/b", raw.base_url, retry_initial_delay=0.01) as made:
        yield made


async def test_a_call_sends_what_was_asked_and_returns_what_came(raw, client):
    raw.script(answer(completion("Paris"), headers={"X-Generation-Id": "gen-9", "CF-Ray": "ray-1"}))
    result = await client.create(USER, temperature=0.5, extra_headers={"X-Title": "Übung"})
    assert result.choices[0].message.content == "Paris"
    assert (result.usage.total_tokens, result.usage.cost, result.provider) == (5, 0.001, "OpenAI")
    assert (result.generation_id, result.request_id, result.attempts) == ("gen-9", "ray-1", 1)
    (request,) = raw.seen().requests
    assert request["start"] == "POST /api/v1/chat/completions HTTP/1.1"
    assert request["body"] == (
        '{"model":"a/b","messages":[{"role":"user","content":"a very private prompt"}],"temperature":0.5}'
    )
    headers = request["headers"]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["content-type"] == "application/json"
    assert headers["http-referer"].startswith("https://")
    assert headers["x-title"].encode("latin-1").decode() == "Übung"
    assert headers["user-agent"].startswith("mbxai/")


async def test_default_headers_and_parameters_lie_below_those_of_a_call(raw):
    raw.script(answer(completion()))
    async with AsyncOpenRouterClient(
        KEY,
        "a/b",
        raw.base_url,
        {"X-Title": "Mine", "X-Own": "1"},
        default_params={"temperature": 0.1, "seed": 7},
    ) as client:
        await client.create(USER, model="GPT41", temperature=0.9)
    (request,) = raw.seen().requests
    assert request["headers"]["x-title"] == "Mine"
    assert request["headers"]["x-own"] == "1"
    assert "http-referer" in request["headers"]
    assert '"temperature":0.9,"seed":7' in request["body"]
    assert '"model":"openai/gpt-4.1"' in request["body"]


async def test_one_connection_serves_call_after_call(raw, client):
    raw.script(answer(completion()))
    for _ in range(5):
        await client.create(USER)
    assert raw.seen().connections == 1


@pytest.mark.parametrize(
    "first",
    [
        answer({"error": {"code": 503, "message": "busy"}}, status=503),
        answer({"error": {"code": 502, "message": "bad"}}),
        answer({"error": {"code": "server_error", "message": "bad"}, "choices": None}),
        answer(completion(choice={"error": {"code": 429, "message": "slow"}, "finish_reason": "error"})),
        answer(completion(choice={"finish_reason": "error"})),
        answer(completion() | {"choices": []}),
        answer(completion() | {"choices": [{}]}),
        answer(b""),
        answer(b"<html>hello</html>", content_type="text/html"),
        answer(b'{"choices": [{"mess'),
        answer(b"null"),
        answer(b"too busy", status=529, content_type="text/plain"),
        answer(b"", status=429, headers={"Retry-After": "0"}),
        [drop()],
        [drop(reset=True)],
        [send(b"SSH-2.0-OpenSSH_9.6\r\n"), drop()],
        [send(b"HTTP/1.1 2"), drop()],
    ],
    ids=[
        "503", "200 with 502", "200 with a word", "choice error", "finish error", "no choices", "no message",
        "empty", "html", "cut json", "null", "529", "429 now", "closed", "reset", "not http", "cut head",
    ],
)  # fmt: skip
async def test_what_may_pass_is_sent_again_until_it_does(raw, client, first):
    raw.script(first, answer(completion("at last")))
    result = await client.create(USER)
    assert result.choices[0].message.content == "at last"
    assert result.attempts == 2
    assert len(raw.seen().requests) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer({"error": {"code": 401, "message": "no"}}, status=401), AuthenticationError),
        (answer({"error": {"code": 402, "message": "no"}}), InsufficientCreditsError),
        (
            answer({"error": {"code": 503, "message": "no", "availability": {"retryable": False}}}, status=503),
            ProviderUnavailableError,
        ),
        (answer(b"", status=429, headers={"Retry-After": "86400"}), RateLimitError),
        (answer(b"x" * (33 * 1024 * 1024)), InvalidResponseError),
        ([send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), drop()], OpenRouterConnectionError),
    ],
    ids=["401", "200 with 402", "final 503", "429 for a day", "too large", "cut body"],
)  # fmt: skip
async def test_what_cannot_pass_is_sent_once(raw, client, reply, kind):
    raw.script(reply)
    with pytest.raises(kind) as caught:
        await client.create(USER)
    assert caught.value.attempts == 1
    assert len(raw.seen().requests) == 1


async def test_a_failure_that_stays_is_tried_as_often_as_said(raw, client):
    raw.script(answer(b"", status=500))
    with pytest.raises(ProviderUnavailableError) as caught:
        await client.create(USER)
    assert caught.value.attempts == 4
    assert len(raw.seen().requests) == 4


async def test_a_second_429_waits_for_the_time_the_server_named(raw, client):
    slow = answer(b"", status=429, headers={"retry-after-ms": "150"})
    raw.script(slow, slow, answer(completion()))
    started = asyncio.get_running_loop().time()
    assert (await client.create(USER)).attempts == 3
    assert asyncio.get_running_loop().time() - started >= 0.3


async def test_a_refused_connection_names_its_attempts():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with AsyncOpenRouterClient(
        KEY, base_url=f"http://127.0.0.1:{port}/", max_retries=2, retry_initial_delay=0.01
    ) as client:
        with pytest.raises(
            OpenRouterConnectionError, match="No connection to the server"
        ) as caught:
            await client.create(USER)
    assert not isinstance(caught.value, OpenRouterTimeoutError)
    assert caught.value.attempts == 3


async def test_a_name_that_nobody_knows_is_a_connection_error():
    async with AsyncOpenRouterClient(
        KEY, base_url="https://no.such.host.invalid/", max_retries=0
    ) as client:
        with pytest.raises(OpenRouterConnectionError, match="No connection to the server"):
            await client.create(USER, timeout=5.0)


@pytest.mark.parametrize(
    "reply",
    [
        [hang()],
        [send(b"HTTP/1.1 200 OK\r\nX-Slow: "), hang()],
        [send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), hang()],
    ],
    ids=["no answer", "slow head", "slow body"],
)
async def test_the_timeout_covers_the_whole_call_and_frees_the_connection(raw, client, reply):
    raw.script(reply)
    with pytest.raises(OpenRouterTimeoutError) as caught:
        await client.create(USER, timeout=0.2)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.attempts == 1
    await anyio.to_thread.run_sync(raw.wait_for, lambda seen: seen.disconnects == 1)
    assert len(raw.seen().requests) == 1


async def test_the_timeout_covers_the_retries(raw, client):
    raw.script([wait(0.15), *answer(b"", status=500)])
    with pytest.raises((OpenRouterTimeoutError, ProviderUnavailableError)):
        await client.create(USER, timeout=0.4)
    assert len(raw.seen().requests) < 4


async def test_a_cancellation_from_outside_is_no_timeout(raw, client):
    raw.script([hang()])
    task = asyncio.create_task(client.create(USER, timeout=30.0))
    await anyio.to_thread.run_sync(raw.wait_for, lambda seen: len(seen.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1):
            await client.create(USER)
    assert not isinstance(caught.value, MBXAIError)
    await anyio.to_thread.run_sync(raw.wait_for, lambda seen: seen.disconnects == 2)


async def test_five_hundred_cancelled_calls_leave_the_pool_alive(raw):
    raw.script([wait(0.004), *answer(completion())])
    async with AsyncOpenRouterClient(
        KEY, "a/b", raw.base_url, max_connections=4, max_retries=0
    ) as client:

        async def impatient(number: int) -> None:
            try:
                async with asyncio.timeout((number % 25) / 1000):
                    await client.create(USER, stream=number % 2 == 0)
            except (TimeoutError, MBXAIError):
                pass

        for batch in range(10):
            await asyncio.gather(*(impatient(batch * 50 + number) for number in range(50)))
        for _ in range(8):
            assert (await client.create(USER, timeout=5.0)).choices
    await anyio.to_thread.run_sync(raw.wait_for, lambda seen: seen.open_connections == 0)


async def test_fifty_calls_share_two_connections(raw):
    raw.script([wait(0.005), *answer(completion())])
    async with AsyncOpenRouterClient(KEY, "a/b", raw.base_url, max_connections=2) as client:
        results = await asyncio.gather(*(client.create(USER) for _ in range(50)))
    assert len(results) == 50
    assert raw.seen().connections == 2


def test_a_client_serves_one_event_loop_after_another(raw):
    raw.script(answer(completion()))
    client = AsyncOpenRouterClient(KEY, "a/b", raw.base_url)
    for _ in range(3):
        assert asyncio.run(client.create(USER)).choices
    raw.wait_for(lambda seen: seen.open_connections == 0)
    assert raw.seen().connections == 3


async def test_a_closed_client_says_so(raw):
    client = AsyncOpenRouterClient(KEY, "a/b", raw.base_url)
    await client.aclose()
    await client.aclose()
    with pytest.raises(OpenRouterConfigurationError, match="The client is closed"):
        await client.create(USER)


async def test_a_redirect_to_another_server_gets_neither_key_nor_prompt(raw, client):
    with RawServer(answer(completion())) as other:
        raw.script(
            answer(b"", status=307, headers={"Location": f"{other.base_url}/chat/completions"})
        )
        with pytest.raises(OpenRouterConnectionError, match="redirect to another server"):
            await client.create(USER)
        assert other.seen().requests == []
    assert len(raw.seen().requests) == 1


async def test_a_redirect_on_the_same_server_is_followed(raw, client):
    raw.script(
        answer(b"", status=308, headers={"Location": "/elsewhere"}), answer(completion("moved"))
    )
    assert (await client.create(USER)).choices[0].message.content == "moved"
    second = raw.seen().requests[1]
    assert second["start"].startswith("POST /elsewhere ")
    assert second["headers"]["authorization"] == f"Bearer {KEY}"
    assert "private prompt" in second["body"]


async def test_redirects_in_a_circle_end(raw, client):
    raw.script(answer(b"", status=307, headers={"Location": "/api/v1/chat/completions"}))
    with pytest.raises(OpenRouterConnectionError, match="in a circle"):
        await client.create(USER)


async def test_compressed_answers_are_read_and_bounded(raw, client):
    packed = gzip.compress(__import__("json").dumps(completion("packed")).encode())
    raw.script(answer(packed, headers={"Content-Encoding": "gzip"}))
    assert (await client.create(USER)).choices[0].message.content == "packed"
    raw.script(answer(gzip.compress(b" " * 100_000_000), headers={"Content-Encoding": "gzip"}))
    with pytest.raises(InvalidResponseError, match="larger than"):
        await client.create(USER)


async def test_an_injected_http_client_is_used_and_stays_open(raw):
    raw.script(answer(completion()))
    async with httpx.AsyncClient(headers={"X-Mine": "yes"}) as http:
        async with AsyncOpenRouterClient(KEY, "a/b", raw.base_url, http_client=http) as client:
            await client.create(USER)
        assert not http.is_closed
        (request,) = raw.seen().requests
        assert request["headers"]["x-mine"] == "yes"
        assert request["headers"]["authorization"] == f"Bearer {KEY}"
    raw.script([drop()], answer(completion()))
    async with httpx.AsyncClient() as http:
        client = AsyncOpenRouterClient(
            KEY, "a/b", raw.base_url, http_client=http, retry_initial_delay=0.01
        )
        assert (await client.create(USER)).attempts == 2
    with pytest.raises(OpenRouterConfigurationError, match="HTTP client is closed"):
        await client.create(USER)


async def test_an_injected_clients_own_read_timeout_is_not_retried(raw):
    raw.script([hang()])
    async with httpx.AsyncClient(timeout=0.1) as http:
        client = AsyncOpenRouterClient(KEY, "a/b", raw.base_url, http_client=http)
        with pytest.raises(OpenRouterTimeoutError):
            await client.create(USER)
    assert len(raw.seen().requests) == 1


async def test_typed_output_is_asked_for_and_validated(raw, client):
    raw.script(answer(completion('```json\n{"name": "Paris", "size": 2}\n```')))
    result = await client.parse(USER, City)
    assert result.choices[0].message.parsed == City(name="Paris", size=2)
    assert (result.attempts, result.usage.total_tokens) == (1, 5)
    body = raw.seen().requests[0]["body"]
    assert '"response_format":{"type":"json_schema","json_schema":{"name":"City"' in body
    assert '"strict":true' in body
    assert '"tools"' not in body


async def test_a_connection_that_breaks_inside_an_answer_is_told_in_our_words(raw, client):
    raw.script(
        [
            send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            ),
            drop(),
        ]
    )
    with pytest.raises(OpenRouterConnectionError) as caught:
        await client.create(USER)
    assert str(caught.value) == "The connection broke in the middle of the answer."


async def test_typed_output_that_does_not_come_has_typed_errors(raw, client):
    raw.script(answer(completion('{"name": 5}')))
    with pytest.raises(OutputValidationError) as invalid:
        await client.parse(USER, City)
    assert invalid.value.completion.usage.cost == 0.001
    assert {problem.partition(":")[0] for problem in invalid.value.problems} == {"name", "size"}
    raw.script(answer(completion('{"name', choice={"finish_reason": "length"})))
    with pytest.raises(OutputTruncatedError):
        await client.parse(USER, City)
    with pytest.raises(OpenRouterConfigurationError, match="response_format cannot be used"):
        await client.parse(USER, {"type": "object"})


async def test_tool_calls_without_an_id_or_with_the_same_one_get_their_own(raw, client):
    function = {"name": "f", "arguments": "{}"}
    calls = [
        {"id": "a", "function": function},
        {"id": "a", "function": function},
        {"function": function},
    ]
    raw.script(answer(completion(message={"content": None, "tool_calls": calls})))
    result = await client.create(USER)
    ids = [call.id for call in result.choices[0].message.tool_calls]
    assert ids[0] == "a"
    assert len(set(ids)) == 3
    assert all(ids)


async def test_the_key_and_the_prompt_are_in_no_log_and_no_error(raw, caplog):
    caplog.set_level(logging.DEBUG)
    echo = f"you sent {KEY} with Bearer {KEY}"
    replies = [
        answer({"error": {"code": 401, "message": echo, "metadata": {"raw": echo}}}, status=401),
        answer(echo, status=502, content_type="text/html"),
        answer({"error": {"code": 402, "message": echo}}),
        answer(echo),
        [send(f"HTTP/1.1 {KEY}\r\n\r\n".encode()), drop()],
        [drop()],
    ]
    async with AsyncOpenRouterClient(
        KEY, "a/b", raw.base_url, max_retries=1, retry_initial_delay=0.0
    ) as client:
        for reply in replies:
            raw.script(reply)
            with pytest.raises(MBXAIError) as caught:
                await client.create(USER)
            error = caught.value
            seen = f"{error!r} {error.__dict__} {''.join(traceback.format_exception(error))}"
            assert KEY not in seen
            assert "private prompt" not in seen
    assert "Attempt 1" in caplog.text
    assert KEY not in caplog.text
    assert "private prompt" not in caplog.text
