import json

import pytest

from mbxai.errors import InvalidResponseError
from mbxai.openrouter._completions import completion_of
from mbxai.openrouter._retry import is_retryable
from mbxai.wire import ChatCompletion

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
HINT = "Check base_url; a proxy may have answered."


def read(body):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return completion_of(raw, {}, ChatCompletion, media_type="application/json")


@pytest.mark.parametrize(
    "choices",
    [
        [{}],
        [{"finish_reason": "stop"}],
        [{"message": {}}],
        [{"message": {"role": "assistant", "content": "a"}}, {"index": 1}],
    ],
)
def test_a_choice_without_a_message_is_no_completion_and_may_be_asked_for_again(choices):
    with pytest.raises(InvalidResponseError, match="no message") as caught:
        read({"choices": choices})
    assert is_retryable(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": None, "tool_calls": [CALL]},
        {"tool_calls": [CALL]},
        {"content": None, "reasoning": "hm"},
        {"content": None, "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"content": ""},
        {"content": None, "refusal": "no"},
        {"content": None},
    ],
)
def test_a_message_without_text_is_a_message(fields):
    completion = read({"choices": [{"message": {"role": "assistant"} | fields}]})
    assert completion.choices[0].message.role == "assistant"


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b'{"choices": [{"mess', b"\xff"])
def test_what_is_not_json_comes_with_advice(body):
    with pytest.raises(InvalidResponseError) as caught:
        read(body)
    assert caught.value.hint == HINT
    assert str(caught.value).endswith(HINT)


@pytest.mark.parametrize("body", [b"null", b"[]", b'{"choices": 5}', b"{}"])
def test_json_that_is_no_completion_does_not_blame_the_address(body):
    with pytest.raises(InvalidResponseError) as caught:
        read(body)
    assert caught.value.hint == ""
