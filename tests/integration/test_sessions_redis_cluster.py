"""RedisSessionStore on a real cluster of three nodes."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.asyncio import RedisCluster
from support.redis_groups import SLOTS, own_cluster

from mbxai.errors import ConfigurationError
from mbxai.sessions import RedisSessionStore
from mbxai.sessions._redis_keys import SHARDS, Keyring
from mbxai.testing.store_conformance import CHECKS, Check, CheckOutcome


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    with own_cluster(folder) as made:
        yield made


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_promise_of_every_store_on_a_cluster(check: Check, ports: list[int]) -> None:
    def open_store(
        *, now: Callable[[], float], ttl_seconds: float | None = None
    ) -> RedisSessionStore:
        return RedisSessionStore(
            lambda: RedisCluster(host="127.0.0.1", port=ports[0]), now=now, ttl_seconds=ttl_seconds
        )

    result = await check.run(open_store)
    assert result.outcome is CheckOutcome.PASSED, result.reason


async def test_the_whole_protocol_on_a_cluster_with_a_client_that_decodes(
    ports: list[int],
) -> None:
    store = RedisSessionStore(
        lambda: RedisCluster(host="127.0.0.1", port=ports[1], decode_responses=True),
        prefix="decoding:",
    )
    scope, ids = "a {tenant}/*", [f"{{{n}}}" for n in range(30)]
    text = {"text": "Grüße" * 100}
    for agent_id in ids:
        await store.create(agent_id, text, scope=scope, rows=[text], status="new")
        waiting = asyncio.create_task(store.wait(agent_id, after=1, timeout_seconds=5, scope=scope))
        record = await store.claim(agent_id, owner="one", lease_seconds=60, scope=scope)
        await store.post_answer(agent_id, "question", text, scope=scope)
        await store.heartbeat(record, owner="one")
        record = await store.save(
            record, owner="one", rows=[text], status="done", answers_read=1, drop_rows=1
        )
        assert await waiting is True
        assert await store.load(agent_id, scope=scope) == record
        assert record.data == text
        assert [row.seq for row in await store.read_log(agent_id, scope=scope)] == [2]
        (answer,) = await store.read_answers(agent_id, scope=scope)
        assert (answer.number, answer.content) == (1, None)
        await store.release(record, owner="one", due_at=0.0)
    page = await store.list(scope=scope, status="done", limit=20)
    rest = await store.list(scope=scope, status="done", limit=20, cursor=page.next_cursor)
    assert [s.agent_id for s in page.sessions + rest.sessions] == ids[::-1]
    assert sorted(due.agent_id for due in await store.due(scope=scope)) == sorted(ids)
    sizes = []
    for port in ports:
        with redis.Redis(port=port) as client:
            sizes.append(sum(1 for _ in client.scan_iter(match="decoding:*")))
    assert all(sizes)  # they are spread over all nodes
    for agent_id in ids:
        assert await store.delete(agent_id, scope=scope) is True
    await store.aclose()


@pytest.mark.parametrize("connections", [8, 100])
async def test_many_calls_at_once_through_a_client_that_has_connected_to_no_node_yet(
    ports: list[int], connections: int
) -> None:
    store = RedisSessionStore(
        lambda: RedisCluster(host="127.0.0.1", port=ports[2], max_connections=connections)
    )

    async def use(agent_id: str) -> int:
        record = await store.claim(agent_id, owner="one", lease_seconds=60)
        for n in range(3):
            record = await store.save(record, {"n": n}, owner="one", rows=[{"n": n}])
        await store.delete(agent_id)
        return record.version

    assert await asyncio.gather(*(use(f"many-{n}") for n in range(300))) == [3] * 300
    await store.aclose()


async def test_confirmation_by_replicas_is_not_for_a_cluster(ports: list[int]) -> None:
    store = RedisSessionStore(lambda: RedisCluster(host="127.0.0.1", port=ports[0]), min_replicas=1)
    with pytest.raises(ConfigurationError, match="min_replicas"):
        await store.load("a")


def test_shards_lie_evenly_over_the_slots_and_a_session_in_one(ports: list[int]) -> None:
    with redis.Redis(port=ports[0]) as client:
        slots = [client.cluster("KEYSLOT", f"any{{{tag}}}:head") for tag in SHARDS]
        assert [slot * len(SHARDS) // SLOTS for slot in slots] == list(range(len(SHARDS)))
        for prefix in ("", "app:", "odd{", "odd}{", "{all}"):
            for agent_id, scope in (("a", ""), ("{b}", "}c{"), ("*", "/"), ("{}", "{}")):
                names = Keyring(prefix).of(agent_id, scope).names
                assert len({client.cluster("KEYSLOT", name) for name in names}) == 1
