"""A client's request while it is served: asking back, logging and progress, in both eras.

Part of the door to the protocol's package. Up to 2025-11-25 the client is asked in the middle of
its request; later, questions end the request, and come back answered with the next one.
"""

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import anyio.lowlevel
from pydantic import ValidationError

from mbxai._redaction import get_logger
from mbxai.errors import MCPError
from mbxai.mcp.serving._bearer import AccessToken
from mbxai.mcp.serving._exchange import (
    LOG_LEVELS,
    Ability,
    Exchange,
    LogLevel,
    MissingAbilityError,
    PausedError,
    Question,
)
from mbxai.mcp.serving._failures import INVALID_PARAMS, ServingError, is_stateless
from mbxai.mcp.serving._serving import serving_of
from mbxai.wire import ToolAnswer, ToolEvent, ToolProgressed, ToolQuestion

if TYPE_CHECKING:  # slow to load
    from mcp.server import ServerRequestContext
    from mcp.server.session import ServerSession

logger = get_logger(__name__)

T = TypeVar("T")

SCOPE_ENTRY: Final = "mbxai.caller"
"""Where the guard leaves the caller's token in an HTTP request's scope."""

_MAX_ROUNDS: Final = 50
_MAX_WAITING: Final = 1_000
_STEP_DIGITS: Final = 6
_SMALLEST_STEP: Final = 10**-_STEP_DIGITS


