import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbxai.wire import EventTooLargeError, SSEDecoder

BODY = (
    b"\xef\xbb\xbf: OPENROUTER PROCESSING\r\n\r\n"
    b"event: message\rid: 7\rdata: one\r\r"
    b"data: two\ndata:three\n\nretry: 5\nunknown: x\ndata\n\n"
    b"data:  spaced\r\n\r\n"
    + 'data: "\u2028 \u0085 ü \U0001f600"\n\n'.encode()
    + b"data: [DONE]\n\n"
)
EVENTS = [
    (b"one", b"message", b"7"),
    (b"two\nthree", b"", b"7"),
    (b" spaced", b"", b"7"),
    ('"\u2028 \u0085 ü \U0001f600"'.encode(), b"", b"7"),
    (b"[DONE]", b"", b"7"),
]


def decoded(pieces):
    decoder = SSEDecoder()
    events = [tuple(event) for piece in pieces for event in decoder.feed(piece)]
    last = decoder.finish()
    return events if last is None else [*events, tuple(last)]


def test_lines_may_end_in_cr_lf_or_both_and_comments_are_no_events():
    assert decoded([BODY]) == EVENTS


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_any_cut_of_the_body_gives_the_same_events(cuts):
    edges = [0, *sorted(cuts), len(BODY)]
    pieces = [BODY[start:stop] for start, stop in pairwise(edges)]
    assert decoded(pieces) == EVENTS


def test_a_body_cut_at_every_byte_gives_the_same_events():
    assert decoded([BODY[number : number + 1] for number in range(len(BODY))]) == EVENTS


def test_the_line_separator_u2028_stays_inside_its_event():
    text = json.dumps({"text": "a\u2028b"}, ensure_ascii=False).encode()
    assert decoded([b"data: " + text + b"\n\n"]) == [(text, b"", b"")]


def test_an_event_without_its_last_blank_line_is_given_at_the_end():
    assert decoded([b"data: [DONE]"]) == [(b"[DONE]", b"", b"")]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 100, b"data: x\n" * 100, b":" + b"x" * 100])
def test_an_event_over_the_limit_is_refused(piece):
    decoder = SSEDecoder(max_event_bytes=50)
    with pytest.raises(EventTooLargeError):
        decoder.feed(piece)


def test_many_small_events_are_no_large_one():
    assert len(SSEDecoder(max_event_bytes=50).feed(b"data: x\n\n" * 1000)) == 1000


@pytest.mark.parametrize(
    "blank", [b"data\n\n", b"data:\n\n", b"data: \n\n", b"event: x\ndata:\n\n"]
)
def test_an_event_with_empty_data_is_none_and_leaves_nothing_behind(blank):
    assert decoded([b"data: a\n\n" + blank + b"data: b\n\n"]) == [
        (b"a", b"", b""),
        (b"b", b"", b""),
    ]
    assert decoded([blank.rstrip(b"\n")]) == []
