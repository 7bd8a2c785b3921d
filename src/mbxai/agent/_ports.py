"""What an agent needs of a client, and the adapter that gives it from any client.

The agent imports no client: every client of mbxai satisfies these protocols, and so does a user's
own object with `parse` alone, blocking or not.
"""

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import anyio.to_thread
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from mbxai._redaction import redact
from mbxai.agent._result_models import Result, TokenUsage
from mbxai.agent._usage import usage_of
from mbxai.agent.machine._definition import fingerprint
from mbxai.errors import (
    BadRequestError,
    ConfigurationError,
    InvalidResponseError,
    MBXAIError,
    NotFoundError,
    OpenRouterError,
)
from mbxai.wire import (
    Message,
    ToolAnswer,
    ToolDefinition,
    ToolEvent,
    ToolInfo,
    ToolResult,
    sendable_param,
    with_preamble,
    with_unique_call_ids,
)

_MAX_ERROR_CHARS = 500


@runtime_checkable
class SupportsTools(Protocol):
    """A client that has tools of its own; its `parse` takes `use_tools=False` to leave them out.

    If a tool's need for approval depends on the arguments, the client has a method besides,
    `needs_approval(name, arguments) -> bool`, blocking or not; without it a person is always asked.
    """

    def tool_infos(self) -> list[ToolInfo]:
        """Return what a planner must know of each tool."""
        ...

    def tool_definitions(self, names: Sequence[str] | None = None) -> list[ToolDefinition]:
        """Return the tools as they are offered to a model; all, or those named."""
        ...

    async def call_tool(
        self,
        name: str,
        arguments: str,
        *,
        call_id: str = "",
        session_id: str = "",
        idempotency_key: str = "",
        secrets: Mapping[str, str] | None = None,
        scrub: Callable[[str], str] | None = None,
        attempt: int = 1,
    ) -> ToolResult:
        """Run a tool; a failure is a result that says so. `scrub` comes before any cut to size.

        A client whose tools may ask people takes `can_pause` and `answer` besides: with the first
        it may return a result with a `question`, and it is called again with the second. One whose
        tools report how far they are takes `on_event`, which it calls on the event loop. One whose
        tools can say what a run did that was cut off takes `reconcile`: with it no tool is run, and
        the result is that of the earlier run, has a `NotDone` as its `value`, or is an error.
        """
        ...


class Reply(NamedTuple):
    """What a model call gave.

    Attributes:
        value: The structured value as JSON, or the assistant message as it goes back.
        usage: Tokens and cost.
        finish_reason: Why the model stopped.
        parsed: The structured value itself.
        model: The model that answered; empty where the client does not say.
        generation_id: OpenRouter's id of the answer; empty where there is none.
    """

    value: dict[str, Any]  # Any: JSON of the wire
    usage: TokenUsage
    finish_reason: str | None = None
    parsed: BaseModel | None = None
    model: str = ""
    generation_id: str = ""


