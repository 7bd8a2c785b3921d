"""A user's own store: its foreign errors become ones of the family, all else passes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from mbxai import AsyncAgentClient
from mbxai.errors import ConfigurationError, SessionBusyError, SessionStoreError
from mbxai.sessions import InMemorySessionStore, SessionRecord, SessionStore, as_store

RECORD = SessionRecord(agent_id="a", version=1, fence=1, data={})
CALLS: dict[str, Callable[[SessionStore], Awaitable[object]]] = {
    "load": lambda store: store.load("a"),
    "create": lambda store: store.create("a", {}),
    "claim": lambda store: store.claim("a", owner="one", lease_seconds=1),
    "save": lambda store: store.save(RECORD, {}, owner="one"),
    "heartbeat": lambda store: store.heartbeat(RECORD, owner="one"),
    "release": lambda store: store.release(RECORD, owner="one"),
    "post_answer": lambda store: store.post_answer("a", "i", {}),
    "read_answers": lambda store: store.read_answers("a"),
    "read_log": lambda store: store.read_log("a"),
    "wait": lambda store: store.wait("a", after=0, timeout_seconds=0),
    "delete": lambda store: store.delete("a"),
    "due": lambda store: store.due(),
    "sweep": lambda store: store.sweep(),
    "list": lambda store: store.list(),
    "aclose": lambda store: store.aclose(),
}
NO_SESSION = {"list", "due", "sweep", "aclose"}


class Raising:
    """A store whose every method raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def _raise(self, *args: Any, **options: Any) -> Any:
        raise self.error

    keeps_log = True
    load = create = claim = save = heartbeat = release = delete = aclose = _raise
    post_answer = read_answers = read_log = wait = due = sweep = list = _raise


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("error", [OSError("hunter2"), asyncio.CancelledError("hunter2")])
async def test_a_foreign_error_is_the_cause_of_one_of_the_family(
    name: str, error: BaseException
) -> None:
    kind = type(error).__name__
    with pytest.raises(SessionStoreError, match=rf"Raising\.{name}\(\) raised {kind}") as caught:
        await CALLS[name](as_store(Raising(error)))
    assert caught.value.__cause__ is error
    assert "hunter2" not in str(caught.value)
    assert caught.value.agent_id == ("" if name in NO_SESSION else "a")


@pytest.mark.parametrize("name", CALLS)
async def test_what_the_protocol_raises_passes_as_it_is(name: str) -> None:
    error = SessionBusyError("busy", until=7.0)
    with pytest.raises(SessionBusyError) as caught:
        await CALLS[name](as_store(Raising(error)))
    assert caught.value is error


async def test_a_cancellation_of_ones_own_stays_one() -> None:
    class Slow(InMemorySessionStore):
        async def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
            await asyncio.sleep(60)

    loading = asyncio.create_task(as_store(Slow()).load("a"))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading


async def test_an_agent_on_a_store_that_fails_raises_what_it_promises() -> None:
    class Report(BaseModel):
        text: str

    class Full(InMemorySessionStore):
        async def save(self, record: SessionRecord, *args: Any, **given: Any) -> Any:
            raise OSError("no space left")

    class Client:
        async def parse(self, messages: Any, response_format: Any) -> Any: ...

    store = Full()
    agent = AsyncAgentClient(Client(), session_handler=store)
    with pytest.raises(SessionStoreError, match=r"Full\.save\(\) raised OSError"):
        await agent.agent("Report", Report, agent_id="a")
    assert await store.load("a") is None


async def test_a_store_that_lacks_methods_is_refused_by_name() -> None:
    class Half:
        async def load(self, agent_id: str) -> None: ...
        async def claim(self, agent_id: str) -> None: ...
        async def save(self, record: object) -> None: ...

    with pytest.raises(ConfigurationError, match="lacks aclose, create, delete, due, heartbeat"):
        as_store(Half())
