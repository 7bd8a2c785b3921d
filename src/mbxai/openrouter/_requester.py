"""Requests to any operation of the API: JSON, files and bytes in; models, bytes and events out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypedDict, TypeVar, cast
from urllib.parse import quote

from pydantic import ValidationError
from pydantic_core import from_json

from mbxai._redaction import redact
from mbxai.errors import InvalidResponseError, OpenRouterConfigurationError
from mbxai.openrouter._answer import Answer
from mbxai.openrouter._calls import Caller, CallRecord, Received
from mbxai.openrouter._event_reader import EventReader
from mbxai.openrouter._exchange import read_body
from mbxai.openrouter._faults import api_error, error_in, origin_of
from mbxai.openrouter._headers import with_headers
from mbxai.openrouter._request import (
    PreparedCall,
    checked_mapping,
    checked_seconds,
    encode_body,
)
from mbxai.wire import ResponseInfo, WireResult

M = TypeVar("M", bound=WireResult)
R = TypeVar("R")

# Any in this file: bodies are open JSON of the wire.
QueryValue: TypeAlias = str | int | float | bool | Sequence[str] | None
"""A value of a query: lists are joined by commas, None is left out."""

FormFields: TypeAlias = Mapping[str, str | Sequence[str]]
"""Fields of a form; a list repeats its field."""


class RequestOptions(TypedDict, total=False):
    """What every call of a resource may say besides its own arguments.

    Attributes:
        extra_body: Fields merged into a JSON body last; they win.
        extra_query: Parameters of the address; they win.
        extra_headers: HTTP headers of this call; they win over the client's.
        timeout: Seconds for the whole call with its retries; None waits for ever.
        first_token_timeout: Seconds until the first event of a stream.
        idle_timeout: Seconds between two events of a stream.
    """

    extra_body: Mapping[str, Any]
    extra_query: Mapping[str, QueryValue]
    extra_headers: Mapping[str, str]
    timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send.

    Attributes:
        content: Its bytes.
        filename: Its name without folders.
        media_type: For example `application/pdf`; None lets the name decide.
    """

    content: bytes
    filename: str
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class BinaryContent:
    """An answer that is no JSON: sound, a film, a file.

    Attributes:
        content: The bytes.
        media_type: As the server names it, without parameters; empty where it does not.
        response: The HTTP response: status, headers, every attempt.
    """

    content: bytes = field(repr=False)
    media_type: str
    response: ResponseInfo = field(repr=False)


# A second answer costs what an answer costs; anything else would be there twice.
_WITHOUT_EFFECT: Final = (
    *("chat/", "completions", "embeddings", "rerank", "images", "audio/", "responses", "messages"),
)


