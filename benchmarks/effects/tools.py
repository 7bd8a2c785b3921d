"""The one tool, whose effect is a line in a file that outlives the process."""

import asyncio
import os
from pathlib import Path
from typing import NamedTuple

from effects.prose import passage

WORK_SECONDS = 0.02
"""What the work before the effect takes, as the call of a payment service does."""

_FOREVER_SECONDS = 3600.0


class Note(NamedTuple):
    """One line of the file.

    Attributes:
        moment: "begun", or "effect" once the item is charged.
    """

    moment: str
    case: str
    item: str


class Till:
    """Charges items, and stops where a trial wants to kill the process."""

    def __init__(
        self, path: Path, stop_at: tuple[str, str] | None = None, *, is_wordy: bool = False
    ) -> None:
        """Remember the file.

        Args:
            path: The file, which all processes share.
            stop_at: Item and moment after whose line nothing goes on any more; None: none.
            is_wordy: Whether each result is a passage of text.
        """
        self._is_wordy = is_wordy
        self._path = path
        self._stop_at = stop_at

    async def charge(self, case: str, item: str) -> str:
        """Charge one item.

        Args:
            case: The order.
            item: The item.
        """
        await self._note("begun", case, item)
        await asyncio.sleep(WORK_SECONDS)
        await self._note("effect", case, item)
        if self._is_wordy:
            return passage(2 * int(item.partition("-")[2]) - 1)
        return f"{item} of {case} is charged"

    def notes(self) -> list[Note]:
        """Return all lines so far."""
        if not self._path.exists():
            return []
        return [Note(*line.split()) for line in self._path.read_text().splitlines()]

    def effects(self, case: str) -> list[str]:
        """Return the items of a case in the order in which they were charged."""
        return [n.item for n in self.notes() if (n.moment, n.case) == ("effect", case)]

    async def _note(self, moment: str, case: str, item: str) -> None:
        # One write to a file that is opened for appending: whole, whoever else writes.
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, f"{moment} {case} {item}\n".encode())
        finally:
            os.close(file)
        if self._stop_at == (item, moment):
            await asyncio.sleep(_FOREVER_SECONDS)
