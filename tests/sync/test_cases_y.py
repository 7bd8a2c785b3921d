"""Cases Y of blocking clients, each in a process of its own, with the server's view of it.

Y1 in a running loop, Y2 threads, Y3 fork, Y4 Ctrl-C, Y5 a blocking call in a tool on the loop, Y6
exit, Y7 a stream that is left, Y8 results and errors that travel between processes. What the portal
does for them is in `test_portal_*`.
"""

import json
import queue
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from support.agent_worker_shop import plan
from support.scripts import run_script

from mbxai.testing import FakeOpenRouter, Reply

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
from mbxai import AgentClient, OpenRouterClient, Result, ToolClient

def interrupt_soon():
    def send():
        connection = http.client.HTTPConnection(sys.argv[1].split("/")[2], timeout=20)
        body = json.dumps({"messages": [{"content": "begun"}]})
        connection.request("POST", "/", body)  # answered once another request is there
        connection.getresponse().read()
        connection.close()
        time.sleep(0.2)
        print(time.monotonic(), flush=True)
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
        self.hung_up: queue.Queue[tuple[str, float]] = queue.Queue()
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
                if not length:  # looks a model up
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
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
                self.hung_up.put((word, time.monotonic()))
                return


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.listener.close()


@pytest.mark.alone
def test_y6_an_open_client_and_an_open_stream_do_not_hold_up_the_exit(server):
    outcome = run_script(
        SCRIPT + "stream = ask('stream', stream=True); next(stream); print(ask('now'), flush=True)"
        "; print('exiting', flush=True)",
        server.url,
    )
    assert outcome.check() == "hi\nexiting\n"
    assert outcome.seconds < 2
    assert server.hung_up.get(timeout=5)[0] == "stream"


@pytest.mark.alone
@pytest.mark.parametrize(
    "use",
    [
        "ask('wait')",
        "list(ask('stream', stream=True))",
        "ToolClient(client).chat([{'role': 'user', 'content': 'wait'}])",
        "list(ToolClient(client).chat([{'role': 'user', 'content': 'stream'}], stream=True))",
        "AgentClient(client).agent('wait', Result)",
    ],
    ids=["call", "stream", "tools", "tools streamed", "agent"],
)
def test_y4_ctrl_c_hangs_up_at_once_and_the_client_works_on(server, use):
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
    moment, *said = outcome.check().split()
    assert said == ["interrupted", "hi"]
    _, hung_up_at = server.hung_up.get(timeout=5)
    assert hung_up_at - float(moment) < 1


def test_y7_a_stream_left_by_break_hangs_up(server):
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
    assert server.hung_up.get(timeout=5)[0] == "stream"


def test_y3_a_forked_child_uses_a_connection_of_its_own_and_the_parents_lives_on(server):
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


def test_y2_twenty_threads_share_a_client(server):
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


# --- all four clients, with a server that answers by itself ---------------------------------------

FOUR = """
import asyncio, os, sys, warnings
from pydantic import BaseModel
from mbxai import AgentClient, AsyncOpenRouterClient, MCPClient, OpenRouterClient, ToolClient
from mbxai import BlockingCallError, RunningLoopWarning

class Report(BaseModel):
    text: str

USER = [{"role": "user", "content": "hi"}]
client = OpenRouterClient("sk-test", model="m/m", base_url=sys.argv[1], max_retries=0)
tools = ToolClient(client)
mcp = MCPClient(client)
agent = AgentClient(tools)
"""
SERVER = """
from mbxai import MCPServer
server = MCPServer("s")
@server.tool
def double(n: int) -> int:
    "Twice as much."
    return 2 * n
server.run_stdio_sync()
"""


@pytest.fixture(scope="module")
def answering():
    with FakeOpenRouter(auto_overrides=plan(tools_needed=[])) as fake:
        yield fake


@pytest.fixture
def fake(answering):
    answering.reset()
    return answering


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return str(path)


@pytest.mark.alone
def test_y6_four_clients_in_module_globals_that_nobody_closes_do_not_hold_up_the_exit(
    fake, program
):
    outcome = run_script(
        FOUR
        + """
client.create(USER); tools.chat(USER)
mcp.register_mcp_server("s", command=[sys.executable, sys.argv[2]])
assert mcp.call_tool("double", {"n": 21}).content == "42"
agent.agent("Report", Report)
stream = client.create(USER, stream=True)
next(stream)
print("exiting", flush=True)
""",
        fake.base_url,
        program,
    )
    assert outcome.check() == "exiting\n"
    assert outcome.seconds < 2


def test_y1_in_a_running_loop_each_client_answers_and_warns_once_a_line(fake):
    outcome = run_script(
        FOUR
        + """
async def cell():
    for _ in range(2):
        client.create(USER)
        tools.chat(USER)
        [chunk for chunk in client.create(USER, stream=True)]
        response = agent.agent("Report", Report)
    return response

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert asyncio.run(cell()).is_complete()
print(len(caught), {w.category for w in caught} == {RunningLoopWarning})
print({w.filename for w in caught} == {"<string>"}, "Await AsyncAgentClient.agent" in str(caught[-1].message))
""",
        fake.base_url,
    )
    assert outcome.check() == "4 True\nTrue True\n"


def test_y5_a_blocking_call_in_a_tool_on_the_loop_is_an_error_that_names_the_awaited_one(fake):
    fake.script(
        Reply(tool_calls=[{"name": "ask", "arguments": {"word": "x"}}]),
        Reply("done"),
    )
    outcome = run_script(
        FOUR
        + """
@tools.tool
async def ask(word: str) -> str:
    "Ask somebody else."
    try:
        return client.create(USER).choices[0].message.content
    except BlockingCallError as error:
        return error.hint

answer = tools.chat(USER)
print(answer.choices[0].message.content, answer.run.results[0].content)
""",
        fake.base_url,
    )
    assert outcome.check() == "done Await AsyncOpenRouterClient.create there.\n"


def test_y5_a_blocking_tool_may_call_as_it_likes(fake):
    fake.script(
        Reply(tool_calls=[{"name": "ask", "arguments": {"word": "x"}}]),
        Reply("inner"),
        Reply("done"),
    )
    outcome = run_script(
        FOUR
        + """
@tools.tool
def ask(word: str) -> str:
    "Ask somebody else."
    return client.create(USER).choices[0].message.content

answer = tools.chat(USER)
print(answer.choices[0].message.content, answer.run.results[0].content)
""",
        fake.base_url,
    )
    assert outcome.check() == "done inner\n"


def test_y8_results_and_errors_travel_between_processes(fake, tmp_path):
    script = tmp_path / "work.py"
    script.write_text(
        FOUR
        + """
import multiprocessing
from mbxai import ToolRoundsExceededError

def work(name):
    if name == "create":
        return client.create(USER)
    if name == "tools":
        return tools.chat(USER)
    if name == "agent":
        return agent.agent("Report", Report)
    raise ToolRoundsExceededError("too many", hint="fewer")

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        made = [pool.apply(work, (name,)) for name in ("create", "tools", "agent")]
        print(*(type(result).__name__ for result in made), made[2].final_response is not None)
        try:
            pool.apply(work, ("error",))
        except ToolRoundsExceededError as error:
            print(error, error.hint)
"""
    )
    outcome = run_script(
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))",
        str(script),
        fake.base_url,
    )
    assert outcome.check() == (
        "ChatCompletion ToolCompletion AgentResponse True\ntoo many fewer fewer\n"
    )
