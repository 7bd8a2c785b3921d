"""The fake OpenRouter as tests hold it: starts the server's process, asks it, stops it."""

import asyncio
import contextlib
import http.client
import json
import select
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast
from urllib.parse import urlsplit

import mbxai.errors
from mbxai.errors import ConfigurationError
from mbxai.testing._conversation import Conversation
from mbxai.testing._json_views import Json, as_list, as_number, as_object, as_text
from mbxai.testing._steps import Step, to_json

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 3.0
_API_KEY: Final = "sk-or-v1-fake"

# The source folder goes to the end of the path: in front it would hide the standard library.
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from mbxai.testing.__main__ import main; sys.exit(main())"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """One request that the fake server received.

    Attributes:
        method: In upper case.
        path: Path and query, for example `/api/v1/chat/completions`.
        headers: Names in lower case; among them the key that the client sent.
        body: The JSON body; a string if it was no JSON, None if there was none.
        received_at: Unix time in seconds.
        aborted: Whether the client left before it had the whole answer.
    """

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: object
    received_at: float
    aborted: bool = False

    @property
    def json(self) -> dict[str, object]:
        """The body as a JSON object; empty if it is none."""
        return as_object(self.body)

    @property
    def schema_name(self) -> str | None:
        """Name of the JSON Schema that the answer must fit; None if none was asked for."""
        return Conversation(self.json).schema_name


class FakeOpenRouter:
    """A fake OpenRouter on the loopback interface, in a process of its own.

    Without a script it answers from each request's own JSON Schema and tools, always the same to
    the same request. With a script each chat completion uses up one step.

        with FakeOpenRouter() as fake:
            client = OpenRouterClient(token=fake.api_key, base_url=fake.base_url)

    Works with `async with` too. The methods ask the server's process over loopback, which takes
    about a millisecond, so they may be called from coroutines. The process ends with the block, or
    when this process ends, however it ends.

    Attributes:
        api_key: A key that the server accepts; it accepts every other, too.
    """

    def __init__(
        self,
        script: Iterable[Step] | None = None,
        *,
        port: int = 0,
        model: str = "fake/model",
        latency: float = 0.0,
        chunk_delay: float = 0.0,
        auto_overrides: Mapping[str, object] | None = None,
    ) -> None:
        """Prepare a server; it starts with the `with` block.

        Args:
            script: Steps for the chat completions to come; None or none answers automatically.
            port: Which port; 0 takes a free one.
            model: The model that answers where a request names none.
            latency: Seconds before each answer.
            chunk_delay: Seconds between two events of a stream.
            auto_overrides: By JSON Schema name, properties that are laid over the automatic
                answer.
        """
        self.api_key = _API_KEY
        self._first_steps = list(script or ())
        self._port = port
        self._model = model
        self._latency = latency
        self._chunk_delay = chunk_delay
        self._overrides = dict(auto_overrides or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._base_url = ""

    # --- life -------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start the server.

        Raises:
            ConfigurationError: It did not start, for example because the port is taken.
        """
        process = self._spawn()
        try:
            self._base_url = _first_line(process)
            self._set_up()
        except BaseException:
            self._stop()
            raise
        return self

    async def __aenter__(self) -> Self:
        """Start the server without blocking the loop.

        Raises:
            ConfigurationError: It did not start, for example because the port is taken.
        """
        process = self._spawn()
        loop = asyncio.get_running_loop()
        try:
            self._base_url = await loop.run_in_executor(None, _first_line, process)
            self._set_up()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server and wait until its process is gone."""
        self._stop()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server and wait until its process is gone."""
        await asyncio.get_running_loop().run_in_executor(None, self._stop)

    def _spawn(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            raise ConfigurationError("This fake OpenRouter is running already.")
        source = Path(mbxai.errors.__file__).parent.parent
        options = {
            "--port": self._port,
            "--model": self._model,
            "--latency": self._latency,
            "--chunk-delay": self._chunk_delay,
        }
        words = [word for option, value in options.items() for word in (option, str(value))]
        # Only our own code and plain numbers run here; a session of its own, so that a Ctrl-C in
        # the terminal is for the tests alone.
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", _BOOT, str(source), "--with-parent", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        return self._process

    def _set_up(self) -> None:
        if self._overrides:
            self._ask("POST", "/overrides", self._overrides)
        self.script(*self._first_steps)

    def _stop(self) -> None:
        process, self._process = self._process, None
        self._base_url = ""
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # Last, because a thread may still wait for the first line.
        if process.stdout is not None:
            process.stdout.close()

    # --- what a client needs ----------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """The address for a client's `base_url`, for example `http://127.0.0.1:4321/api/v1`.

        Raises:
            ConfigurationError: The server is not running.
        """
        if not self._base_url:
            raise ConfigurationError(
                "This fake OpenRouter is not running.", hint="Use it in a `with` block."
            )
        return self._base_url

    @property
    def pid(self) -> int:
        """The id of the server's process.

        Raises:
            ConfigurationError: The server is not running.
        """
        if self._process is None:
            raise ConfigurationError("This fake OpenRouter is not running.")
        return self._process.pid

    def env(self) -> dict[str, str]:
        """Return the environment variables that lead a client here."""
        return {"OPENROUTER_API_KEY": self.api_key, "OPENROUTER_BASE_URL": self.base_url}

    # --- what a test asks -------------------------------------------------------------------------

    def requests(self) -> list[RecordedRequest]:
        """Return what was received, oldest first, failed and refused requests included."""
        records = map(as_object, as_list(self._ask("GET", "/requests")))
        return [
            RecordedRequest(
                method=as_text(record["method"]),
                path=as_text(record["path"]),
                headers=cast("dict[str, str]", record["headers"]),
                body=record["body"],
                received_at=float(as_number(record["received_at"]) or 0),
                aborted=record["aborted"] is True,
            )
            for record in records
        ]

    def script(self, *steps: Step) -> None:
        """Add steps at the end of the script; from the first one on, each request needs a step.

        Args:
            steps: What the next chat completions are answered with.
        """
        if steps:
            self._ask("POST", "/script", {"steps": [to_json(step) for step in steps]})

    def reset(self) -> None:
        """Forget the script and the requests; `auto_overrides` stay."""
        self._ask("POST", "/reset", {})

    def verify(self) -> None:
        """Check that the script was used up and nothing else was asked.

        Raises:
            AssertionError: Steps are unused, or a request came that no step was for.
        """
        report = as_object(self._ask("GET", "/report"))
        unused, unexpected = as_list(report["unused"]), as_list(report["unexpected"])
        lines = [f"unused step: {step}" for step in unused]
        lines += [f"unexpected request: {request}" for request in unexpected]
        if lines:
            raise AssertionError("The script was not followed.\n  " + "\n  ".join(lines))

    def _ask(self, method: str, action: str, body: Json | None = None) -> object:
        address = urlsplit(self.base_url)
        link = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        data = None if body is None else json.dumps(body)
        try:
            with contextlib.closing(link):
                link.request(method, f"/_fake{action}", data, {"Connection": "close"})
                answer = link.getresponse()
                text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ConfigurationError("The process of the fake OpenRouter is gone.") from error
        if answer.status != 200:
            raise ConfigurationError(f"The fake OpenRouter refused {action}: {text.decode()}")
        return json.loads(text)


def _first_line(process: subprocess.Popen[bytes]) -> str:
    """Wait for the address that the server prints."""
    output = process.stdout
    if output is not None and select.select([output], [], [], _START_SECONDS)[0]:
        line = output.readline().decode().strip()
        if line:
            return line
    raise ConfigurationError(
        "The fake OpenRouter did not start.", hint="Its own error output says why."
    )
