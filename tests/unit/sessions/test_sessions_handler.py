"""A user's five-method handler as a store."""

import asyncio
import copy
import json
import logging
import threading

import pytest
from support.stored_state import ids_of

from mbxai.errors import (
    ConfigurationError,
    SessionBusyError,
    SessionConflictError,
    SessionDataError,
    SessionStoreError,
)
from mbxai.sessions import (
    HandlerSessionStore,
    InMemorySessionHandler,
    InMemorySessionStore,
    SessionHandler,
    SQLiteSessionStore,
    as_store,
)


class Handler:
    def __init__(self) -> None:
        self.sessions: dict[str, dict] = {}

    def get_session(self, agent_id):
        return self.sessions.get(agent_id)

    def set_session(self, agent_id, session_data):
        self.sessions[agent_id] = session_data

    def delete_session(self, agent_id):
        return self.sessions.pop(agent_id, None) is not None

    def list_sessions(self):
        return list(self.sessions)

    def session_exists(self, agent_id):
        return agent_id in self.sessions


class NoMethodsYet:
    pass


def test_as_store_takes_stores_handlers_and_nothing(tmp_path):
    sqlite = SQLiteSessionStore(tmp_path / "s.db")
    assert as_store(sqlite) is sqlite
    assert isinstance(as_store(None), InMemorySessionStore)
    assert isinstance(as_store(InMemorySessionHandler()), HandlerSessionStore)
    assert isinstance(as_store(NoMethodsYet()), HandlerSessionStore)
    assert isinstance(InMemorySessionHandler(), SessionHandler)
    assert isinstance(Handler(), SessionHandler)


@pytest.mark.parametrize("target", [Handler, "redis://localhost", b"x", 7, {}, "sessions.db"])
def test_as_store_refuses_what_can_never_be_a_handler(target):
    with pytest.raises(ConfigurationError):
        as_store(target)


async def test_missing_method_is_named_when_it_is_first_needed():
    store = as_store(NoMethodsYet())
    with pytest.raises(SessionStoreError, match=r"NoMethodsYet has no method get_session\(\)"):
        await store.load("a")
    with pytest.raises(SessionStoreError, match=r"list_sessions\(\)"):
        await store.list()
    with pytest.raises(SessionStoreError, match=r"delete_session\(\)"):
        await store.delete("a")


async def test_handler_gets_a_dict_that_survives_json_with_default_str_exactly():
    handler = Handler()
    store = as_store(handler)
    record = await store.claim("a", owner="one", lease_seconds=60)
    data = {"schema_version": 1, "original_prompt": "Grüße", "todo_list": [{"id": "x", "n": 1.5}]}
    await store.save(record, data, owner="one")
    session = handler.sessions["a"]
    assert json.loads(json.dumps(session, default=str)) == session
    assert {key: session[key] for key in data} == data
    assert set(session) == {*data, "version", "_store"}
    assert session["version"] == 2
    assert session["_store"]["fence"] == 1


async def test_live_objects_of_a_careless_handler_are_not_shared():
    handler = Handler()
    store = as_store(handler)
    record = await store.claim("a", owner="one", lease_seconds=60)
    saved = await store.save(record, {"list": [1]}, owner="one")
    saved.data["list"].append(2)
    (await store.load("a")).data["list"].append(3)
    assert handler.sessions["a"]["list"] == [1]


async def test_session_of_another_program_can_be_claimed_and_is_never_removed():
    handler = Handler()
    handler.sessions["old"] = {"original_prompt": "hello"}
    store = as_store(handler)
    record = await store.claim("old", owner="one", lease_seconds=60)
    assert record.data == {"original_prompt": "hello"}
    await store.release(record, owner="one")
    assert (await store.load("old")).data == {"original_prompt": "hello"}
    again = await store.claim("old", owner="two", lease_seconds=60)
    assert (await store.save(again, {"n": 1}, owner="two")).data == {"n": 1}


@pytest.mark.parametrize(
    "session",
    [
        "text",
        [1],
        7,
        {"_store": 3},
        {"_store": {"version": "x", "fence": 1}},
        {"_store": {}},
        {"version": "new"},
        {"x": object()},
    ],
)
async def test_what_is_no_session_is_a_data_error_and_is_left_as_it_is(session):
    handler = Handler()
    handler.sessions["a"] = session
    before = copy.copy(session)
    store = as_store(handler)
    with pytest.raises(SessionDataError):
        await store.load("a")
    with pytest.raises(SessionDataError):
        await store.claim("a", owner="one", lease_seconds=60)
    assert handler.sessions["a"] is session
    assert session == before


async def test_handlers_own_error_is_the_cause_of_ours():
    class Broken(Handler):
        def get_session(self, agent_id):
            raise OSError("password=hunter2hunter2")

        async def list_sessions(self):
            raise StopAsyncIteration

        def delete_session(self, agent_id):
            raise StopIteration

    store = as_store(Broken())
    with pytest.raises(SessionStoreError, match=r"Broken.get_session\(\) raised OSError") as caught:
        await store.claim("a", owner="one", lease_seconds=60)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.agent_id == "a"
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SessionStoreError, match="list_sessions"):
        await store.list()
    with pytest.raises(SessionStoreError, match="delete_session"):
        await store.delete("a")


async def test_session_error_of_a_handler_passes_as_it_is():
    class Typed(Handler):
        def get_session(self, agent_id):
            raise SessionDataError("sealed with another key", agent_id=agent_id)

    with pytest.raises(SessionDataError, match="sealed with another key"):
        await as_store(Typed()).load("a")


