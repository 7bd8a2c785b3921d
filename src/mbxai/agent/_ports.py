"""What an agent needs of a client, and the adapter that gives it from any client.

The agent imports no client: every client of mbxai satisfies these protocols, and so does a user's
own object with `parse` alone, blocking or not.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import anyio.to_thread
from pydantic import BaseModel, ValidationError

from mbxai._redaction import redact
from mbxai.agent._result_models import Result, TokenUsage
from mbxai.errors import ConfigurationError, InvalidResponseError, MBXAIError, OpenRouterError
from mbxai.wire import (
    ChatCompletion,
    Message,
    ToolDefinition,
    ToolInfo,
    ToolResult,
    Usage,
    sendable_param,
    with_unique_call_ids,
)

_MAX_ERROR_CHARS = 500


@runtime_checkable
class SupportsTools(Protocol):
    """A client that has tools of its own; its `parse` takes `use_tools=False` to leave them out."""

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
        """Run a tool; a failure is a result that says so. `scrub` comes before any cut to size."""
        ...


class Reply(NamedTuple):
    """What a model call gave.

    Attributes:
        value: The structured value as JSON, or the assistant message as it goes back.
        usage: Tokens and cost.
        finish_reason: Why the model stopped.
        parsed: The structured value itself.
    """

    value: dict[str, Any]  # Any: JSON of the wire
    usage: TokenUsage
    finish_reason: str | None = None
    parsed: BaseModel | None = None


class ClientPort:
    """Any client, as the agent uses it.

    Attributes:
        client: The asynchronous client, or the user's own object.
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
        if not callable(getattr(self.client, "parse", None)):
            raise ConfigurationError(
                f"ai_client: a {type(client).__name__} has no parse().",
                hint="Pass an OpenRouterClient, ToolClient or MCPClient, or their async twins.",
            )
        self._tools = self.client if isinstance(self.client, SupportsTools) else None
        self._bounds_retries = _knows_argument(
            getattr(self.client, "parse", None), "max_validation_retries"
        )

    def method(self, name: str, purpose: str) -> Callable[..., Any]:  # Any: the client's own result
        """Return a method of the client.

        Args:
            name: Name of the method.
            purpose: What it is needed for, for the error.

        Returns:
            The bound method.

        Raises:
            AttributeError: The client has no such method.
        """
        found = getattr(self.client, name, None)
        if not callable(found):
            raise AttributeError(  # noqa: TRY004  # what mbxai 2.3 raised
                f"{type(self.client).__name__} has no {name}(): it cannot {purpose}."
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
        parsed: object = getattr(self._first_choice(completion).message, "parsed", None)
        if not isinstance(parsed, wanted):
            raise InvalidResponseError(
                f"parse() of {type(self.client).__name__} gave a {type(parsed).__name__}, "
                f"not a {wanted.__name__}."
            )
        value = parsed.model_dump(mode="json", by_alias=True)
        return Reply(value, usage_of(completion), parsed=parsed)

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
            return Reply(
                {"role": "assistant", "content": reply.value["result"]}, reply.usage, "stop"
            )
        offered: dict[str, Any] = {"tools": list(tools)} if tools else {}
        completion = await self._call("create", messages=list(messages), **offered)
        choice = self._first_choice(completion)
        try:
            message = Message.model_validate(choice.message, from_attributes=True)
        except ValidationError as error:
            raise self._no_completion() from error
        finish_reason: str | None = getattr(choice, "finish_reason", None)
        # Providers send empty and repeated ids, also from round to round.
        taken = {str(call["id"]) for m in messages for call in m.get("tool_calls") or ()}
        message = with_unique_call_ids(message, taken, seed=str(getattr(completion, "id", "")))
        return Reply(sendable_param(message), usage_of(completion), finish_reason)

    def tool_infos(self, only: Sequence[str] | None = None) -> list[ToolInfo]:
        """Return what a planner must know of the tools that may be used."""
        infos = self._tools.tool_infos() if self._tools else []
        return [info for info in infos if only is None or info.name in only]

    def tool_definitions(self, only: Sequence[str] | None = None) -> list[ToolDefinition]:
        """Return the tools that may be used as they are offered to a model."""
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
    ) -> ToolResult:
        """Run a tool; a failure is a result that says so."""
        if self._tools is None:
            content = f"There is no tool {name!r}."
            return ToolResult(call_id=call_id, name=name, content=content, is_error=True)
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
            )
        except Exception as error:  # noqa: BLE001  # the user's own client runs here
            content = scrub(f"{name} failed: {type(error).__name__}: {error}")[:_MAX_ERROR_CHARS]
            return ToolResult(call_id=call_id, name=name, content=content, is_error=True)

    def _first_choice(self, completion: Any) -> Any:  # Any: the client's own types
        try:
            choice = completion.choices[0]
            _ = choice.message
        except (AttributeError, IndexError, TypeError) as error:
            raise self._no_completion() from error
        return choice

    def _no_completion(self) -> InvalidResponseError:
        return InvalidResponseError(
            f"{type(self.client).__name__} gave no completion.",
            hint="Its answers need choices[0].message, as chat completions have.",
        )

    async def _call(self, name: str, **arguments: Any) -> Any:  # Any: the client's own result
        method = self.method(name, "answer an agent")
        try:
            if inspect.iscoroutinefunction(method):
                return await method(**arguments)
            # A duck-typed client may block; its result may still be awaitable.
            result = await anyio.to_thread.run_sync(partial(method, **arguments))
            return await result if inspect.isawaitable(result) else result
        except MBXAIError:
            raise
        except Exception as error:  # the user's own client runs here
            text = redact(f"{type(error).__name__}: {error}")[:_MAX_ERROR_CHARS]
            raise OpenRouterError(
                f"{name}() of {type(self.client).__name__} raised {text}."
            ) from error


def _knows_argument(function: object, name: str) -> bool:
    try:
        return callable(function) and name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable that hides its signature
        return False


def usage_of(completion: object) -> TokenUsage:
    """Return a completion's tokens and cost; zeros where the client gives none.

    Args:
        completion: A completion of any client.

    Returns:
        Its usage.
    """
    if isinstance(completion, ChatCompletion) and isinstance(completion.total_usage, Usage):
        usage = completion.total_usage
        return TokenUsage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            cost_usd=usage.cost or 0.0,
        )
    usage = getattr(completion, "usage", None)
    counts = {
        name: value
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        if isinstance(value := getattr(usage, name, None), int)
    }
    return TokenUsage(**counts)
