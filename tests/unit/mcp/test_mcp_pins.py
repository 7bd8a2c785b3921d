"""What a tool was when it was first seen, and that a change of anything is noticed."""

import fcntl
import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from mbxai.errors import ConfigurationError
from mbxai.mcp.registry._pins import FilePinStore, MemoryPinStore, PinStore, changes, pin_of

TOOL: dict[str, Any] = {
    "name": "read",
    "title": "Read",
    "description": "Reads.",
    "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}},
    "outputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
}


def test_a_pin_does_not_depend_on_the_order_of_keys_or_on_what_decides_nothing() -> None:
    again = {**dict(reversed(TOOL.items())), "_meta": {"x": 1}, "icons": []}
    again["inputSchema"] = {"properties": {"b": {}, "a": {}}, "type": "object"}
    assert pin_of(again, "files", "fs") == pin_of(TOOL, "files", "fs")
    assert pin_of(TOOL, "files", "fs").startswith("sha256:")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "read2"},
        {"title": "Write"},
        {"description": "Reads.\u200b"},
        {"inputSchema": {"type": "object"}},
        {"outputSchema": None},
        {"annotations": {"readOnlyHint": False}},
    ],
)
def test_whatever_changes_changes_the_pin(change: dict[str, Any]) -> None:
    assert pin_of({**TOOL, **change}, "files", "fs") != pin_of(TOOL, "files", "fs")


def test_another_server_has_other_pins() -> None:
    pins = {pin_of(TOOL, "files", "fs"), pin_of(TOOL, "other", "fs"), pin_of(TOOL, "files", "x")}
    assert len(pins) == 3


def test_a_changed_and_an_added_tool_are_changes_and_one_that_is_gone_is_none() -> None:
    found = changes({"a": "1", "b": "3", "c": "4"}, {"a": "1", "b": "2", "gone": "5"})
    assert found.keys() == {"b", "c"}
    assert "changed" in found["b"]
    assert "added" in found["c"]


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PinStore:
    return MemoryPinStore() if request.param == "memory" else FilePinStore(tmp_path / "d" / "pins")


def test_what_was_seen_first_is_kept_until_something_else_is(store: PinStore) -> None:
    assert store.first_seen("files", {"a": "1"}) == {"a": "1"}
    assert store.first_seen("files", {"a": "2"}) == {"a": "1"}
    assert store.first_seen("other", {}) == {}
    assert store.first_seen("other", {"b": "1"}) == {}  # a server without tools was seen, too
    store.keep("files", {"a": "2"})
    assert store.first_seen("files", {"a": "3"}) == {"a": "2"}
    assert store.first_seen("other", {"b": "1"}) == {}


def test_the_file_is_readable_and_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "mcp.lock"
    FilePinStore(path).first_seen("files", {"b": "2", "a": "1"})
    text = path.read_text()
    assert text.index('"a": "1"') < text.index('"b": "2"')
    assert json.loads(text) == {"version": 1, "servers": {"files": {"a": "1", "b": "2"}}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mcp.lock", "mcp.lock.lock"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"version": 2, "servers": {}}', '{"version": 1, "servers": {"a": {"b": 1}}}'],
)
def test_a_file_that_holds_something_else_is_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pins"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="holds no pins"):
        FilePinStore(path).first_seen("files", {"a": "1"})
    assert path.read_text() == text


def test_a_place_where_no_file_can_be_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        FilePinStore(tmp_path / "file" / "pins").keep("files", {})


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pins"
    ready = threading.Barrier(4)

    def write(name: str) -> None:
        store = FilePinStore(path)  # with the others, it shares the lock of the file and no other
        ready.wait(5)
        for number in range(10):
            store.first_seen(f"{name}{number}", {"a": "1"})

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(5)
    assert len(json.loads(path.read_text())["servers"]) == 40


def test_a_lock_that_is_never_given_up_is_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / "pins"
    with (tmp_path / "pins.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="cannot be used"):
            FilePinStore(path, lock_seconds=0.05).keep("files", {})
    FilePinStore(path).keep("files", {})
    assert path.exists()
