"""Several real processes on one SQLite file."""

import asyncio
import json
import subprocess
import sys

from mbxai.sessions import SQLiteSessionStore

WORKERS = 8
SESSIONS = 50

CLAIM_ALL = """
import asyncio, json, sys
from mbxai.errors import SessionBusyError
from mbxai.sessions import SQLiteSessionStore

async def main(path, owner, sessions):
    store = SQLiteSessionStore(path, busy_timeout=20)
    won = []
    for n in range(sessions):
        try:
            record = await store.claim(f"session-{n}", owner=owner, lease_seconds=600)
        except SessionBusyError:
            continue
        await store.save(record, {"by": owner}, owner=owner)
        won.append(n)
    await store.aclose()
    return won

print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_eight_processes_that_claim_fifty_sessions_have_exactly_one_winner_each(tmp_path):
    path = tmp_path / "s.db"  # not there yet: they also race to create it
    workers = [start(CLAIM_ALL, path, f"worker-{n}", SESSIONS) for n in range(WORKERS)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    won: dict[str, list[int]] = {}
    for n, worker in enumerate(workers):
        output, errors = worker.communicate(timeout=50)
        assert worker.returncode == 0, errors
        won[f"worker-{n}"] = json.loads(output)
    assert sorted(n for wins in won.values() for n in wins) == list(range(SESSIONS))

    async def check() -> None:
        store = SQLiteSessionStore(path)
        for owner, wins in won.items():
            for n in wins:
                assert (await store.load(f"session-{n}")).data == {"by": owner}
        await store.aclose()

    asyncio.run(check())


KILLED = """
import asyncio, os, signal, sys
from mbxai.sessions import SQLiteSessionStore

async def main(path):
    store = SQLiteSessionStore(path)
    record = await store.claim("a", owner="killed", lease_seconds=float(sys.argv[2]))
    n = 0
    while True:
        n += 1
        record = await store.save(record, {"n": n}, owner="killed")
        print(n, flush=True)

asyncio.run(main(sys.argv[1]))
"""


def test_session_of_a_killed_process_is_taken_over_where_it_was_saved(tmp_path):
    path = tmp_path / "s.db"
    worker = start(KILLED, path, 1000.0)
    for _ in range(5):
        said = int(worker.stdout.readline())
    worker.kill()
    rest, _ = worker.communicate(timeout=10)
    said = int(rest.split()[-1]) if rest.split() else said

    async def resume() -> None:
        late = SQLiteSessionStore(path, now=lambda: 10.0**11)
        record = await late.claim("a", owner="next", lease_seconds=60)
        # What was said to be saved is there; one more save may have ended unsaid.
        assert record.data["n"] in {said, said + 1}
        assert record.fence == 2
        await late.save(record, {"n": -1}, owner="next")
        await late.aclose()

    asyncio.run(resume())


FORK = """
import asyncio, os, sys
from mbxai.sessions import SQLiteSessionStore

store = SQLiteSessionStore(sys.argv[1])

async def write(name, last):
    record = await store.claim(name, owner=name, lease_seconds=600)
    for n in range(record.data.get("n", 0) + 1, last + 1):
        record = await store.save(record, {"n": n}, owner=name)

asyncio.run(write("before", 5))
parent_closed, closing = os.pipe()
child_wrote, writing = os.pipe()
child = os.fork()
asyncio.run(write("child" if child == 0 else "parent", 10))
if child == 0:
    os.write(writing, b".")
    os.read(parent_closed, 1)
    asyncio.run(write("child", 20))  # the parent's closing must not take our log away
    os._exit(0)  # without closing, like a process that is killed
else:
    os.read(child_wrote, 1)
    asyncio.run(store.aclose())
    os.write(closing, b".")
    _, status = os.waitpid(child, 0)
    page = asyncio.run(store.list())
    names = sorted(session.agent_id for session in page.sessions)
    print(status, names, asyncio.run(store.load("child")).data)
    asyncio.run(store.aclose())
"""


def test_store_goes_on_in_both_processes_after_a_fork(tmp_path):
    path = tmp_path / "s.db"
    worker = start(FORK, path)
    output, errors = worker.communicate(timeout=20)
    assert output == "0 ['before', 'child', 'parent'] {'n': 20}\n", errors
    assert errors == ""
    assert list(tmp_path.iterdir()) == [path]
