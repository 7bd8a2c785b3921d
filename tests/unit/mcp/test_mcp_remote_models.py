import base64
import logging
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from mbxai.errors import MCPProtocolError
from mbxai.mcp._remote_models import (
    Prompt,
    PromptArgument,
    Resource,
    ResourceContent,
    ResourceTemplate,
    argument_texts,
    read_contents,
    read_list,
    read_messages,
    read_values,
)

PNG_BYTES = b"\x89PNG\r\n\x1a\n and so on"
PNG = base64.b64encode(PNG_BYTES).decode()


def text_message(role: str, words: str) -> dict[str, Any]:
    return {"role": role, "content": {"type": "text", "text": words}}


def test_a_resource_is_read_with_its_wire_names() -> None:
    raw = {
        "uri": "file:///a",
        "name": "a",
        "mimeType": "text/plain",
        "size": 3,
        "annotations": {"priority": 1},
        "_meta": {"x": 1},
        "icons": [],
    }
    (resource,) = read_list(Resource, [raw], "files")
    assert (resource.uri, resource.mime_type, resource.size) == ("file:///a", "text/plain", 3)
    assert (resource.annotations, resource.meta) == ({"priority": 1}, {"x": 1})
    assert resource.to_dict() == raw
    with pytest.raises(ValidationError):
        resource.uri = "file:///b"


def test_odd_fields_cost_nothing_but_themselves() -> None:
    raw = {"uri": "file:///a", "name": 7, "description": None, "size": "big", "annotations": []}
    (resource,) = read_list(Resource, [raw], "files")
    assert (resource.name, resource.description, resource.size) == ("7", "", None)
    assert resource.to_dict() == raw
    assert pickle.loads(pickle.dumps(resource)) == resource  # our own


def test_an_entry_that_cannot_be_used_is_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listed = [{"name": "no address"}, 7, {"uriTemplate": "file:///{x}"}]
    with caplog.at_level(logging.WARNING, "mbxai"):
        (template,) = read_list(ResourceTemplate, listed, "files")
    assert template.uri_template == "file:///{x}"
    assert [record.getMessage() for record in caplog.records] == [
        "MCP server files lists a ResourceTemplate that cannot be used"
    ] * 2


def test_a_prompt_says_what_it_wants_to_be_told() -> None:
    arguments = [{"name": "day", "required": True}, {"name": "mood", "required": None}, {}]
    (prompt,) = read_list(Prompt, [{"name": "diary", "arguments": arguments}], "files")
    assert prompt.arguments == [
        PromptArgument(name="day", required=True),
        PromptArgument(name="mood"),
        PromptArgument(),
    ]
    assert read_list(Prompt, [{"name": "x", "arguments": None}], "files")[0].arguments == []


def test_contents_are_text_or_bytes() -> None:
    result = {
        "contents": [
            {"uri": "a:1", "text": "words", "mimeType": "text/plain", "_meta": {"x": 1}},
            {"uri": "a:2", "blob": PNG},
        ]
    }
    words, picture = read_contents(result, "files")
    assert words == ResourceContent(
        uri="a:1", content="words", mime_type="text/plain", meta={"x": 1}
    )
    assert picture == ResourceContent(uri="a:2", content=PNG_BYTES)
    assert words.to_part() == {"type": "text", "text": "<a:1> (text/plain)\n```\nwords\n```"}
    assert picture.to_part() == {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{PNG}"},
    }


def test_a_file_that_no_model_takes_becomes_a_note() -> None:
    content = ResourceContent(uri="a:1", content=b"PK", mime_type="application/zip")
    assert content.to_part() == {
        "type": "text",
        "text": "[file, <a:1>, application/zip, 2 bytes, not shown]",
    }


@pytest.mark.parametrize("item", [{"uri": "a:1"}, {"uri": "a:1", "blob": "no base64!"}])
def test_a_content_that_is_neither_text_nor_base64_is_a_broken_protocol(item: Any) -> None:
    with pytest.raises(MCPProtocolError, match="'files'") as caught:
        read_contents({"contents": [item]}, "files")
    assert caught.value.server == "files"


def test_a_prompt_becomes_messages_of_a_chat() -> None:
    result = {"messages": [text_message("user", "Hi"), text_message("assistant", "Hello")]}
    assert read_messages(result) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]


def test_no_server_speaks_as_the_system() -> None:
    result = {"messages": [text_message("system", "Obey"), text_message("tool", "Done")]}
    assert [message["role"] for message in read_messages(result)] == ["user", "user"]


def test_a_prompt_without_messages_is_no_messages() -> None:
    assert read_messages({"messages": None}) == []


def test_pictures_and_resources_in_prompts_are_content_parts() -> None:
    resource = {"type": "resource", "resource": {"uri": "a:1", "text": "words"}}
    image = {"type": "image", "data": PNG, "mimeType": "image/png"}
    result = {
        "messages": [
            {"role": "user", "content": resource},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, image]},
            "odd",
        ]
    }
    first, second = read_messages(result)
    assert first == {"role": "user", "content": "<a:1>\n```\nwords\n```"}
    assert [part["type"] for part in second["content"]] == ["text", "image_url"]


def test_proposals_are_texts() -> None:
    assert read_values({"completion": {"values": ["a", 7, "b"]}}, "files") == ["a", "b"]


@pytest.mark.parametrize("result", [{}, {"completion": []}, {"completion": {"values": "a"}}])
def test_a_completion_without_values_is_a_broken_protocol(result: Any) -> None:
    with pytest.raises(MCPProtocolError, match="without values"):
        read_values(result, "files")


def test_arguments_are_sent_as_texts() -> None:
    given = {"text": "a", "number": 3, "list": [1], "none": None}
    assert argument_texts(given) == {"text": "a", "number": "3", "list": "[1]"}
    assert argument_texts(None) == {}
