"""A server of either era that misbehaves on demand; speaks by hand, so it starts at once.

Over stdio it is a program of its own: `mcp_modern_fault_server.py WORD ...`. Over HTTP its `Peer`
lives in the test's process; see `mcp_http_fault_server.Site`.

It speaks 2026-07-28. Words change that:

    legacy          speaks 2025-11-25 instead, and knows no `server/discover`
    old             ends at anything before `initialize`
    silent          answers nothing, ever
    garbage         writes lines that are no messages before each of its messages (stdio)
    babble          writes such lines and ends with status 1 (stdio)
    lingers         stays when its input ends; SIGTERM ends it (stdio)
    deaf            stays at SIGTERM too (stdio)
    starts=FILE     adds a line to the file when it starts (stdio)
    unless=FILE     ends with status 1 when it starts and the file is there (stdio)
    tools=JSON      lists these tools before its own
    only            lists and knows no tools of its own, except `seen`
    page=N          lists N tools a page
    cursor=again    every page has the same next cursor; cursor=new: every page has a new one
    list=JSON       answers `tools/list` with this
    many=N          lists so many tools more
    vast            lists a tool whose description has five million characters
    result=JSON     `good` answers with this result
    no-type         results lack `resultType`; no-discover-type: that of `server/discover` only
    version=V       says that it speaks this version, whatever was asked for
    quiet           has no listChanged capability

Its own tools: `good` answers its arguments, `say` its argument `result`, `seen` all messages that it got, `pid` the number of its
process, `hold` nothing (until `release`), `together` nothing until `n` of them wait, `large` so many
`bytes`, `refuse` an error of the protocol, `vanish` nothing: the server ends. `ask`, `visit`,
`sample` and `roots` answer what the client says to such a request. `change` sets its list to
`tools`, which it then announces.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
OWN_TOOLS = [
    "good",
    "say",
    "seen",
    "pid",
    "hold",
    "release",
    "together",
    "large",
    "refuse",
    "vanish",
    "ask",
    "visit",
    "sample",
    "roots",
    "change",
]
GARBAGE = b'hello\n{"jsonrpc": 1}\n[]\n\n"text"\n\xff\xfe{\nnull\n'
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"

Message = dict[str, Any]


def tool(name: str, **more: Any) -> dict[str, Any]:
    """The definition of a tool."""
    return {"name": name, "description": f"Tool {name}.", "inputSchema": {"type": "object"}, **more}


def text(value: object) -> dict[str, Any]:
    """The result of a tool: a text."""
    words = value if isinstance(value, str) else json.dumps(value)
    return {"content": [{"type": "text", "text": words}]}


class Peer:
    """What a server says to what it is told.

    Attributes:
        seen: All messages that it got.
    """

    def __init__(
        self,
        words: Iterable[str],
        send: Callable[[Message, Any], None],
        leave: Callable[[], None],
    ) -> None:
        """Begin a conversation.

        Args:
            words: How it misbehaves.
            send: Takes a message and the id of the request that it belongs to, or None.
            leave: Ends the server.
        """
        plain = list(words)
        self.words = {word for word in plain if "=" not in word}
        self.values = dict(word.split("=", 1) for word in plain if "=" in word)
        self.is_legacy = bool({"legacy", "old"} & self.words)
        self.seen: list[Message] = []
        self._send = send
        self._leave = leave
        self._held: dict[Any, str] = {}
        self._asked: dict[str, Any] = {}
        self._listening: dict[Any, dict[str, Any]] = {}
        self._is_initialized = False
        self._tools: list[Any] = json.loads(self.values.get("tools", "[]"))
        self._tools += [tool(name) for name in (["seen"] if "only" in self.words else OWN_TOOLS)]
        self._tools += [tool(f"tool{n}") for n in range(int(self.values.get("many", "0")))]
        if "vast" in self.words:
            self._tools.append(tool("vast", description="x" * 5_000_000))

    def receive(self, message: Message) -> None:
        """Take a message and send what follows from it."""
        self.seen.append(message)
        method, ident = message.get("method"), message.get("id")
        self._is_initialized = self._is_initialized or method == "initialize"
        if "old" in self.words and not self._is_initialized:
            self._leave()
            return
        if "silent" in self.words:
            return
        if method is None:
            call = self._asked.pop(str(ident), None)
            if call is not None:
                kept = {key: message[key] for key in ("result", "error") if key in message}
                self._answer(call, text(kept))
        elif method == "notifications/cancelled":
            self._held.pop((message.get("params") or {}).get("requestId"), None)
        elif ident is not None:
            self._request(ident, str(method), message.get("params") or {})

    def abandon(self, ident: Any) -> None:
        """Note that nobody waits for the answer to a request any more."""
        self.seen.append({"method": "(abandoned)", "id": ident})
        self._held.pop(ident, None)
        self._listening.pop(ident, None)

    def _answer(self, ident: Any, result: dict[str, Any], *, lists: bool = False) -> None:
        if not self.is_legacy and "no-type" not in self.words:
            hold = {"ttlMs": 0, "cacheScope": "private"} if lists else {}
            result = {"resultType": "complete", **hold, **result}
        self._send({"jsonrpc": "2.0", "id": ident, "result": result}, ident)

    def _fail(self, ident: Any, code: int, why: str) -> None:
        error = {"code": code, "message": why}
        self._send({"jsonrpc": "2.0", "id": ident, "error": error}, ident)

    def _request(self, ident: Any, method: str, params: dict[str, Any]) -> None:
        if method == "initialize" and (self.is_legacy or "version" in self.values):
            self._initialize(ident)
        elif method == "server/discover" and not self.is_legacy:
            self._discover(ident)
        elif method == "ping":
            self._answer(ident, {})
        elif method == "tools/list":
            self._list(ident, params.get("cursor"))
        elif method == "tools/call":
            self._call(ident, params)
        elif method == "subscriptions/listen" and not self.is_legacy:
            self._listen(ident, params)
        else:
            self._fail(ident, -32601, "Method not found")

    def _capabilities(self) -> dict[str, Any]:
        return {"tools": {} if "quiet" in self.words else {"listChanged": True}}

    def _initialize(self, ident: Any) -> None:
        result = {
            "protocolVersion": self.values.get("version", LEGACY),
            "capabilities": self._capabilities(),
            "serverInfo": {"name": "fault", "version": "1"},
        }
        self._send({"jsonrpc": "2.0", "id": ident, "result": result}, ident)

    def _discover(self, ident: Any) -> None:
        result: dict[str, Any] = {
            "resultType": "complete",
            "supportedVersions": [self.values.get("version", MODERN)],
            "capabilities": self._capabilities(),
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fault", "version": "1"}},
        }
        if {"no-type", "no-discover-type"} & self.words:
            del result["resultType"]
        self._send({"jsonrpc": "2.0", "id": ident, "result": result}, ident)

    def _list(self, ident: Any, cursor: str | None) -> None:
        if "list" in self.values:
            self._answer(ident, json.loads(self.values["list"]), lists=True)
            return
        endless = self.values.get("cursor")
        page = int(cursor or 0) if endless != "again" else 0
        size = int(self.values.get("page", len(self._tools)))
        result: dict[str, Any] = {"tools": self._tools[page * size : (page + 1) * size]}
        if endless == "again":
            result["nextCursor"] = "again"
        elif endless == "new" or (page + 1) * size < len(self._tools):
            result["nextCursor"] = str(page + 1)
        self._answer(ident, result, lists=True)

    def _call(self, ident: Any, params: dict[str, Any]) -> None:
        name, arguments = str(params.get("name")), params.get("arguments") or {}
        if name in ("hold", "together"):
            self._hold(ident, name, arguments)
        elif name == "release":
            self._release("hold")
            self._answer(ident, text("released"))
        elif name == "vanish":
            self._leave()
        elif name == "refuse":
            self._fail(ident, -32602, "not today")
        elif name in ("ask", "visit", "sample", "roots"):
            self._ask(ident, name, params)
        elif name == "change":
            self._change(arguments["tools"])
            self._answer(ident, text("changed"))
        else:
            self._answer(ident, self._simple(name, arguments))

    def _simple(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if name == "seen":
            return text(self.seen)
        if name == "pid":
            return text(os.getpid())
        if name == "large":
            return text("x" * arguments["bytes"])
        if name == "say":
            return arguments["result"]
        if name == "good" and "result" in self.values:
            return json.loads(self.values["result"])
        return text({"tool": name, **arguments})

    def _hold(self, ident: Any, name: str, arguments: dict[str, Any]) -> None:
        self._held[ident] = name
        waiting = [held for held, kind in self._held.items() if kind == name]
        if name == "together" and len(waiting) >= arguments["n"]:
            self._release(name)

    def _release(self, name: str) -> None:
        for held, kind in list(self._held.items()):
            if kind == name:
                del self._held[held]
                self._answer(held, text("done"))

    def _ask(self, ident: Any, name: str, params: dict[str, Any]) -> None:
        request = _question(name)
        if self.is_legacy:
            own = f"ask-{len(self.seen)}"
            self._asked[own] = ident
            self._send({"jsonrpc": "2.0", "id": own, **request}, ident)
        elif "inputResponses" in params:
            self._answer(ident, text({"result": params["inputResponses"].get("it")}))
        else:
            result = {
                "resultType": "input_required",
                "inputRequests": {"it": request},
                "requestState": "half-way",
            }
            self._send({"jsonrpc": "2.0", "id": ident, "result": result}, ident)

    def _change(self, tools: list[Any]) -> None:
        own = [one for one in self._tools if one["name"] in OWN_TOOLS]
        self._tools = [*tools, *own]
        method = "notifications/tools/list_changed"
        if self.is_legacy:
            self._send({"jsonrpc": "2.0", "method": method}, None)
        for ident in self._listening:
            params = {"_meta": {SUBSCRIPTION: ident}}
            self._send({"jsonrpc": "2.0", "method": method, "params": params}, ident)

    def _listen(self, ident: Any, params: dict[str, Any]) -> None:
        self._listening[ident] = params["notifications"]
        said = {"notifications": params["notifications"], "_meta": {SUBSCRIPTION: ident}}
        method = "notifications/subscriptions/acknowledged"
        self._send({"jsonrpc": "2.0", "method": method, "params": said}, ident)


def _question(name: str) -> dict[str, Any]:
    if name == "ask":
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        params: dict[str, Any] = {"mode": "form", "message": "Who?", "requestedSchema": schema}
        return {"method": "elicitation/create", "params": params}
    if name == "visit":
        place = {"url": "https://example.com/sign-in", "elicitationId": "e1"}
        params = {"mode": "url", "message": "Sign in.", **place}
        return {"method": "elicitation/create", "params": params}
    if name == "sample":
        said = {"role": "user", "content": {"type": "text", "text": "Say hi."}}
        return {"method": "sampling/createMessage", "params": {"messages": [said], "maxTokens": 8}}
    return {"method": "roots/list", "params": {}}


def main() -> None:
    """Serve over standard input and output."""
    words = sys.argv[1:]
    out = sys.stdout.buffer

    def send(message: Message, related: Any) -> None:
        del related
        if "garbage" in words:
            out.write(GARBAGE)
        out.write(json.dumps(message).encode() + b"\n")
        out.flush()

    peer = Peer(words, send, lambda: os._exit(3))
    if "starts" in peer.values:
        with Path(peer.values["starts"]).open("a") as starts:
            starts.write("started\n")
    if "unless" in peer.values and Path(peer.values["unless"]).exists():
        sys.exit(1)
    if "babble" in words:
        out.write(GARBAGE)
        out.flush()
        sys.exit(1)
    if "deaf" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        with contextlib.suppress(BrokenPipeError):
            peer.receive(json.loads(line))
    while {"deaf", "lingers"} & peer.words:
        time.sleep(60)


if __name__ == "__main__":
    main()
