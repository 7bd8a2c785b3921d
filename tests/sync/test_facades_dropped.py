"""A thousand facades that are made, used and dropped leave nothing behind."""

import json

from support.scripts import run_script

from mbxai.testing import FakeOpenRouter

SCRIPT = """
import gc, json, os, sys, threading
from mbxai import AgentClient, MCPClient, OpenRouterClient, ToolClient
from mbxai.agent import AsyncAgentClient
from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.sessions import BlockingSessionStore, InMemorySessionStore

USER = [{"role": "user", "content": "hi"}]

def use(number):
    client = OpenRouterClient("sk-test", model="m/m", base_url=sys.argv[1])
    tools = ToolClient(client)
    agent = AgentClient(MCPClient(tools), session_handler=BlockingSessionStore(InMemorySessionStore()))
    if number % 4 == 0:
        client.create(USER)
        stream = tools.create(USER, stream=True)
        next(stream)  # and left in the middle
    if number % 4 == 1:
        tools.chat(USER)
        agent.list_sessions()

def left():
    # Threads, open descriptors, facades and bytes, once nothing closes any more.
    counts = [-1]
    while len(set(counts[-4:])) > 1 or len(counts) < 4:  # a dropped stream is closed a moment later
        gc.collect()
        counts.append(len(os.listdir("/proc/self/fd")))
        threading.Event().wait(0.05)
    with open("/proc/self/statm") as pages:
        resident = int(pages.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    kinds = (AsyncOpenRouterClient, AsyncAgentClient, OpenRouterClient, AgentClient)
    alive = sum(isinstance(thing, kinds) for thing in gc.get_objects())
    return threading.active_count(), counts[-1], alive, resident

for number in range(100):
    use(number)
before = left()
for number in range(250):
    use(number)
print(json.dumps([before, left()]))
"""


def test_a_thousand_facades_leave_no_thread_socket_or_memory():
    with FakeOpenRouter() as fake:
        said = run_script(SCRIPT, fake.base_url).check()
    (threads, descriptors, alive, resident), after = json.loads(said)
    assert after[0] <= threads
    assert after[1] <= descriptors
    assert alive == after[2] == 0
    assert after[3] - resident < 8e6
