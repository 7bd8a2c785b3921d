"""Which worker a process is, and whose work it takes over when another one is gone.

Each worker holds a numbered slot by a session-level advisory lock of Postgres, which the server
itself gives back when the process dies or is cut off. Work of a slot that nobody holds is nobody's.
"""

import zlib
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

import anyio

import mbxai.durable._names as names
from mbxai._redaction import get_logger
from mbxai.durable._desk import translated
from mbxai.errors import ConfigurationError, SessionStoreError

if TYPE_CHECKING:
    from psycopg import AsyncConnection

logger = get_logger(__name__)

_CLOSE_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 5
_TRY: Final = "SELECT pg_try_advisory_lock(%s, %s)"
_GIVE_BACK: Final = "SELECT pg_advisory_unlock(%s, %s)"
_HELD: Final = (
    "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Work(Protocol):
    """The work of workers, by the engine's names for them."""

    async def of(self, executors: Collection[str]) -> set[str]:
        """Return those of some workers that have any."""
        ...

    async def take_over(self, executor: str) -> None:
        """Have other workers go on with a worker's work."""
        ...


class Slot:
    """A worker's place among those of its name."""

    def __init__(self, database_url: str, name: str) -> None:
        """Take where the lock is; `held` takes it.

        Args:
            database_url: Address of the Postgres database.
            name: The durable agent's name.
        """
        self._url = database_url.replace("+psycopg", "", 1)
        self._name = name
        self._class = zlib.crc32(f"mbxai.durable:{name}".encode()) & 0x7FFFFFFF
        self._connection: AsyncConnection | None = None
        self._number = -1
        self._is_held = False

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[str]:
        """Hold the first free slot.

        Yields:
            The engine's name for this worker.

        Raises:
            ConfigurationError: All are taken, or a package is missing.
            SessionStoreError: The database cannot be reached.
        """
        try:
            with translated():
                await self._take_first_free()
            yield names.executor(self._name, self._number)
        finally:
            with anyio.CancelScope(shield=True):
                await self._close()

    async def watch(self, work: Work, *, every_seconds: float) -> None:
        """Keep the slot and take over what others leave behind, until cancelled.

        Args:
            work: Finds it and hands it out.
            every_seconds: Pause between two looks.
        """
        while True:
            try:
                with translated():
                    await self._keep()
                    await self._look(work)
            except (ConfigurationError, SessionStoreError) as error:
                logger.warning("worker %d of %s is cut off: %s", self._number, self._name, error)
                await self._close()
            await anyio.sleep(every_seconds)

    async def _look(self, work: Work) -> None:
        held = {row[0] for row in await self._rows(_HELD, self._class)}
        others = [n for n in range(names.MAX_WORKERS) if n not in held and n != self._number]
        left = await work.of([names.executor(self._name, number) for number in others])
        for number in others:
            executor = names.executor(self._name, number)
            if executor not in left or not await self._try(number):
                continue
            try:
                await work.take_over(executor)
                logger.warning("worker %d of %s is gone; its work goes on", number, self._name)
            finally:
                await self._rows(_GIVE_BACK, self._class, number)

    async def _take_first_free(self) -> None:
        for number in range(names.MAX_WORKERS):
            if await self._try(number):
                self._number, self._is_held = number, True
                return
        raise ConfigurationError(
            f"{self._name} has {names.MAX_WORKERS} workers already.",
            hint="Stop some, or let each run more sessions: max_runs_per_worker.",
        )

    async def _keep(self) -> None:
        if not self._is_held:
            # Whoever has it takes this worker for gone. Both may run the same session for a
            # moment: one of them has claimed it, the other one waits.
            self._is_held = await self._try(self._number)

    async def _try(self, number: int) -> bool:
        return (await self._rows(_TRY, self._class, number))[0][0] is True

    async def _rows(self, statement: str, *values: int) -> list[tuple[object, ...]]:
        connection = self._connection = self._connection or await self._connected()
        cursor = await connection.execute(statement.encode(), values)
        return await cursor.fetchall()

    async def _connected(self) -> "AsyncConnection":
        from psycopg import AsyncConnection  # heavy

        return await AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS
        )

    async def _close(self) -> None:
        connection, self._connection, self._is_held = self._connection, None, False
        if connection is not None:
            with anyio.move_on_after(_CLOSE_SECONDS):
                await connection.close()
