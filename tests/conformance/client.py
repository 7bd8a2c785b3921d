"""The client under test: `client.py URL`; the scenario stands in the environment.

It goes through mbxai's public client only, as an application would. Exit status 3 says that the
client refused the server in good order, with an error of mbxai; anything else but 0 is a crash.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from conformance.auth_flows import auth_for  # noqa: E402
from support.mcp_model import NoModel  # noqa: E402

from mbxai.errors import MCPError  # noqa: E402
from mbxai.mcp import AsyncMCPClient, MCPTool, SamplingPolicy  # noqa: E402
from mbxai.tools import ToolContext, ToolQuestion  # noqa: E402

REFUSED = 3

CALLS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "tools_call": [("add_numbers", {"a": 5, "b": 3})],
    "sse-retry": [("test_reconnection", {})],
    "elicitation-sep1034-client-defaults": [("test_client_elicitation_defaults", {})],
    "sep-2322-client-request-state": [
        ("test_mrtr_echo_state", {}),
        ("test_mrtr_unrelated", {}),
        ("test_mrtr_no_state", {}),
        ("test_mrtr_no_result_type", {}),
    ],
}

LISTED_ONLY = {"initialize", "json-schema-ref-no-deref"}


def answer(question: ToolQuestion) -> Mapping[str, Any]:
    """Agree to what is asked; what is left out gets the form's defaults."""
    return {"confirmed": True} if "confirm" in question.message.lower() else {}


async def main() -> None:
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    version = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2026-07-28")
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    # The mock server of this scenario speaks the older protocol whatever the version says.
    is_old = version < "2026" or scenario == "json-schema-ref-no-deref"
    auth = auth_for(scenario, context)
    client = AsyncMCPClient(
        NoModel(),
        elicit=answer,
        sampling=SamplingPolicy(models=("conformance/none",)),
        roots=[ROOT],
    )
    async with client:
        await client.register_mcp_server(
            "conformance", sys.argv[1], mode="legacy" if is_old else "auto", auth=auth
        )
        tools = [tool for tool in client.registry.tools() if isinstance(tool, MCPTool)]
        if scenario == "http-custom-headers":
            await replay(tools, context["toolCalls"])
        elif scenario.startswith("auth/"):
            # What the tool says of it does not matter here, but that it was asked.
            await client.call_tool(tools[0].name, json.dumps(sample(tools[0].schema)))
        else:
            await call(client, tools, scenario)


async def call(client: AsyncMCPClient, tools: list[MCPTool], scenario: str) -> None:
    """Call what the scenario wants called; without a wish, each tool that was listed."""
    names = {tool.original_name: tool.name for tool in tools}
    if scenario == "json-schema-2020-12-preservation":
        schemas = {tool.original_name: tool.schema for tool in tools}
        calls = [("json_schema_echo", {"schema": schemas["json_schema_2020_12_tool"]})]
    elif scenario in LISTED_ONLY:
        calls = []
    else:
        everything = [(tool.original_name, sample(tool.schema)) for tool in tools]
        calls = CALLS.get(scenario, everything)
    for name, arguments in calls:
        result = await client.call_tool(names[name], json.dumps(arguments))
        if result.is_error:
            raise SystemExit(f"{name}: {result.content}")


async def replay(tools: list[MCPTool], calls: list[dict[str, Any]]) -> None:
    """Send calls word for word, also where they do not fit the tool's own schema.

    `call_tool` would refuse these.
    """
    functions = {tool.original_name: tool.function for tool in tools}
    for wanted in calls:
        function = functions.get(wanted["name"])
        if function is not None:
            await function(ToolContext[Any](name=wanted["name"]), **wanted["arguments"])


def sample(schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments that fit a flat schema."""
    values = {"integer": 1, "number": 1.5, "boolean": True}
    properties = schema.get("properties", {})
    return {name: values.get(properties[name].get("type"), "x") for name in properties}


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except MCPError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(REFUSED)
