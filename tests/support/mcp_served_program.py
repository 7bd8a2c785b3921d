"""A server that offers everything: `stdio` [KEY], or `http PORT` for several of them in one app.

Over HTTP: `/mcp` is open; `/sealed/mcp` and `/twin/mcp` share their state keys; `/api/mcp` asks for
tokens, mounted under a path as in somebody's application.
"""

import asyncio
import contextvars
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import anyio
from pydantic import BaseModel

from mbxai.errors import MCPError, ToolError
from mbxai.mcp.server import (
    AccessToken,
    BearerAuth,
    EmbeddedResource,
    MCPContext,
    MCPServer,
    ResourceLink,
)
from mbxai.tools import Progress
from mbxai.wire import ToolQuestion, ToolResult

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 16
KEYS = ["k" * 32]
TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


class Weather(BaseModel):
    city: str
    celsius: float = 21.5


class Pair(TypedDict):
    left: int
    right: int


@dataclass
class Point:
    x: int
    y: int


class Confirmation(BaseModel):
    sure: bool
    colour: Literal["red", "blue"] = "red"


def make(name: str, **options: Any) -> MCPServer:
    """A server with everything."""
    server = MCPServer(name, "Everything.", version="1.2.3", **options)
    add_plain_tools(server, ["notes:write"] if "auth" in options else [])
    add_asking_tools(server)
    add_the_rest(server)
    return server


def add_plain_tools(server: MCPServer, scopes: list[str]) -> None:  # noqa: C901  # a list of tools
    running = asyncio.Event()
    ended: list[str] = []

    @server.tool(effect="read", title="The weather")
    def weather(city: str) -> Weather:
        """Return the weather."""
        return Weather(city=city)

    @server.tool
    def pair() -> Pair:
        return {"left": 1, "right": 2}

    @server.tool
    def point() -> Point:
        return Point(1, 2)

    @server.tool
    def numbers(count: int) -> list[int]:
        return list(range(count))

    @server.tool
    def liar() -> Weather:
        return {"city": ["not", "a", "city"]}  # type: ignore[return-value]

    @server.tool(max_result_bytes=50)
    def too_much() -> dict[str, str]:
        return {"text": "x" * 1000}

    @server.tool
    def mixed() -> list[Any]:
        return [
            "look:",
            PNG,
            EmbeddedResource(uri="notes://1", text="a note"),
            ResourceLink(uri="notes://2", name="second"),
        ]

    @server.tool
    def counting() -> Iterator[Progress | str]:
        for step in range(3):
            yield Progress(f"step {step}", step / 2)
        yield "counted"

    @server.tool
    def adding() -> Iterator[Progress | str]:
        for fraction in (0.1 + 0.2, 0.1 + 0.2, None, 2 / 3):
            yield Progress("more", fraction)
        yield "added"

    @server.tool
    async def endless() -> None:
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    @server.tool
    async def wait_until_running() -> str:
        await running.wait()
        running.clear()
        return "running"

    @server.tool
    async def how_it_ended() -> list[str]:
        while not ended:
            await anyio.sleep(0.01)
        return [ended.pop()]

    @server.tool
    def thread_and_tenant() -> dict[str, Any]:
        return {
            "is_main": threading.current_thread() is threading.main_thread(),
            "tenant": TENANT.get(),
        }

    @server.tool
    async def chatty(context: MCPContext) -> str:
        for level in ("debug", "info", "error"):
            await context.log(level, {"said": level}, logger="chat")
        return "said"

    @server.tool(scopes=scopes)
    def write_note(context: MCPContext) -> str:
        return f"{context.token.subject} wrote" if context.token else "somebody wrote"

    @server.tool
    def refuse() -> str:
        raise ToolError("Not on Sundays.")


def add_asking_tools(server: MCPServer) -> None:  # noqa: C901  # a list of tools
    runs: list[int] = []

    erased: list[str] = []

    @server.tool(requires_approval=lambda arguments: arguments["path"] != "/tmp")
    def erase(path: str) -> str:
        erased.append(path)
        return f"erased {path}, {len(erased)} in all"

    @server.tool
    async def ask(context: MCPContext) -> str:
        runs.append(1)
        answer = await context.elicit("Sure?", Confirmation, state=f"{context.state}+")
        return f"{answer.action} {dict(answer.content)} state={context.state!r}"

    @server.tool
    def ask_from_a_thread(context: MCPContext) -> str:
        answer = anyio.from_thread.run(context.elicit, "Sure?", Confirmation)
        return f"{answer.action} in a thread"

    @server.tool
    def ask_and_wait(context: MCPContext) -> str:
        first = context.wait_for(context.elicit("Sure?", Confirmation))
        second = context.wait_for(context.elicit("Really?", Confirmation))
        return f"{first.action} {second.content['colour']} by waiting"

    @server.tool
    async def ask_twice(context: MCPContext) -> str:
        first = await context.elicit("First?", Confirmation)
        second = await context.elicit("Second?", Confirmation)
        return f"{first.content.get('colour')} {second.content.get('colour')}"

    @server.tool
    async def ask_together(context: MCPContext) -> str:
        async with asyncio.TaskGroup() as group:
            form = group.create_task(context.elicit("Sure?", Confirmation))
            answer = group.create_task(context.sample("Hello?", max_tokens=10, system="Be brief."))
            roots = group.create_task(context.list_roots())
        return f"{form.result().action} {answer.result().text} {roots.result()[0].uri}"

    @server.tool
    async def visit(context: MCPContext) -> str:
        answer = await context.elicit_url("Please pay.", "https://pay.example/1")
        return answer.action

    @server.tool
    async def abilities(context: MCPContext) -> dict[str, Any]:
        names: tuple[Any, ...] = ("elicit", "elicit_url", "sample", "list_roots")
        can = [name for name in names if context.can(name)]
        return {"can": can, "client": context.client_name, "version": context.protocol_version}

    @server.tool
    async def sample_anyway(context: MCPContext) -> str:
        return (await context.sample("Hello?", max_tokens=10)).text

    @server.tool
    async def sample_if_possible(context: MCPContext) -> str:
        try:
            return (await context.sample("Hello?", max_tokens=10)).text
        except MCPError:
            return "did without"

    @server.tool
    def put_off(context: MCPContext) -> ToolResult:
        """A tool of the kind that other servers' tools are: its result is a question."""
        if context.answer is None:
            question = ToolQuestion(
                message="Which?",
                schema={"type": "object", "properties": {"n": {"type": "integer"}}},
                state="half-way",
            )
            return ToolResult(call_id="", name="", content="waits", question=question)
        given = f"{context.answer.content.get('n')} {context.answer.state}"
        return ToolResult(call_id="", name="", content=given)


