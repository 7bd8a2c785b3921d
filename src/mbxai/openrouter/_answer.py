"""A response whose head has arrived, and the ways to read its body."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

from mbxai.openrouter._transport_error import FaultKind, TransportError

_FOREVER: Final = float("inf")


class Answer(ABC):
    """A response. Reading it to the end or `aclose` frees the connection.

    Attributes:
        status: HTTP status.
        headers: Response headers, names in lower case.
    """

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over a response whose body is still to be read.

        Args:
            status: HTTP status.
            headers: As they came.
        """
        self.status: int = status
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers
        }

    @property
    def media_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def location(self) -> str:
        """Where a redirect points to; empty where there is none."""
        return self.headers.get("location", "")

    @abstractmethod
    async def next_piece(self, deadline: float = _FOREVER) -> bytes | None:
        """Return the next bytes of the body, or None at its end.

        Args:
            deadline: Moment of the event loop's clock until which to wait, where `abort` cannot
                wake a reader.

        Raises:
            TransportError: The connection broke.
            TimeoutError: The deadline passed.
        """

    @abstractmethod
    def abort(self) -> bool:
        """Break the connection, so that a reader that waits wakes; false if that is impossible."""

    @abstractmethod
    async def aclose(self) -> None:
        """Free the connection; one that is not read to the end is closed."""

    async def read(self, *, max_bytes: int) -> bytes:
        """Return the whole body and free the connection.

        Args:
            max_bytes: Most bytes after decompression.

        Raises:
            TransportError: The connection broke, or the body is larger than allowed.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            while (piece := await self.next_piece()) is not None:
                size += len(piece)
                if size > max_bytes:
                    raise TransportError(
                        FaultKind.TOO_LARGE, f"The answer is larger than {max_bytes} bytes."
                    )
                pieces.append(piece)
        finally:
            await self.aclose()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
