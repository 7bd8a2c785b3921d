"""A process that is forked while sessions and credentials are in use elsewhere."""

import pytest
from support.scripts import run_script

BUSY = """
import asyncio, os, signal, sys, threading, time
from mbxai.sessions import CredentialVault, InMemorySessionStore

store, vault = InMemorySessionStore(), CredentialVault()

async def fill():
    for number in range(3000):
        await store.claim(f"s{number}", owner="o", lease_seconds=60)

async def list_sessions():
    while not stop.is_set():
        await store.list()

def scrub():
    number = 0
    while not stop.is_set():
        number += 1
        vault.put("a", f"option{number % 50}", {"token": f"a-long-value-{number}"})
        vault.scrub("a", "words")
        if number % 60 == 0:
            vault.forget("a")

def use_store():
    asyncio.run(store.list())

def use_vault():
    vault.revoke("a", "option")

asyncio.run(fill())
busy, use = {
    "store": (lambda: asyncio.run(list_sessions()), use_store),
    "vault": (scrub, use_vault),
}[sys.argv[1]]
stop = threading.Event()
thread = threading.Thread(target=busy)
thread.start()
ended = True
for _ in range(10):
    time.sleep(0.003)
    child = os.fork()
    if child == 0:
        signal.alarm(3)  # of the default action: it ends a child that hangs
        use()
        os._exit(0)
    ended = ended and os.waitpid(child, 0)[1] == 0
    if not ended:
        break
stop.set()
thread.join()
print("ended" if ended else "hung")
"""


@pytest.mark.parametrize("what", ["store", "vault"])
def test_a_child_forked_while_another_thread_holds_the_lock_does_not_hang(what):
    # Python warns of a fork beside threads, which is what this is about.
    outcome = run_script(BUSY, what, warnings="ignore")
    assert outcome.check().split() == ["ended"]
