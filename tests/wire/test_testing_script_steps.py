"""The fake OpenRouter with a script, driven over its socket."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mbxai.testing import Auto, Drop, Failure, FakeOpenRouter, Match, Raw, Reply, Stall

USER = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeOpenRouter) -> FakeOpenRouter:
    server.reset()
    return server


@pytest.fixture
def client(fake: FakeOpenRouter) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {fake.api_key}"}
    with httpx.Client(base_url=fake.base_url, headers=headers, trust_env=False) as http:
        yield http


def chat(client: httpx.Client, text: str = "Hi", **body: Any) -> httpx.Response:
    messages = [{"role": "user", "content": text}]
    return client.post("/chat/completions", json={"messages": messages, **body})


def schema(name: str) -> dict[str, Any]:
    inner = {"name": name, "schema": {"type": "object"}}
    return {"response_format": {"type": "json_schema", "json_schema": inner}}


def test_replies_come_in_the_order_of_the_script(
    client: httpx.Client, fake: FakeOpenRouter
) -> None:
    call = {"name": "a", "arguments": {"x": 1}, "id": "mine"}
    fake.script(
        Reply("first", usage={"cost": 0.5}),
        Reply(json=None),
        Reply(tool_calls=[call, {"name": "b", "arguments": "{broken"}]),
        Reply("cut", finish_reason="length", extra={"reasoning_details": []}),
        Reply(),
        Auto(),
    )
    first, empty, calls, cut, blank, auto = [chat(client).json() for _ in range(6)]
    assert first["choices"][0]["message"]["content"] == "first"
    assert first["usage"]["cost"] == 0.5
    assert empty["choices"][0]["message"]["content"] == "null"
    assert calls["choices"][0]["finish_reason"] == "tool_calls"
    made = calls["choices"][0]["message"]["tool_calls"]
    assert made[0]["id"] == "mine"
    assert [one["function"]["arguments"] for one in made] == ['{"x": 1}', "{broken"]
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["choices"][0]["message"]["reasoning_details"] == []
    assert blank["choices"][0]["message"]["content"] == ""
    assert auto["choices"][0]["message"]["content"] == "Fake answer to: Hi"
    fake.verify()


def test_a_scripted_reply_is_streamed_with_its_extra_fields(
    client: httpx.Client, fake: FakeOpenRouter
) -> None:
    fake.script(Reply("Hello", extra={"reasoning": "hm"}))
    text = chat(client, stream=True).text
    assert '"reasoning": "hm"' in text
    assert '"content": "Hello"' in text


def test_matching_steps_are_found_out_of_order(client: httpx.Client, fake: FakeOpenRouter) -> None:
    fake.script(
        Reply("any"),
        Reply(json={"n": 2}, when=Match(schema="Second")),
        Reply(json={"n": 1}, when=Match(schema="First")),
    )
    answers = [
        chat(client, **body).json()["choices"][0]["message"]["content"]
        for body in (schema("First"), schema("Second"), {})
    ]
    assert answers == ['{"n": 1}', '{"n": 2}', "any"]
    assert [request.schema_name for request in fake.requests()] == ["First", "Second", None]
    fake.verify()


def test_a_failure_has_the_real_shape(client: httpx.Client, fake: FakeOpenRouter) -> None:
    fake.script(
        Failure(429, message="Slow", headers={"Retry-After": "7"}, metadata={"raw": "x"}),
        Failure(200, "server_error"),
        Failure(599),
    )
    limited, hidden, odd = chat(client), chat(client, stream=True), chat(client)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    assert limited.json()["error"] == {
        "code": 429,
        "message": "Slow",
        "metadata": {"error_type": "rate_limit_exceeded", "raw": "x"},
    }
    assert (hidden.status_code, hidden.json()["error"]["code"]) == (200, "server_error")
    assert hidden.headers["content-type"] == "application/json"
    assert odd.status_code == 599


def test_a_failure_can_come_after_some_text(client: httpx.Client, fake: FakeOpenRouter) -> None:
    fake.script(Failure(502, after_content="Half an"), Failure(502, after_content="Half an"))
    streamed = chat(client, stream=True)
    assert streamed.status_code == 200
    chunks = [json.loads(part[6:]) for part in streamed.text.split("\n\n") if part[:6] == "data: "]
    assert chunks[0]["choices"][0]["delta"]["content"] == "Half an"
    assert chunks[-1]["error"]["code"] == 502
    assert chunks[-1]["choices"][0]["finish_reason"] == "error"
    assert "[DONE]" not in streamed.text
    whole = chat(client).json()["choices"][0]
    assert (whole["finish_reason"], whole["error"]["code"]) == ("error", 502)
    assert whole["message"]["content"] == "Half an"


def test_raw_bytes_are_sent_as_they_are(client: httpx.Client, fake: FakeOpenRouter) -> None:
    fake.script(
        Raw(b"<html>", 502, {"content-type": "text/html"}),
        Raw([b"data: \xe2\x80", b"\xa8\n\n"], headers={"Content-Type": "text/event-stream"}),
        Raw(),
        Raw(status=204),
    )
    page, stream, empty, nothing = [chat(client) for _ in range(4)]
    assert "content-length" not in nothing.headers
    assert (page.status_code, page.content) == (502, b"<html>")
    assert page.headers.get_list("content-type") == ["text/html"]
    assert stream.content == b"data: \xe2\x80\xa8\n\n"
    assert (empty.status_code, empty.content) == (200, b"")


@pytest.mark.parametrize("stream", [False, True])
def test_a_dropped_connection_ends_in_the_middle(
    client: httpx.Client, fake: FakeOpenRouter, stream: bool
) -> None:
    fake.script(Drop(), Drop(40), Auto())
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        chat(client, stream=stream)
    received: list[bytes] = []

    def read_all() -> None:
        body = {"messages": [USER], "stream": stream}
        with client.stream("POST", "/chat/completions", json=body) as response:
            received.extend(response.iter_raw())

    with pytest.raises(httpx.RemoteProtocolError, match="complet"):
        read_all()
    assert len(b"".join(received)) == 40
    assert chat(client).status_code == 200
    assert [request.aborted for request in fake.requests()] == [False, False, False]


@pytest.mark.parametrize("after_bytes", [0, 30])
def test_a_stall_is_silent_and_then_goes_on(
    client: httpx.Client, fake: FakeOpenRouter, after_bytes: int
) -> None:
    fake.script(Stall(0.3, after_bytes=after_bytes), Stall(30, after_bytes=after_bytes))
    assert chat(client, stream=True).text.endswith("data: [DONE]\n\n")
    with pytest.raises(httpx.ReadTimeout):
        client.post("/chat/completions", json={"messages": [USER], "stream": True}, timeout=0.2)


async def test_a_client_that_leaves_is_noticed() -> None:
    async with FakeOpenRouter(chunk_delay=30.0) as fake:
        headers = {"Authorization": "Bearer x"}
        async with (
            httpx.AsyncClient(base_url=fake.base_url, headers=headers) as client,
            client.stream(
                "POST", "/chat/completions", json={"messages": [USER], "stream": True}
            ) as response,
        ):
            assert await anext(response.aiter_bytes())
        async with asyncio.timeout(5):
            while not fake.requests()[0].aborted:
                await asyncio.sleep(0.02)


def test_latency_does_not_hold_up_other_requests() -> None:
    async def both(fake: FakeOpenRouter) -> list[str]:
        async with httpx.AsyncClient(base_url=fake.base_url) as client:
            headers = {"Authorization": "Bearer x"}
            tasks = [
                client.post(
                    "/chat/completions",
                    json={"messages": [{"role": "user", "content": text}]},
                    headers=headers,
                )
                for text in ("1", "2")
            ]
            answers = await asyncio.gather(*tasks)
            return [one.json()["choices"][0]["message"]["content"] for one in answers]

    with FakeOpenRouter(
        [Stall(0.5, when=Match(contains="1")), Reply("quick")], latency=0.05
    ) as fake:
        assert asyncio.run(both(fake)) == ["Fake answer to: 1", "quick"]
        fake.verify()


def test_an_unused_step_fails_the_verification(fake: FakeOpenRouter) -> None:
    fake.script(Reply("never", when=Match(schema="X")))
    with pytest.raises(AssertionError, match=r"unused step: Reply\(content='never'"):
        fake.verify()
    fake.reset()
    fake.verify()


def test_an_unexpected_request_is_refused_and_fails_the_verification(
    client: httpx.Client, fake: FakeOpenRouter
) -> None:
    fake.script(Reply("one"))
    chat(client)
    response = chat(client, "And now?", **schema("X"))
    assert response.status_code == 500
    assert "no step for this request (schema='X'" in response.json()["error"]["message"]
    assert response.json()["error"]["availability"]["retryable"] is False
    with pytest.raises(AssertionError, match=r"unexpected request: schema='X'.*'And now"):
        fake.verify()


def test_other_paths_can_be_scripted_too(client: httpx.Client, fake: FakeOpenRouter) -> None:
    models, key = Match(path="/models"), Match(path="/key")
    fake.script(Failure(503, when=models), Reply(json={"data": []}, when=models), Drop(when=key))
    fake.script(Raw(b"[1]", when=Match(path="/embeddings")))
    assert client.get("/models").status_code == 503
    assert client.get("/models").json() == {"data": []}
    assert client.get("/models").json()["data"]
    assert client.post("/embeddings", json={"input": "x"}).json() == [1]
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/key")
    assert chat(client).status_code == 200
    fake.verify()
