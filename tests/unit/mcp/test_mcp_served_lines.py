"""Lines of standard input that the protocol's package would drop are answered."""

import json

import pytest

from mbxai.mcp.serving._stdio import unreadable


@pytest.mark.parametrize(
    ("line", "code", "call_id"),
    [
        ('{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": 1}', -32600, 7),
        ('{"jsonrpc": "2.0", "id": "a", "method": 5}', -32600, "a"),
        (r'{"jsonrpc": "2.0", "id": 8, "method": "x", "params": {"a": "\ud800"}}', -32600, 8),
        (f'{{"jsonrpc": "2.0", "id": {"9" * 5_000}, "method": "x"}}', -32700, None),
        ("[1]", -32600, None),
        ("{", -32700, None),
        ("[" * 100_000, -32700, None),
    ],
    ids=["params", "method", "surrogate", "number", "list", "garbage", "deep"],
)
def test_a_line_that_is_no_message_is_answered(line: str, code: int, call_id: object) -> None:
    answer = json.loads(unreadable(line))
    assert answer["error"]["code"] == code
    assert answer["id"] == call_id


@pytest.mark.parametrize(
    "line",
    ["", " ", '{"jsonrpc": "2.0", "id": 1, "result": 5}', '{"jsonrpc": "2.0", "method": "x"}'],
)
def test_nobody_waits_for_an_answer_to_these(line: str) -> None:
    assert unreadable(line) == ""
