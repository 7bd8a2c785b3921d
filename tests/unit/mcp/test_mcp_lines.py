import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbxai.mcp.connection._lines import LineSplitter, TooLarge, without_half_characters


def fed(splitter: LineSplitter, data: bytes, size: int) -> list[bytes | TooLarge]:
    for start in range(0, len(data), size):
        splitter.feed(data[start : start + size])
    return list(splitter.lines)


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))), st.integers(1, 40))
def test_lines_come_out_as_they_went_in_however_they_are_cut(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    found = fed(LineSplitter(1000), data + b"no end", size)
    assert found == [line for line in lines if line] or found == lines


@given(st.integers(1, 700), st.booleans())
def test_a_line_that_is_too_long_names_its_request_and_the_next_one_is_whole(
    size: int, id_first: bool
) -> None:
    result = {"content": [{"type": "text", "text": "x" * 2000, "id": 5}]}
    message = {"jsonrpc": "2.0", "id": 7, "result": result}
    if not id_first:
        message = {"result": result, "jsonrpc": "2.0", "id": 7}
    data = json.dumps(message).encode() + b'\n{"a":1}\n'
    splitter = LineSplitter(1000)
    assert fed(splitter, data, size) == [TooLarge(7), b'{"a":1}']


@pytest.mark.parametrize(
    "line", [b"x" * 3000, b'{"method": "m", "params": {"id": 3, "x": "' + b"x" * 3000 + b'"}}']
)
def test_a_long_line_without_a_visible_id_names_none(line: bytes) -> None:
    assert fed(LineSplitter(1000), line + b"\n", 100) == [TooLarge(None)]


def test_a_long_line_is_not_kept_in_memory() -> None:
    splitter = LineSplitter(1000)
    for _ in range(10_000):
        splitter.feed(b"x" * 1000)
    assert sum(map(len, splitter._parts)) <= 3000


def test_a_text_cut_in_the_middle_of_a_character_is_mended() -> None:
    line = b'{"jsonrpc":"2.0","id":1,"result":{"a":"\\ud83d","b":"\\ud83d\\ude00"}}'
    mended = without_half_characters(line)
    assert mended is not None
    assert json.loads(mended)["result"] == {"a": "?", "b": "😀"}


def test_bytes_that_are_no_text_are_mended() -> None:
    mended = without_half_characters(b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff"}}')
    assert mended is not None
    assert json.loads(mended)["result"] == {"a": "\ufffd"}


@pytest.mark.parametrize("line", [b"hello", b"[]", b"null", b'{"a":1}', b"[" * 100_000])
def test_what_is_no_message_is_none_afterwards(line: bytes) -> None:
    assert without_half_characters(line) is None
