"""A program whose agent is given secrets by a person; it shows every place where one could turn up.

    agent_safety_canary.py ORDER

ORDER is JSON: `url` of the model, `way` in which the secrets are given ("credentials" or
"additional_context"), `store` ("sqlite" or "redis"), `redis`, `folder`, and the secrets `token` and
`note`. It prints one JSON object: a text by place, and under `got` which tools got the secrets.
"""

import asyncio
import inspect
import json
import logging
import pickle
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from opentelemetry import trace
from pydantic import BaseModel
from support.agent_safety_mcp import echoes
from support.agent_safety_redis import RedisHandler
from support.agent_safety_spans import Recorder

from mbxai import (
    AgentFailedError,
    AgentResponse,
    AsyncAgentClient,
    AsyncMCPClient,
    AsyncOpenRouterClient,
    DialogOption,
    HumanInLoopRequest,
    HumanInLoopResponse,
    Secret,
    ToolContext,
)
from mbxai.sessions import SQLiteSessionStore
from mbxai.tools import ToolQuestion, ToolResult

SERVER = Path(__file__).with_name("agent_safety_mcp.py")
TOOLS = ["ask", "echo", "fail", "post", "sealed"]
LOGIN = DialogOption(id="login", title="Log in", description="Log in", allowed_tools=TOOLS)
FORM = {"type": "object", "properties": {"note": {"type": "string"}}}


class Report(BaseModel):
    summary: str


class Tools:
    """Tools that repeat what they are given wherever they can."""

    def __init__(self, order: Mapping[str, str]) -> None:
        self.got: dict[str, bool] = {}
        self._order = order

    async def echo(self, auth_token: str) -> str:
        self.got["echo"] = auth_token == self._order["token"]
        return echoes(auth_token)

    def fail(self, auth_token: str) -> str:
        self.got["fail"] = auth_token == self._order["token"]
        try:
            raise ValueError(auth_token)
        except ValueError as error:
            raise RuntimeError(f"401 for {echoes(auth_token)}") from error

    async def sealed(self, token: Annotated[Secret, "login.auth_token"]) -> dict[str, str]:
        self.got["sealed"] = token.reveal() == self._order["token"]
        return {"header": f"Bearer {token.reveal()}"}

    async def ask(self, context: ToolContext) -> ToolResult | str:
        if context.answer is None:
            question = ToolQuestion(message="Any note?", schema=FORM, source="ask", state="1")
            return ToolResult(call_id="", name="ask", content="waits", question=question)
        note = str(context.answer.content.get("note"))
        self.got["ask"] = note == self._order["note"]
        return echoes(note)


