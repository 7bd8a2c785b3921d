"""The same promises on uvloop, each in a process of its own."""

import sys

import pytest
from support.scripts import run_script

from mbxai.testing import FakeOpenRouter

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")

START = """
import asyncio, os, signal, sys, threading, time, warnings
warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
from mbxai import ConfigurationError, OpenRouterClient, portal
portal.use_uvloop()

async def name_of_loop():
    return type(asyncio.get_running_loop()).__mro__[-4].__module__

client = OpenRouterClient("sk-test", model="m/m", base_url=sys.argv[1], max_retries=0)

def ask(word="hi"):
    return bool(client.create([{"role": "user", "content": word}]).choices[0].message.content)
"""


@pytest.fixture(scope="module")
def url():
    with FakeOpenRouter() as server:
        yield server.base_url


def test_calls_and_streams_run_on_it_and_nothing_holds_up_the_exit(url):
    outcome = run_script(
        START
        + """
assert "uvloop" in portal.run(name_of_loop)
stream = client.create([{"role": "user", "content": "hi"}], stream=True)
text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
left = client.create([{"role": "user", "content": "hi"}], stream=True)
next(left)
print(ask(), bool(text), flush=True)
""",
        url,
    )
    assert outcome.check() == "True True\n"
    assert outcome.seconds < 4


def test_ctrl_c_ends_a_call_and_the_client_works_on(url):
    outcome = run_script(
        START
        + """
async def endless():
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    await asyncio.sleep(60)

try:
    portal.run(endless)
except KeyboardInterrupt:
    print("interrupted", ask())
""",
        url,
    )
    assert outcome.check() == "interrupted True\n"


def test_a_forked_child_has_a_loop_of_its_own_and_the_parent_goes_on(url):
    outcome = run_script(
        START
        + """
ask()
sys.stdout.flush()
child = os.fork()
if not child:
    print("child", ask(), "uvloop" in portal.run(name_of_loop), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", ask())
""",
        url,
    )
    assert outcome.check() == "child True True\nparent True\n"


def test_children_of_mcp_are_started_and_ended(url, tmp_path):
    program = tmp_path / "server.py"
    program.write_text(
        "from mbxai import MCPServer\n"
        "server = MCPServer('s')\n"
        "@server.tool\n"
        "def double(n: int) -> int:\n"
        "    'Twice as much.'\n"
        "    return 2 * n\n"
        "server.run_stdio_sync()\n"
    )
    outcome = run_script(
        START
        + """
from mbxai import MCPClient
with MCPClient(client) as mcp:
    mcp.register_mcp_server("s", command=[sys.executable, sys.argv[2]])
    print(mcp.call_tool("double", {"n": 21}).content)
""",
        url,
        str(program),
    )
    assert outcome.check() == "42\n"


def test_it_must_be_asked_for_before_the_first_call(url):
    outcome = run_script(
        START.replace("portal.use_uvloop()", "")
        + """
ask()
try:
    portal.use_uvloop()
except ConfigurationError as error:
    print(error.hint)
""",
        url,
    )
    assert outcome.check() == "Call use_uvloop() first.\n"


def test_without_uvloop_the_error_says_what_to_install():
    outcome = run_script(
        """
import sys
sys.modules["uvloop"] = None
from mbxai import ConfigurationError, portal
try:
    portal.use_uvloop()
except ConfigurationError as error:
    print(error.hint)
"""
    )
    assert "pip install 'mbxai[uvloop]'" in outcome.check()