def add_the_rest(server: MCPServer) -> None:  # noqa: C901  # a list of things
    notes = {"1": "first"}

    @server.resource("notes://{note}", title="A note")
    def note(note: str) -> str:
        """A note."""
        if note not in notes:
            raise ToolError(f"There is no note {note}.")
        return notes[note]

    @server.resource("notes://all")
    def all_notes() -> dict[str, str]:
        """All notes."""
        return notes

    @server.resource("picture://one", mime_type="image/png")
    def picture() -> bytes:
        return PNG

    @server.resource("file:///{+path}")
    def file(path: str) -> str:
        return f"file {path}"

    @server.resource("broken://one")
    def broken() -> str:
        raise RuntimeError("secret internals")

    @server.tool
    async def change_note(note: str, text: str) -> str:
        notes[note] = text
        await server.resource_updated(f"notes://{note}")
        return "changed"

    @server.tool
    async def offer_more() -> str:
        server.register(lambda: "here", name="late", schema={"type": "object"})
        server.add_resource("late://one", lambda: "here", name="late")
        return "offered"

    @server.prompt(title="A greeting")
    def greet(name: str, times: int = 1) -> str:
        """Greet somebody.

        Args:
            name: Who is greeted.
            times: How often.
        """
        return " ".join([f"Hello {name}."] * times)

    @server.prompt
    def talk() -> list[Any]:
        return [
            {"role": "user", "content": ["look at", PNG]},
            {"role": "assistant", "content": "I see."},
            EmbeddedResource(uri="notes://1", text="a note"),
        ]

    @server.prompt
    async def asking(context: MCPContext) -> str:
        answer = await context.elicit("Sure?", Confirmation)
        return f"Use {answer.content.get('colour')}."

    @server.completion("greet", "name")
    def names(value: str) -> list[str]:
        return [name for name in ("ada", "alan", "grace") if name.startswith(value)]

    @server.completion("notes://{note}", "note")
    def note_names(value: str, others: dict[str, str]) -> list[str]:
        return [f"{value}{index}{others.get('kind', '')}" for index in range(120)]


def verify(token: str) -> AccessToken | dict[str, Any] | None:
    """Tokens say what they are: `user scope,scope [audience]`, `claims`, or `crash`."""
    if token == "crash":
        raise RuntimeError(token)
    if token == "claims":
        return {"sub": "ada", "scope": "notes:read notes:write", "client_id": "app", "exp": 1}
    user, _, rest = token.partition(":")
    if user not in ("ada", "bob"):
        return None
    scopes, _, audience = rest.partition("@")
    return AccessToken(
        client_id="app",
        subject=user,
        scopes=scopes.split("+"),
        audience=[audience] if audience else [],
    )


def http_app() -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Mount

    plain = make("plain", resumable=True, max_body_bytes=100_000)
    sealed, twin = make("twins", state_keys=KEYS), make("twins", state_keys=[*KEYS])
    auth = BearerAuth(
        verify=verify,
        issuer="https://login.example",
        resource="http://localhost/api/mcp",
        scopes=["notes:read"],
    )
    guarded = make("guarded", auth=auth)
    servers = (plain, sealed, twin, guarded)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server.lifespan())
            yield

    class Tenants:
        """Middleware of an application: notes who asks."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            headers = dict(scope.get("headers", ()))
            TENANT.set(headers.get(b"x-tenant", b"nobody").decode())
            await self.app(scope, receive, send)

    return Starlette(
        routes=[
            guarded.metadata_route(path="/api/mcp"),
            Mount("/api", guarded.asgi_app()),
            Mount("/sealed", sealed.asgi_app()),
            Mount("/twin", twin.asgi_app()),
            Mount("/rest", plain.app),
            Mount("/", plain.asgi_app()),
        ],
        middleware=[Middleware(Tenants)],
        lifespan=lifespan,
    )


def main() -> None:
    flavour, *rest = sys.argv[1:]
    if flavour == "stdio":
        make("stdio").run_stdio_sync()
    elif flavour == "async-stdio":
        asyncio.run(make("stdio").run_stdio())
    elif flavour == "run":
        make("run").run_http_sync(port=int(rest[0]))
    else:
        import uvicorn

        uvicorn.run(http_app(), host="127.0.0.1", port=int(rest[0]), log_level="error")


if __name__ == "__main__":
    main()
