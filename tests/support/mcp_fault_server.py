"""A stdio server that misbehaves on demand; speaks the protocol by hand, so it starts at once.

Behaviours, as words on the command line:

    silent        answers nothing, ever
    deaf          answers nothing and ignores the end of its input
    old           dies of anything before `initialize`
    bad-tools     lists malformed tools among a good one
    endless       lists tools with a cursor that repeats
    pages         lists three tools on three pages
    odd-names     lists tools whose names no model may use
    no-tools      says that it has no tools
    bad-result    answers calls with content of unknown types
    bad-output    declares an output schema and does not keep to it
    hang          never answers a call; otherwise only one with a true argument `hang`
                  (a call with an argument `log` is noted in that file)
    vanish        ends in the middle of a call
    refuse        answers a call with a protocol error
    chatty        talks on its standard error, then ends before it answers
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

SCHEMA = {"type": "object", "properties": {"x": {"default": None, "enum": [1, None]}}}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"Tool {name}.", "inputSchema": SCHEMA, **more}


def tools_of(behaviour: set[str], cursor: str | None) -> dict[str, Any]:
    if "bad-tools" in behaviour:
        bad = [{"name": "no_schema"}, {"name": "string", "inputSchema": {"type": "string"}}, 7]
        return {"tools": [bad[0], tool("good"), *bad[1:]]}
    if "endless" in behaviour:
        return {"tools": [tool("good")], "nextCursor": "again"}
    if "pages" in behaviour:
        page = int(cursor or 0)
        following = {"nextCursor": str(page + 1)} if page < 2 else {}
        return {"tools": [tool(f"tool{page}")], **following}
    if "odd-names" in behaviour:
        return {"tools": [tool("a.b"), tool("a_b"), tool("größe"), tool("n" * 100), tool("good")]}
    if "bad-output" in behaviour:
        output = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        return {"tools": [tool("good", outputSchema=output)]}
    return {"tools": [tool("good")]}


def result_of(behaviour: set[str], arguments: dict[str, Any]) -> dict[str, Any]:
    if "bad-result" in behaviour:
        odd = [{"type": "hologram", "depth": 3}, {"type": "text", "text": None}, "plain"]
        return {"content": odd, "structuredContent": [1, 2]}
    if "bad-output" in behaviour:
        text = [{"type": "text", "text": "kept"}]
        return {"content": text, "structuredContent": {"n": "many"}}
    return {"content": [{"type": "text", "text": json.dumps(arguments)}]}


def answer(behaviour: set[str], request: dict[str, Any]) -> dict[str, Any] | None:
    method, params = request.get("method"), request.get("params") or {}
    if "id" not in request or "silent" in behaviour or "deaf" in behaviour:
        return None
    if method == "initialize":
        capabilities = {} if "no-tools" in behaviour else {"tools": {}}
        return {
            "result": {
                "protocolVersion": "2025-11-25",
                "capabilities": capabilities,
                "serverInfo": {"name": "fault", "version": "1"},
            }
        }
    if method == "tools/list":
        return {"result": tools_of(behaviour, params.get("cursor"))}
    if method == "tools/call":
        return called(behaviour, params.get("arguments") or {})
    return {"error": {"code": -32601, "message": "Method not found"}}


def called(behaviour: set[str], arguments: dict[str, Any]) -> dict[str, Any] | None:
    if "hang" in behaviour or arguments.get("hang"):
        return None
    if "log" in arguments:
        with Path(arguments["log"]).open("a") as log:
            log.write("called\n")
    if "vanish" in behaviour:
        sys.exit(3)
    if "refuse" in behaviour:
        return {"error": {"code": -32602, "message": "not today"}}
    return {"result": result_of(behaviour, arguments)}


def main() -> None:
    behaviour = set(sys.argv[1:])
    if "chatty" in behaviour:
        print("the database is on fire", file=sys.stderr, flush=True)
        sys.exit(1)
    if "deaf" in behaviour:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    is_initialized = False
    for line in sys.stdin:
        request = json.loads(line)
        is_initialized = is_initialized or request.get("method") == "initialize"
        if "old" in behaviour and not is_initialized:
            sys.exit(1)
        reply = answer(behaviour, request)
        if reply is not None:
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **reply}), flush=True)
    while "deaf" in behaviour:
        time.sleep(60)


if __name__ == "__main__":
    main()
