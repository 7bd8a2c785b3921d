"""Mends what a server sends against the protocol, before the protocol's package refuses it all.

One malformed tool would lose the whole list, one malformed block a result whose tool has already
run. What is well-formed passes untouched.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import pydantic_core

from mbxai._redaction import get_logger

logger = get_logger(__name__)

MODERN_VERSIONS_FROM: Final = "2026-07-28"
"""From this version on, every result says of which type it is, and lists how long they hold."""


def mended(method: str, version: str, result: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a request, such that it can be validated.

    Args:
        method: The request's method.
        version: The protocol version that the request was sent under.
        result: The raw result; it is not changed.

    Returns:
        The result itself if it is well-formed or cannot be mended, else a mended copy.
    """
    if method not in ("tools/list", "tools/call") or _is_valid(method, version, result):
        return result
    if version >= MODERN_VERSIONS_FROM:
        missing: dict[str, Any] = {"resultType": "complete"}
        if method == "tools/list":
            missing |= {"ttlMs": 0, "cacheScope": "private"}
        result = {**missing, **result}
        if _is_valid(method, version, result):
            return result
    mend = _mended_list if method == "tools/list" else _mended_call
    return mend(version, result)


def _mended_list(version: str, result: dict[str, Any]) -> dict[str, Any]:
    kept: list[Any] = []
    envelope = {key: value for key, value in result.items() if key != "tools"}
    tools: object = result.get("tools")
    for tool in cast("list[object]", tools) if isinstance(tools, list) else []:
        if _is_valid("tools/list", version, {**envelope, "tools": [tool]}):
            kept.append(tool)
        else:
            name = cast("Mapping[str, Any]", tool).get("name") if isinstance(tool, Mapping) else ""
            logger.warning("A malformed tool is left out of a server's list: %.100r", name)
    return {**envelope, "tools": kept}


def _mended_call(version: str, result: dict[str, Any]) -> dict[str, Any]:
    if result.get("resultType", "complete") != "complete":
        return result  # the server asks for something; there is no content to mend
    content: object = result.get("content")
    blocks = cast("list[object]", content) if isinstance(content, list) else []
    if isinstance(content, str):
        blocks = [content]
    mended_result = {
        **result,
        "content": [
            block if _is_valid("tools/call", version, _alone(result, block)) else _as_text(block)
            for block in blocks
        ],
    }
    structured = result.get("structuredContent")
    if "structuredContent" in result and not isinstance(structured, dict):
        del mended_result["structuredContent"]
        if structured is not None:
            mended_result["content"].append(_as_text(structured))
    if not isinstance(result.get("isError", False), bool):
        mended_result["isError"] = bool(result["isError"])
    logger.warning("A malformed tool result was mended")
    return mended_result


def _alone(result: Mapping[str, Any], block: object) -> dict[str, Any]:
    kind = {"resultType": result["resultType"]} if "resultType" in result else {}
    return {**kind, "content": [block]}


def _as_text(value: object) -> dict[str, str]:
    text = value if isinstance(value, str) else pydantic_core.to_json(value).decode()
    return {"type": "text", "text": text}


def _is_valid(method: str, version: str, result: dict[str, Any]) -> bool:
    from mcp_types import methods  # slow to load

    try:
        methods.parse_server_result(method, version, result)
    except (ValueError, KeyError):  # pydantic's error is a ValueError
        return False
    return True
