"""The engine in this process: its workflows, which only order things, and how it starts and stops.

A workflow's body reads nothing but what the engine keeps for it. Sessions are run in a step, which
the engine may repeat: the session store lets one run have a session, and knows which effects began.
"""

import time
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

import mbxai.durable._names as names
from mbxai._redaction import get_logger
from mbxai.agent import AsyncAgentClient
from mbxai.durable._desk import TOPIC, Desk, translated
from mbxai.durable._rest import Rest, rest_after, rest_of
from mbxai.durable._schedules import DurableSchedule
from mbxai.errors import ConfigurationError, MBXAIError
from mbxai.sessions import new_agent_id

if TYPE_CHECKING:
    from dbos import DBOSClient, DBOSConfig

logger = get_logger(__name__)

_PAUSE_SECONDS: Final = 0.05
_PAGE: Final = 100


class Engine:
    """Runs the sessions of one durable agent in this process."""

    def __init__(
        self,
        desk: Desk,
        *,
        name: str,
        database_url: str,
        agent_of: Callable[[str], AsyncAgentClient],
        start: Callable[[DurableSchedule, str], Awaitable[str]],
        schedules: tuple[DurableSchedule, ...],
        max_runs: int | None,
        max_runs_per_worker: int | None,
        poll_seconds: float,
    ) -> None:
        """Take what is needed; nothing runs before `launch`.

        Args:
            desk: The door to the engine's tables.
            name: The durable agent's name.
            database_url: Address of the Postgres database.
            agent_of: Returns the agent of a scope.
            start: Starts a session of a schedule, whose id it gets.
            schedules: What is started at times.
            max_runs: Sessions that run at once, over all workers; None: no limit.
            max_runs_per_worker: Sessions that run at once in this process; None: no limit.
            poll_seconds: Pause between two looks for work.
        """
        self.desk = desk
        self.name = name
        self.poll_seconds = poll_seconds
        self.start = start
        self.schedules = {schedule.name: schedule for schedule in schedules}
        self._url = database_url
        self._agent_of = agent_of
        self._limits = (max_runs, max_runs_per_worker)
        self._running = 0
        self._is_draining = False
        self._is_launched = False

    async def launch(self, executor_id: str) -> None:
        """Make the tables if need be, register everything, and begin to take work.

        Args:
            executor_id: The engine's name for this process.

        Raises:
            ConfigurationError: The engine is in use in this process, or a schedule is none.
            SessionStoreError: The database cannot be used.
        """
        await anyio.to_thread.run_sync(self._launch, executor_id)
        await self.desk.schedule(tuple(self.schedules.values()))

    async def stop(self, *, grace_seconds: float) -> None:
        """Take no new work, let runs come to rest, and stop those that do not.

        What is left goes on in another worker, or in this one when it is started again.

        Args:
            grace_seconds: How long to wait for them.
        """
        self._is_draining = True
        with anyio.move_on_after(grace_seconds):
            while self._running:  # noqa: ASYNC110 - they are on the engine's loop
                await anyio.sleep(_PAUSE_SECONDS)
        if self._is_launched:
            await anyio.to_thread.run_sync(_destroy)
        _serving.pop(self.name, None)

    async def run(self, scope: str, agent_id: str, before: Rest | None) -> Rest:
        """Run a session until it rests.

        Args:
            scope: Whose session.
            agent_id: Which session.
            before: How the run before ended; None for the first one, and after news.

        Returns:
            What follows; errors are values here, since the engine would keep them as they are.
        """
        if self._is_draining:
            await anyio.sleep_forever()  # the engine is about to be stopped, and keeps it as it is
        self._running += 1
        try:
            response = await self._agent_of(scope).resume(agent_id)
        except MBXAIError as error:
            return rest_after(error, before, time.time())
        except Exception as error:  # noqa: BLE001 - of somebody else's code
            logger.error("agent %s: the run broke: %s", agent_id, type(error).__name__)  # noqa: TRY400 - its text may hold secrets
            return rest_after(error, before, time.time())
        finally:
            self._running -= 1
        return rest_of(response, before, time.time())

    async def of(self, executors: Collection[str]) -> set[str]:
        """Return those of some workers that have work."""

        def look(client: "DBOSClient") -> set[str]:
            found = client.list_workflows(
                status="PENDING",
                executor_id=list(executors),
                load_input=False,
                load_output=False,
                limit=_PAGE,
            )
            return {str(workflow.executor_id) for workflow in found}

        return await self.desk.call(look)

    async def take_over(self, executor: str) -> None:
        """Put a worker's work back into the queues."""
        queues = {
            names.turn_workflow(self.name): names.turns_queue(self.name),
            names.run_workflow(self.name): names.runs_queue(self.name),
            names.schedule_workflow(self.name): names.turns_queue(self.name),
        }

        def take_over(client: "DBOSClient") -> None:
            for workflow, queue in queues.items():
                while found := client.list_workflows(
                    status="PENDING",
                    executor_id=executor,
                    name=workflow,
                    load_input=False,
                    load_output=False,
                    limit=_PAGE,
                ):
                    ids = [one.workflow_id for one in found]
                    client.resume_workflows(ids, queue_name=queue)

        await self.desk.call(take_over)

    def _launch(self, executor_id: str) -> None:
        with translated():
            from dbos import DBOS, DBOSPortableJSONSerializer  # heavy

            config: DBOSConfig = {
                "name": self.name,
                "system_database_url": self._url,
                "application_version": names.version(self.name),
                "executor_id": executor_id,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
                "console_log_level": "WARNING",
            }
            DBOS(config=config)
            # There is one engine in a process, and whoever asks again gets the first one.
            if _serving or executor_id != DBOS.executor_id:
                raise ConfigurationError(
                    "The workflow engine is in use in this process already.",
                    hint="Run one durable agent in a process, and no other DBOS application.",
                )
            _register(self.name)
            _serving[self.name] = self
            self._is_launched = True
            DBOS.launch()
            self._register_queues()

    def _register_queues(self) -> None:
        from dbos import DBOS  # heavy

        max_runs, max_runs_per_worker = self._limits
        DBOS.register_queue(
            names.turns_queue(self.name),
            polling_interval_sec=self.poll_seconds,
            on_conflict="always_update",
        )
        DBOS.register_queue(
            names.runs_queue(self.name),
            global_concurrency=max_runs,
            worker_concurrency=max_runs_per_worker,
            polling_interval_sec=self.poll_seconds,
            on_conflict="always_update",
        )


