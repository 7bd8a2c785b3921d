"""What a served function may ask for besides its arguments: the client that called it."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import pydantic_core
from pydantic import BaseModel

from mbxai.errors import BlockingCallError, ConfigurationError, MCPError, ToolError
from mbxai.mcp.serving._bearer import AccessToken
from mbxai.mcp.serving._blocks import text_of_blocks
from mbxai.mcp.serving._conversations import sampling_messages
from mbxai.mcp.serving._exchange import NOBODY, Ability, Exchange, LogLevel, Question
from mbxai.mcp.serving._forms import Form, read_form
from mbxai.mcp.serving._waiting import discard, is_running_here, wait_on_loop
from mbxai.tools._context import DepsT, ToolContext
from mbxai.wire import ToolAnswer

T = TypeVar("T")

_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A directory or file that the client's user works with.

    Attributes:
        uri: Its address, most often `file:///...`.
        name: What the user calls it; empty where the client does not say.
    """

    uri: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledMessage:
    """What the client's model wrote.

    Attributes:
        text: Its text.
        content: The whole content: the protocol's blocks, as JSON.
        model: The model that answered.
        stop_reason: Why it ended, in the protocol's words; empty where it is not said.
        role: Who speaks, most often "assistant".
    """

    text: str
    content: Sequence[Mapping[str, Any]] = field(default=(), repr=False)  # Any: JSON of the wire
    model: str = ""
    stop_reason: str = ""
    role: str = "assistant"