class LiveExchange(Exchange):
    """A request of a connected client.

    Attributes:
        call_key: The same for every run of one call.
        answer: The answer to the question with which the call's result was put off.
        asked: What the client must answer before the call can go on, by name, as JSON.
    """

    def __init__(self, context: "ServerRequestContext[Any]", params: Any) -> None:
        """Read the request.

        Args:
            context: The request's context, as the protocol's package gives it.
            params: Its parameters, as that package's model.

        Raises:
            ServingError: What the client sent back with its answers is not what it was given.
        """
        self._context = context
        self._session = context.session
        self.protocol_version = context.protocol_version
        client = self._session.client_params
        self.client_name = client.client_info.name if client is not None else ""
        self.token = _token_of(context)
        self._is_stateless = is_stateless(self.protocol_version)
        self.asked: dict[str, dict[str, Any]] = {}
        self._next_state = ""
        self._next_is_result = False
        responses = cast("dict[str, Any]", getattr(params, "input_responses", None) or {})
        record = _read_record(getattr(params, "request_state", None))
        # Of each question that was asked: its digest.
        self._digests = cast("dict[str, str]", record.get("q", {}))
        given = _plain_answers(responses)
        if record:
            given = {name: answer for name, answer in given.items() if name in self._digests}
        self._answers: dict[str, Any] = {**record.get("a", {}), **given}
        self._rounds = int(record.get("r", 0))
        self.state = str(record.get("s", ""))
        self.call_key = str(record.get("k") or uuid.uuid4().hex)
        self.answer: ToolAnswer | None = None
        if "t" in record:
            self.answer = self._result_answer(str(record["t"]))

    def can(self, ability: Ability) -> bool:
        """See `Exchange.can`."""
        known = self._session.client_capabilities
        if known is None:
            return False
        if ability == "sample":
            return known.sampling is not None
        if ability == "list_roots":
            return known.roots is not None
        form = known.elicitation.form if known.elicitation is not None else None
        url = known.elicitation.url if known.elicitation is not None else None
        if ability == "elicit_url":
            return url is not None
        # An empty object says "forms": they were there before addresses were.
        return known.elicitation is not None and (form is not None or url is None)

    async def ask(self, question: Question) -> dict[str, Any]:
        """See `Exchange.ask`."""
        if not self.can(question.ability):
            raise MissingAbilityError(question.ability)
        if not self._is_stateless:
            return await self._ask_now(question)
        known = self._answers.get(question.name())
        asked = self._digests.get(question.name())
        # A client that knows the name which a function gave its question may answer it unasked.
        if known is not None and (asked == question.digest() or (not asked and question.key)):
            return known
        self._put(question.name(), question)
        # What is asked at the same time goes out together.
        await anyio.lowlevel.checkpoint()
        raise PausedError

    def refuse(self, question: Question) -> None:
        """See `Exchange.refuse`."""
        self._answers.pop(question.name(), None)

    async def ask_for_result(self, question: ToolQuestion) -> ToolAnswer | None:
        """Ask what a tool must know before its call can go on.

        Args:
            question: What the tool's result asks.

        Returns:
            The answer; None if it comes with another request.

        Raises:
            MCPError: The client cannot be asked this, or refused.
        """
        asked = _elicitation(question)
        if not self._is_stateless:
            given = await self.ask(asked)
            return _tool_answer(given, question.state)
        if not self.can(asked.ability):
            raise MissingAbilityError(asked.ability)
        self.answer = None
        self._answers.pop(_RESULT, None)
        self._put(_RESULT, asked)
        self._next_is_result = True
        return None

    @property
    def round(self) -> str:
        """Which run of which call this is; empty for the first."""
        return f"{self.call_key}-{self._rounds}" if self._rounds else ""

    def input_required(self) -> dict[str, Any]:
        """Return the result that asks the client, as JSON.

        Raises:
            ServingError: It was asked too often.
        """
        if self._rounds >= _MAX_ROUNDS:
            raise ServingError(INVALID_PARAMS, f"This call has asked {_MAX_ROUNDS} times already.")
        record: dict[str, Any] = {"a": self._answers, "r": self._rounds + 1, "k": self.call_key}
        record["q"] = self._digests
        if self._next_is_result:
            record["t"] = self._next_state
        else:
            record["s"] = self._next_state
        return {
            "resultType": "input_required",
            "inputRequests": self.asked,
            "requestState": json.dumps(record, separators=(",", ":")),
        }

    async def log(self, level: LogLevel, data: object, logger: str) -> None:
        """See `Exchange.log`."""
        import mcp_types as types

        if level not in LOG_LEVELS:
            raise MCPError(f"There is no log level {level!r:.40}.", hint=", ".join(LOG_LEVELS))
        if not self._wants(level):
            return
        message = types.LoggingMessageNotification(
            params=types.LoggingMessageNotificationParams(
                level=level, data=data, logger=logger or None
            )
        )
        await self._session.send_notification(message, self._context.request_id)

    async def close_stream(self) -> None:
        """See `Exchange.close_stream`."""
        if self._context.close_sse_stream is not None:
            await self._context.close_sse_stream()

    @property
    def wants_progress(self) -> bool:
        """Whether the client asked to be told of progress."""
        return (self._context.meta or {}).get("progress_token") is not None

    def _wants(self, level: LogLevel) -> bool:
        if not self._is_stateless:
            return serving_of(self._context).wants(self._session, level)
        from mcp_types import LOG_LEVEL_META_KEY

        least: object = (self._context.meta or {}).get(LOG_LEVEL_META_KEY)
        return least in LOG_LEVELS and LOG_LEVELS.index(level) >= LOG_LEVELS.index(least)

    def _put(self, name: str, question: Question) -> None:
        self.asked[name] = {"method": question.method, "params": dict(question.params)}
        self._digests = {**self._digests, name: question.digest()}
        self._next_state = question.state or self._next_state

    async def _ask_now(self, question: Question) -> dict[str, Any]:
        import mcp_types as types
        from mcp.shared.exceptions import MCPError as ProtocolError
        from mcp.shared.message import ServerMessageMetadata

        params = dict(question.params)
        if question.ability == "elicit_url":
            params["elicitationId"] = uuid.uuid4().hex
        kinds: dict[str, tuple[Any, Any]] = {
            "elicitation/create": (types.ElicitRequest, types.ElicitResult),
            "sampling/createMessage": (types.CreateMessageRequest, types.CreateMessageResult),
            "roots/list": (types.ListRootsRequest, types.ListRootsResult),
        }
        request_type, result_type = kinds[question.method]
        request = request_type.model_validate(
            {"method": question.method, **({"params": params} if params else {})}
        )
        # Sent on the stream of the request it belongs to.
        related = ServerMessageMetadata(related_request_id=self._context.request_id)
        try:
            result = await self._session.send_request(request, result_type, metadata=related)
        except ProtocolError as error:
            raise MCPError(f"The client refused: {error.error.message[:300]}") from error
        except ValidationError as error:
            raise MCPError("The client answered something that is no answer.") from error
        return cast("dict[str, Any]", result.model_dump(by_alias=True, mode="json"))

    def _result_answer(self, state: str) -> ToolAnswer | None:
        given = self._answers.pop(_RESULT, None)
        return None if given is None else _tool_answer(given, state)


