"""JSON objects to bytes and back. Every store writes these bytes; nothing is ever pickled."""

import json
import zlib
from typing import Final, NoReturn, cast

from mbxai.errors import SessionDataError
from mbxai.sessions._codec_sample import SAMPLE_1
from mbxai.sessions._store import JSON

RESERVED_KEYS: Final = frozenset({"version", "_store"})
"""Keys of the top level that belong to the stores, so that every store takes the same data."""

_PACK_FROM_BYTES: Final = 200
_PACKED: Final = b"\x78"  # how a zlib stream begins; JSON text never does


def text_of(data: JSON, *, agent_id: str) -> bytes:
    """Write a JSON object as ASCII text.

    Half a surrogate pair, which no UTF-8 file takes, is stored as its escape and comes back as it
    was.

    Args:
        data: A JSON object with string keys.
        agent_id: Whose data it is, for the error.

    Returns:
        JSON text.

    Raises:
        SessionDataError: The data holds something that is no JSON, or a reserved key.
    """
    reserved = sorted(RESERVED_KEYS.intersection(data))
    if reserved:
        raise SessionDataError(
            f"Session data must not have the keys {', '.join(reserved)}: the stores use them.",
            agent_id=agent_id,
        )
    try:
        return json.dumps(data, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise SessionDataError(
            f"Session data must be JSON ({type(error).__name__} while it was written).",
            hint="Convert objects first, for example with model_dump(mode='json').",
            agent_id=agent_id,
        ) from error


def encode(data: JSON, *, agent_id: str) -> bytes:
    """Write a JSON object as text, compressed where that is shorter.

    Args:
        data: A JSON object with string keys.
        agent_id: Whose data it is, for the error.

    Returns:
        JSON text, or a zlib stream of it.

    Raises:
        SessionDataError: As `text_of` says.
    """
    text = text_of(data, agent_id=agent_id)
    if len(text) < _PACK_FROM_BYTES:
        return text
    packer = zlib.compressobj(zdict=SAMPLE_1)
    return min(text, packer.compress(text) + packer.flush(), key=len)


def decode(content: bytes, *, agent_id: str) -> JSON:
    """Read what `encode` wrote.

    Args:
        content: JSON text, or a zlib stream of it.
        agent_id: Whose data it is, for the error.

    Returns:
        A fresh object.

    Raises:
        SessionDataError: It is no JSON object.
    """
    is_packed = content[:1] == _PACKED
    try:
        text = _unpacked(content) if is_packed else content
        data: object = json.loads(text, parse_constant=_refuse)
    except (TypeError, ValueError, RecursionError, zlib.error) as error:
        raise unreadable(agent_id) from error
    if not isinstance(data, dict):
        raise unreadable(agent_id)
    return cast("JSON", data)


def unreadable(agent_id: str) -> SessionDataError:
    """Say that a stored session cannot be understood.

    Args:
        agent_id: Which session.

    Returns:
        The error, to be raised.
    """
    return SessionDataError(
        f"What is stored for session {agent_id!r} is no session.",
        hint="It was left as it is; other sessions are not affected. delete() removes it.",
        agent_id=agent_id,
    )


def _unpacked(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(zdict=SAMPLE_1)
    text = unpacker.decompress(content)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("the stream is cut off, or something follows it")
    return text


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
