"""A gate before a server: it lets requests through only once enough of them are there together.

So what happened at the same time is known from what was let through, not from clocks.
"""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

WAIT_SECONDS = 5.0


class Gate:
    """Counts the requests that are at the server at once, and holds those of a kind together.

    Attributes:
        most: Most requests with `counted` in them that were here at once.
        met: Whether as many as `together` that hold the words `held` were.
    """

    def __init__(self, base_url: str, *, counted: str, held: str, together: int) -> None:
        self.most = 0
        self.met = False
        self.base_url = ""
        self._address = urlsplit(base_url)
        self._counted, self._held = counted.encode(), held.encode()
        self._together = together
        self._now = 0
        self._waiting = 0
        self._changed = threading.Condition()  # guards the counts

    @contextmanager
    def open(self) -> Iterator["Gate"]:
        """Stand before the server for the length of a block."""
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with gate._passing(body):
                    status, kind, answer = gate._forwarded(self, body)
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            server.block_on_close = False
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            self.base_url = f"http://127.0.0.1:{server.server_port}{self._address.path}"
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    @contextmanager
    def _passing(self, body: bytes) -> Iterator[None]:
        is_counted = self._counted in body
        with self._changed:
            self._now += is_counted
            self.most = max(self.most, self._now)
            if self._held in body and not self.met:
                self._waiting += 1
                self.met = self._waiting >= self._together
                self._changed.notify_all()
                self._changed.wait_for(lambda: self.met, WAIT_SECONDS)
        try:
            yield
        finally:
            with self._changed:
                self._now -= is_counted

    def _forwarded(self, asked: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        link = http.client.HTTPConnection(str(self._address.hostname), self._address.port)
        names = ("Authorization", "Accept", "Content-Type")
        headers = {name: asked.headers[name] for name in names if name in asked.headers}
        try:
            link.request(asked.command, asked.path, body or None, headers)
            answer = link.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read()
        finally:
            link.close()
