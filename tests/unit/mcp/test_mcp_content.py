import base64
from typing import Any

import pytest

from mbxai.mcp.registry._content import (
    arranged,
    content_items,
    content_text,
    read_result,
    tool_result,
)
from mbxai.mcp.registry._content_media import bytes_item
from mbxai.tools import ToolCall
from mbxai.tools.runner._arguments import SchemaChecker
from mbxai.tools.runner._result_parts import MAX_PART_CHARS
from mbxai.tools.runner._results import described, finished

NUMBER_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
NUMBER = SchemaChecker(NUMBER_SCHEMA, "count")
# As the Python SDK declares it for a function that returns no object.
WRAPPER = {
    "type": "object",
    "properties": {"result": {"type": "array"}},
    "required": ["result"],
    "title": "countOutput",
}


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


PNG = encoded(b"\x89PNG\r\n\x1a\n and so on")
WAV = encoded(b"RIFF\x00\x00\x00\x00WAVEfmt ")
PDF = encoded(b"%PDF-1.7 and so on")


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def image(data: str, mime: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "data": data, "mimeType": mime}


def blob(data: str, mime: str, uri: str = "file:///a/report.x") -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "blob": data, "mimeType": mime}}


def test_texts_are_joined_line_by_line() -> None:
    assert content_text([text("one"), text("two")]) == "one\ntwo"


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            {"type": "resource_link", "uri": "file:///a", "name": "a", "mimeType": "text/plain"},
            "[resource] a <file:///a> (text/plain)",
        ),
        (
            {"type": "resource_link", "uri": "x:\n1", "name": "a", "title": "A", "size": 7},
            "[resource] A: a <x:1> (7 bytes)",
        ),
        (
            {"type": "resource", "resource": {"uri": "file:///a", "text": "hello"}},
            "<file:///a>\n```\nhello\n```",
        ),
        (
            {
                "type": "resource",
                "resource": {"uri": "a:b", "text": "x\n````\n", "mimeType": "t/m"},
            },
            "<a:b> (t/m)\n`````\nx\n````\n`````",
        ),
        (
            blob("QUJD", "application/zip"),
            "[file, <file:///a/report.x>, application/zip, 3 bytes, not shown]",
        ),
        ({"type": "resource", "resource": "gone"}, '{"type":"resource","resource":"gone"}'),
        ({"type": "hologram", "depth": 3}, '{"type":"hologram","depth":3}'),
        (text({"a": 1}), '{"a":1}'),  # type: ignore[arg-type]  # a server may send anything
    ],
)
def test_what_is_no_text_becomes_text_that_says_what_it_is(
    block: dict[str, Any], words: str
) -> None:
    assert content_items([block]) == [words]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            image(PNG),
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        ),
        (
            {"type": "audio", "data": WAV, "mimeType": "audio/x-wav"},
            {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
        ),
        (
            {"type": "audio", "data": "QUJD", "mimeType": "audio/mp3"},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        ),
        (
            {"type": "audio", "data": "QUJD", "mimeType": "audio/L16; rate=24000"},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "pcm16"}},
        ),
        (
            blob(PDF, "application/octet-stream", "file:///a/the%20report.pdf?v=1"),
            {
                "type": "file",
                "file": {
                    "filename": "the report.pdf",
                    "file_data": f"data:application/pdf;base64,{PDF}",
                },
            },
        ),
        (
            blob(PNG, "image/png"),
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        ),
    ],
)
def test_pictures_sound_and_files_become_parts_of_a_message(
    block: dict[str, Any], part: dict[str, Any]
) -> None:
    assert content_items([block]) == [part]


@pytest.mark.parametrize(
    "data", [f"data:image/png;base64,{PNG}", f"{PNG[:8]}\n{PNG[8:]}", PNG.rstrip("=")]
)
def test_base64_is_read_however_it_was_written(data: str) -> None:
    (part,) = content_items([image(data)])
    assert not isinstance(part, str)
    assert part["image_url"]["url"] == f"data:image/png;base64,{PNG}"


def test_a_picture_is_what_its_bytes_say() -> None:
    (part,) = content_items([image(PNG, "image/jpeg")])
    assert not isinstance(part, str)
    assert part["image_url"]["url"].startswith("data:image/png;")