@dataclass(frozen=True, kw_only=True)
class MCPContext(ToolContext[DepsT]):
    """What surrounds one call by an MCP client; given to a parameter annotated `MCPContext`.

    Tools, resources and prompts may ask for one. A blocking function runs in a worker
    thread, and waits for what the methods return by `wait_for`:
    `answer = context.wait_for(context.elicit("Sure?", Confirmation))`.

    **Questions.** In protocol versions up to 2025-11-25 the function waits for the answer. From
    2026-07-28 on nothing is kept between requests: the function ends at the question and is run
    again *from its start* when the client comes back with the answer. So what stands before a
    question runs more than once: ask first, then act. Questions that are asked at the same time,
    as with `asyncio.gather`, go out together.
    """

    _exchange: Exchange = field(default=NOBODY, repr=False, compare=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, repr=False, compare=False)

    @property
    def client_name(self) -> str:
        """What the client calls itself; empty where it does not say."""
        return self._exchange.client_name

    @property
    def protocol_version(self) -> str:
        """The version of the protocol that is spoken, such as "2026-07-28"; empty without one."""
        return self._exchange.protocol_version

    @property
    def token(self) -> AccessToken | None:
        """Who the caller is; None if the server asks for no token."""
        return self._exchange.token

    @property
    def state(self) -> str:
        """What was given as `state` with the question that is answered now; else empty."""
        return self._exchange.state

    def can(self, ability: Ability) -> bool:
        """Whether the client can do something for us.

        Args:
            ability: "elicit" asks its user, "elicit_url" sends them to an address, "sample" asks
                its model, "list_roots" names its directories.
        """
        return self._exchange.can(ability)

    def wait_for(self, work: Awaitable[T]) -> T:
        """Wait, in a blocking function, for what a coroutine function returns.

        It runs on the loop that serves the client; this thread waits. When the call is cancelled,
        or its time is up, it is cancelled too. For several questions at once, give it a coroutine
        of your own that asks them.

        Args:
            work: What a method of this context returned, as `context.elicit(...)`.

        Returns:
            Its result; what it raises is raised here.

        Raises:
            BlockingCallError: This is the loop's own thread, which would wait for itself.
            ConfigurationError: No server made this context.
            asyncio.CancelledError: Nobody waits for the function any more. It passes
                `except Exception`; let it.
        """
        loop = self._loop
        if loop is None:
            discard(work)
            raise ConfigurationError("wait_for works only in functions that an MCPServer serves.")
        if is_running_here(loop):
            discard(work)
            raise BlockingCallError(
                "wait_for would block the loop that serves the client.",
                hint="It is for blocking functions; here, use await.",
            )
        return wait_on_loop(work, loop, self._run)

    async def elicit(
        self,
        message: str,
        schema: type[BaseModel] | Mapping[str, Any],
        *,
        key: str = "",
        state: str = "",
    ) -> ToolAnswer:
        """Ask the client's user to fill in a form.

        Never for passwords and the like: those are asked for at an address, by `elicit_url`.

        Args:
            message: What is asked, for the user.
            schema: The form: a model, or a JSON Schema, with nothing but texts, numbers, booleans
                and choices.
            key: The question's name within the call; needed only where the same is asked twice.
            state: From 2026-07-28 on, what `state` says in the run that gets the answer; the client
                keeps it for us, sealed.

        Returns:
            The answer. The values of an accepted form fit the schema, and those of a model hold
            its defaults.

        Raises:
            MCPError: The client cannot ask its user.
            ToolError: The values do not fit the form, again and again.
            ConfigurationError: The schema holds what a form cannot ask for.
        """
        form = read_form(schema)
        params = {"mode": "form", "message": message, "requestedSchema": form.schema}
        question = Question(
            ability="elicit", method="elicitation/create", params=params, key=key, state=state
        )
        problem = ""
        for _ in range(_TRIES):
            answer, problem = _read_answer(await self._exchange.ask(question), form)
            if answer is not None:
                return answer
            self._exchange.refuse(question)
        raise ToolError(f"The answer to the question does not fit its form: {problem}")

    async def elicit_url(
        self, message: str, url: str, *, key: str = "", state: str = ""
    ) -> ToolAnswer:
        """Ask the client's user to visit an address, as for a login or a payment.

        The answer says that the user agreed to go there, not that they are done.

        Args:
            message: Why, for the user.
            url: The address.
            key: The question's name within the call; needed only where the same is asked twice.
            state: As for `elicit`.

        Raises:
            MCPError: The client cannot send its user anywhere.
        """
        params = {"mode": "url", "message": message, "url": url}
        question = Question(
            ability="elicit_url", method="elicitation/create", params=params, key=key, state=state
        )
        given = await self._exchange.ask(question)
        return ToolAnswer(action=given["action"])

    async def sample(
        self,
        messages: str | Sequence[str | Mapping[str, Any]],
        *,
        max_tokens: int,
        system: str | None = None,
        temperature: float | None = None,
        stop: Sequence[str] = (),
        models: Sequence[str] = (),
        key: str = "",
        state: str = "",
    ) -> SampledMessage:
        """Ask the client's model.

        Args:
            messages: A text, or messages as for `chat`: a `role` ("user", "assistant", or "system")
                and a `content`, which is a text or a list of content parts.
            max_tokens: How long the answer may be.
            system: What the model is told first.
            temperature: How freely it answers.
            stop: Texts at which it stops.
            models: Names of models, or parts of them, the best first; the client chooses.
            key: The question's name within the call; needed only where the same is asked twice.
            state: As for `elicit`.

        Raises:
            MCPError: The client has no model for us, or its user said no.
        """
        told, conversation = sampling_messages(messages)
        params: dict[str, Any] = {"messages": conversation, "maxTokens": max_tokens}
        if system or told:
            params["systemPrompt"] = "\n\n".join(text for text in (system, told) if text)
        if temperature is not None:
            params["temperature"] = temperature
        if stop:
            params["stopSequences"] = list(stop)
        if models:
            params["modelPreferences"] = {"hints": [{"name": name} for name in models]}
        question = Question(
            ability="sample", method="sampling/createMessage", params=params, key=key, state=state
        )
        given = await self._exchange.ask(question)
        raw = given.get("content")
        blocks = cast("list[dict[str, Any]]", raw if isinstance(raw, list) else [raw])
        return SampledMessage(
            text=text_of_blocks(blocks),
            content=blocks,
            model=str(given.get("model") or ""),
            stop_reason=str(given.get("stopReason") or ""),
            role=str(given.get("role") or "assistant"),
        )

    async def list_roots(self, *, key: str = "") -> list[Root]:
        """Return the directories and files that the client's user works with.

        Args:
            key: The question's name within the call; needed only where the same is asked twice.

        Raises:
            MCPError: The client does not say.
        """
        question = Question(ability="list_roots", method="roots/list", key=key)
        given = await self._exchange.ask(question)
        return [
            Root(uri=str(root.get("uri", "")), name=str(root.get("name") or ""))
            for root in given.get("roots", [])
        ]

    async def log(self, level: LogLevel, data: object, *, logger: str = "") -> None:
        """Send a log message to the client, if it wants messages of this level.

        Args:
            level: How severe it is, from "debug" to "emergency".
            data: A text, or anything that JSON can say.
            logger: Name of who logs; the tool's if left out.

        Raises:
            MCPError: There is no such level.
        """
        plain = pydantic_core.to_jsonable_python(data, fallback=str, inf_nan_mode="strings")
        await self._exchange.log(level, plain, logger or self.name)

    async def close_stream(self) -> None:
        """Hang up on the client, which comes back for the answer after a while.

        Only for long calls, in versions up to 2025-11-25, on a server that is `resumable`; does
        nothing anywhere else.
        """
        await self._exchange.close_stream()


def note_missing(context: MCPContext[Any], ability: Ability) -> None:
    """Note that a function ended because the client cannot do something.

    Args:
        context: The function's context.
        ability: What the client cannot do.
    """
    exchange: Exchange = vars(context)["_exchange"]
    exchange.missing = ability


def _read_answer(given: Mapping[str, Any], form: Form) -> tuple[ToolAnswer | None, str]:
    """The answer; None with a sentence that says what is wrong with it."""
    action = given.get("action")
    if action not in ("accept", "decline", "cancel"):
        raise MCPError(f"The client answered a question with {action!r:.40}, which is no answer.")
    if action != "accept":
        return ToolAnswer(action=action), ""
    values, problem = form.read(cast("Mapping[str, Any]", given.get("content") or {}))
    if problem:
        return None, problem
    return ToolAnswer(action="accept", content=values), ""
