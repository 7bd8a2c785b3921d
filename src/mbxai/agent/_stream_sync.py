"""A run that is watched, for callers that do not await."""

from typing import Any, Generic, Self, cast

from pydantic import BaseModel
from typing_extensions import TypeVar

import mbxai.portal as portal
from mbxai.agent._events import AgentEvent
from mbxai.agent._result_models import AgentResponse
from mbxai.agent._stream import AsyncAgentStream

M = TypeVar("M", bound=BaseModel, default=Any)  # Any: whatever a session was given


class AgentStream(Generic[M]):
    """The events of one run.

    Use it as `with agent.stream(...) as run: for event in run: ...`, and read `run.response`
    afterwards. Leaving the block early stops the run; its session is kept.
    """

    def __init__(self, pump: "portal.StreamPump[AgentEvent]") -> None:
        """Take a run that has begun.

        Args:
            pump: Its events.
        """
        self._pump = pump

    @property
    def response(self) -> AgentResponse[M]:
        """The state in which the run rests.

        Raises:
            AgentError: The run has not come to rest yet.
        """
        return cast("AsyncAgentStream[M]", self._pump.source).response

    def close(self) -> None:
        """Stop the run if it has not come to rest."""
        self._pump.close()

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """Stop the run if it has not come to rest."""
        self.close()

    def __iter__(self) -> Self:
        """Return the stream."""
        return self

    def __next__(self) -> AgentEvent:
        """Return the next event; after the last one, raise what the run raised, if it did."""
        return next(self._pump)
