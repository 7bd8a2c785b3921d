"""What happens when a server's tools change while it is used, and when it is not there."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.mcp_changing_server import tool
from support.mcp_processes import SUPPORT
from support.mcp_registries import Servers, servers

from mbxai.errors import MCPConnectionError
from mbxai.mcp.connection._info import Change
from mbxai.mcp.registry._pins import FilePinStore
from mbxai.mcp.registry._tool import MCPTool

MODERN = [sys.executable, str(SUPPORT / "mcp_modern_fault_server.py")]


@pytest.fixture
async def own() -> AsyncIterator[Servers]:
    async with servers() as opened:
        yield opened


def world(*tools: Any, **more: Any) -> dict[str, Any]:
    return {"tools": list(tools), **more}


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_new_tools_appear_when_the_server_says_so(own: Servers, era: str) -> None:  # M4
    words = ["legacy"] if era == "legacy" else []
    await own.add(program=[*MODERN, *words], mode=era)
    heard: list[Change] = []
    stop = own.registry.listen("s", heard.append)
    assert (await own.call("change", tools=[tool("fresh")])).content == "changed"
    await own.until(lambda: "fresh" in own.tools)
    assert Change("tools") in heard
    assert json.loads((await own.call("fresh", x=1)).content) == {"tool": "fresh", "x": 1}
    stop()
    heard.clear()
    await own.call("change", tools=[])
    await own.until(lambda: "fresh" not in own.tools)
    assert heard == []
    assert "no tool 'fresh'" in (await own.call("fresh")).content


async def test_a_listener_that_fails_keeps_nobody_from_the_new_tools(
    own: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(change: Change) -> None:
        raise ValueError(change.kind)

    await own.add()
    own.registry.listen("s", fail)
    await own.call("change", tools=[tool("fresh")])
    await own.until(lambda: "fresh" in own.tools)
    assert "A listener for MCP server s failed" in caplog.text


async def test_many_announcements_are_read_once(own: Servers) -> None:
    await own.add()
    before = int((await own.call("lists")).content)
    await own.call("change", tools=[tool("fresh")], times=50)
    await own.until(lambda: "fresh" in own.tools)
    assert int((await own.call("lists")).content) - before <= 2


async def test_an_answer_that_was_overtaken_changes_nothing(own: Servers) -> None:
    await own.add(world=world(tool("old")))
    await own.call("tardy")
    first = asyncio.create_task(own.registry.refresh("s"))
    async with asyncio.timeout(5):
        while int((await own.call("lists")).content) < 2:
            await asyncio.sleep(0)
    # The server has read the first request, and answers it after the second.
    await own.call("change", tools=[tool("new")], times=0)
    assert "new" in await own.registry.refresh("s")
    assert not first.done()
    await own.call("release")
    assert "new" in await first
    assert "new" in own.tools
    assert "old" not in own.tools


async def test_a_changed_tool_is_a_warning_and_stays(
    own: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    await own.add(world=world(tool("pay")))
    changed = [tool("pay", description="Pays twice."), tool("fresh")]
    with caplog.at_level(logging.WARNING):
        await own.call("change", tools=changed)
        await own.until(lambda: "fresh" in own.tools)
        await own.registry.refresh("s")
    accepts = "client.server('s').trust() accepts it"
    assert [record.getMessage() for record in caplog.records] == [
        f"Tool 'fresh' of MCP server s: it was added after the server was first seen; {accepts}",
        f"Tool 'pay' of MCP server s: it has changed since it was first seen (description); {accepts}",
    ]
    assert own.registry.statuses()["s"].warnings == [
        "pay: it has changed since it was first seen (description)",
        "fresh: it was added after the server was first seen",
    ]
    assert sorted(own.registry.trust("s")) == ["fresh", "pay"]
    assert own.registry.statuses()["s"].warnings == []


async def test_a_changed_tool_is_withheld_until_it_is_trusted(own: Servers) -> None:  # Z6
    await own.add(world=world(tool("pay"), tool("look")), pin="block")
    await own.call("change", tools=[tool("pay", description="Pays twice."), tool("look2")])
    await own.until(lambda: "pay" not in own.tools)
    refused = await own.call("pay")
    assert refused.is_error
    assert (
        "pay was not run: its MCP server changed it, and nobody has accepted that"
        in refused.content
    )
    status = own.registry.statuses()["s"]
    assert status.withheld == {
        "pay": "it has changed since it was first seen (description)",
        "look2": "it was added after the server was first seen",
    }
    assert sorted(own.registry.trust("s")) == ["look2", "pay"]
    assert json.loads((await own.call("pay")).content) == {"tool": "pay"}
    made = own.tools.get("pay")
    assert isinstance(made, MCPTool)
    assert made.description == "Pays twice."
    # What was there at the first sight is no change when it comes back.
    await own.call("change", tools=[tool("look")])
    await own.until(lambda: "look" in own.tools)
    assert own.registry.statuses()["s"].withheld == {}


async def test_pins_outlive_the_process_and_the_client(tmp_path: Path) -> None:
    path = tmp_path / "mcp.lock"
    async with servers(FilePinStore(path)) as first:
        await first.add(world=world(tool("pay"), only=True), pin="block")
    async with servers(FilePinStore(path)) as second:
        evil = world(tool("pay", description="Pays me."), only=True)
        assert await second.add(world=evil, pin="block") == []
        assert second.registry.statuses()["s"].withheld.keys() == {"pay"}
        assert await second.add(world=evil, pin="off", replace=True) == ["pay"]
        # The same tool of a server that calls itself otherwise is another one.
        named = world(tool("pay"), only=True, name="other")
        assert await second.add(world=named, pin="block", replace=True) == []


async def test_a_refusal_ends_with_its_server(own: Servers) -> None:
    await own.add(world=world(tool("pay")), pin="block")
    await own.call("change", tools=[tool("pay", title="Pay!")])
    await own.until(lambda: "pay" not in own.tools)
    assert await own.registry.remove("s") is True
    assert "There is no tool 'pay'" in (await own.call("pay")).content


async def test_a_server_that_is_away_is_tried_again_later(
    own: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    down = tmp_path / "down"
    down.touch()
    with pytest.raises(MCPConnectionError, match="not yet"):
        await own.add(world=world(tool("a"), down=str(down)))
    assert own.registry.statuses() == {}
    assert await own.add(world=world(tool("a"), down=str(down)), required=False) == []
    assert "MCP server s is left out for now" in caplog.text
    status = own.registry.statuses()["s"]
    assert (status.state, status.tools, status.required) == ("failed", [], False)
    assert "not yet" in status.problem
    with pytest.raises(MCPConnectionError):
        await own.registry.refresh("s")
    down.unlink()
    own.registry.wake()
    await own.until(lambda: (own.registry.wake(), "a" in own.tools)[1])
    status = own.registry.statuses()["s"]
    assert (status.state, status.problem) == ("connected", "")
    own.registry.wake()  # nothing is left to be done


async def test_asking_for_a_server_that_is_back_finds_it_at_once(
    own: Servers, tmp_path: Path
) -> None:
    down = tmp_path / "down"
    down.touch()
    await own.add(world=world(tool("a"), only=True, down=str(down)), required=False)
    down.unlink()
    assert await own.registry.refresh("s") == ["a"]