class Requester:
    """Makes requests for the resources of one client."""

    def __init__(self, caller: Caller) -> None:
        """Keep the caller.

        Args:
            caller: Of the client.
        """
        self._caller: Final = caller

    async def json(
        self,
        method: str,
        path: str,
        result_type: type[M],
        *,
        query: Mapping[str, QueryValue] | None = None,
        body: Mapping[str, Any] | None = None,
        options: RequestOptions | None = None,
        check: Callable[[M], object] | None = None,
        max_bytes: int | None = None,
    ) -> M:
        """Return the answer to a request as a model.

        Args:
            method: GET, POST, PUT, PATCH or DELETE. What changes something on the server is sent
                again only where it provably did not run.
            path: Relative to the base address; see `path_of`.
            result_type: Model of the answer; an empty answer is an empty one.
            query: Parameters of the address.
            body: JSON object to send; values of None are sent as null.
            options: What the caller of a resource said besides.
            check: Raises the error that an answer with a status of success tells of, so that it
                is tried again like any other.
            max_bytes: Most bytes of the answer; None takes the client's limit.

        Raises:
            OpenRouterConfigurationError: The request cannot be sent; nothing was.
            OpenRouterError: As for any call.
        """
        call = self._prepared(
            method, path, query=query, body=body, options=options, max_bytes=max_bytes
        )
        received = await self._caller.run(call, _model_reader(call, result_type, check))
        received.value.set_response(received.response)
        return received.value

    async def upload(
        self,
        path: str,
        result_type: type[M],
        *,
        files: Mapping[str, Upload],
        fields: FormFields | None = None,
        query: Mapping[str, QueryValue] | None = None,
        options: RequestOptions | None = None,
    ) -> M:
        """Send files as `multipart/form-data` and return the answer as a model.

        Args:
            path: Relative to the base address.
            result_type: Model of the answer.
            files: By the name of their field.
            fields: Further fields.
            query: Parameters of the address.
            options: What the caller of a resource said besides.

        Raises:
            OpenRouterConfigurationError: The request cannot be sent; nothing was.
            OpenRouterError: As for any call.
        """
        call = self._prepared("POST", path, query=query, options=options, form=(files, fields))
        received = await self._caller.run(call, _model_reader(call, result_type))
        received.value.set_response(received.response)
        return received.value

    async def binary(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, QueryValue] | None = None,
        body: Mapping[str, Any] | None = None,
        options: RequestOptions | None = None,
        max_bytes: int | None = None,
        may_be_json: bool = False,
    ) -> BinaryContent:
        """Return the bytes that a request gives.

        Args:
            method: GET or POST.
            path: Relative to the base address.
            query: Parameters of the address.
            body: JSON object to send.
            options: What the caller of a resource said besides.
            max_bytes: Most bytes of the answer; None takes the client's limit.
            may_be_json: Whether JSON is content like any other, also with an `error` in it.

        Raises:
            OpenRouterConfigurationError: The request cannot be sent; nothing was.
            OpenRouterError: As for any call; also a JSON body of status 200 that tells of an error.
        """
        call = self._prepared(
            method, path, query=query, body=body, options=options, max_bytes=max_bytes
        )

        async def receive(answer: Answer, _: CallRecord) -> tuple[bytes, str]:
            content = await read_body(answer, call)
            if answer.media_type == "application/json" and not may_be_json:
                _raise_told_error(content, answer)
            return content, answer.media_type

        received = await self._caller.run(call, receive)
        return BinaryContent(*received.value, response=received.response)

    async def events(
        self,
        path: str,
        opened: Callable[[EventReader], Awaitable[R]],
        *,
        body: Mapping[str, Any],
        options: RequestOptions | None = None,
        max_event_bytes: int | None = None,
    ) -> Received[R]:
        """Send a request whose answer is a stream of server-sent events.

        Args:
            path: Relative to the base address.
            opened: Makes the stream and reads its first event, so that what fails before it is
                tried again; closes the reader if it fails.
            body: JSON object to send.
            options: What the caller of a resource said besides.
            max_event_bytes: Most bytes of one event; None takes the client's limit.

        Returns:
            What `opened` gave, and the response behind it.

        Raises:
            OpenRouterConfigurationError: The request cannot be sent; nothing was.
            OpenRouterError: As for any call.
        """
        call = self._prepared("POST", path, body=body, options=options, is_stream=True)

        async def receive(answer: Answer, record: CallRecord) -> R:
            if answer.media_type == "application/json":
                _raise_told_error(await read_body(answer, call), answer)
                raise InvalidResponseError(
                    "A stream was asked for, a whole answer came.", **origin_of(answer.headers)
                )
            reader = EventReader(
                answer,
                deadline=record.deadline,
                first_token_timeout=call.first_token_timeout,
                idle_timeout=call.idle_timeout,
                max_event_bytes=max_event_bytes or self._caller.defaults.max_event_bytes,
            )
            return await opened(reader)

        return await self._caller.run(call, receive)

    def _prepared(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, QueryValue] | None = None,
        body: Mapping[str, Any] | None = None,
        options: RequestOptions | None = None,
        form: tuple[Mapping[str, Upload], FormFields | None] | None = None,
        max_bytes: int | None = None,
        is_stream: bool = False,
    ) -> PreparedCall:
        given: RequestOptions = options or {}
        if unknown := set(given) - RequestOptions.__annotations__.keys():
            raise OpenRouterConfigurationError(f"Nothing is called {min(unknown)!r} here.")
        defaults = self._caller.defaults
        headers = defaults.stream_headers if is_stream else defaults.headers
        content: bytes | None = None
        if form is not None:
            content, media_type = _encoded_form(*form)
            if len(content) > defaults.max_request_bytes:
                raise OpenRouterConfigurationError(
                    f"The form has {len(content)} bytes; {defaults.max_request_bytes} are allowed.",
                    hint="Send less, or raise max_request_bytes.",
                )
            headers = with_headers(headers, {"Content-Type": media_type})
        elif body is not None:
            extra = checked_mapping("extra_body", given.get("extra_body")) or {}
            content = encode_body({**body, **extra}, max_bytes=defaults.max_request_bytes)
        if more := checked_mapping("extra_headers", given.get("extra_headers")):
            headers = with_headers(headers, more)
        extra_query = checked_mapping("extra_query", given.get("extra_query")) or {}
        timeout = given.get("timeout", defaults.timeout)
        return PreparedCall(
            method=_checked_method(method),
            path=path,
            query=_encoded_query({**(query or {}), **extra_query}),
            body=content,
            headers=headers,
            model=str(body.get("model", "")) if body else "",
            timeout=checked_seconds("timeout", timeout),
            attempt_timeout=defaults.attempt_timeout,
            first_token_timeout=checked_seconds(
                "first_token_timeout",
                given.get("first_token_timeout", defaults.first_token_timeout),
            ),
            idle_timeout=checked_seconds(
                "idle_timeout", given.get("idle_timeout", defaults.idle_timeout)
            ),
            is_repeatable=method == "GET" or defaults.retry_on_timeout,
            is_stream=is_stream,
            is_effect=method != "GET" and not path.startswith(_WITHOUT_EFFECT),
            max_response_bytes=max_bytes or defaults.max_response_bytes,
        )