@pytest.mark.parametrize("ids", [None, "abc", 7])
async def test_list_that_is_no_list_is_a_typed_error(ids):
    class Odd(Handler):
        def list_sessions(self):
            return ids

    with pytest.raises(SessionStoreError, match="no list"):
        await as_store(Odd()).list()


async def test_bytes_and_tuples_of_ids_are_understood():
    class Bytes(Handler):
        def list_sessions(self):
            return (b"b", "a")

    handler = Bytes()
    handler.sessions = {"a": {"n": 1}, "b": {"n": 2}}
    assert await ids_of(as_store(handler)) == ["a", "b"]


async def test_blocking_methods_run_off_the_loop_and_coroutines_on_it():
    seen: dict[str, int] = {}

    class Mixed(Handler):
        def get_session(self, agent_id):
            seen["get"] = threading.get_ident()
            return super().get_session(agent_id)

        async def set_session(self, agent_id, session_data):
            asyncio.get_running_loop()
            seen["set"] = threading.get_ident()
            super().set_session(agent_id, session_data)

        def list_sessions(self):
            async def later():
                seen["list"] = threading.get_ident()
                return ["a"]

            return later()

    store = as_store(Mixed())
    record = await store.claim("a", owner="one", lease_seconds=60)
    await store.save(record, {"n": 1}, owner="one")
    assert await ids_of(store) == ["a"]
    assert seen["get"] != threading.get_ident()
    assert seen["set"] == seen["list"] == threading.get_ident()


async def test_cancelled_caller_does_not_wait_for_a_stuck_handler():
    free = threading.Event()
    entered = threading.Event()

    class Stuck(Handler):
        def get_session(self, agent_id):
            entered.set()
            free.wait(5)

    task = asyncio.create_task(as_store(Stuck()).load("a"))
    while not entered.is_set():
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not free.is_set()
    free.set()


async def test_missing_compare_and_set_is_logged_once_a_class(caplog):
    class Fresh(Handler):
        pass

    with caplog.at_level(logging.WARNING, logger="mbxai"):
        for _ in range(2):
            store = as_store(Fresh())
            await store.load("a")
            for owner in ("one", "two"):
                record = await store.claim(owner, owner=owner, lease_seconds=60)
                await store.save(record, {"n": 1}, owner=owner)
        store = as_store(InMemorySessionHandler())
        await store.claim("a", owner="one", lease_seconds=60)
    (record,) = caplog.records
    assert record.getMessage().startswith("Fresh has no compare_and_set")


def test_handler_without_compare_and_set_is_guarded_across_loops_and_adapters():
    gate = threading.Barrier(2, timeout=5)
    handler = Handler()
    wins: list[str] = []

    async def work(name: str) -> None:
        store = as_store(handler)

        async def one(n: int) -> None:
            try:
                await store.claim(f"session-{n}", owner=name, lease_seconds=60)
            except SessionBusyError:
                return
            wins.append(f"session-{n}")

        gate.wait()
        await asyncio.gather(*(one(n) for n in range(50)))

    threads = [threading.Thread(target=lambda n=n: asyncio.run(work(n))) for n in ("x", "y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(wins) == sorted(f"session-{n}" for n in range(50))


async def test_lost_compare_and_set_is_decided_anew_and_never_merged():
    class Raced(InMemorySessionHandler):
        """Another process takes the session over between our read and our write."""

        intruder = None

        def compare_and_set(self, agent_id, expected_version, session_data):
            if self.intruder:
                session, self.intruder = self.intruder, None
                self.set_session(agent_id, session)
            return super().compare_and_set(agent_id, expected_version, session_data)

    handler = Raced()
    store = as_store(handler)
    record = await store.claim("a", owner="one", lease_seconds=60)
    other = handler.get_session("a")
    other["version"] += 1
    other["_store"] |= {"owner": "two", "fence": 2}
    other["by"] = "two"
    handler.intruder = copy.deepcopy(other)
    with pytest.raises(SessionConflictError):
        await store.save(record, {"by": "one"}, owner="one")
    assert handler.get_session("a") == other

    handler.intruder = {**other, "version": other["version"] + 1}
    with pytest.raises(SessionBusyError):
        await store.claim("a", owner="three", lease_seconds=60)


async def test_compare_and_set_that_never_succeeds_ends_in_an_error():
    class Never(InMemorySessionHandler):
        def compare_and_set(self, agent_id, expected_version, session_data):
            return False

    with pytest.raises(SessionStoreError, match="compare_and_set"):
        await as_store(Never()).claim("a", owner="one", lease_seconds=60)


def test_in_memory_handler_copies_both_ways():
    handler = InMemorySessionHandler()
    mine = {"list": [1]}
    handler.set_session("a", mine)
    mine["list"].append(2)
    handler.get_session("a")["list"].append(3)
    assert handler.get_session("a") == {"list": [1]}
    assert handler.session_exists("a")
    assert handler.list_sessions() == ["a"]
    assert handler.delete_session("a") is True
    assert handler.delete_session("a") is False
    assert handler.get_session("a") is None
    assert not handler.session_exists("a")


def test_in_memory_handler_compares_versions():
    handler = InMemorySessionHandler()
    assert handler.compare_and_set("a", 0, {"version": 1})
    assert not handler.compare_and_set("a", 0, {"version": 1})
    assert handler.compare_and_set("a", 1, {"version": 2})
    assert handler.get_session("a") == {"version": 2}
