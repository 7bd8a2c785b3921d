"""Several Redis servers that belong together: a cluster, or a master with replicas and sentinels."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from support.services import free_port, own_redis, program

SLOTS = 16384
READY_SECONDS = 20.0


@dataclass(frozen=True)
class Guarded:
    """A master with replicas under three sentinels.

    Attributes:
        name: What the sentinels call it.
        guards: Where the sentinels listen.
        master: The server that is the master at first.
        replicas: Ports of the others.
    """

    name: str
    guards: list[tuple[str, int]]
    master: "subprocess.Popen[bytes]"
    replicas: list[int]


@contextmanager
def own_cluster(folder: Path, *, nodes: int = 3) -> Iterator[list[int]]:
    """The ports of a cluster of masters without replicas, with evenly shared slots."""
    free = _free_ports(2 * nodes)
    ports, buses = free[:nodes], free[nodes:]
    with ExitStack() as stack:
        for port, bus in zip(ports, buses, strict=True):
            place = _folder(folder, port)
            options = ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
            options += ["--cluster-node-timeout", "2000"]
            stack.enter_context(own_redis(port, place, *options))
        clients = [stack.enter_context(redis.Redis(port=port)) for port in ports]
        for place, client in enumerate(clients):
            first, last = place * SLOTS // nodes, (place + 1) * SLOTS // nodes - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0], buses[0])
        for client in clients:
            until(lambda client=client: _is_whole(client, nodes))
        yield ports


@contextmanager
def own_sentinels(folder: Path, *, replicas: int = 1) -> Iterator[Guarded]:
    """A master, its replicas in step with it, and three sentinels that know all of them."""
    free = _free_ports(replicas + 4)
    guards, ports = free[:3], free[3:]
    master, *others = ports
    with ExitStack() as stack:
        servers = [
            stack.enter_context(own_redis(port, _folder(folder, port), *_following(port, master)))
            for port in ports
        ]
        for guard in guards:
            stack.enter_context(_sentinel(folder, guard, master))
        with redis.Redis(port=master) as client:
            until(lambda: _in_step(client) == replicas)
        for guard in guards:
            with redis.Redis(port=guard, decode_responses=True) as client:
                until(lambda client=client: _knows(client, replicas))
        yield Guarded("shop", [("127.0.0.1", guard) for guard in guards], servers[0], others)


def until(condition: Callable[[], bool]) -> None:
    """Wait for servers to agree on something."""
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("the Redis servers did not find each other")
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    """As many different ports, since a port that is closed again may be given once more."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def _following(port: int, master: int) -> list[str]:
    options = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
    return options if port == master else [*options, "--replicaof", f"127.0.0.1 {master}"]


@contextmanager
def _sentinel(folder: Path, port: int, master: int) -> Iterator[None]:
    config = Path(_folder(folder, port)) / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {config.parent}\n"
        f"sentinel monitor shop 127.0.0.1 {master} 2\n"
        "sentinel down-after-milliseconds shop 500\n"
        "sentinel failover-timeout shop 3000\n"
        "sentinel parallel-syncs shop 2\n"
    )
    command = [program("redis-server"), str(config), "--sentinel"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def _folder(folder: Path, port: int) -> str:
    place = folder / str(port)
    place.mkdir()
    return str(place)


def _is_whole(client: redis.Redis, nodes: int) -> bool:
    # All slots have to be known: a node says "ok" of itself before it knows the others.
    lines = set(client.execute_command("CLUSTER", "INFO").decode().split("\r\n"))
    return lines >= {f"cluster_slots_ok:{SLOTS}", f"cluster_size:{nodes}", "cluster_state:ok"}


def _in_step(client: redis.Redis) -> int:
    found = client.info("replication")
    return sum(
        found.get(f"slave{n}", {}).get("state") == "online"
        for n in range(found["connected_slaves"])
    )


def _knows(client: redis.Redis, replicas: int) -> bool:
    try:
        state = client.info("sentinel")["master0"]
    except redis.ConnectionError:  # it does not listen yet
        return False
    return state["slaves"] == replicas and state["sentinels"] == 3