@pytest.mark.parametrize(
    ("block", "note"),
    [
        (image("no base64!"), "[image, image/png, not shown: its data is no base64]"),
        (image(None), "[image, image/png, not shown: its data is no base64]"),  # type: ignore[arg-type]
        (image("QUJD"), "[image, image/png, 3 bytes, not shown]"),
        (image("QUJD", "\n]"), "[image, 3 bytes, not shown]"),
        (image(""), "[image, image/png, empty]"),
        (
            {"type": "audio", "mimeType": "audio/wav", "data": "QQ=="},
            "[audio, audio/wav, 1 bytes, not shown]",
        ),
        (
            image("A" * (MAX_PART_CHARS + 1)),
            "[image, image/png, 6.0 MiB, too large to be shown]",
        ),
    ],
)
def test_what_no_model_could_read_is_noted_and_not_sent(block: dict[str, Any], note: str) -> None:
    result = tool_result({"content": [block]}, name="draw")
    assert (result.content, result.parts, result.is_error) == (note, (), False)


@pytest.mark.parametrize(
    ("beginning", "format_name"),
    [
        (b"FORM\x00\x00\x00\x00AIFF", "aiff"),
        (b"fLaC", "flac"),
        (b"OggS", "ogg"),
        (b"\x00\x00\x00\x20ftypM4A ", "m4a"),
        (b"\xff\xf1", "aac"),
        (b"ID3\x03", "mp3"),
    ],
)
def test_sound_is_what_its_bytes_say(beginning: bytes, format_name: str) -> None:
    (part,) = content_items([{"type": "audio", "data": encoded(beginning), "mimeType": "x/y"}])
    assert not isinstance(part, str)
    assert part["input_audio"]["format"] == format_name


def test_a_file_without_a_name_gets_one() -> None:
    (part,) = content_items([blob(PDF, "application/pdf", "http://[")])
    assert not isinstance(part, str)
    assert part["file"]["filename"] == "file.pdf"


def test_bytes_are_as_limited_as_base64_is() -> None:
    item = bytes_item(b"x" * MAX_PART_CHARS, media_type="text/plain")
    assert item == "[file, text/plain, 8.0 MiB, too large to be shown]"


def test_text_that_came_in_base64_is_shown_as_text() -> None:
    (item,) = content_items([blob(encoded("naïve".encode()), "text/csv", "file:///a.csv")])
    assert item == "<file:///a.csv> (text/csv)\n```\nnaïve\n```"


def test_text_in_another_encoding_is_noted() -> None:
    (item,) = content_items([blob(encoded(b"na\xefve"), "text/csv", "a:b")])
    assert item == "[file, <a:b>, text/csv, 5 bytes, not shown]"


def test_parts_keep_their_order_among_the_texts() -> None:
    raw = {"content": [text("one"), text("two"), image(PNG), text("three")]}
    result = tool_result(raw, name="draw")
    message = result.to_message()["content"]
    assert [part["type"] for part in message] == ["text", "image_url", "text"]
    assert (message[0]["text"], message[2]["text"]) == ("one\ntwo", "three")


def test_a_picture_alone_is_named_for_whoever_cannot_see() -> None:
    assert arranged(content_items([image(PNG)]))[0].startswith("[image/png, ")


def test_a_structured_result_alone_becomes_json() -> None:
    result = tool_result({"content": [], "structuredContent": {"n": 1}}, name="count")
    assert result.content == '{"n":1}'
    assert result.value == {"n": 1}


def test_a_structured_result_beside_other_words_is_for_the_application() -> None:
    raw = {"content": [text("one")], "structuredContent": {"n": 1}}
    result = tool_result(raw, name="count", checker=NUMBER)
    assert (result.content, result.value, result.is_error) == ("one", {"n": 1}, False)


def test_a_structured_result_wins_over_text_that_repeats_it() -> None:
    raw = {"content": [text('{\n  "n": 1\n}')], "structuredContent": {"n": 1}}
    assert tool_result(raw, name="count").content == '{"n":1}'


def test_a_structured_result_does_not_hide_a_picture() -> None:
    raw = {"content": [text('{ "n": 1 }'), image(PNG)], "structuredContent": {"n": 1}}
    result = tool_result(raw, name="count")
    assert (result.content, len(result.parts), result.value) == ('{ "n": 1 }', 1, {"n": 1})


