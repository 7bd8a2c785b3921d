"""Bytes of stored JSON: exact, small, and never half understood."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbxai.errors import SessionDataError
from mbxai.sessions._codec import decode, encode

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=40,
)


@given(st.dictionaries(st.text().filter(lambda key: key not in {"version", "_store"}), JSON))
def test_what_was_written_comes_back(data: dict[str, object]) -> None:
    read = decode(encode(data, agent_id="s"), agent_id="s")
    assert json.dumps(read) == json.dumps(data)


def test_a_lone_surrogate_and_a_long_text_come_back() -> None:
    data = {"half": "\ud83d", "long": "Lisbon is a city. " * 10_000}
    stored = encode(data, agent_id="s")
    assert decode(stored, agent_id="s") == data
    assert len(stored) < 2_000


def test_short_data_stays_readable_and_a_typical_row_becomes_a_third() -> None:
    assert encode({"n": 1}, agent_id="s") == b'{"n":1}'
    usage = {
        "prompt_tokens": 169,
        "completion_tokens": 3,
        "total_tokens": 172,
        "cost_usd": 0.01,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
    }
    row = {"at": 1.5, "events": [{"seq": 3, "type": "usage_added", "step": "x", "usage": usage}]}
    text = json.dumps(row, separators=(",", ":"))
    assert len(encode({"at": 1.5, "patch": {"in": row}, **row}, agent_id="s")) < len(text) / 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: stored[:-1],
        lambda stored: stored[: len(stored) // 2],
        lambda stored: stored + b"x",
        lambda stored: stored[:20] + bytes([stored[20] ^ 1]) + stored[21:],
        lambda stored: zlib.compress(b'{"n": 1}', wbits=-15),
        lambda stored: zlib.compress(b"[1]"),
        lambda stored: b"x",
        lambda stored: b"",
        lambda stored: b"[]",
        lambda stored: b'{"n": NaN}',
        lambda stored: b"\xff\xfe",
        lambda stored: b"[" * 100_000,
    ],
)
def test_what_is_damaged_is_a_data_error(damage) -> None:
    stored = encode({"text": "Lisbon " * 100}, agent_id="s")
    assert decode(stored, agent_id="s") == {"text": "Lisbon " * 100}
    with pytest.raises(SessionDataError, match="no session"):
        decode(damage(stored), agent_id="s")


@pytest.mark.parametrize("data", [{"x": object()}, {"x": float("nan")}, {"version": 1}, {1j: 2}])
def test_what_is_no_json_is_refused(data) -> None:
    with pytest.raises(SessionDataError):
        encode(data, agent_id="s")


def test_what_was_written_with_the_first_sample_is_read_for_good() -> None:
    stored = bytes.fromhex(FIRST)
    assert decode(stored, agent_id="s")["events"][0]["type"] == "state_changed"


FIRST = (
    "78bb046a208a8315ca96a62626c6e666167ac646d80a68689b01b95183524e8326a731e74a608d259fcce224"
    "7040c25b4725f939294a58c6262c2c7094cf18d517d8bf1616049b390827037d0b00b6784eac"
)
