from typing import Any

import pytest

from mbxai.mcp._content import content_text, tool_result
from mbxai.tools.runner._arguments import SchemaChecker

NUMBER = SchemaChecker(
    {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}, "count"
)


def test_texts_are_joined_line_by_line() -> None:
    blocks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert content_text(blocks) == "one\ntwo"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (
            {"type": "image", "mimeType": "image/png", "data": "QUJD"},
            "[image, image/png, 3 bytes, not shown]",
        ),
        (
            {"type": "audio", "mimeType": "audio/wav", "data": "QQ=="},
            "[audio, audio/wav, 1 bytes, not shown]",
        ),
        (
            {"type": "resource_link", "uri": "file:///a", "name": "a", "mimeType": "text/plain"},
            "[resource] a <file:///a> (text/plain)",
        ),
        (
            {"type": "resource", "resource": {"uri": "file:///a", "text": "hello"}},
            "<file:///a>\nhello",
        ),
        (
            {"type": "resource", "resource": {"uri": "file:///a", "blob": "QUJD"}},
            "[resource <file:///a>, unknown type, 3 bytes, not shown]",
        ),
        ({"type": "hologram", "depth": 3}, '{"type":"hologram","depth":3}'),
    ],
)
def test_what_is_no_text_is_named(block: dict[str, Any], text: str) -> None:
    assert content_text([block]) == text


def test_a_structured_result_alone_becomes_json() -> None:
    result = tool_result({"content": [], "structuredContent": {"n": 1}}, name="count")
    assert result.content == '{"n":1}'
    assert result.value == {"n": 1}


def test_a_structured_result_beside_text_is_for_the_application() -> None:
    raw = {"content": [{"type": "text", "text": "one"}], "structuredContent": {"n": 1}}
    result = tool_result(raw, name="count", checker=NUMBER)
    assert (result.content, result.value, result.is_error) == ("one", {"n": 1}, False)


@pytest.mark.parametrize("structured", [{"n": "many"}, None])
def test_a_result_that_breaks_its_schema_is_kept_with_a_note(structured: object) -> None:
    raw = {"content": [{"type": "text", "text": "one"}], "structuredContent": structured}
    result = tool_result(raw, name="count", checker=NUMBER)
    assert result.content.startswith("one\n[note: ")
    assert not result.is_error


def test_a_failure_is_a_failure_whatever_its_schema() -> None:
    raw = {"content": [{"type": "text", "text": "no"}], "isError": True}
    result = tool_result(raw, name="count", checker=NUMBER)
    assert (result.content, result.is_error, result.value) == ("no", True, None)


def test_nothing_is_said_to_be_nothing() -> None:
    assert tool_result({"content": []}, name="count").content == "(no content)"
