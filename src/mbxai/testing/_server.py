"""The fake OpenRouter itself: what each request is answered with.

Runs in a process of its own with nothing but the standard library. Everything happens on one loop,
so the state needs no lock.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Final
from urllib.parse import unquote

from mbxai._types import UNSET
from mbxai.testing import _catalogue
from mbxai.testing._answers import Origin
from mbxai.testing._auto_model import Answer, answer_to
from mbxai.testing._conversation import Conversation
from mbxai.testing._http import (
    MAX_HEAD_BYTES,
    ClientGoneError,
    Connection,
    MalformedRequestError,
    Request,
    Response,
)
from mbxai.testing._json_views import Json, as_list, as_object, as_text, is_object
from mbxai.testing._request_rules import problem_of
from mbxai.testing._responses import (
    error,
    error_body,
    failed,
    failed_after,
    faulty,
    json_response,
    scripted_answer,
    spoken,
)
from mbxai.testing._script import CHAT_PATH, Script
from mbxai.testing._steps import Failure, Reply, Step, from_json

BASE_PATH: Final = "/api/v1"
CONTROL_PATH: Final = "/_fake"
_EMBEDDINGS_PATH: Final = "/embeddings"
_ENDPOINTS_PATH: Final = re.compile(r"/models/([^/]+/[^/]+)/endpoints")
_MODEL_PATH: Final = re.compile(r"/model/([^/]+/[^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the server behaves.

    Attributes:
        model: The model that answers where a request names none.
        latency: Seconds before each answer.
        chunk_delay: Seconds between two events of a stream.
    """

    model: str = "fake/model"
    latency: float = 0.0
    chunk_delay: float = 0.0


