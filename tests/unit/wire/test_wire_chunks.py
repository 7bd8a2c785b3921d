from mbxai.wire import ChatCompletion, ChatCompletionChunk, fold_chunks


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
