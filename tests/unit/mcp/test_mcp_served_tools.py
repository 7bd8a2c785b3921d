from collections.abc import AsyncIterator

import pytest

from mbxai.errors import ToolError
from mbxai.mcp import MCPServer
from mbxai.mcp.serving._served_tools import ServedTools, structured_part, tool_schema
from mbxai.tools import Tool


@pytest.fixture
def tools() -> ServedTools:
    return ServedTools()


async def run(tools: ServedTools, function: object, **arguments: object) -> tuple[str, bool]:
    tools.add(Tool.from_function(function, name="t"))
    result = await tools.run("t", arguments)
    return result.content, result.is_error


async def test_arguments_are_validated_before_anything_runs(tools: ServedTools) -> None:
    def double(n: int) -> int:
        raise AssertionError("must not run")

    text, is_error = await run(tools, double, n="two")
    assert is_error
    assert "n:" in text


async def test_a_tool_error_can_be_read(tools: ServedTools) -> None:
    def refuse() -> None:
        raise ToolError("Not on Sundays.")

    assert await run(tools, refuse) == ("Not on Sundays.", True)


async def test_any_other_error_stays_in_the_log(
    tools: ServedTools, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash() -> None:
        raise RuntimeError("internals")

    text, is_error = await run(tools, crash)
    assert is_error
    assert "internals" not in text
    assert "internals" in caplog.text


async def test_async_generators_and_methods_are_tools_too(tools: ServedTools) -> None:
    async def count() -> AsyncIterator[int]:
        yield 1
        yield 2

    class Box:
        async def double(self, n: int) -> int:
            return 2 * n

    assert await run(tools, count) == ("[1,2]", False)
    assert await run(tools, Box().double, n=4) == ("8", False)


async def test_an_object_is_also_given_in_structured_form(tools: ServedTools) -> None:
    def weather() -> dict[str, float]:
        return {"celsius": 21.5}

    def text() -> str:
        return '{"not": "meant"}'

    tools.add(Tool.from_function(weather))
    tools.add(Tool.from_function(text))
    assert structured_part(await tools.run("weather", {})) == {"celsius": 21.5}
    assert structured_part(await tools.run("text", {})) is None


async def test_a_result_that_was_cut_is_not_given_in_structured_form(tools: ServedTools) -> None:
    def much() -> dict[str, str]:
        return {"text": "x" * 100}

    tools.add(Tool.from_function(much, max_result_bytes=10))
    assert structured_part(await tools.run("much", {})) is None


def test_a_schema_has_an_object_at_its_root() -> None:
    assert tool_schema(Tool("t", "", None, {}))["type"] == "object"


async def test_a_server_takes_functions_in_three_ways() -> None:
    server = MCPServer("s")

    @server.tool
    def first() -> None: ...

    @server.tool(name="zweite", effect="read")
    def second() -> None: ...

    def third() -> None: ...

    await server.add_tool(third)
    server.register(third, name="fourth")
    assert server.registry.names() == ["first", "zweite", "third", "fourth"]