@dataclass(slots=True)
class _Record:
    """One request that came, as the control endpoint shows it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: object
    received_at: float = field(default_factory=time.time)
    aborted: bool = False


class FakeServer:
    """Answers requests; `serve` is called once a connection."""

    def __init__(self, settings: ServerSettings) -> None:
        """Start in automatic mode."""
        self._settings = settings
        self._script = Script()
        self._records: list[_Record] = []
        self._overrides: Json = {}
        self._generations = 0
        self._open: dict[asyncio.Task[None], Connection] = {}

    async def start(self, port: int) -> asyncio.Server:
        """Listen on the loopback interface.

        Args:
            port: Which port; 0 takes a free one.

        Raises:
            OSError: The port is taken.
        """
        return await asyncio.start_server(
            self._connected, "127.0.0.1", port, limit=MAX_HEAD_BYTES, backlog=512
        )

    async def stop(self) -> None:
        """Break off every connection and wait until each is done with."""
        for connection in self._open.values():
            connection.abort()
        if self._open:
            await asyncio.wait(self._open, timeout=1.0)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Tasks of our own: asyncio reports its own ones as errors when the server stops.
        connection = Connection(reader, writer)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._open[task] = connection
        task.add_done_callback(self._open.pop)

    async def _serve(self, connection: Connection) -> None:
        try:
            await self._exchange_all(connection)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left, or the script said to leave
        finally:
            await connection.close()

    async def _exchange_all(self, connection: Connection) -> None:
        try:
            while (request := await connection.receive()) is not None:
                await self._exchange(connection, request)
                if not request.keeps_alive:
                    break
        except MalformedRequestError as problem:
            await connection.send(error(400, str(problem)))

    async def _exchange(self, connection: Connection, request: Request) -> None:
        wants_body = request.method != "HEAD"
        if request.path.startswith(CONTROL_PATH + "/"):
            await connection.send(self._control(request), body_wanted=wants_body)
            return
        record = _Record(request.method, request.target, request.headers, _body_of(request))
        self._records.append(record)
        response = self._answer(request, record.body)
        try:
            await connection.pause(self._settings.latency)
            await connection.send(self._dressed(response), body_wanted=wants_body)
        except ClientGoneError:
            record.aborted = response.cut_after is None
            raise

    def _dressed(self, response: Response) -> Response:
        """Add the headers that every answer of the real service bears."""
        ray = f"{len(self._records):016x}-FAK"
        base = {"Date": formatdate(usegmt=True), "Server": "cloudflare", "cf-ray": ray}
        return replace(response, headers={**base, **response.headers})

    # --- the public paths -------------------------------------------------------------------------

    def _answer(self, request: Request, body: object) -> Response:
        path = request.path.removeprefix(BASE_PATH)
        if path == request.path:
            return error(404, f"Not found: this server's base path is {BASE_PATH}")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if path != "/models" and (scheme.lower() != "bearer" or not token.strip()):
            return error(401, "No auth credentials found")
        if path == CHAT_PATH and request.method == "POST":
            return self._chat(request, body)
        talk = Conversation(as_object(body))
        step = self._script.take(request.path, talk)
        if step is not None:
            return self._plain_step(step, self._page(request.method, path, talk.body))
        return self._page(request.method, path, talk.body)

    def _page(self, method: str, target: str, body: Json) -> Response:
        path = target.partition("?")[0]
        pages = {
            "/models": lambda: _catalogue.models(self._settings.model),
            "/providers": _catalogue.providers,
            "/key": _catalogue.key,
            "/credits": _catalogue.credit,
        }
        wanted = "POST" if path in {CHAT_PATH, _EMBEDDINGS_PATH} else "GET"
        if path == _EMBEDDINGS_PATH and method == wanted:
            return json_response(_catalogue.embeddings(body))
        if slug := _ENDPOINTS_PATH.fullmatch(path):
            return json_response(_catalogue.endpoints(unquote(slug[1])))
        if slug := _MODEL_PATH.fullmatch(path):
            return json_response(_catalogue.model(unquote(slug[1])))
        if path not in {*pages, CHAT_PATH, _EMBEDDINGS_PATH}:
            return error(404, f"Not found: {path}")
        if path not in pages or method not in {"GET", "HEAD"}:
            return error(405, "Method Not Allowed")
        return json_response(pages[path]())

    def _plain_step(self, step: Step, page: Response) -> Response:
        if isinstance(step, Failure):
            return failed(step)
        if isinstance(step, Reply):
            return json_response(step.content if step.json is UNSET else step.json)
        return self._faulty(step, page)

    def _chat(self, request: Request, body: object) -> Response:
        if not is_object(body):
            return error(400, "The request body is no JSON object")
        talk = Conversation(body)
        problem = problem_of(talk.body)
        if problem is not None:
            return error(400, problem)
        if not self._script.is_active:
            return self._automatic(talk)
        step = self._script.take(request.path, talk)
        if step is None:
            return self._unexpected(talk)
        if isinstance(step, Reply):
            return self._spoken(scripted_answer(step, talk), talk)
        if isinstance(step, Failure):
            return self._failed(step, talk)
        return self._faulty(step, self._automatic(talk))

    def _automatic(self, talk: Conversation) -> Response:
        return self._spoken(answer_to(talk, self._overrides), talk)

    def _spoken(self, answer: Answer, talk: Conversation) -> Response:
        delay = self._settings.chunk_delay
        return spoken(answer, self._origin(talk), stream=talk.wants_stream, chunk_delay=delay)

    def _failed(self, step: Failure, talk: Conversation) -> Response:
        if step.after_content is None:
            return failed(step)
        return failed_after(
            step,
            step.after_content,
            self._origin(talk),
            stream=talk.wants_stream,
            chunk_delay=self._settings.chunk_delay,
        )

    def _faulty(self, step: Step, automatic: Response) -> Response:
        return faulty(step, automatic, chunk_delay=self._settings.chunk_delay)

    def _unexpected(self, talk: Conversation) -> Response:
        asked = talk.last_user_text()[:120]
        what = f"schema={talk.schema_name!r}, tools={[tool.name for tool in talk.tools()]}"
        self._script.unexpected.append(f"{what}, last user message: {asked!r}")
        refusal = error_body(500, f"The script has no step for this request ({what})")
        refusal["availability"] = {"code": "unexpected_request", "retryable": False}
        return json_response({"error": refusal, "user_id": "user_fake"}, status=500)

    def _origin(self, talk: Conversation) -> Origin:
        self._generations += 1
        now = int(time.time())
        return Origin(
            generation_id=f"gen-{now}-fake{self._generations:08}",
            model=as_text(talk.body.get("model")) or self._settings.model,
            created=now,
            prompt="".join(talk.texts()),
        )

    # --- the control paths ------------------------------------------------------------------------

    def _control(self, request: Request) -> Response:
        action = (request.method, request.path.removeprefix(CONTROL_PATH))
        if action == ("GET", "/requests"):
            return json_response([_shown(record) for record in self._records])
        if action == ("GET", "/report"):
            report = {"unused": self._script.unused(), "unexpected": self._script.unexpected}
            return json_response(report)
        if action == ("POST", "/script"):
            steps = as_list(as_object(_body_of(request)).get("steps"))
            self._script.extend(from_json(as_object(step)) for step in steps)
        elif action == ("POST", "/overrides"):
            self._overrides = as_object(_body_of(request))
        elif action == ("POST", "/reset"):
            self._script = Script()
            self._records = []
        else:
            return error(404, f"Not found: {request.path}")
        return json_response({})


def _body_of(request: Request) -> object:
    """Return the body as JSON; as text if it is none; None if there is none."""
    text = request.body.decode("utf-8", "replace")
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text


def _shown(record: _Record) -> Json:
    return {
        "method": record.method,
        "path": record.path,
        "headers": dict(record.headers),
        "body": record.body,
        "received_at": record.received_at,
        "aborted": record.aborted,
    }
