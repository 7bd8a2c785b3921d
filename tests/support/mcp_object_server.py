"""A server of this process that is spoken to over streams of messages; no process, no socket.

What it says is up to `mcp_modern_fault_server.Peer`; beyond that it has resources, prompts,
completion, logging and subscriptions, and these tools: `progress` tells of its progress, `twice`
asks a person two questions and a model, `log` logs, `touch` changes the resource `uri`.
"""

import json
from typing import Any

import anyio
from support.mcp_modern_fault_server import SUBSCRIPTION, Message, Peer, text

MORE_TOOLS = ["progress", "twice", "log", "touch", "endless"]


class RichPeer(Peer):
    """A peer with all capabilities, except what `without=` names."""

    def _capabilities(self) -> dict[str, Any]:
        every = {
            "tools": {"listChanged": True},
            "resources": {"subscribe": True, "listChanged": True},
            "prompts": {"listChanged": True},
            "completions": {},
            "logging": {},
        }
        lacking = self.values.get("without", "").split(",")
        return {name: value for name, value in every.items() if name not in lacking}

    def _request(self, ident: Any, method: str, params: dict[str, Any]) -> None:
        if method in ("resources/list", "resources/templates/list", "prompts/list"):
            self._entries(ident, method, params.get("cursor"))
        elif method == "resources/read":
            content = {"uri": params["uri"], "text": f"the text of {params['uri']}"}
            self._answer(ident, {"contents": [content]}, lists=True)
        elif method == "prompts/get":
            self._prompt(ident, params)
        elif method == "completion/complete":
            values = [f"{params['argument']['value']}!", json.dumps(params.get("context"))]
            self._answer(ident, {"completion": {"values": values}})
        elif method in ("logging/setLevel", "resources/subscribe", "resources/unsubscribe"):
            self._answer(ident, {})
        else:
            super()._request(ident, method, params)

    def _entries(self, ident: Any, method: str, cursor: str | None) -> None:
        kind = method.split("/")[-2]
        key = {"templates": "resourceTemplates"}.get(kind, kind)
        page = int(cursor or 0)
        place = "uriTemplate" if kind == "templates" else "uri"
        entry: dict[str, Any] = {"name": f"{kind}{page}"}
        if kind != "prompts":
            entry[place] = f"test://{page}"
        result: dict[str, Any] = {key: [entry, {"broken": True}]}
        if page < 2 or "endless" in self.words:
            result["nextCursor"] = str(page + 1)
        self._answer(ident, result, lists=True)

    def _prompt(self, ident: Any, params: dict[str, Any]) -> None:
        if params["name"] == "ask" and not self.is_legacy and "inputResponses" not in params:
            self._ask(ident, "ask", params)
            return
        said = json.dumps(params.get("inputResponses") or params.get("arguments"))
        message = {"role": "user", "content": {"type": "text", "text": said}}
        self._answer(ident, {"messages": [message]})

    def _call(self, ident: Any, params: dict[str, Any]) -> None:
        name, arguments = params["name"], params.get("arguments") or {}
        if name == "progress":
            token = (params.get("_meta") or {}).get("progressToken")
            for done in (1, 2):
                told = {"progressToken": token, "progress": done, "total": 2, "message": "so far"}
                self._notify("notifications/progress", told, ident)
            self._answer(ident, text("done"))
        elif name == "log":
            told = {"level": "warning", "logger": "here", "data": {"n": 1}}
            self._notify("notifications/message", told, ident)
            self._answer(ident, text("logged"))
        elif name == "touch":
            self._notify("notifications/resources/updated", {"uri": arguments["uri"]}, None)
            self._answer(ident, text("touched"))
        elif name == "twice" and not self.is_legacy:
            self._twice(ident, params)
        elif name == "endless":
            self._ask(ident, "ask", {})
        else:
            super()._call(ident, params)

    def _twice(self, ident: Any, params: dict[str, Any]) -> None:
        given = params.get("inputResponses")
        if given is not None:
            self._answer(ident, text({"state": params.get("requestState"), "given": given}))
            return
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        requests: dict[str, Any] = {
            key: {
                "method": "elicitation/create",
                "params": {"mode": "form", "message": f"{key}?", "requestedSchema": schema},
            }
            for key in ("first", "second")
        }
        said = {"role": "user", "content": {"type": "text", "text": "hi"}}
        sample = {"messages": [said], "maxTokens": 8}
        requests["model"] = {"method": "sampling/createMessage", "params": sample}
        result = {
            "resultType": "input_required",
            "inputRequests": requests,
            "requestState": "of-the-server",
        }
        self._send({"jsonrpc": "2.0", "id": ident, "result": result}, ident)

    def _notify(self, method: str, params: dict[str, Any], related: Any) -> None:
        if not self.is_legacy and method.startswith("notifications/resources"):
            for listener in self._listening:
                told = {**params, "_meta": {SUBSCRIPTION: listener}}
                self._send({"jsonrpc": "2.0", "method": method, "params": told}, listener)
            return
        self._send({"jsonrpc": "2.0", "method": method, "params": params}, related)


class ObjectServer:
    """What a connection takes for a server of this process.

    Attributes:
        peers: One for each connection there has been.
    """

    def __init__(self, *words: str) -> None:
        self.words = list(words)
        self.peers: list[RichPeer] = []
        self._ends: list[anyio.Event] = []

    def create_initialization_options(self) -> None:
        """Nothing to choose."""

    def methods(self) -> list[str]:
        """The methods of all messages, of all connections."""
        return [str(message.get("method", "")) for peer in self.peers for message in peer.seen]

    def leave(self) -> None:
        """End the connection as a process that dies would."""
        self._ends[-1].set()

    async def run(self, reads: Any, writes: Any, options: object) -> None:
        """Serve one connection."""
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        del options
        end = anyio.Event()
        self._ends.append(end)
        outbox, sending = anyio.create_memory_object_stream[Message](1000)
        peer = RichPeer(self.words, lambda message, _: outbox.send_nowait(message), end.set)
        peer._tools += [{"name": name, "inputSchema": {"type": "object"}} for name in MORE_TOOLS]
        self.peers.append(peer)

        async def send() -> None:
            async for message in sending:
                await writes.send(SessionMessage(jsonrpc_message_adapter.validate_python(message)))

        async def receive() -> None:
            async for item in reads:
                peer.receive(_json(item))
            end.set()

        with outbox, sending:
            async with anyio.create_task_group() as group:
                group.start_soon(send)
                group.start_soon(receive)
                await end.wait()
                await writes.aclose()
                group.cancel_scope.cancel()


def _json(item: Any) -> Message:
    return item.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
