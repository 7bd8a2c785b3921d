"""The door to the engine's tables: workflows are enqueued, woken, looked up, cancelled."""

import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

import anyio.to_thread

import mbxai.durable._names as names
from mbxai.durable._rest import Rest
from mbxai.durable._schedules import DurableSchedule
from mbxai.errors import ConfigurationError, MBXAIError, SessionStoreError

if TYPE_CHECKING:
    from dbos import ClientScheduleInput, DBOSClient

T = TypeVar("T")

TOPIC: Final = "news"
"""Under which a turn's workflow is told that something has changed."""

_GOING: Final = ("ENQUEUED", "PENDING", "DELAYED")


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWorkflow:
    """The newest workflow of a turn.

    Attributes:
        workflow_id: Its id.
        status: What the engine says about it.
        is_running: Whether a run of the session is going on or queued, or was cut off.
        rest: How the session rested when it ended; None while it goes on, or if it broke.
    """

    workflow_id: str
    status: str
    is_running: bool
    rest: Rest | None

    def is_going(self) -> bool:
        """Tell whether it has not ended."""
        return self.status in _GOING


class Desk:
    """Talks to the engine's tables from any process, whether it runs sessions or not."""

    def __init__(self, database_url: str, name: str) -> None:
        """Take where the tables are; nothing is opened before it is needed.

        Args:
            database_url: Address of the Postgres database.
            name: The durable agent's name.
        """
        self._url = database_url
        self._name = name
        self._client: DBOSClient | None = None
        self._owner = 0  # process id: connections are not shared with a forked child
        self._opening = threading.Lock()  # guards the two above

    async def latest(self, scope: str, agent_id: str, turn: int) -> TurnWorkflow | None:
        """Return the newest workflow of a turn; None if there is none.

        Args:
            scope: Whose session.
            agent_id: Which session.
            turn: Which turn.
        """
        prefix = names.turn_prefix(self._name, scope, agent_id, turn)

        def look(client: "DBOSClient") -> TurnWorkflow | None:
            found = client.list_workflows(
                workflow_id_prefix=prefix,
                name=names.turn_workflow(self._name),
                sort_desc=True,
                limit=1,
                load_input=False,
            )
            if not found:
                return None
            newest, status = found[0].workflow_id, found[0].status
            runs = client.list_workflows(
                parent_workflow_id=newest,
                status=list(_GOING),
                limit=1,
                load_input=False,
                load_output=False,
            )
            rest = cast("Rest", found[0].output) if status == "SUCCESS" else None
            return TurnWorkflow(workflow_id=newest, status=status, is_running=bool(runs), rest=rest)

        return await self.call(look)

    async def enqueue(self, scope: str, agent_id: str, turn: int, *, attempt: int) -> None:
        """Have a worker see a turn through, unless there is such a workflow already.

        Args:
            scope: Whose session.
            agent_id: Which session.
            turn: Which turn.
            attempt: Which workflow of the turn, from 0.
        """
        workflow_id = f"{names.turn_prefix(self._name, scope, agent_id, turn)}{attempt}"

        def enqueue(client: "DBOSClient") -> None:
            from dbos import WorkflowSerializationFormat  # heavy

            client.enqueue(
                {
                    "workflow_name": names.turn_workflow(self._name),
                    "queue_name": names.turns_queue(self._name),
                    "workflow_id": workflow_id,
                    "app_version": names.version(self._name),
                    "serialization_type": WorkflowSerializationFormat.PORTABLE,
                },
                scope,
                agent_id,
            )

        await self.call(enqueue)

    async def tell(self, workflow_id: str) -> None:
        """Tell a workflow that there is news; what it is, the session's own store knows.

        Args:
            workflow_id: Which workflow.
        """
        await self.call(lambda client: client.send(workflow_id, True, TOPIC))

    async def cancel(self, workflow_id: str) -> None:
        """Cancel a workflow of a turn and the run that it waits for.

        Args:
            workflow_id: Which workflow.
        """

        def cancel(client: "DBOSClient") -> None:
            client.cancel_workflow(workflow_id, cancel_children=True)

        await self.call(cancel)

    async def unschedule(self, schedule: str) -> None:
        """Remove a schedule.

        Args:
            schedule: Its name.
        """
        await self.call(lambda client: client.delete_schedule(f"{self._name}.{schedule}"))

    async def schedule(self, schedules: Sequence[DurableSchedule]) -> None:
        """Store schedules, instead of those of the same names.

        Args:
            schedules: What to store.
        """
        entries: list[ClientScheduleInput] = [
            {
                "schedule_name": f"{self._name}.{schedule.name}",
                "workflow_name": names.schedule_workflow(self._name),
                "schedule": schedule.cron,
                "context": schedule.name,
                "automatic_backfill": schedule.catch_up,
                "cron_timezone": schedule.timezone,
                "queue_name": names.turns_queue(self._name),
            }
            for schedule in schedules
        ]
        await self.call(lambda client: client.apply_schedules(entries))

    async def call(self, function: "Callable[[DBOSClient], T]") -> T:
        """Call a function with the client, in a worker thread.

        Args:
            function: What to call.

        Returns:
            What it returned.

        Raises:
            ConfigurationError: The package or the tables are not there.
            SessionStoreError: The database cannot be read or written.
        """
        return await anyio.to_thread.run_sync(self._call, function, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """Close the connections."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None and self._owner == os.getpid():
            await anyio.to_thread.run_sync(client.destroy)

    def _call(self, function: "Callable[[DBOSClient], T]") -> T:
        with translated():
            client = self._opened()
            try:
                return function(client)
            except Exception as error:
                if not _lacks_tables(error):
                    raise
            self._make_tables()
            return function(client)

    def _make_tables(self) -> None:
        from dbos import DBOS  # heavy

        DBOS.migrate(self._url)

    def _opened(self) -> "DBOSClient":
        from dbos import DBOSClient, DBOSPortableJSONSerializer  # heavy

        with self._opening:
            if self._client is None or self._owner != os.getpid():
                self._owner = os.getpid()
                self._client = DBOSClient(
                    system_database_url=self._url,
                    serializer=DBOSPortableJSONSerializer(),
                    application_name=self._name,
                    retry_connection_errors=False,
                    lazy=True,
                )
            return self._client


@contextmanager
def translated() -> Generator[None]:
    """Run a block whose errors of the engine become ours, in whichever thread."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in {"dbos", "psycopg"}:
            raise
        raise ConfigurationError(
            "Durable agents need more packages.", hint="pip install 'mbxai[dbos]'"
        ) from error
    except MBXAIError:
        raise
    except Exception as error:
        if not is_of_engine(error):
            raise
        raise _ours(error) from error


def is_of_engine(error: Exception) -> bool:
    """Tell whether an error comes from the engine or from the database under it.

    Args:
        error: Any error.
    """
    modules = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    return bool(modules & {"dbos", "sqlalchemy", "psycopg"})


def _reason(error: Exception) -> str:
    return type(getattr(error, "orig", None) or error).__name__


def _lacks_tables(error: Exception) -> bool:
    return _reason(error) in {"UndefinedTable", "UndefinedColumn", "InvalidSchemaName"}


def _ours(error: Exception) -> MBXAIError:
    reason = _reason(error)
    if reason == "DBOSException":  # its own words about an argument; no statement is in them
        return ConfigurationError(str(error))
    # The text of other errors may hold parameters of a statement.
    return SessionStoreError(
        f"The database of the workflows cannot be used: {reason}.",
        hint="Is Postgres running, is database_url right, may its user connect, write, and once"
        " make tables?",
    )
