import json
from dataclasses import dataclass
from enum import Enum

import pytest
from pydantic import BaseModel

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._headers import base_headers
from mbxai.openrouter._request import CallDefaults, prepare_chat
from mbxai.wire import Message

HEADERS = base_headers({"X-Title": "test"})
USER = {"role": "user", "content": "hi"}


def prepared(messages=(USER,), *, stream=False, **params):
    return prepare_chat(
        list(messages) if isinstance(messages, tuple) else messages,
        model="a/b",
        stream=stream,
        params=params,
        defaults=CallDefaults(headers=HEADERS, stream_headers=HEADERS, timeout=9.0),
    )


def body_of(*args, **kwargs):
    return json.loads(prepared(*args, **kwargs).body)


def test_what_is_given_is_sent_and_nothing_else():
    assert body_of(temperature=0.5, brand_new={"x": [1]}, seed=None) == {
        "model": "a/b",
        "messages": [USER],
        "temperature": 0.5,
        "brand_new": {"x": [1]},
        "seed": None,
    }
    assert body_of(stream=True)["stream"] is True


def test_the_extra_body_wins_and_transport_options_stay_out():
    call = prepared(
        temperature=1,
        extra_body={"temperature": 2, "model": "c/d"},
        extra_headers={"X-A": "b"},
        timeout=3,
    )
    body = json.loads(call.body)
    assert (body["temperature"], body["model"]) == (2, "c/d")
    assert set(body) == {"model", "messages", "temperature"}
    assert (call.headers[b"x-a"], call.headers[b"x-title"], call.timeout) == (b"b", b"test", 3.0)


def test_the_default_timeout_is_replaced_by_none_only_when_said():
    assert prepared().timeout == 9.0
    assert prepared(timeout=None).timeout is None


def test_an_earlier_answer_may_stand_among_the_messages():
    messages = body_of([USER, Message(content="x", reasoning_details=[])])["messages"]
    assert messages[1] == {"role": "assistant", "content": "x", "reasoning_details": []}


def test_python_values_become_json():
    class Colour(Enum):
        RED = "red"

    class Part(BaseModel):
        x: int

    @dataclass
    class Data:
        y: int

    body = body_of(metadata={"a": Colour.RED, "b": Part(x=1), "c": Data(2), "d": (1, 2)})
    assert body["metadata"] == {"a": "red", "b": {"x": 1}, "c": {"y": 2}, "d": [1, 2]}


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "messages is empty"),
        ("hi", "messages must be a list"),
        (USER, "messages must be a list"),
        (None, "messages must be a list"),
        (["hi"], r"messages\[0\] must be a mapping"),
        ([USER, 5], r"messages\[1\] must be a mapping"),
        ([{"content": "x"}], r"messages\[0\] has no role"),
        ([USER, {"role": "user", "content": object()}], r"messages\[1\] cannot be written as JSON"),
        ([{"role": "user", "content": "\ud800"}], r"messages\[0\] cannot be written as JSON"),
        ([{"role": "user", "content": float("nan")}], "messages holds NaN"),
    ],
)
def test_messages_that_cannot_be_sent_are_refused_by_name(messages, problem):
    with pytest.raises(OpenRouterConfigurationError, match=problem):
        prepared(messages)


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"temperature": float("inf")}, "temperature holds NaN or infinity"),
        ({"tools": [object()]}, "tools cannot be written as JSON"),
        ({"extra_body": [1]}, "extra_body must be a mapping"),
        ({"extra_headers": "x"}, "extra_headers must be a mapping"),
        ({"timeout": 0}, "timeout must be a number of seconds"),
        ({"timeout": "5"}, "timeout must be a number of seconds"),
        ({"idle_timeout": -1}, "idle_timeout must be a number of seconds"),
    ],
)
def test_parameters_that_cannot_be_sent_are_refused_by_name(params, problem):
    with pytest.raises(OpenRouterConfigurationError, match=problem):
        prepared(**params)


def test_a_body_that_is_too_large_is_refused_and_names_what_is_large():
    defaults = CallDefaults(headers=HEADERS, stream_headers=HEADERS, max_request_bytes=1000)
    params = {"user": "x" * 2000}
    with pytest.raises(OpenRouterConfigurationError, match="mostly of user"):
        prepare_chat([USER], model="a/b", stream=False, params=params, defaults=defaults)


def test_contradictory_parameters_are_refused_also_in_the_extra_body():
    with pytest.raises(OpenRouterConfigurationError, match="top_logprobs"):
        prepared(extra_body={"top_logprobs": 3})


def test_header_options_become_headers_and_stay_out_of_the_body():
    call = prepared(cache=True, cache_ttl=60)
    assert call.headers[b"x-openrouter-cache"] == b"true"
    assert call.headers[b"x-openrouter-cache-ttl"] == b"60"
    assert set(json.loads(call.body)) == {"model", "messages"}


def test_a_list_that_holds_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(OpenRouterConfigurationError, match="stop cannot be written"):
        prepared(stop=loop)


def test_the_words_nan_and_infinity_may_be_written():
    assert (
        "NaN and Infinity"
        in prepared([{"role": "user", "content": "NaN and Infinity"}]).body.decode()
    )


def test_an_event_may_be_large_where_images_are_asked_for():
    assert prepared(stream=True).max_event_bytes == 1024 * 1024
    assert prepared(stream=True, modalities=["image", "text"]).max_event_bytes == 32 * 1024 * 1024
