"""One attempt: send a request, and turn what is no success into a typed error."""

from typing import NoReturn, TypeVar

from mbxai._redaction import get_logger
from mbxai.errors import (
    InvalidResponseError,
    OpenRouterConnectionError,
    OpenRouterTimeoutError,
    RequestOrigin,
)
from mbxai.openrouter._answer import Answer
from mbxai.openrouter._completions import completion_of
from mbxai.openrouter._faults import error_of_answer, origin_of
from mbxai.openrouter._lazy_transport import LazyTransport
from mbxai.openrouter._request import PreparedCall
from mbxai.openrouter._transport_error import FaultKind, TransportError
from mbxai.wire import ChatCompletion

C = TypeVar("C", bound=ChatCompletion)

_log = get_logger(__name__)

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


async def exchange(transport: LazyTransport, call: PreparedCall, *, attempt: int) -> Answer:
    """Return an answer with a status of success whose body is still to be read.

    Args:
        transport: Sends.
        call: What to send.
        attempt: 1 for the first time; only logged.

    Raises:
        OpenRouterAPIError: The status says that it failed.
        OpenRouterConnectionError: No answer came.
        InvalidResponseError: A page came where a stream was asked for.
    """
    _log.debug(
        "Attempt %d: %s %s, %d bytes.", attempt, call.method, call.path, len(call.body or b"")
    )
    try:
        answer = await transport.send(call)
    except TransportError as fault:
        raise_fault(fault)
    _log.debug("Attempt %d: status %d.", attempt, answer.status)
    if answer.status < 300:
        if answer.media_type == "text/html" and call.headers[b"accept"] == b"text/event-stream":
            await answer.aclose()
            raise InvalidResponseError(
                "A stream was asked for, a page (text/html) came.",
                **(origin_of(answer.headers) | {"hint": "Check base_url; a proxy may answer."}),
            )
        return answer
    try:
        body = await answer.read(max_bytes=_MAX_ERROR_BODY_BYTES)
    except TransportError:
        body = b""  # the status alone says enough
    raise error_of_answer(answer.status, answer.headers, body)


async def read_body(answer: Answer, call: PreparedCall) -> bytes:
    """Return the whole body of an answer.

    Args:
        answer: Read to its end here.
        call: Says how large the body may be.

    Raises:
        OpenRouterConnectionError: The connection broke.
        InvalidResponseError: The body is too large, or not in the encoding it names.
    """
    try:
        return await answer.read(max_bytes=call.max_response_bytes)
    except TransportError as fault:
        raise_fault(fault, answer)


async def read_completion(answer: Answer, call: PreparedCall, kind: type[C]) -> C:
    """Return the completion in an answer.

    Args:
        answer: An answer with status 200; read to its end here.
        call: Says how large the body may be.
        kind: `ChatCompletion` or `ParsedChatCompletion`.

    Raises:
        OpenRouterAPIError: The body tells of an error.
        OpenRouterConnectionError: The connection broke.
        InvalidResponseError: The body is no completion, or too large.
    """
    body = await read_body(answer, call)
    return completion_of(body, answer.headers, kind, media_type=answer.media_type)


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
