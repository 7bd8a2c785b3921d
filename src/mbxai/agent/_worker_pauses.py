"""Sessions that a worker leaves alone for a while, so that none of them is tried in a hurry."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mbxai.sessions import DueSession

LONGEST_SECONDS: Final = 300.0
"""How long a session that breaks each time is left alone, at most."""

_FORGOTTEN_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class _Pause:
    until: float
    failures: int


class Pauses:
    """Remembers until when each session is left alone, and how often it broke in a row."""

    def __init__(self, *, first_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        """Remember nothing yet.

        Args:
            first_seconds: Length of a session's first pause; each further one is twice as long.
            now: A clock, in seconds.
        """
        self._first_seconds = first_seconds
        self._now = now
        self._pauses: dict[DueSession, _Pause] = {}

    def __contains__(self, session: DueSession) -> bool:
        """Tell whether a session is to be left alone now."""
        pause = self._pauses.get(session)
        return pause is not None and self._now() < pause.until

    def __len__(self) -> int:
        """Return how many sessions are to be left alone, or were not long ago."""
        return len(self._pauses)

    def once(self, session: DueSession) -> None:
        """Leave a session alone for the shortest while.

        Args:
            session: One that somebody else has.
        """
        known = self._pauses.get(session)
        self._remember(session, self._first_seconds, known.failures if known else 0)

    def longer(self, session: DueSession) -> float:
        """Leave a session alone, for longer than the last time.

        Args:
            session: One that broke.

        Returns:
            For how many seconds.
        """
        known = self._pauses.get(session)
        failures = known.failures if known else 0
        # The exponent is bounded, since a session may break a thousand times.
        seconds = min(self._first_seconds * 2 ** min(failures, 20), LONGEST_SECONDS)
        self._remember(session, seconds, failures + 1)
        return seconds

    def forget(self, session: DueSession) -> None:
        """Forget a session that came to rest.

        Args:
            session: Which one.
        """
        self._pauses.pop(session, None)

    def _remember(self, session: DueSession, seconds: float, failures: int) -> None:
        now = self._now()
        # What nobody came back to: it was deleted, or others saw it through.
        keep = {
            other: pause
            for other, pause in self._pauses.items()
            if now < pause.until + (_FORGOTTEN_SECONDS if pause.failures else 0.0)
        }
        keep[session] = _Pause(now + seconds, failures)
        self._pauses = keep
