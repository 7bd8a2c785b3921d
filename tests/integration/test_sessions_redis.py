"""The handler that the documentation shows, on a real Redis."""

import asyncio
import json
import subprocess
import sys
import textwrap
import uuid
from typing import Any

import pytest
import redis
import redis.asyncio
from support.services import redis_url
from support.stored_state import ids_of

from mbxai.errors import SessionBusyError, SessionStoreError
from mbxai.sessions import as_store

# Redis' own client advises against the `setex` of that handler.
SETEX = "ignore:Call to deprecated setex:DeprecationWarning"

pytestmark = pytest.mark.filterwarnings(SETEX)

DATA: dict[str, Any] = {
    "schema_version": 1,
    "original_prompt": "Grüße 🦜 \u2028 \x00",
    "half": "\ud83d",
    "todo_list": [{"id": "t1", "status": "pending", "cost": 0.1, "none": None}],
}

# As users have it, word for word.
HANDLER = """
import json
import redis
from typing import Dict, Any, Optional

class RedisSessionHandler:
    def __init__(self, redis_client: redis.Redis = None, ttl_seconds: int = 86400):
        self.redis_client = redis_client or redis.Redis()
        self.ttl_seconds = ttl_seconds
    
    def get_session(self, agent_id: str) -> Optional[Dict[str, Any]]:
        session_json = self.redis_client.get(f"agent:{agent_id}")
        return json.loads(session_json) if session_json else None
    
    def set_session(self, agent_id: str, session_data: Dict[str, Any]) -> None:
        session_json = json.dumps(session_data, default=str)
        self.redis_client.setex(f"agent:{agent_id}", self.ttl_seconds, session_json)
    
    def delete_session(self, agent_id: str) -> bool:
        return self.redis_client.delete(f"agent:{agent_id}") > 0
    
    def list_sessions(self) -> list[str]:
        keys = self.redis_client.keys("agent:*")
        return [key.decode().replace("agent:", "") for key in keys]
    
    def session_exists(self, agent_id: str) -> bool:
        return self.redis_client.exists(f"agent:{agent_id}") > 0
"""  # noqa: W293

PROCESS = HANDLER + textwrap.dedent(
    """
        import asyncio, sys
        from mbxai.errors import SessionBusyError
        from mbxai.sessions import as_store

        async def main(url, agent_id, action):
            client = redis.Redis.from_url(url)
            store = as_store(RedisSessionHandler(redis_client=client, ttl_seconds=3600))
            try:
                record = await store.claim(agent_id, owner=action, lease_seconds=600)
                if action == "write":
                    record = await store.save(record, json.load(sys.stdin), owner=action)
                print(json.dumps(record.data))
                if action != "keep":
                    await store.release(record, owner=action)
            except SessionBusyError as error:
                print(error.agent_id)
                raise SystemExit(3)
            finally:
                client.close()

        asyncio.run(main(*sys.argv[1:]))
        """
)


def run(url: str, agent_id: str, action: str, data: Any = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", SETEX, "-c", PROCESS, url, agent_id, action],
        input=json.dumps(data),
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.fixture(scope="module")
def url():
    with redis_url() as found:
        yield found


@pytest.fixture
def agent_id(url):
    name = f"test-{uuid.uuid4()}"
    yield name
    with redis.Redis.from_url(url) as client:
        client.delete(f"agent:{name}")


def test_what_one_process_writes_another_reads_and_goes_on_with(url, agent_id):
    code, output, errors = run(url, agent_id, "write", DATA)
    assert (code, json.loads(output)) == (0, DATA), errors
    assert "compare_and_set" in errors  # the one warning, through logging
    code, output, errors = run(url, agent_id, "read")
    assert (code, json.loads(output)) == (0, DATA), errors
    with redis.Redis.from_url(url) as client:
        stored = json.loads(client.get(f"agent:{agent_id}"))
        assert 0 < client.ttl(f"agent:{agent_id}") <= 3600
    assert {key: stored[key] for key in DATA} == DATA
    assert stored["_store"]["fence"] == 2


def test_session_claimed_in_one_process_is_busy_in_another(url, agent_id):
    assert run(url, agent_id, "write", DATA)[0] == 0
    assert run(url, agent_id, "keep")[0] == 0
    code, output, _ = run(url, agent_id, "read")
    assert (code, output) == (3, agent_id)


async def test_many_sessions_in_one_process_do_not_disturb_each_other(url, agent_id):
    names: dict[str, Any] = {}
    exec(HANDLER, names)
    with redis.Redis.from_url(url) as client:
        store = as_store(names["RedisSessionHandler"](redis_client=client, ttl_seconds=60))
        record = await store.claim(agent_id, owner="one", lease_seconds=60)
        for n in range(20):
            record = await store.save(record, {"n": n}, owner="one")
        with pytest.raises(SessionBusyError):
            await store.claim(agent_id, owner="two", lease_seconds=60)
        assert agent_id in await ids_of(store)
        assert await store.delete(agent_id) is True
        assert await store.load(agent_id) is None


async def test_redis_that_is_not_there_is_a_typed_error_with_its_cause():
    names: dict[str, Any] = {}
    exec(HANDLER, names)
    with redis.Redis(port=1, retry=None) as client:
        store = as_store(names["RedisSessionHandler"](redis_client=client))
        with pytest.raises(SessionStoreError, match="ConnectionError") as caught:
            await store.claim("a", owner="one", lease_seconds=60)
    assert isinstance(caught.value.__cause__, redis.ConnectionError)


class AsyncRedisHandler:
    """With coroutine functions and a real compare-and-set (a Lua script)."""

    SCRIPT = """
    local stored = redis.call('GET', KEYS[1])
    local version = stored and cjson.decode(stored).version or 0
    if version ~= tonumber(ARGV[1]) then return 0 end
    redis.call('SET', KEYS[1], ARGV[2], 'EX', 60)
    return 1
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client

    async def get_session(self, agent_id: str) -> dict[str, Any] | None:
        text = await self.client.get(f"agent:{agent_id}")
        return json.loads(text) if text else None

    async def set_session(self, agent_id: str, session_data: dict[str, Any]) -> None:
        raise AssertionError("compare_and_set is there")

    async def delete_session(self, agent_id: str) -> bool:
        return await self.client.delete(f"agent:{agent_id}") > 0

    async def compare_and_set(
        self, agent_id: str, expected_version: int, session_data: dict[str, Any]
    ) -> bool:
        text = json.dumps(session_data)
        return await self.client.eval(self.SCRIPT, 1, f"agent:{agent_id}", expected_version, text)


async def test_async_handler_with_compare_and_set_has_one_winner(url, agent_id):
    async with redis.asyncio.Redis.from_url(url) as client:
        store = as_store(AsyncRedisHandler(client))

        async def attempt(owner: str) -> str | None:
            try:
                record = await store.claim(agent_id, owner=owner, lease_seconds=60)
            except SessionBusyError:
                return None
            await store.save(record, {"by": owner}, owner=owner)
            return owner

        owners = await asyncio.gather(*(attempt(f"worker-{n}") for n in range(16)))
        (winner,) = filter(None, owners)
        assert (await store.load(agent_id)).data == {"by": winner}