_RESULT: Final = "tool-question"


class ProgressPump:
    """Tells a client of progress, in its order, while the work goes on."""

    def __init__(self, session: "ServerSession") -> None:
        """Take the session of the request that is told of."""
        self._session = session
        # Of a tool that reports faster than its client reads, the oldest is dropped.
        self._waiting: deque[ToolProgressed] = deque(maxlen=_MAX_WAITING)
        self._more = asyncio.Event()
        self._is_over = False
        self._last = -1.0

    def __call__(self, event: ToolEvent) -> None:
        """Take an event of a running tool."""
        if isinstance(event, ToolProgressed):
            self._waiting.append(event)
            self._more.set()

    async def around(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do some work, and tell of its progress meanwhile.

        Args:
            work: The work.

        Returns:
            What it returns, once everything is told.
        """
        task = asyncio.create_task(self._tell())
        try:
            result = await work()
            self._is_over = True
            self._more.set()
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})
        return result

    async def _tell(self) -> None:
        try:
            while self._waiting or not self._is_over:
                if not self._waiting:
                    self._more.clear()
                    await self._more.wait()
                    continue
                event = self._waiting.popleft()
                total = None if event.fraction is None else 1.0
                message = event.message or None
                await self._session.report_progress(self._next(event.fraction), total, message)
        except Exception as error:  # noqa: BLE001  # the client's stream; the work goes on without it
            logger.debug("progress could not be told (%s)", type(error).__name__)

    def _next(self, fraction: float | None) -> float:
        """The next number: the protocol wants each to be greater than the one before."""
        least = 0.0 if self._last < 0 else self._last + _SMALLEST_STEP
        # Rounded, so that nobody is shown 0.30000000000000004.
        self._last = round(least if fraction is None else max(least, fraction), _STEP_DIGITS)
        return self._last


def _elicitation(question: ToolQuestion) -> Question:
    if question.kind == "url":
        params = {"mode": "url", "message": question.message, "url": question.url}
    else:
        schema = dict(question.schema) or {"type": "object", "properties": {}}
        params = {"mode": "form", "message": question.message, "requestedSchema": schema}
    return Question(
        ability="elicit_url" if question.kind == "url" else "elicit",
        method="elicitation/create",
        params=params,
        state=question.state,
    )


def _tool_answer(given: Mapping[str, Any], state: str) -> ToolAnswer:
    action = given.get("action")
    return ToolAnswer(
        action=action if action in ("accept", "decline") else "cancel",
        content=cast("Mapping[str, Any]", given.get("content") or {}),
        state=state,
    )


def _read_record(state: object) -> dict[str, Any]:
    """What we gave the client to keep; its seal has been broken, and was ours."""
    if not state:
        return {}
    try:
        record: object = json.loads(str(state))
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise ServingError(INVALID_PARAMS, "Invalid or expired requestState")
    return cast("dict[str, Any]", record)


def _plain_answers(responses: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: response
        if isinstance(response, dict)
        else response.model_dump(by_alias=True, mode="json", exclude_none=True)
        for name, response in responses.items()
    }


def _token_of(context: "ServerRequestContext[Any]") -> AccessToken | None:
    scope: dict[str, object] = getattr(context.request, "scope", None) or {}
    token = scope.get(SCOPE_ENTRY)
    return token if isinstance(token, AccessToken) else None
