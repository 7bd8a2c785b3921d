"""`mbxai sessions work`: a process that runs sessions until it is told to stop."""

import asyncio
import inspect
import json
import logging
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import dataclass
from typing import Final, Self, cast

from typing_extensions import override

from mbxai.agent import AgentClient, AsyncAgentClient, AsyncAgentWorker
from mbxai.cli._exit_codes import DONE, INTERRUPTED
from mbxai.cli._failures import tell
from mbxai.cli._load import load
from mbxai.cli._text import escaped, one_line
from mbxai.errors import ConfigurationError, MBXAIError

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOptions:
    """What the command line says; see `mbxai sessions work --help`."""

    target: str
    concurrency: int = 8
    poll: float = 1.0
    grace: float = 30.0
    scope: str | None = None
    until_idle: bool = False
    as_json: bool = False


def work(options: WorkOptions) -> int:
    """Run sessions until a signal, or until nothing is due.

    The first SIGTERM or SIGINT lets runs come to rest, the second one cancels them.

    Args:
        options: What the command line says.

    Returns:
        The exit code.

    Raises:
        MBXAIError: The agent cannot be loaded, or an option is impossible.
    """
    target = made(options.target)
    _log(as_json=options.as_json)  # after the user's code, which may have a say in it
    return asyncio.run(_work(target, options))  # noqa: TID251 - the program's own loop


def made(name: str) -> object:
    """Return what `module:name` names; a function is called.

    It is called outside of any event loop, so that it may register blocking clients' tools.

    Args:
        name: Module and attribute; modules of the current directory come first.

    Raises:
        ConfigurationError: There is no such name, or the function raised.
    """
    value = load(name)
    if _is_agent(value) or not callable(value):
        return value
    with _told(name):
        return value()


@asynccontextmanager
async def opened(target: object, name: str) -> AsyncGenerator[AsyncAgentClient]:
    """Give the agent that a user's own code made, and close it with the block.

    Args:
        target: An agent, an awaitable of one, or an asynchronous context manager of one.
        name: How the command line named it.

    Yields:
        The agent.

    Raises:
        ConfigurationError: It is none of these, or the user's code raised.
    """
    async with AsyncExitStack() as stack:
        value = await _entered(target, name, stack)
        agent = value.async_client if isinstance(value, AgentClient) else value
        if not isinstance(agent, AsyncAgentClient):
            raise ConfigurationError(
                f"{name} is no agent but {type(value).__name__}.",
                hint="Name an AsyncAgentClient or AgentClient, or a function that makes one.",
            )
        yield await stack.enter_async_context(agent)


async def _entered(target: object, name: str, stack: AsyncExitStack) -> object:
    """Return what is behind a coroutine or a context manager of the user's."""
    value = target
    with _told(name):
        if inspect.isawaitable(value):
            value = cast("object", await value)
        if not _is_agent(value) and isinstance(value, AbstractAsyncContextManager):
            manager = cast("AbstractAsyncContextManager[object]", value)
            value = await stack.enter_async_context(manager)
    return value


async def _work(target: object, options: WorkOptions) -> int:
    with ExitStack() as handlers:
        async with opened(target, options.target) as agent:
            worker = AsyncAgentWorker(
                agent,
                concurrency=options.concurrency,
                poll_seconds=options.poll,
                grace_seconds=options.grace,
                scope=options.scope,
            )
            running = asyncio.ensure_future(worker.run(until_idle=options.until_idle))
            signals = handlers.enter_context(_Signals(worker, running))
            try:
                await running
            except asyncio.CancelledError:
                if not signals.has_cancelled:
                    raise
                return INTERRUPTED
    return DONE


class _Signals:
    """Stops a worker at the first signal, and cancels it at the second."""

    def __init__(self, worker: AsyncAgentWorker, running: "asyncio.Future[None]") -> None:
        self.has_cancelled = False
        self._worker = worker
        self._running = running
        self._has_stopped = False

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            with suppress(NotImplementedError):  # Windows: Ctrl-C cancels at once
                loop.add_signal_handler(number, self._caught)
        return self

    def __exit__(self, *_exc_info: object) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)

    def _caught(self) -> None:
        if not self._has_stopped:
            self._has_stopped = True
            tell("Stopping; sessions that run may come to rest. Once more to cut them off.")
            self._worker.stop()
        elif self._running.cancel():
            self.has_cancelled = True


class _Lines(logging.Formatter):
    """Says what is logged as one line, of text or of JSON, that steers no terminal."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    @override
    def format(self, record: logging.LogRecord) -> str:
        message, level = record.getMessage(), record.levelname.lower()
        if not self._as_json:
            clock = self.formatTime(record, "%H:%M:%S")
            return one_line(f"{clock} {level:<7} {message}")
        fields = {"time": record.created, "level": level, "message": message}
        return escaped(json.dumps(fields, ensure_ascii=False))


def _log(*, as_json: bool) -> None:
    """Write what mbxai logs to standard error, unless the user's code has said otherwise."""
    logger = logging.getLogger("mbxai")
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines(as_json=as_json))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _is_agent(value: object) -> bool:
    return isinstance(value, AsyncAgentClient | AgentClient)


@contextmanager
def _told(name: str) -> Generator[None]:
    """Make one line of what the user's own code raises."""
    try:
        yield
    except MBXAIError:
        raise
    except Exception as error:
        problem = one_line(f"{type(error).__name__}: {error}", 300)
        raise ConfigurationError(f"{name} made no agent: {problem}") from error
