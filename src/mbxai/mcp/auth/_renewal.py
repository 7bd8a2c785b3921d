"""Getting a token: by refreshing, or by signing in anew; one at a time for each server and client.

Requests of a login go through a client of their own: its failures are not those of the MCP server,
and neither headers nor tokens of the MCP server travel with them.
"""

import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from mbxai._redaction import get_logger
from mbxai.errors import MBXAIError, MCPAuthError
from mbxai.mcp.auth._addresses import may_be_asked, shown
from mbxai.mcp.auth._certificates import certificates
from mbxai.mcp.auth._flights import begin_or_wait
from mbxai.mcp.auth._grants import Challenge, is_registered_ahead, make_provider
from mbxai.mcp.auth._kept_tokens import KeptTokens
from mbxai.mcp.auth._listener import RedirectListener
from mbxai.mcp.auth._methods import OAuth, TokenMethod
from mbxai.mcp.auth._package_providers import note_findings
from mbxai.mcp.auth._person import Person
from mbxai.mcp.auth._problems import auth_problem, token_error

if TYPE_CHECKING:  # slow to load
    import httpx2
    from mcp.shared._httpx_utils import RedirectAwareAuth

_HTTP_SECONDS: Final = 30.0
_MAX_ANSWER_BYTES: Final = 1024 * 1024
_MAX_REQUESTS: Final = 30
_UNAUTHORIZED: Final = 401
_VERSION_HEADER: Final = "mcp-protocol-version"

logger = get_logger(__name__)

