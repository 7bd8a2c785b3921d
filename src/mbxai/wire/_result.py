"""Where an answer came from: the HTTP response behind it, and every attempt to get it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import PrivateAttr

from mbxai.wire._lenient import KeepsRaw


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a request was sent.

    Attributes:
        number: 1 for the first time.
        method: HTTP method.
        path: Relative to the base address, for example `chat/completions`.
        started_at: Seconds since the epoch.
        duration: Seconds until the answer was read, the stream was open, or it failed.
        status: HTTP status, or the code inside a 200 body; None if no answer came.
        outcome: `ok`, else the name of the error class.
        wait: Seconds from its end to the next attempt; 0 where none followed.
        request_id: The edge's id of the request, if it sent one.
    """

    number: int
    method: str
    path: str
    started_at: float
    duration: float
    status: int | None = None
    outcome: str = "ok"
    wait: float = 0.0
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    """The HTTP response behind a result.

    Attributes:
        status: HTTP status.
        headers: Response headers, names in lower case.
        history: Every attempt, the successful one last.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    history: tuple[Attempt, ...] = ()

    @property
    def request_id(self) -> str | None:
        """The edge's id of the request (`x-request-id` or `cf-ray`), if it sent one."""
        return self.headers.get("x-request-id") or self.headers.get("cf-ray")

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id for `GET /generation` (`X-Generation-Id`), if it sent one."""
        return self.headers.get("x-generation-id")

    @property
    def attempts(self) -> int:
        """How many times the request was sent."""
        return len(self.history)

    @property
    def elapsed(self) -> float:
        """Seconds over all attempts and the waits between them."""
        return sum(attempt.duration + attempt.wait for attempt in self.history)


class WireResult(KeepsRaw):
    """Base of whole answers: what came, and where it came from."""

    _response: ResponseInfo | None = PrivateAttr(default=None)

    @property
    def response(self) -> ResponseInfo:
        """The HTTP response behind this result: status, headers, every attempt."""
        return self._response or ResponseInfo()

    @property
    def request_id(self) -> str | None:
        """The edge's id of the request (`x-request-id` or `cf-ray`), if it sent one."""
        return self.response.request_id

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id for `GET /generation` (`X-Generation-Id`), if it sent one."""
        return self.response.generation_id

    @property
    def attempts(self) -> int:
        """How many times the request was sent until this answer came."""
        return max(1, self.response.attempts)

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Every attempt, the successful one last."""
        return self.response.history

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers, names in lower case."""
        return self.response.headers

    def set_response(self, response: ResponseInfo) -> None:
        """Note where the answer came from; called once by the client that received it.

        Args:
            response: The HTTP response behind this result.
        """
        self._response = response
