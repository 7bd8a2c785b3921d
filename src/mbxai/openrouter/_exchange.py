"""One attempt: send a request, and turn what is no success into a typed error."""

from typing import NoReturn, TypeVar

from mbxai._redaction import get_logger
from mbxai.errors import (
    InvalidResponseError,
    OpenRouterConnectionError,
    OpenRouterTimeoutError,
    RequestOrigin,
)
from mbxai.openrouter._answers import completion_of
from mbxai.openrouter._faults import error_of_answer, origin_of
from mbxai.openrouter._request import PreparedCall
from mbxai.openrouter._transport import Answer, FaultKind, Transport, TransportError
from mbxai.wire import ChatCompletion

C = TypeVar("C", bound=ChatCompletion)

_log = get_logger(__name__)

_PATH = "chat/completions"
_MAX_ERROR_BODY_BYTES = 1024 * 1024

_HINTS = {
    FaultKind.CONNECT: "Check base_url and the network.",
    FaultKind.CONNECT_TIMEOUT: "Check base_url and the network.",
    FaultKind.TLS: "If a proxy signs certificates here, name its bundle in SSL_CERT_FILE.",
    FaultKind.PROXY: "Check HTTPS_PROXY and NO_PROXY.",
    FaultKind.REDIRECT: "Check base_url.",
}

_WHAT = {
    FaultKind.CONNECT: "No connection to the server",
    FaultKind.TLS: "No trusted connection to the server",
    FaultKind.PROXY: "No connection through the proxy",
    FaultKind.DROPPED: "The server closed the connection before it answered",
    FaultKind.BROKEN: "The connection broke in the middle of the answer",
    FaultKind.REDIRECT: "The server sent the request elsewhere",
}


async def exchange(transport: Transport, call: PreparedCall, *, attempt: int) -> Answer:
    """Return an answer with status 200 whose body is still to be read.

    Args:
        transport: Sends.
        call: What to send.
        attempt: 1 for the first time; only logged.

    Raises:
        OpenRouterAPIError: The status says that it failed.
        OpenRouterConnectionError: No answer came.
    """
    _log.debug("Attempt %d: POST %s, %d bytes.", attempt, _PATH, len(call.body))
    try:
        answer = await transport.post(_PATH, call.body, call.headers)
    except TransportError as fault:
        raise_fault(fault)
    _log.debug("Attempt %d: status %d.", attempt, answer.status)
    if answer.status < 300:
        return answer
    try:
        body = await answer.read(max_bytes=_MAX_ERROR_BODY_BYTES)
    except TransportError:
        body = b""  # the status alone says enough
    raise error_of_answer(answer.status, answer.headers, body)


async def read_completion(answer: Answer, kind: type[C], *, attempt: int) -> C:
    """Return the completion in an answer, with its origin noted.

    Args:
        answer: An answer with status 200; read to its end here.
        kind: `ChatCompletion` or `ParsedChatCompletion`.
        attempt: How many times the request was sent so far.

    Raises:
        OpenRouterAPIError: The body tells of an error.
        OpenRouterConnectionError: The connection broke.
        InvalidResponseError: The body is no completion, or too large.
    """
    try:
        body = await answer.read()
    except TransportError as fault:
        raise_fault(fault, answer)
    completion = completion_of(body, answer.headers, kind, media_type=answer.media_type)
    origin = origin_of(answer.headers)
    completion.set_origin(
        request_id=origin.get("request_id"),
        generation_id=origin.get("generation_id"),
        attempts=attempt,
        headers=answer.headers,
    )
    return completion


def raise_fault(fault: TransportError, answer: Answer | None = None) -> NoReturn:
    """Raise what a fault of the transport means to a caller.

    Args:
        fault: Becomes the cause.
        answer: The answer whose body was being read, if it had begun.
    """
    origin: RequestOrigin = origin_of(answer.headers) if answer else {}
    origin["hint"] = _HINTS.get(fault.kind, "")
    reason = str(fault).strip().rstrip(".")
    if fault.kind is FaultKind.TOO_LARGE:
        raise InvalidResponseError(f"{reason}.", **origin) from fault
    if fault.kind is FaultKind.GARBLED:
        raise InvalidResponseError(f"What came is no HTTP answer: {reason}.", **origin) from fault
    if fault.kind in {FaultKind.READ_TIMEOUT, FaultKind.CONNECT_TIMEOUT}:
        raise OpenRouterTimeoutError(
            f"The server did not answer in time: {reason}.", **origin
        ) from fault
    what = _WHAT[fault.kind]
    if fault.kind is not FaultKind.BROKEN:  # of which the engine speaks as of a bad request
        what = f"{what}: {reason}"
    raise OpenRouterConnectionError(f"{what}.", **origin) from fault
