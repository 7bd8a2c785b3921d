"""A stdio server whose offer changes while it runs; speaks 2025-11-25 by hand, so it starts at once.

Its world is a JSON object on the command line: `tools` (definitions), `instructions`, `resources`,
`templates`, `prompts`, `name` (its own), `down` (a file; as long as it is there, the server ends at
once). It always has these tools, which are listed unless `only` is true:

    change   takes `tools` for its own from now on and announces that `times` times (once)
    lists    answers how often its tools were asked for
    tardy    answers the next request for its tools only when `release` is called
    steps    reports three steps, then answers
    fail     fails the first `times` calls of this tool: `how` is "say" (a result that says so),
             "refuse" (an error of the protocol) or "vanish" (the server ends); each call adds a
             line to the file `log`, which is also how calls are counted
    hold     adds a line to the file `log`, and answers nothing until `release` is called
    release  answers all that is held
    echo     answers its arguments
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

OWN = ["change", "lists", "tardy", "steps", "fail", "hold", "release", "echo"]

Json = dict[str, Any]


def tool(name: str, **more: Any) -> Json:
    return {"name": name, "description": f"Tool {name}.", "inputSchema": {"type": "object"}, **more}


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def text(value: object) -> Json:
    words = value if isinstance(value, str) else json.dumps(value)
    return {"content": [{"type": "text", "text": words}]}


class Server:
    def __init__(self, world: Json) -> None:
        self.world = world
        self.tools: list[Any] = world.get("tools", [])
        self.lists = 0
        self.tardy: Any = None
        self.is_tardy = False
        self.held: list[Any] = []

    def receive(self, message: Json) -> None:
        ident, method = message.get("id"), message.get("method")
        params = message.get("params") or {}
        if method == "notifications/cancelled" and params.get("requestId") in self.held:
            self.held.remove(params["requestId"])
        if ident is None:
            return
        if method == "tools/list":
            self.list(ident)
        elif method == "tools/call":
            self.call(ident, params["name"], params.get("arguments") or {}, params)
        elif (result := self.result(str(method), params)) is not None:
            send(id=ident, result=result)
        else:
            send(id=ident, error={"code": -32601, "message": "Method not found"})

    def result(self, method: str, params: Json) -> Json | None:
        world = self.world
        if method == "initialize":
            capabilities: Json = {"tools": {"listChanged": True}}
            capabilities |= {kind: {} for kind in ("resources", "prompts") if kind in world}
            return {
                "protocolVersion": "2025-11-25",
                "capabilities": capabilities,
                "serverInfo": {"name": world.get("name", "changing"), "version": "1"},
                "instructions": world.get("instructions", ""),
            }
        if method == "resources/list":
            return {"resources": world["resources"]}
        if method == "resources/templates/list":
            return {"resourceTemplates": world.get("templates", [])}
        if method == "resources/read":
            content = {"uri": params["uri"], "text": f"the text of {params['uri']}"}
            return {"contents": [content]}
        if method == "prompts/list":
            return {"prompts": world["prompts"]}
        if method == "prompts/get":
            said = {"type": "text", "text": json.dumps(params.get("arguments"))}
            return {"messages": [{"role": "user", "content": said}]}
        return None

    def list(self, ident: Any) -> None:
        self.lists += 1
        own = [] if self.world.get("only") else [tool(name) for name in OWN]
        answer = {"id": ident, "result": {"tools": [*self.tools, *own]}}
        if self.is_tardy:
            self.is_tardy, self.tardy = False, answer
            return
        send(**answer)

    def call(self, ident: Any, name: str, arguments: Json, params: Json) -> None:
        if "log" in arguments:
            with Path(arguments["log"]).open("a") as log:
                log.write(f"{name}\n")
        if name == "hold":
            self.held.append(ident)
        elif name == "fail":
            self.fail(ident, arguments)
        else:
            send(id=ident, result=self.simple(name, arguments, params))

    def simple(self, name: str, arguments: Json, params: Json) -> Json:
        if name == "change":
            self.tools = arguments["tools"]
            for _ in range(arguments.get("times", 1)):
                send(method="notifications/tools/list_changed")
        elif name == "tardy":
            self.is_tardy = True
        elif name == "steps":
            token = (params.get("_meta") or {}).get("progressToken")
            for step in (1, 2, 3):
                said = {"progressToken": token, "progress": step, "total": 4}
                send(method="notifications/progress", params={**said, "message": f"step {step}"})
        elif name == "release":
            while self.held:
                send(id=self.held.pop(0), result=text("released"))
            if self.tardy is not None:
                send(**self.tardy)
        return text(self.lists if name == "lists" else {"tool": name, **arguments})

    def fail(self, ident: Any, arguments: Json) -> None:
        calls = len(Path(arguments["log"]).read_text().splitlines())
        if calls > arguments["times"]:
            send(id=ident, result=text(f"call {calls}"))
        elif arguments["how"] == "refuse":
            send(id=ident, error={"code": -32602, "message": "not today"})
        elif arguments["how"] == "vanish":
            os._exit(3)
        else:
            send(id=ident, result={**text("the database is away"), "isError": True})


def command(**world: Any) -> list[str]:
    """The command of a server with this world."""
    return [sys.executable, str(Path(__file__).resolve()), json.dumps(world)]


def main() -> None:
    world = json.loads(sys.argv[1])
    if "down" in world and Path(world["down"]).exists():
        print("not yet", file=sys.stderr)
        sys.exit(1)
    server = Server(world)
    for line in sys.stdin:
        server.receive(json.loads(line))


if __name__ == "__main__":
    main()
