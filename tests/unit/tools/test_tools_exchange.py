"""Tools of one source that change all at once."""

import threading

from mbxai.tools import Tool, ToolRegistry
from mbxai.tools._call import ToolCall
from mbxai.tools.runner._runner import ToolRunner


def tool(name: str, source: str = "s") -> Tool:
    return Tool(name, "", None, source=source)


def test_new_tools_take_the_place_of_the_old_ones() -> None:
    registry = ToolRegistry()
    old = [tool("a"), tool("b")]
    registry.add(tool("local", "local"))
    assert registry.exchange("s", [], old) == []
    new = [tool("b"), tool("c")]
    assert registry.exchange("s", old, new) == []
    assert registry.names() == ["local", "b", "c"]
    assert registry.get("b") is new[0]


def test_a_name_that_somebody_else_has_stays_theirs() -> None:
    registry = ToolRegistry()
    mine = tool("a", "local")
    registry.add(mine)
    late = tool("a")
    assert registry.exchange("s", [], [late, tool("b")]) == [late]
    assert registry.get("a") is mine
    # Nor is it taken away with the tools of the source.
    registry.exchange("s", [late], [])
    assert registry.get("a") is mine


async def test_a_call_of_a_refused_tool_is_told_why_until_that_is_over() -> None:
    registry = ToolRegistry()
    runner = ToolRunner(registry)
    registry.exchange("s", [], [], refusals={"a": "it has changed"})
    registry.exchange("t", [], [], refusals={"b": "it is new"})
    assert (await runner.run(ToolCall("c", "a", "{}"))).content == "a was not run: it has changed."
    assert registry.refusal("b") == "it is new"
    registry.exchange("s", [], [])
    assert (registry.refusal("a"), registry.refusal("b")) == ("", "it is new")
    assert "There is no tool 'a'" in (await runner.run(ToolCall("c", "a", "{}"))).content
    registry.add(tool("b"))
    assert registry.refusal("b") == ""


def test_changes_from_many_threads_lose_nothing() -> None:
    registry = ToolRegistry()
    ready = threading.Barrier(8)

    def change(number: int) -> None:
        ready.wait(5)
        for turn in range(50):
            registry.exchange(f"s{number}", [], [tool(f"t{number}_{turn}", f"s{number}")])
            registry.add(tool(f"l{number}_{turn}"))

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(registry) == 800
