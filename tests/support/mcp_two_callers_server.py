"""A stdio server of the older protocol: once two calls run, it asks a person in the second."""

import json
import sys
from typing import Any

FORM = {"type": "object", "properties": {"ok": {"type": "boolean"}}}


def main() -> None:
    """Serve until the input ends."""
    calls: list[Any] = []
    for line in sys.stdin:
        message = json.loads(line)
        method, ident = message.get("method"), message.get("id")
        if method == "initialize":
            info = {"name": "two", "version": "1"}
            said = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}
            tell({"id": ident, "result": {**said, "serverInfo": info}})
        elif method == "tools/call":
            calls.append(ident)
            if len(calls) == 2:
                params = {"message": "Transfer 900?", "requestedSchema": FORM}
                tell({"id": "q", "method": "elicitation/create", "params": params})
        elif method is None and ident == "q":
            for call, text in zip(calls, ("first", json.dumps(message["result"])), strict=True):
                tell({"id": call, "result": {"content": [{"type": "text", "text": text}]}})
        elif ident is not None:
            tell({"id": ident, "result": {}})


def tell(message: dict[str, Any]) -> None:
    """Write a message."""
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


if __name__ == "__main__":
    main()