_ours: ContextVar[bool] = ContextVar("mbxai_login", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a token is wanted.

    Attributes:
        url: Address of the MCP server; what the token is to be good for.
        version: Protocol version of the request that wants it; empty if unknown.
    """

    url: str
    version: str = ""


class Renewal:
    """Renews the tokens of one server and client."""

    def __init__(
        self,
        method: TokenMethod,
        kept: KeptTokens,
        *,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Remember whose tokens are renewed.

        Args:
            method: The settings.
            kept: What is there.
            waiting: Entered while a person, or another renewal, is awaited.
        """
        self._method = method
        self._kept = kept
        self._waiting = waiting
        _tame_logger()

    async def refresh(self, place: Place) -> None:
        """Put a fresh access token in place of one that has expired, without asking anybody.

        Where that does not work the tokens are forgotten; the server's refusal comes next.

        Args:
            place: Where it is wanted.
        """
        flight = await begin_or_wait(self._flight_key, self._waiting)
        try:
            former = self._kept.access_token
            await self._kept.load()
            if flight is not None and self._kept.access_token == former:
                await self._refreshed(place)
        except MCPAuthError as error:
            # The server may still take the token; if not, the refusal leads to `renew`.
            logger.info("The token of an MCP server could not be refreshed: %s", error)
        finally:
            if flight is not None:
                flight.land()

    async def renew(self, refused: str, challenge: Challenge, place: Place, *, ask: bool) -> None:
        """Get a token in place of one that the server refused, or of none.

        Args:
            refused: The access token that was refused; empty if there was none.
            challenge: The refusal.
            place: Where it is wanted.
            ask: Whether refreshing is of no use any more.

        Raises:
            MCPAuthError: No token could be had.
        """
        flight = None
        while flight is None:
            flight = await begin_or_wait(self._flight_key, self._waiting)
            problem: MCPAuthError | None = None
            try:
                await self._kept.load()
                if self._kept.access_token != refused:
                    return  # somebody else has renewed it meanwhile, perhaps in another process
                if flight is not None:
                    await self._renewed(challenge, place, ask=ask)
            except MCPAuthError as error:
                problem = error
                raise
            finally:
                if flight is not None:
                    flight.land(problem)

    async def _renewed(self, challenge: Challenge, place: Place, *, ask: bool) -> None:
        if challenge.status == _UNAUTHORIZED and not ask and await self._refreshed(place):
            return
        await self._sign_in(challenge, place)

    @property
    def _flight_key(self) -> tuple[int, object]:
        return id(self._kept.store), self._kept.key

    async def _refreshed(self, place: Place) -> bool:
        """Refresh; False if there is nothing to refresh with, or it is not accepted any more."""
        if not self._kept.can_refresh:
            return False
        provider = make_provider(self._method, self._kept, server_url=place.url)
        context = getattr(provider, "context", None)
        if context is None:
            return False
        former = self._kept.access_token
        context.token_expiry_time = 1.0  # long ago: makes the provider refresh first
        last = await self._drive(provider, place, challenge=None)
        if self._kept.access_token != former:
            return True
        if last is None:
            return False
        if last.status_code >= 500 or last.status_code == 429:
            raise self._problem(
                f"{shown(str(last.request.url))} answered HTTP {last.status_code} when the token"
                " was to be renewed; it is kept for another try."
            )
        unknown = token_error(last.text)[0] == "invalid_client"
        await self._kept.drop_tokens(registration=unknown and not is_registered_ahead(self._method))
        return False

    async def _sign_in(self, challenge: Challenge, place: Place) -> None:
        if not isinstance(self._method, OAuth):
            provider = make_provider(self._method, self._kept, server_url=place.url)
            await self._drive(provider, place, challenge=challenge)
            return
        async with AsyncExitStack() as stack:
            listener: RedirectListener | None = None
            uri = self._method.redirect_uri
            if self._method.callback is None:
                listener = await self._listen(self._method, stack)
                uri = uri or listener.uri
            former = self._fitting_registration(uri)
            person = Person(
                self._method,
                server=self._kept.key.server,
                server_url=place.url,
                waiting=self._waiting,
                listener=listener,
            )
            provider = make_provider(
                self._method, self._kept, server_url=place.url, person=person, redirect_uri=uri
            )
            try:
                await self._drive(provider, place, challenge=challenge)
            except MCPAuthError:
                if former and self._kept.client.get("client_id") == former:
                    # Perhaps the authorization server no longer knows it: register anew next time.
                    self._kept.client = {}
                    await self._kept.save()
                raise

    async def _listen(self, method: OAuth, stack: AsyncExitStack) -> RedirectListener:
        if method.redirect_uri:
            parts = urlsplit(method.redirect_uri)
            host, port, path = parts.hostname or "", parts.port or 0, parts.path or "/"
            return await stack.enter_async_context(
                RedirectListener(port=port, host=host, path=path)
            )
        if method.redirect_port:
            return await stack.enter_async_context(RedirectListener(port=method.redirect_port))
        known = urlsplit(str((self._kept.client.get("redirect_uris") or [""])[0])).port
        if known:
            # The port that our registration names; if somebody has it now, any other will do.
            try:
                return await stack.enter_async_context(RedirectListener(port=known))
            except MCPAuthError:
                pass
        return await stack.enter_async_context(RedirectListener())

    def _fitting_registration(self, uri: str) -> str:
        """Forget a registration for another address, or an ended one; the id of one that stays."""
        client = self._kept.client
        if not client or is_registered_ahead(self._method):
            return ""
        ends = client.get("client_secret_expires_at") or math.inf
        if uri not in client.get("redirect_uris", []) or time.time() >= ends:
            self._kept.client = {}
            return ""
        return str(client.get("client_id", ""))

    async def _drive(
        self, provider: "RedirectAwareAuth", place: Place, *, challenge: Challenge | None
    ) -> "httpx2.Response | None":
        """Let a provider do what it does before it repeats a request; its last answer, if any."""
        import httpx2

        headers = {_VERSION_HEADER: place.version} if place.version else {}
        stub = httpx2.Request("POST", place.url, headers=headers)
        flow = provider.async_auth_flow(stub)
        scopes = tuple(self._method.scopes)
        last: httpx2.Response | None = None
        token = _ours.set(True)
        try:
            async with await _http_client() as http:
                outgoing = await flow.__anext__()
                if outgoing is stub and challenge is not None:
                    outgoing = await flow.asend(challenge.response(stub, scopes))
                for _ in range(_MAX_REQUESTS):
                    if outgoing is stub:
                        break
                    last = await self._send(http, outgoing, place)
                    outgoing = await flow.asend(last)
        except StopAsyncIteration:
            pass
        except MBXAIError:
            raise
        except Exception as error:  # noqa: BLE001
            # Several libraries speak here. Without the cause: its text may hold what the
            # authorization server answered.
            raise self._problem(auth_problem(error) or type(error).__name__) from None
        finally:
            await flow.aclose()
            _ours.reset(token)
        note_findings(provider, self._kept)
        await self._kept.save()
        return last

    async def _send(
        self, http: "httpx2.AsyncClient", request: "httpx2.Request", place: Place
    ) -> "httpx2.Response":
        """Send a request of a login; the answer is read whole, but not without end."""
        import httpx2

        url = str(request.url)
        if not may_be_asked(url, server_url=place.url, issuer=self._method.issuer):
            raise self._problem(f"it leads to {shown(url)}, which is not reached over https")
        request.extensions.setdefault("timeout", httpx2.Timeout(_HTTP_SECONDS).as_dict())
        try:
            with anyio.fail_after(_HTTP_SECONDS):
                response = await http.send(request, stream=True)
                try:
                    body = await _bounded(response)
                finally:
                    await response.aclose()
        except (httpx2.HTTPError, TimeoutError) as error:
            raise self._problem(
                f"{shown(url)} could not be reached ({type(error).__name__})"
            ) from error
        if body is None:
            raise self._problem(f"{shown(url)} answered more than {_MAX_ANSWER_BYTES} bytes")
        known = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(k, v) for k, v in response.headers.multi_items() if k.lower() not in known]
        answer = httpx2.Response(
            response.status_code, headers=headers, content=body, request=response.request
        )
        answer.next_request = response.next_request
        return answer

    def _problem(self, what: str) -> MCPAuthError:
        name = self._kept.key.server
        return MCPAuthError(f"MCP server {name!r}: signing in failed: {what}.", server=name)


async def _http_client() -> "httpx2.AsyncClient":
    import httpx2

    # Reading the certificates takes a fifth of a second: once, and not on the loop.
    trusted = await anyio.to_thread.run_sync(certificates)
    return httpx2.AsyncClient(
        verify=trusted, timeout=httpx2.Timeout(_HTTP_SECONDS), follow_redirects=False
    )


async def _bounded(response: "httpx2.Response") -> bytes | None:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > _MAX_ANSWER_BYTES:
            return None
        pieces.append(piece)
    return b"".join(pieces)


@cache
def _tame_logger() -> None:
    """Keep secrets out of the package's log, and what our own errors say already."""

    def is_worth_a_line(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR or not _ours.get()

    for name in ("oauth2", "utils"):
        get_logger(f"mcp.client.auth.{name}").addFilter(is_worth_a_line)
