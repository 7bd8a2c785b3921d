"""A real client against a real server where exit, fork or Ctrl-C matter: the server's view."""

import json
import queue
import socket
import threading
from collections.abc import Iterator

import pytest
from support.scripts import run_script

ANSWER = json.dumps(
    {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
        ],
    }
).encode()
CHUNK = json.dumps(
    {
        "id": "gen-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}],
    }
).encode()

SCRIPT = """
import http.client, json, os, signal, sys, threading, time, warnings
warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
from mbxai import OpenRouterClient

def interrupt_soon():
    def send():
        connection = http.client.HTTPConnection(sys.argv[1].split("/")[2], timeout=20)
        body = json.dumps({"messages": [{"content": "begun"}]})
        connection.request("POST", "/", body)  # answered once another request is there
        connection.getresponse().read()
        connection.close()
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=send, daemon=True).start()

def ask(word, **params):
    answer = client.create([{"role": "user", "content": word}], **params)
    return answer if params.get("stream") else answer.choices[0].message.content

client = OpenRouterClient("sk-test", model="m/m", base_url=sys.argv[1], max_retries=0)
"""


class Server:
    """Answers at once, never (`wait`), or with one chunk and silence (`stream`); notes hang-ups."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/api/v1"
        self.hung_up: queue.Queue[str] = queue.Queue()
        self.begun = threading.Event()
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while True:
                length = 0
                while (line := reader.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                if not line:
                    return
                word = json.loads(reader.read(length))["messages"][0]["content"]
                if word == "begun":
                    self.begun.wait(20)
                if word in ("now", "begun"):
                    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    connection.sendall(
                        head + b"Content-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
                    )
                    continue
                self.begun.set()
                if word == "stream":
                    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                    connection.sendall(head + b"data: %s\n\n" % CHUNK)
                reader.read(1)  # until the client hangs up
                self.hung_up.put(word)
                return


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.listener.close()


def test_an_open_client_and_an_open_stream_do_not_hold_up_the_exit(server):
    outcome = run_script(
        SCRIPT + "stream = ask('stream', stream=True); next(stream); print(ask('now'), flush=True)"
        "; print('exiting', flush=True)",
        server.url,
    )
    assert outcome.check() == "hi\nexiting\n"
    assert outcome.seconds < 2
    assert server.hung_up.get(timeout=5) == "stream"


@pytest.mark.parametrize("use", ["ask('wait')", "list(ask('stream', stream=True))"])
def test_ctrl_c_hangs_up_at_once_and_the_client_works_on(server, use):
    outcome = run_script(
        SCRIPT
        + f"""
interrupt_soon()
started = time.monotonic()
try:
    {use}
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(ask("now"))
""",
        server.url,
    )
    assert outcome.check() == "interrupted\nhi\n"
    assert server.hung_up.get(timeout=5) in {"wait", "stream"}


def test_a_stream_left_by_break_hangs_up(server):
    outcome = run_script(
        SCRIPT
        + """
for chunk in ask("stream", stream=True):
    break
print("left", flush=True)
input()
""".replace("input()", "time.sleep(1)"),
        server.url,
    )
    assert outcome.check() == "left\n"
    assert server.hung_up.get(timeout=5) == "stream"


def test_a_forked_child_uses_a_connection_of_its_own_and_the_parents_lives_on(server):
    outcome = run_script(
        SCRIPT
        + """
print("before", ask("now"), flush=True)
child = os.fork()
if child == 0:
    print("child", ask("now"), flush=True)
    client.close()
    sys.exit(0)
_, status = os.waitpid(child, 0)
print("parent", ask("now"), os.waitstatus_to_exitcode(status), flush=True)
""",
        server.url,
        # The engine would complain about connections that are the parent's to close.
        warnings="ignore::ResourceWarning",
    )
    assert outcome.check() == "before hi\nchild hi\nparent hi 0\n"
    assert server.connections == 2


def test_twenty_threads_share_a_client(server):
    outcome = run_script(
        SCRIPT
        + """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(20) as pool:
    print(*set(pool.map(ask, ["now"] * 200)))
""",
        server.url,
    )
    assert outcome.check() == "hi\n"
