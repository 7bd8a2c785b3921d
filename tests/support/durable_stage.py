"""What tests of durable agents stand on: a database of their own, and workers that are processes."""

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import psycopg
from psycopg.conninfo import conninfo_to_dict
from support.agent_safety_run import Report
from support.durable_program import Order

from mbxai import AgentResponse, HumanInLoopResponse
from mbxai.durable import AsyncDurableAgent

PROGRAM = Path(__file__).with_name("durable_program.py")


@contextmanager
def database_of(postgres_url: str) -> Iterator[str]:
    """The address of an empty database, which is dropped afterwards."""
    name = f"mbxai_durable_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            parts = conninfo_to_dict(postgres_url)
            secret = f":{parts['password']}" if parts.get("password") else ""
            yield f"postgresql://{parts['user']}{secret}@{parts['host']}:{parts['port']}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@contextmanager
def worker(order: Order) -> Iterator["subprocess.Popen[str]"]:
    """A process that works; it is killed in the end, if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(PROGRAM), order.json()],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


async def answer(durable: AsyncDurableAgent, response: AgentResponse[Report]) -> None:
    """Approve whatever a session asks; what nobody knows the outcome of is skipped."""
    await durable.send(
        response.agent_id,
        [
            HumanInLoopResponse(
                interaction_id=request.id,
                response_type="decision",
                decision="approve" if "approve" in request.options else "skip",
            )
            for request in response.human_interaction_requests
        ],
    )


async def played(durable: AsyncDurableAgent, agent_id: str) -> AgentResponse[Report]:
    """Answer whatever a session asks, until it ends."""
    with anyio.fail_after(20):
        while True:
            response = await durable.result(agent_id, Report)
            if not response.is_waiting_for_human():
                return response
            await answer(durable, response)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for something to become true."""
    with anyio.fail_after(15):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await anyio.sleep(0.02)


def texts_of(database: str) -> list[str]:
    """Everything that the engine keeps, a row a text."""
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'dbos'"
        ).fetchall()
        return [
            str(row[0])
            for (table,) in tables
            for row in connection.execute(f'SELECT t::text FROM dbos."{table}" t'.encode())
        ]


def cut_connections(database: str) -> None:
    """End everybody's connections to a database, as a restarted server does."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def listeners(database: str) -> int:
    """How many connections wait for notifications."""
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        ).fetchone()
    return int(row[0]) if row else 0
