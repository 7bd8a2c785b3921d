import json
import time

import pytest

from mbxai.wire import ChatCompletion, ChatCompletionChunk, CompletionBuilder, fold_chunks


def chunk(delta=None, *, finish=None, **fields):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return ChatCompletionChunk.from_object(
        {"id": "gen-1", "model": "m", "created": 1, "choices": [choice], **fields}
    )


def calls(*deltas):
    folded = fold_chunks([chunk({"tool_calls": [delta]}) for delta in deltas])
    return [
        (call.id, call.function.name, call.function.arguments)
        for call in folded.choices[0].message.tool_calls or ()
    ]


def call(arguments=None, *, index=None, call_id=None, name=None):
    return {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}


def test_chunks_add_up_to_the_completion_that_comes_without_streaming():
    whole = ChatCompletion.model_validate(
        {
            "id": "gen-1",
            "model": "m",
            "created": 1,
            "provider": "P",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "native_finish_reason": "STOP",
                    "message": {"role": "assistant", "content": "Hello", "reasoning": "hm, yes"},
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.5},
        }
    )
    chunks = [
        chunk({"role": "assistant", "content": ""}, provider="P"),
        chunk({"reasoning": "hm, "}),
        chunk({"reasoning": "yes"}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        ChatCompletionChunk.from_object(
            {"choices": [{"delta": None, "finish_reason": "stop", "native_finish_reason": "STOP"}]}
        ),
        ChatCompletionChunk.from_object({"choices": [], "usage": whole.usage.model_dump()}),
    ]
    assert fold_chunks(chunks) == whole


def test_interleaved_calls_are_sorted_by_index():
    assert calls(
        call("", index=0, call_id="a", name="f"),
        call("", index=1, call_id="b", name="g"),
        call('{"x":', index=0),
        call('{"y":', index=1),
        call("1}", index=0),
        call("2}", index=1),
    ) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]


def test_a_known_id_beats_a_wrong_index():
    assert calls(
        call("{", index=0, call_id="a", name="f"),
        call("{", index=0, call_id="b", name="g"),
        call("}", index=5, call_id="a"),
        call("}", index=0, call_id="b"),
    ) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_a_new_id_on_a_used_index_is_another_call():
    assert calls(
        call("{}", index=0, call_id="a", name="f"), call("{}", index=0, call_id="b", name="f")
    ) == [("a", "f", "{}"), ("b", "f", "{}")]


def test_pieces_without_id_and_index_belong_to_the_current_call():
    assert calls(call("{", call_id="a", name="f"), call("}"), call("  ")) == [("a", "f", "{}  ")]


def test_an_id_that_comes_late_joins_its_call():
    assert calls(call("{", index=0, name="f"), call("}", index=0, call_id="a")) == [
        ("a", "f", "{}")
    ]


def test_a_repeated_name_is_not_doubled():
    assert calls(
        call("{", index=0, call_id="a", name="f"), call("}", index=0, call_id="a", name="f")
    ) == [("a", "f", "{}")]


def test_two_whole_calls_under_one_id_stay_two():
    assert calls(
        call('{"x":1}', index=0, call_id="a", name="f"),
        call('{"x":2}', index=1, call_id="a", name="f"),
    ) == [("a", "f", '{"x":1}'), ("a", "f", '{"x":2}')]


def details(*pieces):
    folded = fold_chunks([chunk({"reasoning_details": list(piece)}) for piece in pieces])
    return folded.choices[0].message.reasoning_details


def test_reasoning_is_joined_and_a_late_signature_is_kept():
    assert details(
        [{"type": "reasoning.text", "index": 0, "text": "I th", "format": "x"}],
        [{"type": "reasoning.text", "index": 0, "text": "ink", "format": "y"}],
        [{"type": "reasoning.text", "index": 0, "signature": "sig"}],
    ) == [
        {"type": "reasoning.text", "index": 0, "text": "I think", "format": "x", "signature": "sig"}
    ]


def test_text_after_a_signature_begins_another_block():
    parts = details(
        [{"type": "reasoning.text", "index": 0, "text": "a", "signature": "s1"}],
        [{"type": "reasoning.text", "index": 0, "text": "b", "signature": "s2"}],
    )
    assert [(part["text"], part["signature"]) for part in parts] == [("a", "s1"), ("b", "s2")]


def test_opaque_reasoning_stays_as_it_came():
    pieces = [{"type": "reasoning.encrypted", "index": 0, "data": "x"}, {"type": "new", "v": [1]}]
    assert details(pieces, [pieces[0]]) == [*pieces, pieces[0]]


def test_empty_reasoning_details_are_kept_since_some_models_want_them_back():
    assert details([]) == []
    assert fold_chunks([chunk({"content": "x"})]).choices[0].message.reasoning_details is None


def test_unknown_fields_survive():
    folded = fold_chunks(
        [
            chunk({"content": "x", "audio": {"id": "a", "data": "AA"}}, new_field=1),
            chunk({"audio": {"data": "BB"}}, finish="stop"),
        ]
    )
    assert folded.model_extra["new_field"] == 1
    assert folded.choices[0].message.audio.to_dict() == {"id": "a", "data": "AABB"}