_serving: dict[str, Engine] = {}
_registered: set[str] = set()


def _destroy() -> None:
    from dbos import DBOS  # heavy

    DBOS.destroy()


def _register(name: str) -> None:
    """Register the workflows of a name, once in a process; the engine keeps them for ever."""
    from dbos import DBOS, WorkflowSerializationFormat  # heavy

    if name in _registered:
        return
    _registered.add(name)
    portable = WorkflowSerializationFormat.PORTABLE

    @DBOS.workflow(name=names.run_workflow(name), serialization_type=portable)
    async def run(scope: str, agent_id: str, before: Rest | None) -> Rest:
        step = _serving[name].run
        return await DBOS.run_step_async(
            {"name": "run", "preemptible": True}, step, scope, agent_id, before
        )

    @DBOS.workflow(name=names.turn_workflow(name), serialization_type=portable)
    async def turn(scope: str, agent_id: str) -> Rest:
        before: Rest | None = None
        while True:
            handle = await DBOS.enqueue_workflow_async(
                names.runs_queue(name), run, scope, agent_id, before
            )
            rest = await handle.get_result(polling_interval_sec=_serving[name].poll_seconds)
            if rest["kind"] in ("over", "stopped"):
                return rest
            news: object = await DBOS.recv_async(TOPIC, timeout_seconds=rest["seconds"])
            before = None if news else rest

    @DBOS.workflow(name=names.schedule_workflow(name), serialization_type=portable)
    async def schedule(_at: datetime, which: str) -> str:
        agent_id = await DBOS.run_step_async({"name": "name"}, new_agent_id)
        found = _serving[name].schedules.get(which)
        if found is None:
            logger.warning("%s has no schedule %s; nothing is started", name, which)
            return ""
        await DBOS.run_step_async(
            {"name": "start", "retries_allowed": True, "max_attempts": 10},
            _serving[name].start,
            found,
            agent_id,
        )
        return agent_id
