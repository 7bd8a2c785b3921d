"""`chat_router`: a tool client as an OpenAI-compatible service, which runs its own tools."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, ClassVar, Literal, Protocol, TypeVar, cast

import anyio
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from mbxai.errors import ConfigurationError, MBXAIError
from mbxai.fastapi._route import BoundedRoute, place_of
from mbxai.serving import (
    CHAT_DONE,
    NEEDS_APPROVAL,
    SSE_HEADERS,
    ChatChunks,
    Problem,
    chat_error,
    chat_problem_of,
    completion_of,
    encode_chat,
    encode_comment,
)
from mbxai.tools import AsyncToolChatStream, AsyncToolClient, ToolClient, ToolCompletion

T = TypeVar("T")

_HEARTBEAT_SECONDS = 15.0
_UNKNOWN_MODEL = Problem(404, "model_not_found", "There is no such model here.")
_ERRORS: dict[int | str, dict[str, Any]] = {  # Any: parts of an OpenAPI document
    400: {"description": "Something in the request cannot be honoured."},
    403: {"description": "A tool wants the approval of a person."},
    404: {"description": "There is no such model."},
    413: {"description": "The body is too large."},
    415: {"description": "The body is no JSON."},
    429: {"description": "The model is asked too often."},
    502: {"description": "The model cannot be reached."},
    504: {"description": "The model did not answer in time."},
}
_OWN_FIELDS = {"messages", "model", "stream", "stream_options", "n", "tools", "store"}


class SupportsChat(Protocol):
    """A client whose `chat` runs tools."""

    # Any: the parameters of `AsyncToolClient.chat`, whose result depends on `stream`.
    async def chat(self, messages: Any, **params: Any) -> Any:
        """Answer with the help of the tools."""
        ...


class ChatMessage(BaseModel):
    """A message of the caller; calls of tools are the service's own and never in one."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]] | None  # Any: content parts, as the model takes them
    name: str | None = None
    # What an earlier answer had, which callers send back as they got it.
    refusal: str | None = None
    reasoning: str | None = None
    annotations: list[dict[str, Any]] | None = None  # Any: JSON of the provider
    audio: None = None
    function_call: None = None
    tool_calls: list[None] | None = Field(default=None, max_length=0)


class StreamOptions(BaseModel):
    """How the answer is streamed."""

    include_usage: bool = False
    include_obfuscation: bool = False


class ChatCompletionRequest(BaseModel):
    """What is taken of OpenAI's request; what cannot be honoured is refused, not ignored."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    store: Literal[False] | None = None
    tools: list[None] | None = Field(default=None, max_length=0)
    tool_choice: Literal["auto", "none"] | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: dict[str, Any] | None = None  # Any: JSON Schema
    reasoning_effort: str | None = None
    verbosity: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    prompt_cache_key: str | None = None


class ChatRoute(BoundedRoute):
    """A route whose errors are OpenAI's."""

    max_body_bytes: ClassVar[int] = 8 * 1024 * 1024

    # Any: what FastAPI's own method is declared with.
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Have who may not ask told in the same shape, too."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except HTTPException as error:
                title = HTTPStatus(error.status_code).phrase
                answer = _refused(Problem(error.status_code, "not_allowed", title))
                answer.headers.update(error.headers or {})
                return answer

        return told

    def problem_of(self, error: MBXAIError) -> Problem:
        """Return what a caller is told of an error."""
        return chat_problem_of(error)

    def refused(self, problem: Problem) -> Response:
        """Return a problem as OpenAI's error object; where others say 422, OpenAI says 400."""
        is_bad = problem.status == HTTPStatus.UNPROCESSABLE_ENTITY
        return _refused(replace(problem, status=400) if is_bad else problem)

    def invalid(self, error: RequestValidationError) -> Response:
        """Say what is wrong with a request, without what was sent."""
        first = error.errors()[0]
        place = ".".join(place_of(first)[1:])
        is_extra = first["type"] == "extra_forbidden"
        # A field's name is only repeated where it is one of ours.
        named = place or "body"
        detail = f"{named}: {'has a field that is not supported' if is_extra else first['type']}"
        if place.startswith("tools"):
            detail = "tools: this service runs tools of its own, and cannot call those of others"
        problem = Problem(400, "unsupported_parameter" if is_extra else "invalid_request", detail)
        return _refused(problem, place or None)


