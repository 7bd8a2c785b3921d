"""Waiting for jobs that OpenRouter works on: asked again and again until they are over."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypedDict, TypeVar, cast

import anyio

from mbxai.errors import OpenRouterAPIError, OpenRouterConfigurationError, OpenRouterTimeoutError
from mbxai.openrouter._faults import error_message
from mbxai.openrouter._request import checked_seconds
from mbxai.openrouter._requester import QueryValue
from mbxai.wire import WireResult

# Any in this file: what a job says of its failure is open JSON.
J = TypeVar("J", bound=WireResult)

_FAILED: Final = "nothing says why"


class PollOptions(TypedDict, total=False):
    """What the calls of a wait may say.

    Attributes:
        extra_query: Parameters of the address.
        extra_headers: HTTP headers; they win over the client's.
    """

    extra_query: Mapping[str, QueryValue]
    extra_headers: Mapping[str, str]


async def wait_until_over(
    ask: Callable[[], Awaitable[J]],
    is_over: Callable[[J], bool],
    *,
    poll_interval: float,
    timeout: float | None,  # noqa: ASYNC109  # of many calls, and the caller's word for it
) -> J:
    """Ask for a job until it is over, whatever its end.

    Args:
        ask: Asks once.
        is_over: Whether nothing will change any more.
        poll_interval: Seconds between an answer and the next question.
        timeout: Seconds for all of it; None waits for ever.

    Raises:
        OpenRouterConfigurationError: A number is impossible; nothing was sent.
        OpenRouterTimeoutError: The time was up. The job goes on.
        OpenRouterError: As for any call.
    """
    pause = checked_seconds("poll_interval", poll_interval)
    limit = checked_seconds("timeout", timeout)
    if pause is None:
        raise OpenRouterConfigurationError("poll_interval must be a number of seconds above 0.")
    count = 0
    with anyio.move_on_after(limit):
        while True:
            count += 1
            job = await ask()
            if is_over(job):
                return job
            await anyio.sleep(pause)
    raise OpenRouterTimeoutError(
        f"The job was not over within {limit} s.",
        hint="It goes on: wait again with the same id, or raise timeout=.",
        attempts=count,
    )


def job_error(job: WireResult, *, status: str, told: object) -> OpenRouterAPIError:
    """Return the error that a job means that came to no good end.

    Args:
        job: As it came.
        status: Its last word, for example `failed`.
        told: What the job says of the reason: text, or an object with `message`.
    """
    is_object = isinstance(told, Mapping)
    error = cast("Mapping[str, Any]", told) if is_object else {"message": told}
    message = error_message(error) if error.get("message") else _FAILED
    failure = OpenRouterAPIError(
        f"The job ended as {status}: {message.rstrip('.')}.",
        code=status,
        body={"status": status, "message": message},
        request_id=job.request_id,
        generation_id=job.generation_id,
        attempts=job.attempts,
    )
    failure.history = job.history
    return failure
