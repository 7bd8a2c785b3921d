"""The result of a server's tool as text for a model.

Works on the plain JSON of a `CallToolResult`; nothing of the protocol's package is needed here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import pydantic_core

from mbxai._redaction import get_logger
from mbxai.errors import ToolArgumentError
from mbxai.tools.runner._arguments import SchemaChecker
from mbxai.wire import ToolResult

logger = get_logger(__name__)

_MISMATCH_NOTE: Final = "[note: the structured result does not fit the tool's output schema]"
_EMPTY: Final = "(no content)"


def tool_result(
    result: Mapping[str, Any], *, name: str, checker: SchemaChecker | None = None
) -> ToolResult:
    """Read a call's result.

    Args:
        result: The `CallToolResult` as JSON.
        name: The name under which the model called the tool.
        checker: Checks the structured part; None where the tool declares no output schema.

    Returns:
        The result for the model. `value` is the structured part where there is one, else the text.
    """
    is_error = result.get("isError") is True
    structured = result.get("structuredContent")
    text = content_text(cast("Sequence[object]", result.get("content") or ()))
    if not text and structured is not None:
        text = _json_text(structured)
    if checker is not None and not is_error and not _fits(checker, structured, name):
        text = f"{text}\n{_MISMATCH_NOTE}" if text else _MISMATCH_NOTE
    text = text or _EMPTY
    value = None if is_error else (text if structured is None else structured)
    return ToolResult(call_id="", name=name, content=text, is_error=is_error, value=value)


def content_text(blocks: Sequence[object]) -> str:
    """Return content blocks as one text, a line break between them.

    Args:
        blocks: The `content` of a result: text, images, audio, resources, links.

    Returns:
        Text as it stands; what is no text as a note that says what it was.
    """
    parts = [_block_text(cast("Mapping[str, Any]", b)) for b in blocks if isinstance(b, Mapping)]
    return "\n".join(part for part in parts if part)


def _block_text(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind in ("image", "audio"):
        return _media_note(str(kind), block)
    if kind == "resource_link":
        return _link_text(block)
    if kind == "resource" and isinstance(block.get("resource"), Mapping):
        return _resource_text(cast("Mapping[str, Any]", block["resource"]))
    return _json_text(block)


def _media_note(kind: str, block: Mapping[str, Any]) -> str:
    mime = block.get("mimeType") or "unknown type"
    return f"[{kind}, {mime}, {_decoded_bytes(block.get('data'))} bytes, not shown]"


def _link_text(block: Mapping[str, Any]) -> str:
    words = [str(block[key]) for key in ("title", "name", "description") if block.get(key)]
    label = ": ".join(dict.fromkeys(words))
    mime = f" ({block['mimeType']})" if block.get("mimeType") else ""
    return f"[resource] {label} <{block.get('uri', '')}>{mime}"


def _resource_text(resource: Mapping[str, Any]) -> str:
    uri = resource.get("uri", "")
    if isinstance(resource.get("text"), str):
        return f"<{uri}>\n{resource['text']}"
    mime = resource.get("mimeType") or "unknown type"
    return f"[resource <{uri}>, {mime}, {_decoded_bytes(resource.get('blob'))} bytes, not shown]"


def _decoded_bytes(base64: object) -> int:
    text = base64.rstrip("=\n") if isinstance(base64, str) else ""
    return len(text) * 3 // 4


def _json_text(value: object) -> str:
    return pydantic_core.to_json(value, fallback=str, inf_nan_mode="strings").decode()


def _fits(checker: SchemaChecker, structured: object, name: str) -> bool:
    try:
        if structured is not None:
            checker.check(cast("Mapping[str, Any]", structured))
            return True
    except ToolArgumentError:
        pass
    logger.warning("The result of tool %s does not fit its output schema", name)
    return False
