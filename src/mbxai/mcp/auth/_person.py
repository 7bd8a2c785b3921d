"""How a person is asked to sign in: the browser, the wait, the answer."""

import inspect
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread

from mbxai._redaction import redact
from mbxai.errors import MBXAIError, MCPAuthError
from mbxai.mcp.auth._addresses import may_be_opened, shown
from mbxai.mcp.auth._browser import open_browser
from mbxai.mcp.auth._listener import RedirectListener, read_parameters
from mbxai.mcp.auth._methods import OAuth

_MAX_CHARS = 200


class Person:
    """Somebody who can sign in; asked once."""

    def __init__(
        self,
        method: OAuth,
        *,
        server: str,
        server_url: str,
        waiting: Callable[[], AbstractContextManager[None]],
        listener: RedirectListener | None,
    ) -> None:
        """Remember whom to ask, and how.

        Args:
            method: The settings.
            server: Name of the MCP server, for errors.
            server_url: Its address.
            waiting: Entered while the person is awaited.
            listener: Where the browser comes back to, open; None with `method.callback`.
        """
        self._method = method
        self._server = server
        self._server_url = server_url
        self._waiting = waiting
        self._listener = listener
        self._url = ""

    async def remember(self, url: str) -> None:
        """Take the address that the person must visit.

        Args:
            url: The address.

        Raises:
            MCPAuthError: It is none that a browser may be sent to.
        """
        if not may_be_opened(url, server_url=self._server_url):
            raise self._problem(
                f"MCP server {self._server!r} asks to sign in at {shown(url)!r}; only https"
                " addresses are opened (http only if server and address are on this machine)."
            )
        self._url = url
        if self._listener is not None:
            self._listener.expect(_state_of(url))

    async def answer(self) -> dict[str, str]:
        """Send the person to the address and wait.

        Returns:
            The parameters of the address that the browser came back to, with `code`.

        Raises:
            MCPAuthError: The person declined, took too long or could not be asked.
        """
        with self._waiting():
            try:
                with anyio.fail_after(self._method.wait_seconds):
                    answer = await self._ask()
            except TimeoutError:
                raise self._problem(
                    f"MCP server {self._server!r}: nobody signed in within"
                    f" {self._method.wait_seconds:g} s.",
                    hint="Connect again to be asked again, or give a longer wait_seconds.",
                ) from None
        if "error" in answer:
            self._refuse(answer)
        return answer

    async def _ask(self) -> dict[str, str]:
        await self._call(self._method.on_authorize, "on_authorize")
        if self._method.callback is not None:
            given = await self._call(self._method.callback, "callback")
            return self._read(given)
        if self._listener is None:
            raise RuntimeError("neither a callback nor a listener")
        answer: dict[str, str] = {}
        problems: list[MCPAuthError] = []
        # A browser in a terminal keeps its thread until it is left; the answer comes before that.
        async with anyio.create_task_group() as tasks:

            async def open_address() -> None:
                try:
                    await self._open()
                except MCPAuthError as problem:
                    problems.append(problem)
                    tasks.cancel_scope.cancel()

            tasks.start_soon(open_address)
            answer = await self._listener.answer()
            tasks.cancel_scope.cancel()
        if problems and not answer:
            raise problems[0]
        return answer

    async def _open(self) -> None:
        if self._method.open_browser is False:
            return
        if self._method.open_browser is not True:
            await self._call(self._method.open_browser, "open_browser")
            return
        opened = await anyio.to_thread.run_sync(open_browser, self._url, abandon_on_cancel=True)
        if not opened and self._method.on_authorize is None:
            raise self._problem(
                f"MCP server {self._server!r} wants a person to sign in, and no browser can be"
                " opened here.",
                hint="Give OAuth(on_authorize=...) to show the address, or callback=... in a"
                " service.",
            )

    async def _call(self, function: Callable[[str], Any] | None, name: str) -> object:
        if function is None:
            return None
        try:
            if inspect.iscoroutinefunction(function):
                return await function(self._url)
            result = await anyio.to_thread.run_sync(function, self._url, abandon_on_cancel=True)
            return await result if inspect.isawaitable(result) else result
        except MBXAIError:
            raise
        except Exception as error:
            raise self._problem(
                f"MCP server {self._server!r}: the function given as {name} failed"
                f" ({type(error).__name__})."
            ) from error

    def _read(self, given: object) -> dict[str, str]:
        answer: dict[str, str] | None = None
        if isinstance(given, str):
            answer = read_parameters(urlsplit(given).query)
        elif isinstance(given, Mapping):
            pairs: Mapping[object, object] = given  # pyright: ignore[reportUnknownVariableType]
            answer = {str(key): str(value) for key, value in pairs.items() if value is not None}
        if not answer or not (answer.get("code") or answer.get("error")):
            raise self._problem(
                f"MCP server {self._server!r}: the function given as callback returned neither an"
                " address with an answer in it nor its parameters."
            )
        return answer

    def _refuse(self, answer: Mapping[str, str]) -> None:
        asked = _state_of(self._url).encode()
        if not secrets.compare_digest(answer.get("state", "").encode(), asked):
            raise self._problem(
                f"MCP server {self._server!r}: the browser came back with an answer to another"
                " question (state does not match); nothing was signed in."
            )
        error, text = _clean(answer["error"]), _clean(answer.get("error_description", ""))
        raise self._problem(
            f"MCP server {self._server!r}: signing in was refused: {error}"
            + (f" ({text})." if text else ".")
        )

    def _problem(self, message: str, *, hint: str = "") -> MCPAuthError:
        return MCPAuthError(message, hint=hint, server=self._server)


def _clean(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text[:_MAX_CHARS])
    return redact(" ".join(plain.split()))


def _state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query).get("state", [""])[0]
