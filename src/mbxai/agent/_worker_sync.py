"""The worker for programs that do not await."""

import mbxai.portal as portal
from mbxai.agent._client import AsyncAgentClient
from mbxai.agent._sync import AgentClient
from mbxai.agent._worker import AsyncAgentWorker, EventCallback, FailureCallback


class AgentWorker:
    """Runs the sessions of an agent's store that want a worker, in any number of processes.

    These are sessions that `agent.submit()` stored, that people answered, whose request expired,
    that failed for a passing reason, and that another worker left when it died. Workers need not
    know of each other: who claims a session runs it, and the others go on with something else.
    """

    def __init__(
        self,
        agent: AgentClient | AsyncAgentClient,
        *,
        concurrency: int = 8,
        poll_seconds: float = 1.0,
        grace_seconds: float = 30.0,
        scope: str | None = None,
        sweep_seconds: float = 300.0,
        on_error: FailureCallback | None = None,
        watcher: EventCallback | None = None,
    ) -> None:
        """Make a worker; nothing happens before it runs.

        Args:
            agent: Runs the sessions; its client needs the tools that they were planned with. It
                stays the caller's to close.
            concurrency: Sessions that run at once, at most.
            poll_seconds: Pause between two looks for work, about; four times as long while there is
                none. After a find the worker looks again at once.
            grace_seconds: After `stop()`, how long runs may take to come to rest; those that do not
                are cancelled, and are due again at once for another worker.
            scope: Whose sessions; None: everybody's.
            sweep_seconds: Pause between two removals of sessions whose time is up, about.
            on_error: Told of each failure that the worker goes on after: the error, and the
                session's id, which is empty where the store cannot be reached. A coroutine function
                is awaited, another one must not block.
            watcher: Gets each event of the sessions that this worker runs, pieces of text
                included, on the event loop; it must not block.

        Raises:
            ConfigurationError: The agent is none, or an option is impossible.
        """
        self._core = AsyncAgentWorker(
            agent,
            concurrency=concurrency,
            poll_seconds=poll_seconds,
            grace_seconds=grace_seconds,
            scope=scope,
            sweep_seconds=sweep_seconds,
            on_error=on_error,
            watcher=watcher,
        )

    @property
    def async_client(self) -> AsyncAgentWorker:
        """The asynchronous worker behind this facade."""
        return self._core

    def run(self, *, until_idle: bool = False) -> None:
        """Take and run sessions until `stop()`, or until this is cancelled.

        A store that cannot be reached is waited for. A session that fails in a way that nobody
        foresaw is logged and tried again, ever more rarely.

        Args:
            until_idle: Whether to return once nothing is due and nothing runs.

        Raises:
            ConfigurationError: It runs already, or the store lacks something that it needs.
        """
        portal.run(self._core.run, until_idle=until_idle)

    def wake(self) -> None:
        """Have `run()` look for work now instead of in a while; from any thread."""
        self._core.wake()

    def stop(self) -> None:
        """Have `run()` take nothing new and return; from any thread, or from a signal's handler.

        A worker that was stopped does not run again.
        """
        self._core.stop()