class ClientPort:
    """Any client, as the agent uses it.

    Attributes:
        client: The asynchronous client, or the user's own object.
        model_client: The client that makes the model calls, where that is another one.
    """

    def __init__(self, client: object) -> None:
        """Take a client.

        Args:
            client: An asynchronous client, a facade (its `async_client` is used), or an object with
                `parse(messages=..., response_format=...)` and, for tasks, `create(messages=...)`.

        Raises:
            ConfigurationError: The object has no `parse`.
        """
        self.client: object = getattr(client, "async_client", client)
        self._name = type(client).__name__
        self._is_facade = self.client is not client
        if not callable(getattr(self.client, "parse", None)):
            raise ConfigurationError(
                f"ai_client: a {type(client).__name__} has no parse().",
                hint="Pass an OpenRouterClient, ToolClient or MCPClient, or their async twins.",
            )
        self._tools = self.client if isinstance(self.client, SupportsTools) else None
        call_tool = getattr(self._tools, "call_tool", None)
        self._pauses = _knows_argument(call_tool, "can_pause")
        self._reports = _knows_argument(call_tool, "on_event")
        self._reconciles = _knows_argument(call_tool, "reconcile")
        self._fingerprints: dict[str, tuple[ToolInfo, str]] = {}  # by the name of a tool
        self._bounds_retries = _knows_argument(
            getattr(self.client, "parse", None), "max_validation_retries"
        )
        # A client with tools makes its model calls by another one.
        found: object = getattr(self.client, "model_client", None)
        self.model_client: object = self.client if found is None else found
        stream: Callable[..., Any] | None = getattr(self.model_client, "stream", None)
        self._open_stream = stream if _knows_argument(stream, "response_format") else None

    @property
    def model(self) -> str:
        """The model that the client asks; empty where it does not say."""
        name: object = getattr(self.model_client, "model", None)
        return str(name) if isinstance(name, str) else ""

    def method(
        self, name: str, purpose: str, *, wrap: str = ""
    ) -> Callable[..., Any]:  # Any: the client's own result
        """Return a method of the client.

        Args:
            name: Name of the method.
            purpose: What it is needed for, for the error.
            wrap: The blocking client that has it, for the error.

        Returns:
            The bound method.

        Raises:
            AttributeError: The client has no such method.
        """
        found = getattr(self.client, name, None)
        if not callable(found):
            kind = "" if self._is_facade else "Async"
            able = f"{kind}{wrap}"
            article = "a" if able.startswith("T") else "an"
            advice = f" Wrap {article} {able}: {kind}AgentClient({able}(...))." if wrap else ""
            raise AttributeError(  # noqa: TRY004  # what mbxai 2.3 raised
                f"{self._name} has no {name}(): it cannot {purpose}.{advice}"
            )
        return cast("Callable[..., Any]", found)

    async def structured(
        self, messages: Sequence[Mapping[str, Any]], wanted: type[BaseModel]
    ) -> Reply:
        """Ask for a value of a type.

        Args:
            messages: The conversation.
            wanted: The model that the value must be an instance of.

        Returns:
            The value as JSON.

        Raises:
            OpenRouterError: As the client's `parse` raises it; foreign errors are translated.
        """
        # Planning must not run tools, which the parse() of a client with tools would do.
        options: dict[str, Any] = {"use_tools": False} if self._tools else {}
        # The machine asks again itself, and counts that against its own limits.
        if self._bounds_retries:
            options["max_validation_retries"] = 0
        completion = await self._call(
            "parse", messages=list(messages), response_format=wanted, **options
        )
        return self._typed_reply(completion, wanted)

    async def streamed(
        self,
        messages: Sequence[Mapping[str, Any]],
        wanted: type[BaseModel],
        on_text: Callable[[str], object],
    ) -> Reply:
        """Ask for a value of a type, and give its text on as it comes.

        Where the client or the model cannot stream such answers, the answer comes as a whole and
        no text is given on.

        Args:
            messages: The conversation.
            wanted: The model that the value must be an instance of.
            on_text: Gets each piece of the answer's text.

        Returns:
            The value as JSON.

        Raises:
            OpenRouterError: As for `structured`; also if the stream broke off, whatever came.
        """
        manager = self._stream_manager(messages, wanted)
        if manager is None:
            return await self.structured(messages, wanted)
        is_open = False
        try:
            with self._translated("stream"):
                async with manager as stream:
                    is_open = True
                    async with aclosing(stream.text_stream) as texts:
                        async for text in texts:
                            on_text(text)
                    completion = await stream.get_final_completion()
            return self._typed_reply(completion, wanted)
        except (BadRequestError, NotFoundError, InvalidResponseError):
            if is_open:
                raise
            reply = await self.structured(messages, wanted)
            self._open_stream = None  # else each answer would be asked for twice
            return reply

    async def message(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[ToolDefinition]
    ) -> Reply:
        """Ask for the next message of a task's conversation.

        Args:
            messages: The conversation.
            tools: Tools to offer.

        Returns:
            The assistant message as it goes back; calls in it have unique ids.

        Raises:
            OpenRouterError: As the client's `create` raises it; foreign errors are translated.
        """
        if not callable(getattr(self.client, "create", None)):
            reply = await self.structured(messages, Result)
            said = {"role": "assistant", "content": reply.value["result"]}
            return reply._replace(value=said, finish_reason="stop", parsed=None)
        offered: dict[str, Any] = {"tools": list(tools)} if tools else {}
        told = with_preamble(messages, self._preamble())
        completion = await self._call("create", messages=told, **offered)
        choice = self._first_choice(completion)
        try:
            message = Message.model_validate(choice.message, from_attributes=True)
        except ValidationError as error:
            raise self._no_completion() from error
        # Providers send empty and repeated ids, also from round to round.
        taken = {str(call["id"]) for m in messages for call in m.get("tool_calls") or ()}
        message = with_unique_call_ids(message, taken, seed=str(getattr(completion, "id", "")))
        return _reply(completion, sendable_param(message), choice)

    def _preamble(self) -> str:
        """What the client's servers say of the use of their tools, where it may be said."""
        say = getattr(self.client, "instructions", None)
        with self._translated("instructions"):
            told: object = say() if self._tools and callable(say) else ""
        return told if isinstance(told, str) else ""

    def tool_infos(self, only: Sequence[str] | None = None) -> list[ToolInfo]:
        """Return what a planner must know of the tools that may be used."""
        with self._translated("tool_infos"):
            infos = self._tools.tool_infos() if self._tools else []
        return [info for info in infos if only is None or info.name in only]

    def definitions(self) -> dict[str, str]:
        """Return the fingerprint of each tool as it is defined now, by name."""
        infos = {info.name: info for info in self.tool_infos()}
        known = self._fingerprints
        self._fingerprints = {
            # To compare is much quicker than to write all of it as JSON.
            name: known[name]
            if name in known and known[name][0] == info
            else (info, fingerprint(info))
            for name, info in infos.items()
        }
        return {name: made for name, (_, made) in self._fingerprints.items()}

    def reconcilable(self) -> tuple[str, ...]:
        """Return the names of the tools that can say what a run did that was cut off."""
        if not self._reconciles:
            return ()
        return tuple(info.name for info in self.tool_infos() if info.can_reconcile)

    def tool_definitions(self, only: Sequence[str] | None = None) -> list[ToolDefinition]:
        """Return the tools that may be used as they are offered to a model."""
        with self._translated("tool_definitions"):
            return self._tools.tool_definitions(only) if self._tools else []

    async def call_tool(
        self,
        name: str,
        arguments: str,
        *,
        call_id: str,
        session_id: str,
        idempotency_key: str,
        secrets: Mapping[str, str],
        scrub: Callable[[str], str],
        attempt: int,
        can_pause: bool = False,
        answer: ToolAnswer | None = None,
        on_event: Callable[[ToolEvent], object] | None = None,
        reconcile: bool = False,
    ) -> ToolResult:
        """Run a tool; a failure is a result that says so, and a question one that waits.

        With `reconcile` no tool is run: it is asked what its last run did.
        """
        if self._tools is None:
            content = f"There is no tool {name!r}."
            return ToolResult(call_id=call_id, name=name, content=content, is_error=True)
        known: dict[str, Any] = {}
        if self._pauses:
            known |= {"can_pause": can_pause, "answer": answer}
        if self._reports:
            known["on_event"] = on_event
        if reconcile:
            known["reconcile"] = True
        try:
            return await self._tools.call_tool(
                name,
                arguments,
                call_id=call_id,
                session_id=session_id,
                idempotency_key=idempotency_key,
                secrets=secrets,
                scrub=scrub,
                attempt=attempt,
                **known,
            )
        except Exception as error:  # noqa: BLE001  # the user's own client runs here
            content = scrub(f"{name} failed: {type(error).__name__}: {error}")[:_MAX_ERROR_CHARS]
            return ToolResult(call_id=call_id, name=name, content=content, is_error=True)

    def _typed_reply(self, completion: Any, wanted: type[BaseModel]) -> Reply:  # Any: as above
        choice = self._first_choice(completion)
        parsed: object = getattr(choice.message, "parsed", None)
        if not isinstance(parsed, wanted):
            raise _paid(
                InvalidResponseError(
                    f"parse() of {type(self.client).__name__} gave a {type(parsed).__name__}, "
                    f"not a {wanted.__name__}."
                ),
                completion,
            )
        try:
            value = parsed.model_dump(mode="json", by_alias=True)
        except PydanticSerializationError as error:  # what the caller's model makes of its fields
            raise _paid(
                InvalidResponseError(
                    f"A {wanted.__name__} cannot be written as JSON, in which sessions are kept.",
                    hint="Give its fields types that pydantic can serialize.",
                ),
                completion,
            ) from error
        return _reply(completion, value, choice)._replace(parsed=parsed)

    def _first_choice(self, completion: Any) -> Any:  # Any: the client's own types
        try:
            choice = completion.choices[0]
            _ = choice.message
        except Exception as error:  # the client's own types
            raise self._no_completion() from error
        return choice

    def _no_completion(self) -> InvalidResponseError:
        return InvalidResponseError(
            f"{type(self.client).__name__} gave no completion.",
            hint="Its answers need choices[0].message, as chat completions have.",
        )

    async def _call(self, name: str, **arguments: Any) -> Any:  # Any: the client's own result
        method = self.method(name, "answer an agent")
        with self._translated(name):
            if inspect.iscoroutinefunction(method):
                return await method(**arguments)
            # A duck-typed client may block; its result may still be awaitable.
            call = partial(method, **arguments)
            # Left behind if the run is cancelled: nothing can stop a function that blocks.
            result = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
            return await result if inspect.isawaitable(result) else result

    def _stream_manager(
        self, messages: Sequence[Mapping[str, Any]], wanted: type[BaseModel]
    ) -> Any:  # Any: the client's own
        """Return what opens a stream; None where the client does not stream like that."""
        if self._open_stream is None:
            return None
        told = with_preamble(messages, self._preamble())
        with self._translated("stream"):
            manager = self._open_stream(messages=told, response_format=wanted)
        if inspect.iscoroutine(manager):
            manager.close()  # nothing of it has begun
        return manager if hasattr(manager, "__aenter__") else None

    @contextmanager
    def _translated(self, name: str) -> Generator[None]:
        """Make an error of the family of what the user's own client raises."""
        try:
            yield
        except MBXAIError:
            raise
        except Exception as error:
            raise self._foreign(name, error) from error

    def _foreign(self, name: str, error: Exception) -> OpenRouterError:
        text = redact(f"{type(error).__name__}: {error}")[:_MAX_ERROR_CHARS]
        return OpenRouterError(f"{name}() of {type(self.client).__name__} raised {text}.")


def _paid(error: InvalidResponseError, completion: Any) -> InvalidResponseError:  # Any: as above
    """Say with an error which answer it is about, for that was paid for."""
    error.completions = (completion,)
    return error


def _reply(
    completion: object,
    value: dict[str, Any],  # Any: JSON of the wire
    choice: object,
) -> Reply:
    """Return a reply with what the completion says of itself, as far as it does."""
    words = (
        getattr(choice, "finish_reason", None),
        getattr(completion, "model", None),
        getattr(completion, "id", None),
    )
    finish_reason, model, generation_id = (str(w) if isinstance(w, str) else "" for w in words)
    return Reply(
        value,
        usage_of(completion),
        finish_reason or None,
        model=model,
        generation_id=generation_id,
    )


def _knows_argument(function: object, name: str) -> bool:
    try:
        return callable(function) and name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable that hides its signature
        return False
