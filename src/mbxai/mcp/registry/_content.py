"""What a server's tool answered: for the model as text and parts, for the application whole.

Works on the plain JSON of a `CallToolResult`; nothing of the protocol's package is needed here, and
no address that a server names is ever fetched.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import anyio.to_thread
import pydantic_core

from mbxai._redaction import get_logger
from mbxai.errors import ToolArgumentError
from mbxai.mcp.registry._content_media import Item, address, fenced, media_item
from mbxai.tools.runner._arguments import SchemaChecker
from mbxai.tools.runner._result_parts import Part, part_note
from mbxai.tools.runner._result_text import is_small, result_text
from mbxai.wire import ToolResult

logger = get_logger(__name__)

# Any in this file: JSON of the protocol.
Block = Mapping[str, Any]

_MISMATCH_NOTE: Final = "[note: the structured result does not fit the tool's output schema]"
_EMPTY: Final = "(no content)"
_FOR_PEOPLE: Final = "(the result is for the user only and is not shown here)"


async def read_result(
    result: Mapping[str, Any],
    *,
    name: str,
    checker: SchemaChecker | None = None,
    output_schema: Mapping[str, Any] | None = None,
) -> ToolResult:
    """Read a call's result as `tool_result` does, in a worker thread where it is large.

    Args:
        result: The `CallToolResult` as JSON.
        name: The name under which the model called the tool.
        checker: Checks the structured part; None where the tool declares no output schema.
        output_schema: The schema itself.
    """
    read = partial(tool_result, result, name=name, checker=checker, output_schema=output_schema)
    if is_small(dict(result)):
        return read()
    return await anyio.to_thread.run_sync(read)


def tool_result(
    result: Mapping[str, Any],
    *,
    name: str,
    checker: SchemaChecker | None = None,
    output_schema: Mapping[str, Any] | None = None,
) -> ToolResult:
    """Read a call's result.

    Blocks that the server annotates as meant for the user alone (`audience: ["user"]`) are not
    shown to the model. Where all else is text that only repeats the structured part, the model is
    shown that part, without its blanks; otherwise the text, then pictures, sound and files in the
    order in which they came.

    Args:
        result: The `CallToolResult` as JSON.
        name: The name under which the model called the tool.
        checker: Checks the structured part; None where the tool declares no output schema.
        output_schema: The schema itself; it tells whether `{"result": ...}` around the structured
            part was put there by the server's SDK, and is taken off.

    Returns:
        The result. `value` is the structured part where there is one, else the text of all blocks;
        None for a failure. `raw` is the result as it came, what is for the user alone included.
    """
    blocks = _blocks(result.get("content"))
    is_error = bool(result.get("isError"))
    structured = result.get("structuredContent")
    plain = _unwrapped(structured, output_schema)
    shown = [block for block in blocks if not _is_for_people(block)]
    if structured is not None and _says_the_same(shown, (structured, plain)):
        text, parts = result_text(plain), list[Part]()
    else:
        text, parts = arranged(content_items(shown))
    text = text or (_FOR_PEOPLE if blocks and not shown else _EMPTY)
    if checker is not None and not is_error and not _fits(checker, structured, name):
        text = f"{text}\n{_MISMATCH_NOTE}"
    value = plain if structured is not None else content_text(blocks) or text
    return ToolResult(
        call_id="",
        name=name,
        content=text,
        is_error=is_error,
        value=None if is_error else value,
        parts=tuple(parts),
        raw=result,
    )


def content_items(blocks: Sequence[Block]) -> list[Item]:
    """Return content blocks as texts and message parts, in their order.

    Args:
        blocks: Text, images, audio, resources and links; what is none of these becomes JSON text.
    """
    return [item for item in map(_item, blocks) if item]


def content_text(blocks: Sequence[Block]) -> str:
    """Return content blocks as one text, a line break between them.

    Args:
        blocks: As for `content_items`; what is no text is noted in brackets.
    """
    items = content_items(blocks)
    return "\n".join(item if isinstance(item, str) else part_note(item) for item in items)


def arranged(items: Sequence[Item]) -> tuple[str, list[Part]]:
    """Return the texts before the first part as one, and the rest as parts.

    Args:
        items: Texts and parts in their order.

    Returns:
        The text, which names the parts where none comes before them; and the parts.
    """
    first = next((i for i, item in enumerate(items) if not isinstance(item, str)), len(items))
    text = "\n".join(str(item) for item in items[:first])
    parts: list[Part] = [
        {"type": "text", "text": item} if isinstance(item, str) else item for item in items[first:]
    ]
    if not text:
        # For whoever has no eyes: logs, events, models that take text alone.
        text = " ".join(part_note(part) for part in parts if part.get("type") != "text")
    return text, parts


def wraps_result(output_schema: Mapping[str, Any] | None) -> bool:
    """Whether a schema is the wrapper that servers' SDKs put around what is no object.

    Args:
        output_schema: A tool's output schema, if it has one.
    """
    if output_schema is None:
        return False
    if output_schema.get("x-fastmcp-wrap-result") is True:
        return True
    properties = output_schema.get("properties")
    return (
        isinstance(properties, Mapping)
        and list(cast("Mapping[str, Any]", properties)) == ["result"]
        and output_schema.get("required") == ["result"]
        # So the Python SDK names it, after the function; one that an author wrote has other names.
        and str(output_schema.get("title")).endswith("Output")
    )


def _blocks(content: object) -> list[Block]:
    """The blocks, also of a server that sends one without a list, or bare texts."""
    if content is None:
        return []
    items = cast("list[object]", content) if isinstance(content, list) else [content]
    return [
        cast("Block", item) if isinstance(item, Mapping) else {"type": "text", "text": item}
        for item in items
    ]


def _item(block: Block) -> Item:
    kind = block.get("type")
    resource: object = block.get("resource")
    if kind == "text":
        text = block.get("text")
        return "" if text is None else result_text(text)
    if kind in ("image", "audio"):
        return media_item(block.get("data"), media_type=block.get("mimeType"), kind=str(kind))
    if kind == "resource_link":
        return _link_text(block)
    if kind == "resource" and isinstance(resource, Mapping):
        return resource_item(cast("Block", resource))
    return result_text(block)


def resource_item(resource: Block) -> Item:
    """Return what a model is shown of a resource: its text between fences, or a part, or a note.

    Args:
        resource: `TextResourceContents` or `BlobResourceContents` as JSON.
    """
    uri, mime = resource.get("uri", ""), resource.get("mimeType")
    text = resource.get("text")
    if isinstance(text, str):
        return fenced(text, uri=uri, media_type=mime)
    return media_item(resource.get("blob"), media_type=mime, uri=uri)


def _link_text(block: Block) -> str:
    words = [str(block[key]) for key in ("title", "name", "description") if block.get(key)]
    label = ": ".join(dict.fromkeys(words))
    size = f"{block['size']} bytes" if isinstance(block.get("size"), int) else ""
    more = ", ".join(filter(None, [str(block.get("mimeType") or ""), size]))
    return f"[resource] {label} <{address(block.get('uri', ''))}>{f' ({more})' if more else ''}"


def _is_for_people(block: Block) -> bool:
    annotations: object = block.get("annotations")
    if not isinstance(annotations, Mapping):
        return False
    return cast("Mapping[str, object]", annotations).get("audience") == ["user"]


def _unwrapped(structured: Any, output_schema: Mapping[str, Any] | None) -> object:
    if not isinstance(structured, dict) or not wraps_result(output_schema):
        return cast("object", structured)
    fields = cast("dict[str, object]", structured)
    return fields["result"] if fields.keys() == {"result"} else fields


def _says_the_same(blocks: Sequence[Block], values: Sequence[object]) -> bool:
    """Whether all blocks are texts, and nothing but the structured part once more."""
    if not all(block.get("type") == "text" for block in blocks):
        return False
    texts = [text for block in blocks if (text := str(block.get("text") or ""))]
    if not texts:
        return True
    joined = "\n".join(texts)
    read = _from_json(joined)
    # The Python SDK sends a list as one block an item.
    items = [text if (item := _from_json(text)) is None else item for text in texts]
    return any(
        type(value) is type(alike) and value == alike
        for value in values
        for alike in (joined, read, items, texts)
    )


def _from_json(text: str) -> object:
    try:
        return cast("object", pydantic_core.from_json(text))
    except (ValueError, TypeError):  # TypeError: half a surrogate pair
        return None


def _fits(checker: SchemaChecker, structured: object, name: str) -> bool:
    try:
        if structured is not None:
            checker.check(cast("Mapping[str, Any]", structured))
            return True
    except ToolArgumentError:
        pass
    logger.warning("The result of tool %s does not fit its output schema", name)
    return False
