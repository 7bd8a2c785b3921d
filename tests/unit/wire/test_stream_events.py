import pickle

import pytest

from mbxai.wire import (
    AnswerDone,
    AttachmentAdded,
    AudioDelta,
    ChatCompletionChunk,
    CompletionBuilder,
    EventMaker,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallArgumentsDelta,
    ToolCallDone,
    fold_chunks,
)


def chunk(delta, *, index=0):
    return ChatCompletionChunk.from_object({"choices": [{"index": index, "delta": delta}]})


def events_of(*chunks):
    maker = EventMaker()
    events = [event for piece in chunks for event in maker.add(piece)]
    return [*events, *maker.finish(fold_chunks(chunks))]


def call(arguments=None, *, name=None, **fields):
    return {"tool_calls": [{"function": {"name": name, "arguments": arguments}, **fields}]}


@pytest.mark.parametrize(
    ("delta", "event"),
    [
        ({"content": "a"}, TextDelta("a", 1)),
        ({"reasoning": "a"}, ReasoningDelta("a", 1)),
        ({"refusal": "a"}, RefusalDelta("a", 1)),
        ({"audio": {"data": "AA"}}, AudioDelta("AA", "", 1)),
        ({"audio": {"transcript": "a"}}, AudioDelta("", "a", 1)),
    ],
)
def test_what_grows_is_told_with_its_answer(delta, event):
    assert events_of(chunk(delta, index=1))[:-1] == [event]


@pytest.mark.parametrize(
    "delta", [{}, {"role": "assistant"}, {"content": ""}, {"content": None, "tool_calls": []}]
)
def test_a_chunk_that_says_nothing_is_no_event(delta):
    assert [type(event) for event in events_of(chunk(delta))] == [AnswerDone]


def test_one_chunk_may_be_several_events_in_the_order_of_thinking_and_saying():
    delta = {"content": "b", "reasoning": "a", "images": [{"image_url": {"url": "data:,"}}]}
    first, second, third, _ = events_of(chunk(delta))
    assert (first, second) == (ReasoningDelta("a"), TextDelta("b"))
    assert third.attachment.image_url.url == "data:,"


def test_images_come_before_sources_and_parsed_files():
    delta = {"annotations": [{"type": "file", "file": {"hash": "h"}}], "images": [{}]}
    added = events_of(chunk(delta))[:-1]
    assert all(isinstance(event, AttachmentAdded) for event in added)
    assert [event.attachment.type for event in added] == ["image_url", "file"]


def test_pieces_of_calls_are_told_with_the_call_that_they_belong_to():
    events = events_of(
        chunk(call('{"x', index=0, id="a", name="f")),
        chunk(call("", index=1, id="b", name="g")),
        chunk(call('":1}', index=0)),
        chunk(call("{}", index=1)),
    )
    assert events[:4] == [
        ToolCallArgumentsDelta(0, "a", "f", '{"x'),
        ToolCallArgumentsDelta(1, "b", "g", ""),
        ToolCallArgumentsDelta(0, "a", "f", '":1}'),
        ToolCallArgumentsDelta(1, "b", "g", "{}"),
    ]
    assert [(event.position, event.call.function.arguments) for event in events[4:6]] == [
        (0, '{"x":1}'),
        (1, "{}"),
    ]


def test_equal_pieces_in_one_chunk_are_told_apart():
    piece = {"function": {"name": "f", "arguments": "{}"}}
    both = chunk({"tool_calls": [{**piece, "index": 0}, {**piece, "index": 1}]})
    assert [event.position for event in events_of(both)[:2]] == [0, 1]


def test_an_id_that_comes_late_is_known_when_the_call_is_done():
    early, late, done, _ = events_of(
        chunk(call("{", index=0, name="f")), chunk(call("}", index=0, id="a"))
    )
    assert (early.id, late.id, done.call.id) == ("", "a", "a")


def test_calls_of_two_answers_are_counted_apart():
    events = events_of(
        chunk(call("{}", index=0, id="a", name="f")),
        chunk(call("{}", index=0, id="b", name="f"), index=1),
    )
    grown = [event for event in events if isinstance(event, ToolCallArgumentsDelta)]
    done = [event for event in events if isinstance(event, ToolCallDone)]
    assert [(event.index, event.position, event.id) for event in grown] == [
        (0, 0, "a"),
        (1, 0, "b"),
    ]
    assert [(event.index, event.position, event.call.id) for event in done] == [
        (0, 0, "a"),
        (1, 0, "b"),
    ]


def test_the_last_event_holds_the_whole_answer():
    chunks = [chunk({"content": "a"}), chunk({"content": "b"})]
    last = events_of(*chunks)[-1]
    assert last == AnswerDone(fold_chunks(chunks))
    assert last.completion.text == "ab"


def test_the_text_so_far_is_that_of_the_first_answer():
    maker = EventMaker()
    assert maker.text == ""
    maker.add(chunk({"content": "x"}, index=1))
    maker.add(chunk({"content": "a"}))
    maker.add(chunk({"content": "b"}))
    assert maker.text == "ab"


def test_events_are_values():
    events = events_of(chunk({"content": "a"}), chunk(call("{}", index=0, id="a", name="f")))
    assert pickle.loads(pickle.dumps(events)) == events
    with pytest.raises(AttributeError):
        events[0].text = "b"


def test_two_choices_of_one_index_are_pieces_of_one_answer():
    def choice(position):
        function = {"name": "f", "arguments": "{}"}
        return {"delta": {"tool_calls": [{"index": position, "function": function}]}}

    both = ChatCompletionChunk.from_object({"choices": [choice(0), choice(1)]})
    events = events_of(both, both)[:4]
    assert [event.position for event in events] == [0, 1, 0, 1]


def test_a_piece_that_was_never_added_begins_a_call():
    piece = chunk(call("{}", id="a", name="f")).choices[0].delta.tool_calls[0]
    assert CompletionBuilder().tool_call_of(0, piece) == (0, ("a", "f"))
