"""Whether a request went over a connection that had been idle."""

from contextvars import ContextVar
from typing import Final


class ConnectionUse:
    """What became of one request's connection.

    Attributes:
        was_reused: Whether it had served another request before; then a drop before the answer
            may only mean that the server had just closed it.
        is_new: Whether the request shall have a new one, though idle ones are there.
    """

    __slots__ = ("is_new", "was_reused")

    def __init__(self, *, is_new: bool = False) -> None:
        self.is_new = is_new
        self.was_reused = False


connection_use: Final[ContextVar[ConnectionUse | None]] = ContextVar("connection_use", default=None)
"""Set around a request by whoever wants to know of its connection."""
