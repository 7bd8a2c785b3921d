"""What each agent of the trials can do, and how a session rests."""

from typing import NamedTuple, Protocol


class Rest(NamedTuple):
    """How a session rests.

    Attributes:
        state: "done", or "waiting" for a person's word.
        told: How many outcomes a person, or the application, was told to be unknown; what only the
            model was told is not counted.
    """

    state: str
    told: int = 0


class Agent(Protocol):
    """One framework, used as its documentation says."""

    async def open(self) -> None:
        """Open what sessions at once have in common."""
        ...

    async def start(self, case: str, prompt: str) -> Rest:
        """Begin a session of this name and run it until it rests."""
        ...

    async def answer(self, case: str) -> Rest:
        """Give a person's word that the call may run, and run the session until it rests."""
        ...

    async def resume(self, case: str, prompt: str) -> Rest:
        """Go on with a session whose process died; begin it if nothing of it is stored."""
        ...

    async def close(self) -> None:
        """Close what was opened."""
        ...
