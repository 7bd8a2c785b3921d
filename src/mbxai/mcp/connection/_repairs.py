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

LISTS: Final = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
"""Methods that list something, to the key of the list."""

_CACHED: Final = frozenset({*LISTS, "resources/read"})


def mended(
    method: str, version: str, result: dict[str, Any], *, must_fit: bool = False
) -> dict[str, Any]:
    """Return the result of a request, such that it can be validated.

    Args:
        method: The request's method.
        version: The protocol version that the request was sent under.
        result: The raw result; it is not changed.
        must_fit: Whether a result that cannot be mended is an error.

    Returns:
        The result itself if it is well-formed or cannot be mended, else a mended copy.

    Raises:
        ValueError: It cannot be mended, and must be.
    """
    if _is_valid(method, version, result):
        return result
    if version >= MODERN_VERSIONS_FROM:
        missing: dict[str, Any] = {"resultType": "complete"}
        if method in _CACHED:
            missing |= {"ttlMs": 0, "cacheScope": "private"}
        result = {**missing, **result}
        if _is_valid(method, version, result):
            return result
    if method in LISTS:
        return _mended_list(method, LISTS[method], version, result)
    if method == "tools/call" and result.get("resultType", "complete") == "complete":
        return _mended_call(version, result)
    if must_fit:  # the server asks for something, or there is no content to mend
        raise ValueError("the result is none of the protocol")
    return result


def _mended_list(method: str, key: str, version: str, result: dict[str, Any]) -> dict[str, Any]:
    kept: list[Any] = []
    envelope = {name: value for name, value in result.items() if name != key}
    if not isinstance(envelope.get("nextCursor", ""), str):
        del envelope["nextCursor"]
    entries: object = result.get(key)
    for entry in cast("list[object]", entries) if isinstance(entries, list) else []:
        if _is_valid(method, version, {**envelope, key: [entry]}):
            kept.append(entry)
        else:
            is_named = isinstance(entry, Mapping)
            name = cast("Mapping[str, Any]", entry).get("name") if is_named else ""
            logger.warning(
                "A malformed entry of %s is left out of a server's list: %.100r", key, name
            )
    return {**envelope, key: kept}


def _mended_call(version: str, result: dict[str, Any]) -> dict[str, Any]:
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
    except KeyError:  # no method of that version; the package lets it pass
        return True
    except ValueError:  # pydantic's error is one
        return False
    return True
