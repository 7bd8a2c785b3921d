"""Messages as lines: what a child process writes, cut into messages of bounded size.

Pure. What is no message is skipped and counted; a message that is too large is never held in
memory, and its id is found so that only the call that it answers fails.
"""

import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

_KNOWN_BYTES: Final = 512
_HEAD_ID: Final = re.compile(
    rb'\A\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*"id"\s*:\s*(\d{1,18})\s*,'
)
_TAIL_ID: Final = re.compile(
    rb'[}\]]\s*,\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,18})\s*'
    rb'(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*\Z'
)


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A message above the limit.

    Attributes:
        ident: Id of the request that it answers; None where that could not be seen.
    """

    ident: int | None


@dataclass(slots=True)
class LineSplitter:
    """Cuts a stream of bytes into lines.

    Attributes:
        max_bytes: The longest line.
        lines: What is complete: lines without their end, and notes of those that were too long.
    """

    max_bytes: int
    lines: deque[bytes | TooLarge] = field(default_factory=deque[bytes | TooLarge])
    _parts: list[bytes] = field(default_factory=list[bytes])
    _size: int = 0
    _is_skipping: bool = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._take(chunk[start:end])
            self._finish()
            start = end + 1
        if start < len(chunk):
            self._take(chunk[start:])

    def _take(self, part: bytes) -> None:
        self._size += len(part)
        self._parts.append(part)
        if self._size > self.max_bytes:
            # Only its two ends are kept: one of them names the request.
            whole = b"".join(self._parts)
            head = self._parts[0] if self._is_skipping else whole[:_KNOWN_BYTES]
            self._parts = [head, whole[-_KNOWN_BYTES:]]
            self._is_skipping = True

    def _finish(self) -> None:
        if self._is_skipping:
            self.lines.append(TooLarge(_ident(self._parts[0], self._parts[-1])))
        elif self._parts:
            self.lines.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
        self._parts, self._size, self._is_skipping = [], 0, False


def without_half_characters(line: bytes) -> bytes | None:
    """Return a message with its broken characters replaced, or None if it is no JSON object.

    Servers cut texts in the middle of a character: strict readers refuse the whole message.

    Args:
        line: JSON that a strict reader has refused.
    """
    try:
        read: Any = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or "jsonrpc" not in read:
        return None
    return json.dumps(read, ensure_ascii=False).encode("utf-8", "replace")


def _ident(head: bytes, tail: bytes) -> int | None:
    found = _HEAD_ID.search(head) or _TAIL_ID.search(tail)
    return int(found[1]) if found else None