class Canary:
    """One run, and all that can be seen of it."""

    def __init__(self, order: Mapping[str, str]) -> None:
        self.order = order
        self.folder = Path(order["folder"])
        self.seen: dict[str, list[str]] = {
            place: [] for place in ("events", "on_event", "responses", "errors", "session_info")
        }
        self.tools = Tools(order)
        self._redis = (
            RedisHandler(order["redis"], prefix="canary:") if order["store"] == "redis" else None
        )

    async def run(self) -> None:
        async with AsyncOpenRouterClient(
            "sk-or-v1-fake", "fake/model", self.order["url"], max_retries=0
        ) as client:
            mcp = AsyncMCPClient(client)
            log = self.folder / "posted"
            await mcp.register_mcp_server("posts", command=[sys.executable, str(SERVER), str(log)])
            for tool in (self.tools.echo, self.tools.fail, self.tools.sealed, self.tools.ask):
                mcp.register_tool(tool.__name__, tool.__name__.title(), tool)
            agent = self._agent(mcp)
            try:
                await self._story(agent)
            finally:
                await self._store_bytes()
                await agent.aclose()
                await mcp.aclose()
                if self._redis is not None:
                    await self._redis.redis.aclose()
        self.tools.got["post"] = log.read_text().strip() == self.order["token"]

    def _agent(self, mcp: AsyncMCPClient) -> AsyncAgentClient:
        store = self._redis or SQLiteSessionStore(self.folder / "sessions.db")
        more: dict[str, Any] = {}
        if "on_event" in inspect.signature(AsyncAgentClient).parameters:
            more["on_event"] = lambda event: self._note("on_event", event)
        return AsyncAgentClient(mcp, True, [LOGIN], session_handler=store, **more)

    async def _story(self, agent: AsyncAgentClient) -> None:
        response = await self._step(agent, prompt="Do it")
        request = response.human_interaction_request
        assert request is not None
        await self._refused(agent, self._login(request, dialog_option_id="other"))
        response = await self._step(agent, self._login(request))
        await self._refused(agent, self._login(request, token=self.order["token"] + "!"))
        request = response.human_interaction_request
        assert request is not None, response
        form = {"note": self.order["note"]}
        await self._refused(agent, self._form(request, {**form, "unknown": form["note"]}))
        await self._step(agent, self._form(request, form))
        await self._step(agent, prompt="Do it once more")
        info = await agent.get_session_info("s")
        self.seen["session_info"] += [json.dumps(info, default=str), repr(info)]
        self._note("responses", await agent.get_response("s", Report))

    def _login(
        self,
        request: HumanInLoopRequest,
        *,
        token: str | None = None,
        dialog_option_id: str = "login",
    ) -> HumanInLoopResponse:
        value = token or self.order["token"]
        given: dict[str, Any] = {"credentials": {"auth_token": value}}
        if self.order["way"] == "additional_context":
            given = {"additional_context": f"auth_token:{value}"}
        return HumanInLoopResponse(
            interaction_id=request.id,
            response_type="dialog_option",
            dialog_option_id=dialog_option_id,
            **given,
        )

    def _form(self, request: HumanInLoopRequest, content: dict[str, str]) -> HumanInLoopResponse:
        return HumanInLoopResponse(
            interaction_id=request.id, response_type=request.interaction_type, content=content
        )

    async def _step(
        self,
        agent: AsyncAgentClient,
        answer: HumanInLoopResponse | None = None,
        *,
        prompt: str = "",
    ) -> AgentResponse:
        """Go on; a run that fails on the way is tried again."""
        try:
            async with agent.stream(prompt, Report, agent_id="s", human_response=answer) as stream:
                async for event in stream:
                    self._note("events", event)
        except AgentFailedError as error:
            self._error(error)
            return await self._step(agent)
        self._note("responses", stream.response)
        return stream.response

    async def _refused(self, agent: AsyncAgentClient, answer: HumanInLoopResponse) -> None:
        try:
            await agent.agent("", Report, agent_id="s", human_response=answer)
        except Exception as error:
            self._error(error)
        else:
            self.seen["errors"].append("")

    def _note(self, place: str, value: BaseModel) -> None:
        self.seen[place] += [repr(value), str(value), value.model_dump_json(), str(vars(value))]

    def _error(self, error: BaseException) -> None:
        """Note all that an error shows, down to the variables of our frames."""
        shown = [repr(error), str(error), repr(error.args), repr(vars(error))]
        shown.append(pickle.dumps(error).decode("latin-1"))
        shown += traceback.format_exception(error)
        cause: BaseException | None = error
        while cause is not None:
            shown += map(repr, _locals_of(cause.__traceback__))
            cause = cause.__cause__ or cause.__context__
        self.seen["errors"] += shown

    async def _store_bytes(self) -> None:
        raw = [path.read_bytes() for path in self.folder.glob("sessions.db*")]
        if self._redis is not None:
            client = self._redis.redis
            keys = [key async for key in client.scan_iter("canary:*")]
            raw = [*keys, *[await client.get(key) for key in keys]]
            await client.delete(*keys)
        self.seen["store"] = [one.decode("latin-1") for one in raw]


def _locals_of(step: TracebackType | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while step is not None:
        if "/src/mbxai/" in step.tb_frame.f_code.co_filename:
            found.append(dict(step.tb_frame.f_locals))
        step = step.tb_next
    return found


class Lines(logging.Handler):
    """Keeps everything that is logged, tracebacks included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [self.format(record), repr(record.args)]


def main() -> None:
    lines, spans = Lines(), Recorder()
    logging.basicConfig(level=logging.DEBUG, handlers=[lines])
    trace.set_tracer_provider(spans)
    canary = Canary(json.loads(sys.argv[1]))
    asyncio.run(canary.run())
    for name in list(logging.root.manager.loggerDict):
        assert logging.getLogger(name).isEnabledFor(logging.DEBUG) or name.startswith("_"), name
    seen = {**canary.seen, "logs": lines.lines, "spans": spans.texts}
    print(json.dumps({"got": canary.tools.got, **{k: "\n".join(v) for k, v in seen.items()}}))


if __name__ == "__main__":
    main()
