"""What is asked of a connected server, as JSON: one request of the protocol for each method here.

Results are the server's own JSON, checked once by the protocol's package; its models are not built.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import pydantic_core
from pydantic import TypeAdapter

from mbxai._redaction import get_logger
from mbxai.mcp.connection._clock import CallClock
from mbxai.mcp.connection._held import CallGoneError, HeldCall, held_id
from mbxai.mcp.connection._info import ServerInfo
from mbxai.mcp.connection._repairs import LISTS, mended
from mbxai.mcp.connection._requested import Answers
from mbxai.mcp.connection._rounds import converse
from mbxai.mcp.connection._targets import ServerTarget
from mbxai.mcp.connection._watch import CallNote, current_call
from mbxai.wire import ToolAnswer, ToolQuestion

if TYPE_CHECKING:  # slow to load
    from mcp import Client
    from mcp.shared.dispatcher import ProgressFnT

logger = get_logger(__name__)

ProgressListener: TypeAlias = Callable[[float, float | None, str], object]
"""Gets how much is done, of how much (None if that is not known), and a message."""

MAX_PAGES: Final = 100
"""How many pages of a list are read."""

MAX_ITEMS: Final = 10_000
"""How many entries of a list are read."""

MODERN_FROM: Final = "2026-07-28"

_HEADER_MISMATCH: Final = -32020
_LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"


class UnwritableError(Exception):
    """The arguments of a call cannot be written as JSON."""


class Session:
    """A connected server.

    Attributes:
        info: What the server says of itself.
        is_modern: Whether it speaks the newer protocol, where a call is ended by a question.
    """

    def __init__(self, client: "Client", target: ServerTarget, answers: Answers) -> None:
        """Take a connected client.

        Args:
            client: The package's client.
            target: The server.
            answers: What the server is answered when it asks.
        """
        self.info = read_info(client)
        self.is_modern = self.info.protocol_version >= MODERN_FROM
        self.client = client
        self._target = target
        self._answers = answers
        self._send = client.session.send_request
        self._log_level: str | None = None
        self._as_it_is, self._request = _any_result(), _request_class()

        async def accept(name: str, result: object) -> None:
            """Let a result through that does not fit its schema: the tool has run."""

        client.session.validate_tool_result = accept

    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        progress: ProgressListener | None = None,
    ) -> dict[str, Any]:
        """Make a request and return its result.

        Args:
            method: What is asked.
            params: Its parameters.
            progress: Is told how far the server is.
        """
        given = dict(params) if params is not None else None
        if self._log_level is not None and self.is_modern:
            given = {**(given or {}), "_meta": {_LOG_LEVEL: self._log_level}}
        listen = _told(progress) if progress is not None else None
        try:
            return await self._send(
                self._request(method=method, params=given), self._as_it_is, progress_callback=listen
            )
        except ValueError:  # of pydantic: the result is not allowed by the protocol
            note = current_call.get()
            if note is None or note.raw is None:
                raise
            return mended(method, self.info.protocol_version, note.raw, must_fit=True)

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        clock: CallClock,
        *,
        progress: ProgressListener | None = None,
        can_pause: bool = False,
        answer: ToolAnswer | None = None,
    ) -> dict[str, Any] | ToolQuestion:
        """Run a tool; see `ServerConnection.call_tool`.

        Raises:
            CallGoneError: The call that waits for the answer is gone.
            RoundsError: The server asks back without end.
            UnwritableError: The arguments are no JSON.
        """
        try:
            pydantic_core.to_json(arguments)
        except ValueError as error:
            raise UnwritableError from error
        params = {"name": name, "arguments": dict(arguments)}
        if self.is_modern:
            if answer is not None and held_id(answer.state):
                raise CallGoneError
            send = partial(self._call_modern, params, progress)
            return await converse(
                send, self._answers.asking, clock, can_pause=can_pause, answer=answer
            )
        if answer is not None:
            call = self._answers.held.find(answer.state)
            if call is None:
                raise CallGoneError
            call.take(answer)
            if (note := current_call.get()) is not None:
                note.accepted += 1  # it runs
            call.note.pause = clock.paused
            return await self._held(call)
        run = partial(self.request, "tools/call", params, progress)
        if not can_pause:
            with self._answers.held.other():
                return await run()
        return await self._held(self._answers.held.begin(run, current_call.get() or CallNote()))

    async def resolve(
        self, method: str, params: Mapping[str, Any], clock: CallClock
    ) -> dict[str, Any]:
        """Make a request that the server may answer with a question, and answer that.

        Args:
            method: `prompts/get` or `resources/read`.
            params: Its parameters.
            clock: The time of the request.
        """
        if not self.is_modern:
            with self._answers.held.other():
                return await self.request(method, params)

        async def send(more: dict[str, Any]) -> dict[str, Any]:
            return await self.request(method, {**params, **more})

        return cast("dict[str, Any]", await converse(send, self._answers.asking, clock))

    async def pages(self, method: str) -> list[dict[str, Any]]:
        """Return all entries of a list, page after page.

        Args:
            method: One of `LISTS`.
        """
        key = LISTS[method]
        found: list[dict[str, Any]] = []
        size = 0
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            page = await self._page(method, cursor)
            found.extend(page[key])
            size += len(pydantic_core.to_json(page[key]))
            cursor = page.get("nextCursor")
            if not cursor:
                return found
            if cursor in seen or len(found) > MAX_ITEMS or size > self._target.max_message_bytes:
                break
            seen.add(cursor)
        logger.warning(
            "MCP server %s answers %s without end; the first %d entries count",
            self._target.name,
            method,
            min(len(found), MAX_ITEMS),
        )
        return found[:MAX_ITEMS]

    async def set_log_level(self, level: str) -> None:
        """Say from which level on the server is to log."""
        self._log_level = level
        if not self.is_modern:
            await self.request("logging/setLevel", {"level": level})

    async def ping(self) -> None:
        """Return once the server has given a sign of life."""
        if self.is_modern:  # it has no word for it
            await self.client.session.send_discover(self.info.protocol_version)
        else:
            await self.request("ping")

    async def _held(self, call: HeldCall) -> dict[str, Any] | ToolQuestion:
        try:
            outcome = await call.wait(
                self._target.held_seconds, partial(self._answers.held.end, call)
            )
        except BaseException:
            self._answers.held.end(call)
            raise
        if not isinstance(outcome, ToolQuestion):
            self._answers.held.end(call)
        return outcome

    async def _call_modern(
        self, params: dict[str, Any], progress: ProgressListener | None, more: dict[str, Any]
    ) -> dict[str, Any]:
        from mcp import MCPError

        try:
            return await self.request("tools/call", {**params, **more}, progress)
        except MCPError as error:
            if error.code != _HEADER_MISMATCH:
                raise
            # The server wants arguments repeated in headers; which ones, its list says.
            try:
                await self._list_until(params["name"])
            except (MCPError, ValueError) as failed:
                raise error from failed
        return await self.request("tools/call", {**params, **more}, progress)

    async def _list_until(self, name: str) -> None:
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._page("tools/list", cursor)
            cursor = page.get("nextCursor")
            if not cursor or any(tool["name"] == name for tool in page["tools"]):
                return

    async def _page(self, method: str, cursor: str | None) -> dict[str, Any]:
        if method != "tools/list":
            return await self.request(method, {"cursor": cursor} if cursor else None)
        # By the package's own method: it keeps which arguments go into headers.
        from mcp_types import PaginatedRequestParams

        params = PaginatedRequestParams(cursor=cursor) if cursor else None
        page = await self.client.session.list_tools(params=params)
        return page.model_dump(by_alias=True, mode="json", exclude_none=True)


def read_info(client: "Client") -> ServerInfo:
    """Return what a connected server says of itself.

    Args:
        client: The package's client.
    """
    session = client.session
    own, offers = session.server_info, session.server_capabilities
    capabilities: dict[str, Any] = (
        offers.model_dump(by_alias=True, mode="json", exclude_none=True) if offers else {}
    )
    return ServerInfo(
        name=own.name if own else "",
        title=(own.title or "") if own else "",
        version=own.version if own else "",
        protocol_version=str(session.protocol_version),
        instructions=session.instructions or "",
        capabilities=capabilities,
    )


def _told(
    progress: ProgressListener,
) -> "ProgressFnT":
    async def tell(done: float, total: float | None, message: str | None) -> None:
        progress(done, total, message or "")

    return cast("ProgressFnT", tell)


@cache
def _any_result() -> TypeAdapter[Any]:
    return TypeAdapter(Any)


@cache
def _request_class() -> Any:
    from mcp_types import Request

    class JSONRequest(Request[Any, str]):
        """A request whose parameters are JSON."""

    return JSONRequest
