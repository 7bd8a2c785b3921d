from typing import Any

import pytest

from mbxai.mcp.connection._repairs import mended

GOOD = {"name": "good", "inputSchema": {"type": "object"}}
OLD, NEW = "2025-11-25", "2026-07-28"


def test_a_well_formed_result_passes_untouched() -> None:
    result: dict[str, Any] = {"tools": [GOOD], "nextCursor": "2"}
    assert mended("tools/list", OLD, result) is result


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("bad", [{"name": "b"}, {"name": "b", "inputSchema": {"type": "array"}}, 7])
def test_a_malformed_tool_does_not_lose_the_others(version: str, bad: object) -> None:
    result = mended("tools/list", version, {"tools": [bad, GOOD], "nextCursor": "2"})
    assert result["tools"] == [GOOD]
    assert result["nextCursor"] == "2"


def test_a_list_that_is_no_list_is_empty() -> None:
    assert mended("tools/list", OLD, {"tools": "none"})["tools"] == []


def test_a_block_of_an_unknown_type_becomes_text() -> None:
    result = mended(
        "tools/call", OLD, {"content": [{"type": "hologram"}, {"type": "text", "text": "a"}]}
    )
    assert result["content"] == [
        {"type": "text", "text": '{"type":"hologram"}'},
        {"type": "text", "text": "a"},
    ]


def test_a_bare_string_becomes_text() -> None:
    assert mended("tools/call", OLD, {"content": "hello"})["content"] == [
        {"type": "text", "text": "hello"}
    ]


def test_missing_content_is_empty_content() -> None:
    assert mended("tools/call", OLD, {})["content"] == []


def test_a_structured_list_becomes_text_where_only_objects_are_allowed() -> None:
    result = mended("tools/call", OLD, {"content": [], "structuredContent": [1]})
    assert result == {"content": [{"type": "text", "text": "[1]"}]}


def test_a_structured_list_stays_where_lists_are_allowed() -> None:
    result = mended("tools/call", NEW, {"content": [], "structuredContent": [1]})
    assert result["structuredContent"] == [1]


def test_a_modern_result_without_its_type_is_complete() -> None:
    assert mended("tools/call", NEW, {"content": []})["resultType"] == "complete"


def test_a_request_of_the_server_is_no_result_to_mend() -> None:
    asked = {"resultType": "input_required", "inputRequests": 5}
    assert "content" not in mended("tools/call", NEW, asked)


def test_other_methods_are_left_alone() -> None:
    result = {"anything": 1}
    assert mended("completion/complete", OLD, result) is result


def test_a_malformed_entry_of_any_list_is_left_out() -> None:
    good = {"uri": "test://a", "name": "a"}
    result = mended("resources/list", OLD, {"resources": [good, {"uri": 5}], "nextCursor": 7})
    assert result == {"resources": [good]}


def test_what_must_fit_and_cannot_be_mended_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of the protocol"):
        mended("resources/read", OLD, {"contents": 5}, must_fit=True)