@pytest.mark.parametrize(
    ("value", "texts", "shown"),
    [
        ([1, 2], ["1", "2"], "[1,2]"),
        (["a", "b"], ["a", "b"], '["a","b"]'),
        ("plain", ["plain"], "plain"),
        (3, ["3"], "3"),
        (None, [], "null"),
    ],
)
def test_the_wrapper_of_an_sdk_is_taken_off(value: object, texts: list[str], shown: str) -> None:
    raw = {"content": [text(words) for words in texts], "structuredContent": {"result": value}}
    result = tool_result(raw, name="count", output_schema=WRAPPER)
    assert (result.content, result.value) == (shown, value)


def test_the_wrapper_of_another_framework_is_known_by_its_mark() -> None:
    schema = {"type": "object", "x-fastmcp-wrap-result": True}
    raw = {"content": [text("3")], "structuredContent": {"result": 3}}
    assert tool_result(raw, name="count", output_schema=schema).value == 3


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {**WRAPPER, "title": "Answer"},
        {**WRAPPER, "required": []},
        {**WRAPPER, "properties": "odd"},
        {**WRAPPER, "properties": {"result": {}, "more": {}}},
    ],
)
def test_a_result_that_an_author_called_result_stays_an_object(schema: Any) -> None:
    raw: dict[str, Any] = {"content": [], "structuredContent": {"result": [1]}}
    result = tool_result(raw, name="count", output_schema=schema)
    assert (result.content, result.value) == ('{"result":[1]}', {"result": [1]})


@pytest.mark.parametrize("structured", [{"n": "many"}, None])
def test_a_result_that_breaks_its_schema_is_kept_with_a_note(structured: object) -> None:
    raw = {"content": [text("one")], "structuredContent": structured}
    result = tool_result(raw, name="count", checker=NUMBER)
    assert result.content.startswith("one\n[note: ")
    assert not result.is_error


def test_a_failure_is_a_failure_whatever_its_schema() -> None:
    raw = {"content": [text("no")], "isError": True}
    result = tool_result(raw, name="count", checker=NUMBER)
    assert (result.content, result.is_error, result.value) == ("no", True, None)


def test_nothing_is_said_to_be_nothing() -> None:
    assert tool_result({"content": []}, name="count").content == "(no content)"


def test_what_is_for_the_user_alone_is_kept_from_the_model() -> None:
    people = text("dear user", annotations={"audience": ["user"]})
    both = text("all", annotations={"audience": ["user", "assistant"]})
    raw = {"content": [people, both]}
    result = tool_result(raw, name="tell")
    assert (result.content, result.value) == ("all", "dear user\nall")
    assert result.raw == raw
    alone = tool_result({"content": [people]}, name="tell")
    assert (alone.content, alone.value) == (
        "(the result is for the user only and is not shown here)",
        "dear user",
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [("bare", "bare"), (["bare", 7], "bare\n7"), (text("one"), "one"), (None, "(no content)")],
)
def test_content_that_is_no_list_of_blocks_is_shown_all_the_same(
    content: object, words: str
) -> None:
    assert tool_result({"content": content}, name="odd").content == words


def test_a_structure_too_deep_for_a_json_writer_is_no_failure() -> None:
    deep: list[Any] = []
    for _ in range(3_000):
        deep = [deep]
    for content in ([], [text("[[]]")]):
        result = tool_result({"content": content, "structuredContent": deep}, name="deep")
        assert result.content
        assert not result.is_error


def test_secrets_are_taken_out_of_the_texts_among_the_parts() -> None:
    raw = {"content": [image(PNG), text("the key is hunter2hunter2")]}
    result = tool_result(raw, name="draw")
    shown = described(result, 1_000)
    clean = finished(
        ToolCall("call", "draw", "{}"), result, shown, 1_000, lambda t: t.replace("hunter2", "*")
    )
    assert clean.parts[1] == {"type": "text", "text": "the key is **"}
    assert clean.raw == raw


@pytest.mark.parametrize("length", [1, 100_000])
async def test_a_large_result_is_read_as_a_small_one_is(length: int) -> None:
    raw = {"content": [text("x" * length), image(PNG)], "structuredContent": {"n": 1}}
    assert await read_result(raw, name="count") == tool_result(raw, name="count")