def path_of(*segments: str) -> str:
    """Return a path whose variable parts cannot leave their place.

    Args:
        segments: Fixed words and values of the caller, for example `"keys", hash`. A slash inside
            a value is quoted.

    Raises:
        OpenRouterConfigurationError: A segment is empty or no text.
    """
    for segment in segments:
        if not isinstance(cast("object", segment), str) or segment.strip(".") == "":
            raise OpenRouterConfigurationError(f"{segment!r} cannot be a part of an address.")
    return "/".join(quote(segment, safe=":~@-._") for segment in segments)


def _model_reader(
    call: PreparedCall, result_type: type[M], check: Callable[[M], object] | None = None
) -> Callable[[Answer, CallRecord], Awaitable[M]]:
    async def receive(answer: Answer, _: CallRecord) -> M:
        body = await read_body(answer, call)
        if not body.strip() and answer.status in {202, 204, 205}:
            return result_type.from_object({})
        _raise_told_error(body, answer)
        try:
            result = result_type.from_wire(body)
        except ValidationError as error:
            named = redact(answer.media_type)[:60] or "no media type"
            raise InvalidResponseError(
                f"The answer is no JSON object ({named}, {len(body)} bytes).",
                **origin_of(answer.headers),
            ) from error
        if check is not None:
            result.set_response(ResponseInfo(answer.status, answer.headers))
            check(result)
        return result

    return receive


def _raise_told_error(body: bytes, answer: Answer) -> None:
    if b'"error"' not in body:
        return
    try:
        payload: object = from_json(body)
    except ValueError:
        return
    if not isinstance(payload, dict):
        return
    fields = cast("dict[str, Any]", payload)
    if "data" in fields or fields.get("status") is not None:
        return  # an answer that has a field of that name, such as a failed job
    told = error_in(fields)
    if told is not None:
        raise api_error(told, answer.headers)


def _checked_method(method: str) -> str:
    if method not in {"GET", "POST", "PUT", "PATCH", "DELETE"}:
        raise OpenRouterConfigurationError("method must be GET, POST, PUT, PATCH or DELETE.")
    return method


def _encoded_query(query: Mapping[str, QueryValue]) -> dict[str, str] | None:
    encoded: dict[str, str] = {}
    for name, value in query.items():
        if value is None:
            continue
        if isinstance(value, bool):
            encoded[name] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            encoded[name] = str(value)
        elif isinstance(cast("object", value), Sequence):
            encoded[name] = ",".join(str(item) for item in value)
        else:
            raise OpenRouterConfigurationError(f"{name} cannot be a part of an address.")
    return encoded or None


def _encoded_form(files: Mapping[str, Upload], fields: FormFields | None) -> tuple[bytes, str]:
    # httpx encodes forms well; a request is only made to read its body.
    parts = {
        name: (file.filename, file.content, file.media_type)
        if file.media_type
        else (file.filename, file.content)
        for name, file in files.items()
    }
    import httpx  # noqa: PLC0415  # slow to load, and not needed before

    request = httpx.Request("POST", "http://form.invalid", data=dict(fields or {}), files=parts)
    return request.read(), request.headers["content-type"]
