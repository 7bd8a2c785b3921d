"""Where the browser comes back to: one address on this machine, open until one answer is there."""

import asyncio
import secrets
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

from mbxai.errors import MCPAuthError

_HOST: Final = "127.0.0.1"
_MAX_HEAD_BYTES: Final = 16 * 1024
_HEAD_SECONDS: Final = 10.0
_PAGE_SECONDS: Final = 0.2
_MAX_VISITS: Final = 16
_MAX_FIELDS: Final = 32

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""


class RedirectListener:
    """Listens on 127.0.0.1 for one visit of the browser that carries an answer.

    Any other visit (another path, no answer in it, an answer to another question, a foreign Host
    header) gets an error page and changes nothing: any program and any page can make one. It runs
    no scripts, keeps nothing, and stops listening with the answer.
    """

    def __init__(self, *, port: int = 0, host: str = _HOST, path: str = "/callback") -> None:
        """Choose the address; nothing is opened yet.

        Args:
            port: Where to listen; 0 takes any free port.
            host: What the address calls this machine: "127.0.0.1" or "localhost".
            path: The path that counts.
        """
        self._port = port
        self._host = host
        self._path = path
        self._server: asyncio.Server | None = None
        self._state: str | None = None
        # Oldest first; with whether the head of the request is still awaited.
        self._visits: dict[asyncio.Task[None], bool] = {}
        self._answer: asyncio.Future[dict[str, str]] | None = None

    @property
    def uri(self) -> str:
        """The address to give as redirect URI."""
        return f"http://{self._host}:{self._port}{self._path}"

    def expect(self, state: str) -> None:
        """Take no answer but the one to this question; to be said before the browser is sent off.

        Args:
            state: What the answer must carry, as the address has it that the person visits.
        """
        self._state = state

    async def answer(self) -> dict[str, str]:
        """Wait for the browser.

        Returns:
            The parameters it brought: `code`, `state` and `iss`, or `error`.
        """
        if self._answer is None:
            raise RuntimeError("the listener is not entered")
        return await asyncio.shield(self._answer)

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            MCPAuthError: The port is taken.
        """
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._server = await asyncio.start_server(
                self._visit, _HOST, self._port, limit=_MAX_HEAD_BYTES
            )
        except OSError as error:
            raise MCPAuthError(
                f"Port {self._port} on {_HOST}, where the browser is to come back to, cannot be"
                f" listened on ({error.strerror}).",
                hint="Give another redirect_port, or 0 for any.",
            ) from error
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening; a page that is being sent is finished first, unless we are cancelled."""
        if self._server is not None:
            self._server.close()
        visits = list(self._visits)
        if exc_type is not None:
            for visit in visits:
                visit.cancel()
        if visits:
            # Only for the page: browsers open connections ahead and then say nothing on them.
            _, late = await asyncio.wait(visits, timeout=_PAGE_SECONDS)
            for visit in late:
                visit.cancel()
            await asyncio.gather(*visits, return_exceptions=True)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or not self._has_room():
            writer.close()
            return
        self._visits[task] = True
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self._visits[task] = False
                answer, page = self._read(head)
                writer.write(page)
                await writer.drain()
            if answer is not None and self._answer is not None and not self._answer.done():
                self._answer.set_result(answer)
                if self._server is not None:
                    self._server.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # no browser of ours; the next visit may be
        except asyncio.CancelledError:
            pass  # by us alone; left to asyncio's server, it would be logged as an error
        finally:
            writer.close()
            self._visits.pop(task, None)

    def _has_room(self) -> bool:
        """Make room for a visit: who has said nothing for longest leaves."""
        if len(self._visits) < _MAX_VISITS:
            return True
        idle = next((visit for visit, is_idle in self._visits.items() if is_idle), None)
        if idle is None:
            return False
        self._visits[idle] = False
        idle.cancel()
        return True

    def _read(self, head: str) -> tuple[dict[str, str] | None, bytes]:
        line, *lines = head.split("\r\n")
        method, _, rest = line.partition(" ")
        target, _, version = rest.partition(" ")
        hosts = [text[5:].strip() for text in lines if text[:5].lower() == "host:"]
        # A name that points here by a trick of DNS must not get an answer through.
        ours = {f"{_HOST}:{self._port}", f"localhost:{self._port}"}
        if not version.startswith("HTTP/1.") or method != "GET" or not set(hosts) <= ours:
            return None, _page(400, "Not understood", "This is no answer to a question of ours.")
        parts = urlsplit(target)
        if parts.path != self._path:
            return None, _page(404, "Nothing here", "This address only takes one answer.")
        answer = read_parameters(parts.query)
        if answer is None:
            return None, _page(400, "Not understood", "There is no answer in this address.")
        given = answer.get("state", "").encode()
        if self._state is not None and not secrets.compare_digest(given, self._state.encode()):
            return None, _page(400, "Not understood", "This answers another question.")
        if "error" in answer:
            return answer, _page(200, "Not signed in", "You can close this window and go back.")
        return answer, _page(200, "Thank you", "You can close this window and go back.")


def read_parameters(query: str) -> dict[str, str] | None:
    """Read what the browser brought.

    Args:
        query: The part of the address behind the question mark.

    Returns:
        The parameters; None if there is no answer, or one of them stands there twice.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None
    answer = dict(pairs)
    twice = len(answer) != len(pairs)
    return None if twice or not (answer.get("code") or answer.get("error")) else answer


def _page(status: int, title: str, text: str) -> bytes:
    reason = {200: "OK", 400: "Bad Request", 404: "Not Found"}[status]
    body = _PAGE.format(title=title, text=text).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Content-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
        "Referrer-Policy: no-referrer\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
