"""The HTTP front before llama.cpp: changes requests for small models, and the answers back.

It listens on 127.0.0.1, wants the key, and passes on everything except chat completions unchanged.
When its client goes away it drops the request to llama.cpp, which then stops generating.
"""

import contextlib
import hmac
import http.client
import json
import select
import socket
import threading
import uuid
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, cast
from urllib.parse import urlsplit

from mbxai.local._requests import PreparedRequest, RequestRules, prepared
from mbxai.local._tool_calls import as_chunks, with_tool_call

# Any in this file: requests and answers are open JSON of the wire.

MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024
_CHAT_PATH: Final = "/v1/chat/completions"
_PIECE_BYTES: Final = 65536
_LINGER_SECONDS: Final = 1.0
_LINGER_PIECES: Final = 64


class Front:
    """A small HTTP server on a free port of the loopback interface."""

    def __init__(self, *, upstream: str, key: str, rules: RequestRules) -> None:
        """Bind the port; nothing is answered before `start`.

        Args:
            upstream: Address of llama.cpp's server.
            key: What clients must send as bearer token, and what llama.cpp gets.
            rules: How requests are changed.
        """
        self._server = _Server(upstream, key, rules)
        self.port: int = self._server.server_address[1]

    def start(self) -> None:
        """Serve in background threads that end with the process."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str, key: str, rules: RequestRules) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.key = key
        self.rules = rules

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that went away is no news."""


class _ClientLeftError(Exception):
    """The client closed its connection before the answer was ready."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A chunk of a stream must not wait for the acknowledgement of the one before.
    disable_nagle_algorithm = True
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # the one that made it

    def do_GET(self) -> None:
        """Pass a question on."""
        self._answer("GET", b"")

    def do_POST(self) -> None:
        """Read the body, change it where that is needed, and pass it on."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_REQUEST_BYTES:
            self.close_connection = True
            self._refuse(413 if length.isdigit() else 411, "The body needs a sensible length.")
            self._let_the_refusal_arrive()
            return
        self._answer("POST", self.rfile.read(int(length)))

    def _let_the_refusal_arrive(self) -> None:
        # Closing with unread bytes resets the connection, and the client would not see the answer.
        self.connection.settimeout(_LINGER_SECONDS)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            for _ in range(_LINGER_PIECES):
                if not self.connection.recv(_PIECE_BYTES):
                    break

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        """Say nothing: standard error is for the engine's own troubles."""

    def _answer(self, method: str, body: bytes) -> None:
        given = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self.server.key}".encode()):
            self._refuse(401, "Invalid API Key")
            return
        change: PreparedRequest | None = None
        wants_stream = False
        if method == "POST" and urlsplit(self.path).path == _CHAT_PATH:
            request = _json_object(body)
            if request is None:
                self._refuse(400, "The body is no JSON object.")
                return
            try:
                change = prepared(request, self.server.rules)
            except (TypeError, ValueError, AttributeError) as error:
                self._refuse(400, f"The request cannot be read: {error}")
                return
            wants_stream = bool(change.body.get("stream"))
            if change.is_tool_call:
                # A call is only a call when it is whole, so there is nothing to stream.
                change.body.pop("stream", None)
                change.body.pop("stream_options", None)
            body = json.dumps(change.body).encode()
        connection = http.client.HTTPConnection(*self.server.upstream)
        try:
            answer = self._sent(connection, method, body)
            if change is not None and change.is_tool_call and answer.status == 200:
                self._tool_call(json.loads(answer.read()), wants_stream=wants_stream)
            else:
                self._pass_on(answer)
        except _ClientLeftError:
            self.close_connection = True
        except (http.client.HTTPException, ConnectionError):
            self.close_connection = True
            self._refuse(502, "The model does not answer.")
        finally:
            connection.close()

    def _sent(
        self, connection: http.client.HTTPConnection, method: str, body: bytes
    ) -> http.client.HTTPResponse:
        headers = {
            "Authorization": f"Bearer {self.server.key}",
            "Content-Type": "application/json",
        }
        connection.request(method, self.path, body=body, headers=headers)
        upstream = connection.sock
        while True:
            readable, _, _ = select.select([upstream, self.connection], [], [])
            if upstream in readable:
                return connection.getresponse()
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise _ClientLeftError
            # The next request is already waiting on this connection; it has its turn later.
            select.select([upstream], [], [])

    def _tool_call(self, completion: dict[str, Any], *, wants_stream: bool) -> None:
        completion = with_tool_call(completion, call_id=f"call_{uuid.uuid4().hex[:24]}")
        if wants_stream:
            events = (f"data: {json.dumps(chunk)}\n\n".encode() for chunk in as_chunks(completion))
            self._stream("text/event-stream", [*events, b"data: [DONE]\n\n"])
        else:
            self._whole(200, "application/json", json.dumps(completion).encode())

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        kind = answer.headers.get("Content-Type", "application/json")
        if "text/event-stream" not in kind:
            self._whole(answer.status, kind, answer.read())
            return
        self._stream(kind, iter(lambda: answer.read1(_PIECE_BYTES), b""))

    def _stream(self, kind: str, pieces: Iterable[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for piece in pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except OSError as error:
            raise _ClientLeftError from error
        except http.client.HTTPException as error:
            # Ending without the last piece tells the client that the answer is not whole.
            raise _ClientLeftError from error

    def _refuse(self, status: int, message: str) -> None:
        error = {"error": {"code": status, "message": message, "type": "local_model_error"}}
        self._whole(status, "application/json", json.dumps(error).encode())

    def _whole(self, status: int, kind: str, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
        except OSError as error:
            raise _ClientLeftError from error


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value: object = json.loads(body)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
