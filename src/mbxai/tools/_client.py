"""The asynchronous tool client: a model with functions it may call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self, TypeVar, Unpack, cast, overload

from pydantic import TypeAdapter

from mbxai.tools._call import ToolCall
from mbxai.tools._context import SecretSource, ToolContext
from mbxai.tools._conversation import MAX_ROUNDS, Conversation
from mbxai.tools._loop import converse
from mbxai.tools._port import ModelPort
from mbxai.tools._registry import ToolRegistry
from mbxai.tools._runner import Approver, ToolRunner
from mbxai.tools._signature import AnyFunction
from mbxai.tools._stream import AsyncToolChatStream
from mbxai.tools._tool import MarkOptions, Tool, ToolOptions
from mbxai.wire import (
    ChatCompletion,
    CompletionParams,
    Messages,
    ParsedChatCompletion,
    ParseParams,
    Strategy,
    ToolDefinition,
    ToolInfo,
    ToolResult,
)

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class AsyncToolClient:
    """A client whose model may call Python functions.

    It wraps an OpenRouter client, or anything with `create` and `parse`, and closes nothing that it
    did not make.
    """

    def __init__(self, openrouter_client: object, *, approve: Approver | None = None) -> None:
        """Wrap a client.

        Args:
            openrouter_client: An `AsyncOpenRouterClient`, an `OpenRouterClient`, or an object with
                `create(messages=...)` and `parse(messages=..., response_format=...)`, blocking or
                not.
            approve: Asked before `chat` or `parse` runs a tool with `requires_approval`; gets the
                `ToolCall` and answers True or False. Without it such tools are refused.

        Raises:
            ConfigurationError: The object has neither `create` nor `parse`.
        """
        self._port = ModelPort(openrouter_client)
        self._registry = ToolRegistry()
        self._runner = ToolRunner(self._registry, approve=approve)

    @property
    def registry(self) -> ToolRegistry:
        """The tools that are offered to the model."""
        return self._registry

    def register_tool(
        self,
        name: str,
        description: str,
        function: AnyFunction,
        schema: Mapping[str, Any] | None = None,
        **options: Unpack[ToolOptions],
    ) -> None:
        """Offer a function to the model; a tool of the same name is replaced.

        Args:
            name: The name that the model uses: 1 to 64 letters, digits, `_` and `-`.
            description: What the function does, for the model.
            function: Any callable; coroutine functions are awaited, others run in a worker thread.
            schema: JSON Schema of the arguments; by default it is made from the signature and the
                docstring.
            **options: `effect`, `timeout` in seconds, `requires_approval`, `max_result_bytes`.

        Raises:
            ToolDefinitionError: The name or a parameter cannot be that of a tool.
        """
        self._registry.add(
            Tool.from_function(
                function, name=name, description=description, schema=schema, **options
            )
        )

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
            **options: `name`, `description`, `effect`, `timeout` in seconds, `requires_approval`,
                `max_result_bytes`; name and description come from the function if left out.

        Raises:
            ToolDefinitionError: The name or a parameter cannot be that of a tool.
        """

        def add(decorated: F) -> F:
            self._registry.add(Tool.from_function(decorated, **options))
            return decorated

        return add if function is None else add(function)

    def tool_infos(self) -> list[ToolInfo]:
        """Return what a planner must know of each tool, oldest first."""
        return [tool.info() for tool in self._registry.tools()]

    def tool_definitions(self, names: Sequence[str] | None = None) -> list[ToolDefinition]:
        """Return the tools as a request offers them.

        Args:
            names: Only these, in their order; unknown names are left out. None means all.

        Returns:
            Definitions that are shared between requests, so they must not be changed.
        """
        return self._registry.definitions(names)

    async def call_tool(
        self,
        name: str,
        arguments: str,
        *,
        call_id: str = "",
        session_id: str = "",
        idempotency_key: str = "",
        secrets: SecretSource | None = None,
        scrub: Callable[[str], str] | None = None,
        attempt: int = 1,
        context: ToolContext[Any] | None = None,
    ) -> ToolResult:
        """Run one tool; the caller has decided that it may run.

        Args:
            name: Name of the tool.
            arguments: JSON text of an object, as a model writes it.
            call_id: The model's id of the call.
            session_id: Id of the agent session, for the tool's context.
            idempotency_key: The same for every run of the same call.
            secrets: Where `Secret` parameters get their values.
            scrub: Takes credentials out of a text; applied to everything that the result tells the
                model, before it is cut to size. If it raises, the text is withheld.
            attempt: 1 for the first run of this call, 2 for its first repetition.
            context: Everything else that surrounds the call; the arguments above win over it.

        Returns:
            The result. An unknown tool, wrong arguments, an exception and a timeout are results
            with `is_error`.
        """
        surroundings = context or ToolContext[Any]()
        surroundings = replace(
            surroundings,
            session_id=session_id or surroundings.session_id,
            idempotency_key=idempotency_key or surroundings.idempotency_key,
            secrets=surroundings.secrets if secrets is None else secrets,
            attempt=attempt if attempt > 1 else surroundings.attempt,
        )
        call = ToolCall(call_id or surroundings.call_id, name, arguments)
        return await self._runner.run(call, surroundings, scrub=scrub)

    @overload
    async def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[False] = False,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion: ...
    @overload
    async def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool,
        **params: Unpack[CompletionParams],
    ) -> Any: ...
    async def create(
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
            `AsyncChatStream` of an OpenRouter client, or what gives the chunks of another.

        Raises:
            OpenRouterError: As the wrapped client raises it.
        """
        streamed = {"stream": True} if stream else {}
        return await self._port.create(messages=messages, model=model, **streamed, **params)

    @overload
    async def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[False] = False,
        max_rounds: int = MAX_ROUNDS,
        context: ToolContext[Any] | None = None,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion: ...
    @overload
    async def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: Literal[True],
        max_rounds: int = MAX_ROUNDS,
        context: ToolContext[Any] | None = None,
        **params: Unpack[CompletionParams],
    ) -> AsyncToolChatStream: ...
    @overload
    async def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool,
        max_rounds: int = MAX_ROUNDS,
        context: ToolContext[Any] | None = None,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion | AsyncToolChatStream: ...
    async def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        stream: bool = False,
        max_rounds: int = MAX_ROUNDS,
        context: ToolContext[Any] | None = None,
        **params: Unpack[CompletionParams],
    ) -> ChatCompletion | AsyncToolChatStream:
        """Answer with the help of the tools.

        The calls of one round run at the same time, at most eight of them; a call that fails tells
        the model why. `tools=` are offered beside the registered ones. A forced `tool_choice`
        holds for the first round.

        Args:
            messages: The conversation; it is not changed.
            model: Which model; None means the wrapped client's own.
            stream: Return the final answer's chunks as they come, after the tools have run.
            max_rounds: How many rounds of tool calls there may be, at least 1.
            context: What surrounds the tool calls: `deps`, `secrets`, session.
            **params: See `CompletionParams`.

        Returns:
            The final answer; its `usage` is the sum of all rounds: tokens, their details, cost.
            With `stream=True` an async iterator of chunks with `aclose`.

        Raises:
            ToolRoundsExceededError: The model was still calling tools when the limit was reached.
            OpenRouterError: As the wrapped client raises it.
        """
        conversation = self._begin(messages, model, max_rounds, params)
        if stream:
            opened = AsyncToolChatStream(conversation, self._port, self._runner, context)
            return await opened.open()
        completion = await converse(conversation, self._port, self._runner, context)
        return conversation.with_usage(completion)

    async def parse(
        self,
        messages: Messages,
        response_format: type[T] | TypeAdapter[T],
        *,
        model: str | None = None,
        use_tools: bool = True,
        max_rounds: int = MAX_ROUNDS,
        strategy: Strategy | Literal["auto"] = "auto",
        max_validation_retries: int | None = None,
        context: ToolContext[Any] | None = None,
        **params: Unpack[ParseParams],
    ) -> ParsedChatCompletion[T]:
        """Answer with the help of the tools, as an instance of a type.

        With tools there are two phases: rounds of tool calls until the model calls none, then one
        structured call without tools that sees all their results.

        Args:
            messages: The conversation; it is not changed.
            response_format: Any type that pydantic can describe.
            model: Which model; None means the wrapped client's own.
            use_tools: Whether the tools may be used; False makes the structured call alone.
            max_rounds: How many rounds of tool calls there may be, at least 1.
            strategy: How the type is asked for; see the OpenRouter client.
            max_validation_retries: How often an answer that does not fit is asked for again; None
                leaves it to the wrapped client.
            context: What surrounds the tool calls: `deps`, `secrets`, session.
            **params: See `CompletionParams`.

        Returns:
            The answer with `choices[0].message.parsed`; its `usage` is the sum of all calls.

        Raises:
            ToolRoundsExceededError: The model was still calling tools when the limit was reached.
            OutputError: The model gave no value of the type.
            OpenRouterError: As the wrapped client raises it.
        """
        conversation = self._begin(messages, model, max_rounds, params)
        if use_tools and conversation.has_tools:
            await converse(conversation, self._port, self._runner, context)
        answer = await self._port.parse(
            messages=conversation.messages,
            response_format=response_format,
            model=model,
            **self._port.typed_options(strategy, max_validation_retries),
            **_without_tools(params),
        )
        if not isinstance(answer, ChatCompletion):
            return cast("ParsedChatCompletion[T]", answer)  # a user's own client; its own type
        conversation.add_usage(answer)
        return cast("ParsedChatCompletion[T]", conversation.with_usage(answer))

    async def aclose(self) -> None:
        """Cancel tools that were left behind; the wrapped client stays open."""
        await self._runner.aclose()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it."""
        await self.aclose()

    def _begin(
        self, messages: Messages, model: str | None, max_rounds: int, params: Mapping[str, Any]
    ) -> Conversation:
        definitions = self._registry.definitions()
        return Conversation(messages, definitions, params, model=model, max_rounds=max_rounds)


def _without_tools(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the structured call: what is about tools would be refused without tools."""
    dropped = ("tools", "tool_choice", "parallel_tool_calls", "max_tool_calls")
    return {name: value for name, value in params.items() if name not in dropped}
