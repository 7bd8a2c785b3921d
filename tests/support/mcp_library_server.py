"""A stdio server with resources and prompts; speaks 2025-11-25 by hand, so it starts at once.

It has `library:words`, `library:picture`, `library:folder` (two contents), `library:broken` (no
base64) and `library:seen`, which is all requests that it has got, as JSON. A resource that is
subscribed is said to have changed at once. With the word `bare` it has no capability but tools.
"""

import base64
import json
import sys
from typing import Any

PICTURE_BYTES = b"\x89PNG\r\n\x1a\n and so on"
PICTURE = base64.b64encode(PICTURE_BYTES).decode()
SOUND = base64.b64encode(b"RIFF\x00\x00\x00\x00WAVEfmt ").decode()
WORDS = {"uri": "library:words", "text": "some words", "mimeType": "text/plain"}
CONTENTS: dict[str, list[dict[str, Any]]] = {
    "library:words": [WORDS],
    "library:picture": [{"uri": "library:picture", "blob": PICTURE, "mimeType": "image/png"}],
    "library:folder": [WORDS, {"uri": "library:empty", "text": ""}],
    "library:long": [{"uri": "library:long", "text": "x" * 50_000}],
    "library:broken": [{"uri": "library:broken", "blob": "no base64!"}],
}
PAGES = [
    [{"uri": "library:words", "name": "words", "title": "Words", "mimeType": "text/plain"}],
    [{"uri": "library:picture", "name": "picture", "size": 18}],
]
CAPABILITIES: dict[str, Any] = {
    "tools": {},
    "resources": {"subscribe": True},
    "prompts": {},
    "completions": {},
    "logging": {},
}
GREETING = {
    "name": "greet",
    "description": "Say hello.",
    "arguments": [{"name": "whom", "required": True}, {"name": "times"}],
}
LOOK = [
    {"role": "user", "content": {"type": "text", "text": "Look at this:"}},
    {"role": "user", "content": {"type": "image", "data": PICTURE, "mimeType": "image/png"}},
    {"role": "assistant", "content": {"type": "resource", "resource": WORDS}},
]


class RefusedError(Exception):
    """The request is answered with an error."""


class Library:
    """What answers requests."""

    def __init__(self, capabilities: dict[str, Any]) -> None:
        self.capabilities = capabilities
        self.seen: list[dict[str, Any]] = []

    def result(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        answers: dict[str, Any] = {
            "initialize": self.initialize,
            "ping": dict,
            "tools/list": self.tools,
            "resources/list": self.resources,
            "resources/templates/list": self.templates,
            "resources/read": self.read,
            "resources/subscribe": self.subscribe,
            "resources/unsubscribe": dict,
            "prompts/list": self.prompts,
            "prompts/get": self.prompt,
            "completion/complete": self.complete,
            "logging/setLevel": dict,
        }
        if method not in answers:
            raise RefusedError("Method not found")
        self.seen.append({"method": method, **params})
        return dict(answers[method](**{k: v for k, v in params.items() if k != "_meta"}))

    def initialize(self, **_params: Any) -> dict[str, Any]:
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": self.capabilities,
            "serverInfo": {"name": "library", "title": "The library", "version": "7"},
            "instructions": "Be quiet.",
        }

    def tools(self) -> dict[str, Any]:
        schema = {"type": "object"}
        return {"tools": [{"name": "lend", "description": "Lend.", "inputSchema": schema}]}

    def resources(self, cursor: str = "0") -> dict[str, Any]:
        page = int(cursor)
        following = {"nextCursor": str(page + 1)} if page + 1 < len(PAGES) else {}
        return {"resources": PAGES[page], **following}

    def templates(self) -> dict[str, Any]:
        return {"resourceTemplates": [{"uriTemplate": "library:{shelf}", "name": "shelf"}]}

    def read(self, uri: str) -> dict[str, Any]:
        if uri == "library:seen":
            return {"contents": [{"uri": uri, "text": json.dumps(self.seen)}]}
        if uri not in CONTENTS:
            raise RefusedError("No such book")
        return {"contents": CONTENTS[uri]}

    def subscribe(self, uri: str) -> dict[str, Any]:
        send({"method": "notifications/resources/updated", "params": {"uri": uri}})
        return {}

    def prompts(self) -> dict[str, Any]:
        return {"prompts": [GREETING, {"name": "look"}]}

    def prompt(self, name: str, arguments: dict[str, str] | None = None) -> dict[str, Any]:
        if name == "look":
            return {"messages": LOOK}
        given = arguments or {}
        if name != "greet" or "whom" not in given:
            raise RefusedError("whom is missing")
        text = f"Hello {given['whom']}! " * int(given.get("times", "1"))
        return {"messages": [{"role": "user", "content": {"type": "text", "text": text.strip()}}]}

    def complete(
        self, ref: dict[str, Any], argument: dict[str, str], context: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        known = " ".join((context or {}).get("arguments", {}).values())
        kind = ref.get("name") or ref.get("uri")
        return {
            "completion": {"values": [f"{kind} {argument['name']} {argument['value']} {known}"]}
        }


def send(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def main() -> None:
    library = Library({"tools": {}} if "bare" in sys.argv else CAPABILITIES)
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request or "method" not in request:
            continue
        try:
            answer = {"result": library.result(request["method"], request.get("params") or {})}
        except RefusedError as error:
            answer = {"error": {"code": -32602, "message": str(error)}}
        send({"id": request["id"], **answer})


if __name__ == "__main__":
    main()