def test_two_answers_are_kept_apart():
    both = {
        "choices": [
            {"index": 1, "delta": {"content": "b"}},
            {"index": 0, "delta": {"content": "a"}},
        ]
    }
    folded = fold_chunks([ChatCompletionChunk.from_object(both)] * 2)
    assert [choice.message.content for choice in folded.choices] == ["aa", "bb"]


def test_an_empty_finish_reason_does_not_undo_a_real_one():
    assert fold_chunks([chunk(finish="stop"), chunk(finish="")]).choices[0].finish_reason == "stop"


@pytest.mark.parametrize("text", [5, ["x"], {"a": 1}, True])
def test_reasoning_whose_text_is_no_text_stays_as_it_came(text):
    odd = {"type": "reasoning.text", "index": 0, "text": text}
    good = {"type": "reasoning.text", "index": 0, "text": "a"}
    assert details([odd], [odd]) == [odd, odd]
    assert details([good], [odd], [good]) == [good, odd, good]


def test_a_snapshot_of_the_reasoning_does_not_grow():
    builder = CompletionBuilder()
    piece = {"type": "reasoning.text", "index": 0, "text": "a"}
    builder.add(chunk({"reasoning_details": [piece]}))
    early = builder.build()
    builder.add(chunk({"reasoning_details": [piece]}))
    assert early.choices[0].message.reasoning_details == [piece]
    assert builder.build().choices[0].message.reasoning_details == [{**piece, "text": "aa"}]


def logprobs(*pieces):
    choices = [{"index": 0, "delta": {}, "logprobs": piece} for piece in pieces]
    chunks = [ChatCompletionChunk.from_object({"choices": [choice]}) for choice in choices]
    return fold_chunks(chunks).choices[0].logprobs


def test_logprobs_are_joined_whatever_came_between():
    one, two = {"content": [{"token": "a"}]}, {"content": [{"token": "b"}]}
    both = {"content": [*one["content"], *two["content"]]}
    assert logprobs(one, two) == both
    assert logprobs({"content": 5}, one, {"content": None}, {"content": 5}, two) == both
    assert logprobs({"content": 5}) == {"content": 5}


def test_a_snapshot_of_the_logprobs_does_not_grow():
    builder = CompletionBuilder()
    choice = {"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a"}]}}
    piece = ChatCompletionChunk.from_object({"choices": [choice]})
    builder.add(piece)
    early = builder.build()
    builder.add(piece)
    assert len(early.choices[0].logprobs["content"]) == 1
    assert len(piece.choices[0].logprobs["content"]) == 1


def test_metadata_that_is_no_object_counts_as_absent():
    usage = {"prompt_tokens": 1}
    folded = fold_chunks([chunk({"content": "x"}, openrouter_metadata=5, usage=usage)])
    assert (folded.openrouter_metadata, folded.usage.prompt_tokens) == (None, 1)
    assert json.loads(json.dumps(folded.to_dict()))["usage"] == usage


def test_audio_that_is_no_text_breaks_nothing():
    pieces = [{"data": 5, "id": "a"}, {"data": "AA"}, {"data": {"x": 1}}, {"data": "BB"}]
    folded = fold_chunks([chunk({"audio": piece}) for piece in pieces])
    assert folded.choices[0].message.audio.data == "AABB"


def test_long_speech_is_joined_once():
    pieces = [chunk({"audio": {"data": "x" * 8000, "transcript": "y"}}) for _ in range(4000)]
    begin = time.process_time()
    folded = fold_chunks(pieces)
    spent = time.process_time() - begin
    assert len(folded.choices[0].message.audio.data) == 32_000_000
    assert spent < 1  # it was 10 s and more


def test_fields_of_a_function_that_nobody_knows_are_kept():
    function = {"name": "f", "arguments": "{", "sig": "S"}
    folded = fold_chunks(
        [
            chunk({"tool_calls": [{"index": 0, "id": "a", "function": function}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}", "sig": None}}]}),
        ]
    )
    got = folded.choices[0].message.tool_calls[0].function.to_dict()
    assert got == {"name": "f", "arguments": "{}", "sig": "S"}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"a": [1, "ü"]}, '{"a":[1,"ü"]}'), ([], "[]"), (5, "5"), (None, ""), ("x", "x")],
)
def test_streamed_arguments_of_another_type_become_their_json(arguments, text):
    piece = {"index": 0, "id": 12, "function": {"name": 3, "arguments": arguments}}
    raw = {"choices": [{"delta": {"tool_calls": [piece]}}]}
    made = ChatCompletionChunk.from_object(raw)
    got = fold_chunks([made]).choices[0].message.tool_calls[0]
    assert (got.id, got.function.name, got.function.arguments) == ("12", "3", text)
    assert made.to_dict() == raw


def test_the_text_so_far_is_cheap_to_ask_for_and_leaves_the_answer_as_it_is():
    builder = CompletionBuilder()
    assert builder.text == ""
    for text in ("a", "b", "c"):
        builder.add(chunk({"content": text}))
        assert builder.text == builder.build().choices[0].message.content
    assert builder.text == "abc"


def test_a_choice_without_any_field_is_no_answer():
    empty = ChatCompletionChunk.from_object({"choices": [{}], "usage": {"prompt_tokens": 1}})
    folded = fold_chunks([empty])
    assert (folded.choices, folded.usage.prompt_tokens) == ([], 1)
