"""The fake OpenRouter in automatic mode, driven over its socket."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mbxai.testing import FakeOpenRouter

USER = {"role": "user", "content": "Hi"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    },
}


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


def chat(client: httpx.Client, *messages: dict[str, Any], **body: Any) -> httpx.Response:
    return client.post("/chat/completions", json={"messages": list(messages or (USER,)), **body})


def chunks_of(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line[6:] for line in response.text.split("\n\n") if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def test_a_chat_is_answered_in_the_shape_of_the_real_service(client: httpx.Client) -> None:
    response = chat(client, model="some/model")
    body = response.json()
    assert response.status_code == 200
    assert response.headers["X-Generation-Id"] == body["id"]
    assert response.headers["cf-ray"]
    assert (body["object"], body["model"], body["provider"]) == (
        "chat.completion",
        "some/model",
        "Fake",
    )
    choice = body["choices"][0]
    assert choice["message"]["content"] == "Fake answer to: Hi"
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("stop", "end_turn")
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["cost"] == pytest.approx(usage["total_tokens"] * 0.000001)


def test_a_stream_has_every_oddity_of_the_real_one(client: httpx.Client) -> None:
    response = chat(client, {"role": "user", "content": "ein längerer Satz 😀"}, stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.startswith(": OPENROUTER PROCESSING\n\n")
    assert response.text.endswith("data: [DONE]\n\n")
    *deltas, finish, usage = chunks_of(response)
    content = [chunk["choices"][0]["delta"] for chunk in deltas]
    assert len(content) > 2
    assert "".join(delta["content"] for delta in content) == "Fake answer to: ein längerer Satz 😀"
    assert {delta["role"] for delta in content} == {"assistant"}
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert finish["choices"][0]["native_finish_reason"] == "end_turn"
    assert usage["choices"] == []
    assert usage["usage"]["cost"] > 0
    assert {chunk["id"] for chunk in deltas} == {response.headers["X-Generation-Id"]}


def test_a_stream_and_a_whole_answer_say_the_same(client: httpx.Client) -> None:
    whole = chat(client, tools=[WEATHER]).json()["choices"][0]["message"]["tool_calls"][0]
    streamed = chunks_of(chat(client, tools=[WEATHER], stream=True))
    parts = [
        part
        for chunk in streamed
        for choice in chunk["choices"]
        for part in choice["delta"].get("tool_calls", [])
    ]
    first, *rest = parts
    assert first["function"] == {"name": "get_weather", "arguments": ""}
    assert all("id" not in part for part in rest)
    assert len(rest) > 1
    arguments = "".join(part["function"]["arguments"] for part in rest)
    assert arguments == whole["function"]["arguments"] == '{"location": "Example location"}'
    assert first["id"].startswith("call_")


def test_a_conversation_with_tools_ends_in_an_answer(client: httpx.Client) -> None:
    message = chat(client, tools=[WEATHER]).json()["choices"][0]["message"]
    assert message["content"] is None
    result = {
        "role": "tool",
        "tool_call_id": message["tool_calls"][0]["id"],
        "content": '{"sun": 1}',
    }
    sent = {"role": "assistant", "content": None, "tool_calls": message["tool_calls"]}
    answer = chat(client, USER, sent, result, tools=[WEATHER]).json()["choices"][0]
    assert answer["message"]["content"] == 'Done. get_weather answered: {"sun": 1}'
    assert answer["finish_reason"] == "stop"


def test_a_json_schema_is_answered_with_an_instance(client: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "P", "schema": schema, "strict": True},
    }
    answer = chat(client, response_format=wanted).json()["choices"][0]["message"]["content"]
    assert json.loads(answer) == {"name": "Example name", "age": 18}


def test_overrides_fix_the_answer_for_a_schema_name() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "P", "schema": {"type": "object"}}}
    with FakeOpenRouter(auto_overrides={"P": {"age": 3}}) as fake:
        fake.reset()
        answer = httpx.post(
            f"{fake.base_url}/chat/completions",
            json={"messages": [USER], "response_format": wanted},
            headers={"Authorization": "Bearer x"},
        )
        assert answer.json()["choices"][0]["message"]["content"] == '{"age": 3}'


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/chat/completions", b"{}", 400),
        ("POST", "/chat/completions", b'{"messages": []}', 400),
        ("POST", "/chat/completions", b"{not json", 400),
        ("POST", "/chat/completions", b"[" * 100_000, 400),
        ("POST", "/chat/completions", b"", 400),
        ("GET", "/chat/completions", b"", 405),
        ("DELETE", "/models", b"", 405),
        ("GET", "/nowhere", b"", 404),
    ],
)
def test_a_bad_request_is_refused_in_the_real_shape(
    client: httpx.Client, method: str, path: str, content: bytes, status: int
) -> None:
    response = client.request(method, path, content=content)
    assert response.status_code == status
    assert response.json()["error"]["code"] == status
    assert response.json()["error"]["message"]


def test_a_path_outside_the_base_path_is_unknown(fake: FakeOpenRouter) -> None:
    root = fake.base_url.removesuffix("/api/v1")
    assert httpx.get(f"{root}/models").status_code == 404
    assert httpx.get(f"{root}/_fake/nothing").status_code == 404


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic x"}])
def test_a_request_without_a_key_is_refused(fake: FakeOpenRouter, header: dict[str, str]) -> None:
    response = httpx.post(
        f"{fake.base_url}/chat/completions", json={"messages": [USER]}, headers=header
    )
    assert response.status_code == 401
    assert response.json()["error"] == {
        "code": 401,
        "message": "No auth credentials found",
        "metadata": {"error_type": "authentication"},
    }


def test_models_key_and_credits_are_listed(client: httpx.Client, fake: FakeOpenRouter) -> None:
    models = httpx.get(f"{fake.base_url}/models").json()["data"]
    assert models[0]["id"] == "fake/model"
    assert all(float(model["pricing"]["prompt"]) >= 0 for model in models)
    assert all("tools" in model["supported_parameters"] for model in models)
    assert client.get("/key").json()["data"]["usage"] == 0
    assert client.get("/credits").json()["data"]["total_credits"] == 100
    head = client.head("/models")
    assert (head.status_code, head.content) == (200, b"")


def test_requests_are_recorded_with_everything(client: httpx.Client, fake: FakeOpenRouter) -> None:
    chat(client, temperature=0.5)
    client.post("/chat/completions?x=1", content=b"oops", headers={"X-Title": "Test"})
    client.get("/key")
    first, second, third = fake.requests()
    assert first.body == first.json == {"messages": [USER], "temperature": 0.5}
    assert first.headers["authorization"] == f"Bearer {fake.api_key}"
    assert (second.path, second.body, second.json) == (
        "/api/v1/chat/completions?x=1",
        "oops",
        {},
    )
    assert second.headers["x-title"] == "Test"
    assert (third.method, third.path, third.body) == ("GET", "/api/v1/key", None)
    assert first.received_at <= second.received_at <= third.received_at
    assert fake.api_key not in repr(first)
    fake.reset()
    assert fake.requests() == []


def test_one_connection_serves_many_requests_and_chunked_bodies(fake: FakeOpenRouter) -> None:
    address = fake.base_url.removeprefix("http://").removesuffix("/api/v1")
    host, _, port = address.partition(":")
    head = "POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
    body = json.dumps({"messages": [USER]}).encode()
    halves = body[:10], body[10:]
    framed = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(half), half) for half in halves)
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + framed
    chunked += b"0\r\nTrailer: x\r\n\r\n"
    expecting = f"{head}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n".encode()
    last = f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with socket.create_connection((host, int(port)), timeout=5) as link:
        link.sendall(chunked + expecting + b"\r\n" + body + last)
        with link.makefile("rb") as stream:
            text = stream.read()
    assert text.count(b"HTTP/1.1 200 OK") == 3
    assert text.count(b"HTTP/1.1 100 Continue") == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST /api/v1/chat/completions HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /api/v1/chat/completions HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 70_000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_no_http_is_refused(fake: FakeOpenRouter, request_bytes: bytes) -> None:
    host, _, port = fake.base_url.removeprefix("http://").removesuffix("/api/v1").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as link:
        link.sendall(request_bytes)
        link.shutdown(socket.SHUT_WR)
        assert link.recv(100).startswith(b"HTTP/1.1 400")


def test_the_server_loads_only_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import mbxai.testing.__main__, mbxai.testing\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'mbxai'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=30
    )
    assert done.stdout.strip() == "[]", done.stderr
