"""The client under test: `client.py URL`; the scenario stands in the environment.

It goes through mbxai's public client only, as an application would.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.mcp_model import NoModel  # noqa: E402

from mbxai.mcp import AsyncMCPClient, MCPTool  # noqa: E402

CALLS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "tools_call": [("add_numbers", {"a": 5, "b": 3})],
    "sse-retry": [("test_reconnection", {})],
}


async def main() -> None:
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    version = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2026-07-28")
    # The mock server of this scenario speaks the older protocol whatever the version says.
    is_old = version < "2026" or scenario == "json-schema-ref-no-deref"
    async with AsyncMCPClient(NoModel()) as client:
        await client.register_mcp_server(
            "conformance", sys.argv[1], mode="legacy" if is_old else "auto"
        )
        tools = {
            tool.original_name: tool
            for tool in client.registry.tools()
            if isinstance(tool, MCPTool)
        }
        if scenario == "http-custom-headers":
            # To be sent word for word, also where they do not fit the tool's own schema; `call_tool`
            # would refuse these.
            context = json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])
            for call in context["toolCalls"]:
                tool = tools.get(call["name"])
                if tool is not None and tool.function is not None:
                    await tool.function(**call["arguments"])
            return
        calls = CALLS.get(scenario, [])
        if scenario in ("http-invalid-tool-headers", "http-standard-headers"):
            calls = [(name, sample(tool.schema)) for name, tool in tools.items()]
        for name, arguments in calls:
            result = await client.call_tool(tools[name].name, json.dumps(arguments))
            if result.is_error:
                raise SystemExit(result.content)


def sample(schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments that fit a flat schema."""
    values = {"integer": 1, "number": 1.5, "boolean": True}
    properties = schema.get("properties", {})
    return {name: values.get(properties[name].get("type"), "x") for name in properties}


if __name__ == "__main__":
    asyncio.run(main())
