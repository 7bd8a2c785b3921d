"""The blocking tool client; no logic of its own, see `_client`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from pydantic import TypeAdapter

import mbxai.portal as portal
from mbxai.tools._client import AsyncToolClient
from mbxai.tools._context import SecretSource, ToolContext
from mbxai.tools._registry import ToolRegistry
from mbxai.tools._tool import MAX_RESULT_BYTES, MarkOptions, ToolOptions
from mbxai.tools.loop._answer import ParsedToolCompletion, ToolCompletion
from mbxai.tools.loop._options import ToolChatParams, ToolClientOptions, ToolParseParams
from mbxai.tools.loop._sync_stream import ToolChatStream, blocking_stream
from mbxai.tools.schema._signature import AnyFunction
from mbxai.wire import (
    ChatCompletion,
    CompletionParams,
    Messages,
    Strategy,
    ToolAnswer,
    ToolDefinition,
    ToolEvent,
    ToolInfo,
    ToolResult,
)

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class ToolClient:
    """A client whose model may call Python functions.

    It wraps an OpenRouter client, or anything with `create` and `parse`, and closes nothing that it
    did not make.
    """

    def __init__(self, openrouter_client: object, **options: Unpack[ToolClientOptions]) -> None:
        """Wrap a client.

        Args:
            openrouter_client: An `AsyncOpenRouterClient`, an `OpenRouterClient`, or an object with
                `create(messages=...)` and `parse(messages=..., response_format=...)`, blocking or
                not.
            **options: See `ToolClientOptions`.

        Raises:
            ConfigurationError: The object has neither `create` nor `parse`, or a number cannot be.
        """
        self._core: AsyncToolClient = AsyncToolClient(openrouter_client, **options)

    @property
    def async_client(self) -> AsyncToolClient:
        """The asynchronous client that does the work; both share tools and connections."""
        return self._core

    @property
    def model_client(self) -> object:
        """The client that makes the model calls; of a blocking one, its asynchronous twin."""
        return self._core.model_client

    @property
    def registry(self) -> ToolRegistry:
        """The tools that are offered to the model."""
        return self._core.registry

    def register_tool(
        self,
        name: str,
        description: str,
        function: AnyFunction,
        schema: Mapping[str, Any] | None = None,
        *,
        replace: bool = False,
        **options: Unpack[ToolOptions],
    ) -> None:
        """Offer a function to the model.

        Args:
            name: The name that the model uses: 1 to 64 letters, digits, `_` and `-`.
            description: What the function does, for the model.
            function: Any callable; coroutine functions are awaited, others run in a worker thread.
            schema: JSON Schema of the arguments; by default it is made from the signature and the
                docstring.
            replace: Whether the tool may take the place of another one of its name.
            **options: See `ToolOptions`.

        Raises:
            ToolDefinitionError: The name, a parameter or an option cannot be that of a tool, or
                another function has the name already.
        """
        self._core.register_tool(name, description, function, schema, replace=replace, **options)

    def register_external_tool(
        self,
        name: str,
        description: str,
        schema: Mapping[str, Any],
        *,
        max_result_bytes: int = MAX_RESULT_BYTES,
        replace: bool = False,
    ) -> None:
        """Offer a tool that the application runs itself: `chat` returns its calls as pending.

        Args:
            name: The name that the model uses: 1 to 64 letters, digits, `_` and `-`.
            description: What the tool does, for the model.
            schema: JSON Schema of the arguments.
            max_result_bytes: How much of a result the model is shown.
            replace: Whether the tool may take the place of another one of its name.

        Raises:
            ToolDefinitionError: The name or the schema cannot be that of a tool, or another tool
                has the name already.
        """
        self._core.register_external_tool(
            name, description, schema, max_result_bytes=max_result_bytes, replace=replace
        )

    def register_object(
        self, source: object, *, prefix: str = "", replace: bool = False
    ) -> list[str]:
        """Offer all methods of an object that bear the `tool` decorator.

        Args:
            source: The object; its methods keep their `self`.
            prefix: Put before each tool's name, so that two objects of one class can be told apart.
            replace: Whether they may take the place of other tools of their names.

        Returns:
            Names of the tools, in the order of their definition.

        Raises:
            ToolDefinitionError: There is no such method, one cannot become a tool, or another
                function has the name already; nothing is registered then.
        """
        return self._core.register_object(source, prefix=prefix, replace=replace)

    @overload
    def tool(self, function: F, /) -> F: ...
    @overload
    def tool(self, /, **options: Unpack[MarkOptions]) -> Callable[[F], F]: ...
    def tool(
        self, function: F | None = None, /, **options: Unpack[MarkOptions]
    ) -> F | Callable[[F], F]:
        """Offer the decorated function to the model; the function stays as it is.

        Works as `@client.tool` and as `@client.tool(effect="read")`; also called with a bound
        method or a function that bears the `tool` decorator.

        Args:
            function: The function, where the decorator is used without options.
            **options: See `ToolOptions`; also `name` and `description`, which come from the
                function if left out.

        Raises:
            ToolDefinitionError: The name, a parameter or an option cannot be that of a tool, or
                another function has the name already.
        """
        add = self._core.tool(**options)
        return add if function is None else add(function)

    def tool_infos(self) -> list[ToolInfo]:
        """Return what a planner must know of each tool, oldest first."""
        return self._core.tool_infos()

    def tool_definitions(self, names: Sequence[str] | None = None) -> list[ToolDefinition]:
        """Return the tools as a request offers them.

        Args:
            names: Only these, in their order; unknown names are left out. None means all.

        Returns:
            Definitions that are shared between requests, so they must not be changed.
        """
        return self._core.tool_definitions(names)

    def needs_approval(self, name: str, arguments: str | Mapping[str, object]) -> bool:
        """Say whether a person must agree to a call before `call_tool` runs it.

        Args:
            name: Name of the tool.
            arguments: JSON text of an object, as a model writes it, or the object.

        Returns:
            What the tool's `requires_approval` says of these arguments; True if its function
            fails. False for an unknown tool and for arguments that do not fit, since nothing
            would be run.
        """
        return portal.run(self._core.needs_approval, name, arguments)

    def call_tool(
        self,
        name: str,
        arguments: str | Mapping[str, object],
        *,
        call_id: str = "",
        session_id: str = "",
        idempotency_key: str = "",
        secrets: SecretSource | None = None,
        scrub: Callable[[str], str] | None = None,
        attempt: int = 1,
        can_pause: bool = False,
        answer: ToolAnswer | None = None,
        context: ToolContext[Any] | None = None,
        on_event: Callable[[ToolEvent], object] | None = None,
        reconcile: bool = False,
    ) -> ToolResult:
        """Run one tool; the caller has decided that it may run.

        Args:
            name: Name of the tool.
            arguments: JSON text of an object, as a model writes it, or the object.
            call_id: The model's id of the call.
            session_id: Id of the agent session, for the tool's context.
            idempotency_key: The same for every run of the same call.
            secrets: Where `Secret` parameters get their values.
            scrub: Takes credentials out of a text; applied to everything that the result tells the
                model, before it is cut to size. If it raises, the text is withheld.
            attempt: 1 for the first run of this call, 2 for its first repetition.
            can_pause: Whether a result with a `question` is understood: the call has paused, and is
                made again with the answer. Without it a tool that asks waits for the answer.
            answer: The answer to the question with which this call paused.
            context: Everything else that surrounds the call; the arguments above win over it.
            on_event: Gets each event of the call, on the event loop; it must not block.
            reconcile: Whether to ask the tool what an earlier run of this call did, and not run it.

        Returns:
            The result. An unknown tool, wrong arguments, an exception and a timeout are results
            with `is_error`; with `reconcile` the `value` may be a `NotDone`.
        """
        return portal.run(
            self._core.call_tool,
            name,
            arguments,
            call_id=call_id,
            session_id=session_id,
            idempotency_key=idempotency_key,
            secrets=secrets,
            scrub=scrub,
            attempt=attempt,
            can_pause=can_pause,
            answer=answer,
            context=context,
            on_event=on_event,
            reconcile=reconcile,
        )

    @overload
    def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[False] = False,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion: ...
    @overload
    def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool,
        **params: Unpack[CompletionParams],
    ) -> Any: ...
    def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool = False,
        **params: Unpack[CompletionParams],
    ) -> Any:
        """Make one model call on the wrapped client; no tool is added and none is run.

        Args:
            messages: The conversation.
            model: Which model; None means the wrapped client's own.
            stream: Return a stream instead of the whole answer.
            **params: See `CompletionParams`.

        Returns:
            What the wrapped client's `create` returns; with `stream=True` its stream: the
            `ChatStream` of an OpenRouter client, or what gives the chunks of another.

        Raises:
            OpenRouterError: As the wrapped client raises it.
        """
        if stream:
            opened = partial(self._core.create, messages, model=model, stream=True, **params)
            return blocking_stream(opened)
        return portal.run(self._core.create, messages, model=model, **params)

    @overload
    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[False] = False,
        **params: Unpack[ToolChatParams],
    ) -> ToolCompletion: ...
    @overload
    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[True],
        **params: Unpack[ToolChatParams],
    ) -> ToolChatStream: ...
    @overload
    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool,
        **params: Unpack[ToolChatParams],
    ) -> ToolCompletion | ToolChatStream: ...
    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool = False,
        **params: Unpack[ToolChatParams],
    ) -> ToolCompletion | ToolChatStream:
        """Answer with the help of the tools.

        The calls of one round run at the same time; a call that fails tells the model why. Tools in
        `tools=` are offered beside the registered ones, and calls of them are returned to be run. A
        forced `tool_choice` holds for the first round.

        Messages that end with calls without a result are taken up where they stopped: what was
        approved is run, and what has a result in `tool_results` is answered, before the model goes
        on.

        Args:
            messages: The conversation; it is not changed.
            model: Which model; None means the wrapped client's own.
            stream: Return the final answer's chunks as they come, after the tools have run.
            **params: See `CompletionParams` and `ToolLoopOptions`.

        Returns:
            The final answer, with all that was said and done in its `run`; its `usage` is the sum
            of all rounds. If its `pending` is not empty, calls wait to be approved or run: pass
            `run.messages` to the next call, with `approvals` or `tool_results`. With `stream=True`
            an iterator of chunks with `events()` and `close`.

        Raises:
            ToolRoundsExceededError: The model was still calling tools when the limit was reached.
            ToolRepeatError: The model repeats calls that always give the same result.
            ToolExecutionError: A tool with `on_error="raise"` failed.
            BudgetExceededError: The budget is used up.
            OpenRouterError: As the wrapped client raises it. This one and those before have a `run`
                from which the conversation can be continued.
            ConfigurationError: An option cannot be.
        """
        if stream:
            return self.stream(messages, model=model, **params)
        return portal.run(self._core.chat, messages, model=model, **params)

    def stream(
        self, messages: Messages, *, model: str | None = None, **params: Unpack[ToolChatParams]
    ) -> ToolChatStream:
        """Return the answer of `chat` as it comes about; use it as a context manager.

        The stream has `text_stream`, typed `events()` of the answer and of the tools, and
        `get_final_completion()`; it is closed at the end of the block.

        Args:
            messages: The conversation; it is not changed.
            model: Which model; None means the wrapped client's own.
            **params: See `CompletionParams` and `ToolLoopOptions`.

        Raises:
            ToolLoopError: As for `chat`.
            OpenRouterError: As for `chat`.
        """
        return ToolChatStream(lambda: self._core.chat(messages, model=model, stream=True, **params))

    def parse(
        self,
        messages: Messages,
        response_format: type[T] | TypeAdapter[T],
        *,
        model: str | None = None,
        use_tools: bool = True,
        one_call: bool = False,
        strategy: Strategy | Literal["auto"] = "auto",
        max_validation_retries: int | None = None,
        **params: Unpack[ToolParseParams],
    ) -> ParsedToolCompletion[T]:
        """Answer with the help of the tools, as an instance of a type.

        With tools there are two phases: rounds of tool calls until the model calls none, then one
        structured call without tools that sees all their results.

        Args:
            messages: The conversation; it is not changed. Calls at its end are taken up as by
                `chat`.
            response_format: Any type that pydantic can describe.
            model: Which model; None means the wrapped client's own.
            use_tools: Whether the tools may be used; False makes the structured call alone.
            one_call: Ask for the type already in the rounds of tool calls, which saves the last
                call. Many providers then call no tools, or refuse; use it with models that are
                known to do both.
            strategy: How the type is asked for; see the OpenRouter client.
            max_validation_retries: How often an answer that does not fit is asked for again; None
                leaves it to the wrapped client.
            **params: See `ParseParams` and `ToolLoopOptions`.

        Returns:
            The answer with `choices[0].message.parsed`, and all that was said and done in its
            `run`; its `usage` is the sum of all calls.

        Raises:
            ToolCallsPendingError: Calls wait to be approved or run; they are in `run.pending`.
            ToolLoopError: A bound of the conversation is reached, as for `chat`.
            OutputError: The model gave no value of the type.
            OpenRouterError: As the wrapped client raises it.
            ConfigurationError: An option cannot be.
        """
        return portal.run(
            self._core.parse,
            messages,
            response_format,
            model=model,
            use_tools=use_tools,
            one_call=one_call,
            strategy=strategy,
            max_validation_retries=max_validation_retries,
            **params,
        )

    def close(self) -> None:
        """Cancel tools that were left behind; the wrapped client stays open."""
        portal.run(self._core.aclose)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""
        self.close()
