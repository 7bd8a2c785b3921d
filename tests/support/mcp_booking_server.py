"""A stdio server whose tool asks a person twice before it acts; speaks by hand, so it starts at once.

    mcp_booking_server.py modern|legacy LOG

The tool `book` asks who travels, then whether that is sure, and only then books: it adds a line to
LOG. In the modern era nothing is kept between requests, so another process of it can go on. Each
start, and what a person is asked and answers, are noted in LOG too.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
    "required": ["name"],
}
SURE = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
QUESTIONS = [("who", "Who travels?", PERSON), ("sure", "Is that sure?", SURE)]
TOOLS = [
    {
        "name": name,
        "description": f"Tool {name}.",
        "inputSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    for name in ("book", "peek")
]


class Server:
    """The server, over these streams."""

    def __init__(self, era: str, log: Path) -> None:
        self.is_modern = era == "modern"
        self.log = log
        self.requests: Iterator[dict[str, Any]] = map(json.loads, sys.stdin)
        self.note(f"started {os.getpid()}")

    def note(self, line: str) -> None:
        with self.log.open("a") as log:
            log.write(line + "\n")

    def send(self, **message: Any) -> None:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

    def serve(self) -> None:
        for request in self.requests:
            if "id" in request and "method" in request:
                self.answer(request["id"], request["method"], request.get("params") or {})

    def answer(self, ident: Any, method: str, params: dict[str, Any]) -> None:
        if method == "server/discover" and self.is_modern:
            self.reply(ident, supportedVersions=["2026-07-28"], capabilities={"tools": {}}, ttlMs=0)
        elif method == "initialize" and not self.is_modern:
            info = {"name": "booking", "version": "1"}
            self.reply(
                ident, protocolVersion="2025-11-25", capabilities={"tools": {}}, serverInfo=info
            )
        elif method == "tools/list":
            self.reply(ident, tools=TOOLS, ttlMs=0)
        elif method == "tools/call" and params["name"] == "peek":
            self.reply(ident, content=[{"type": "text", "text": "sunny"}])
        elif method == "tools/call" and self.is_modern:
            self.book_in_rounds(ident, params)
        elif method == "tools/call":
            self.book_in_one_go(ident, params)
        else:
            self.send(id=ident, error={"code": -32601, "message": "Method not found"})

    def reply(self, ident: Any, **result: Any) -> None:
        if self.is_modern:
            result = {"resultType": "complete", "cacheScope": "private", **result}
        else:
            result.pop("ttlMs", None)
        self.send(id=ident, result=result)

    def book_in_rounds(self, ident: Any, params: dict[str, Any]) -> None:
        answers: list[dict[str, Any]] = json.loads(params.get("requestState") or "[]")
        for response in (params.get("inputResponses") or {}).values():
            self.note(f"told {json.dumps(response)}")
            answers.append(response)
        if len(answers) < len(QUESTIONS) and (not answers or answers[-1]["action"] == "accept"):
            key, message, schema = QUESTIONS[len(answers)]
            request = self.question(message, schema)
            self.send(
                id=ident,
                result={
                    "resultType": "input_required",
                    "inputRequests": {key: request},
                    "requestState": json.dumps(answers),
                },
            )
        else:
            self.book(ident, params, answers)

    def book_in_one_go(self, ident: Any, params: dict[str, Any]) -> None:
        answers: list[dict[str, Any]] = []
        for key, message, schema in QUESTIONS:
            self.send(id=key, **self.question(message, schema))
            for message_in in self.requests:
                if message_in.get("id") == key and "result" in message_in:
                    self.note(f"told {json.dumps(message_in['result'])}")
                    answers.append(message_in["result"])
                    break
                if "method" in message_in and "id" in message_in:  # another call meanwhile
                    self.answer(message_in["id"], message_in["method"], message_in["params"])
            if not answers or answers[-1]["action"] != "accept":
                break
        self.book(ident, params, answers)

    def question(self, message: str, schema: dict[str, Any]) -> dict[str, Any]:
        params = {"mode": "form", "message": message, "requestedSchema": schema}
        return {"method": "elicitation/create", "params": params}

    def book(self, ident: Any, params: dict[str, Any], answers: list[dict[str, Any]]) -> None:
        values: dict[str, Any] = {}
        for answer in answers:
            values |= answer.get("content") or {}
        city = (params.get("arguments") or {}).get("city")
        done = f"booked {city} for {values.get('name')}" if values.get("sure") else "not booked"
        self.note(done)
        self.reply(ident, content=[{"type": "text", "text": done}])


if __name__ == "__main__":
    Server(sys.argv[1], Path(sys.argv[2])).serve()