def chat_router(
    client: AsyncToolClient | ToolClient | SupportsChat,
    *,
    scope: Callable[..., object],
    models: Mapping[str, str | None] | None = None,
    prefix: str = "/v1",
    trusted_origins: tuple[str, ...] = (),
) -> APIRouter:
    """Return a router that speaks OpenAI's chat completions over a tool client.

    Whatever talks to OpenAI can talk to it: the service runs its own tools and gives the final
    answer, whole or streamed. Who leaves ends the model's work and the tools'.

    Args:
        client: An `AsyncToolClient` or `AsyncMCPClient`, or a blocking one; it stays the caller's
            to close.
        scope: Says who is asking: a FastAPI dependency that raises where it may not be.
            `anonymous` lets everybody in.
        models: Names that callers may ask for, and the model behind each; None is the client's
            own. Without it the only name is "default".
        prefix: Of the paths.
        trusted_origins: As for `agent_router`.

    Returns:
        A router for `app.include_router()`, with `/chat/completions` and `/models`.

    Raises:
        ConfigurationError: The client has no `chat`, or there is no model.
    """
    core = cast("SupportsChat", getattr(client, "async_client", client))
    if not callable(getattr(core, "chat", None)):
        raise ConfigurationError(
            f"{type(client).__name__} has no chat().", hint="Wrap it: AsyncToolClient(client)."
        )
    names = {"default": None} if models is None else dict(models)
    if not names:
        raise ConfigurationError("models names no model.")
    route = type("ChatRoute", (ChatRoute,), {"trusted_origins": frozenset(trusted_origins)})
    router = APIRouter(
        prefix=prefix,
        tags=["chat"],
        dependencies=[Depends(scope)],
        route_class=route,
        responses=_ERRORS,
    )

    @router.post("/chat/completions", response_class=JSONResponse)
    async def create(request: Request, body: ChatCompletionRequest) -> Response:
        """Answer with the help of the service's tools."""
        if body.model not in names:
            return _refused(_UNKNOWN_MODEL, "model")
        return await _answered(core, names[body.model], request, body)

    @router.get("/models")
    async def list_models() -> dict[str, Any]:  # Any: JSON of OpenAI's API
        """List the models that may be asked for."""
        known = {"object": "model", "created": 0, "owned_by": "mbxai"}
        return {"object": "list", "data": [{"id": name} | known for name in names]}

    _ = (create, list_models)
    return router


async def _answered(
    client: SupportsChat, model: str | None, request: Request, body: ChatCompletionRequest
) -> Response:
    given = body.model_dump(exclude=_OWN_FIELDS, exclude_none=True)
    messages = [_sent(message) for message in body.messages]
    if body.stream:
        opened = await _unless_left(
            request, lambda: client.chat(messages, model=model, stream=True, **given)
        )
        return _gone() if opened is None else _Streamed(opened, body)
    answer: ToolCompletion | None = await _unless_left(
        request, lambda: client.chat(messages, model=model, **given)
    )
    if answer is None:
        return _gone()
    if answer.pending:
        return _refused(NEEDS_APPROVAL)
    return JSONResponse(completion_of(answer, body.model))


def _sent(message: ChatMessage) -> dict[str, Any]:  # Any: a message of the wire
    fields = message.model_dump(exclude={"tool_calls"}, exclude_none=True)
    return {"content": None} | fields


async def _unless_left(request: Request, work: Callable[[], Awaitable[T]]) -> T | None:
    """Do something for a caller; None if the caller has left, and it was cancelled."""
    outcome: list[T] = []
    failure: list[MBXAIError] = []
    async with anyio.create_task_group() as group:

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        group.start_soon(watch)
        try:
            outcome.append(await work())
        except MBXAIError as error:  # not in a group
            failure.append(error)
        group.cancel_scope.cancel()
    if failure:
        raise failure[0]
    return outcome[0] if outcome else None


class _Streamed(Response):
    """An answer as it comes about; ends with [DONE] only if it is whole."""

    def __init__(self, stream: AsyncToolChatStream, body: ChatCompletionRequest) -> None:
        super().__init__(headers=SSE_HEADERS)
        del self.headers["content-length"]
        self._stream = stream
        self._chunks = ChatChunks(body.model)
        self._has_usage = body.stream_options is not None and body.stream_options.include_usage
        self._said = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        async def say(data: bytes) -> None:
            self._said += 1
            await send({"type": "http.response.body", "body": data, "more_body": True})

        async with self._stream:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with anyio.create_task_group() as group:
                group.start_soon(_until_left, receive, group.cancel_scope)
                group.start_soon(self._keep_open, say)
                await self._tell(say)
                group.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, say: Callable[[bytes], Awaitable[None]]) -> None:
        try:
            async for chunk in self._stream:
                if (told := self._chunks.add(chunk)) is not None:
                    await say(encode_chat(told))
        except MBXAIError as error:
            await say(encode_chat(chat_error(chat_problem_of(error))))
            return
        if self._stream.pending:
            await say(encode_chat(chat_error(NEEDS_APPROVAL)))
            return
        if self._has_usage:
            await say(encode_chat(self._chunks.usage(self._stream.usage)))
        await say(CHAT_DONE)

    async def _keep_open(self, say: Callable[[bytes], Awaitable[None]]) -> None:
        while True:
            before = self._said
            await anyio.sleep(_HEARTBEAT_SECONDS)
            if self._said == before:
                await say(encode_comment())


async def _until_left(receive: Receive, work: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    work.cancel()


def _refused(problem: Problem, param: str | None = None) -> JSONResponse:
    retry = problem.retry_after
    headers = None if retry is None else {"Retry-After": str(retry)}
    return JSONResponse(chat_error(problem, param), problem.status, headers=headers)


def _gone() -> Response:
    return Response(status_code=499)  # nobody gets it; as nginx names it in its log
