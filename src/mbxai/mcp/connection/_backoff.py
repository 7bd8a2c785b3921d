"""When a server that could not be reached is tried again."""

import math
from typing import Final

import anyio

from mbxai.errors import MCPConnectionError

_FIRST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 30.0
_PATIENT_SECONDS: Final = 0.5
"""Up to this long the next try is waited for; after that, the last failure is told at once."""


class Backoff:
    """The failures of one server in a row."""

    def __init__(self) -> None:
        """Start with none."""
        self.error: MCPConnectionError | None = None
        self._failures = 0
        self._next_try = -math.inf

    def note_failure(self, error: MCPConnectionError) -> None:
        """Note that the server could not be reached."""
        self.error = error
        seconds = min(_FIRST_SECONDS * 2**self._failures, _LONGEST_SECONDS)
        self._failures = min(self._failures + 1, 16)
        self._next_try = anyio.current_time() + seconds

    def note_success(self) -> None:
        """Note that the server was reached."""
        self.error, self._failures, self._next_try = None, 0, -math.inf

    async def wait(self) -> None:
        """Return when the server may be tried again.

        Raises:
            MCPConnectionError: That is not soon; the last failure, and when the next try is.
        """
        seconds = self._next_try - anyio.current_time()
        if self.error is None or seconds <= 0:
            return
        if seconds > _PATIENT_SECONDS:
            last = self.error
            raise type(last)(
                f"{last.message} That was the last try; the next is in {seconds:.1f} s.",
                hint=last.hint,
                server=last.server,
            ) from last.__cause__
        await anyio.sleep(seconds)
