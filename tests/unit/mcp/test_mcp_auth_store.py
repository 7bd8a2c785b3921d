"""Where tokens are kept: in memory, and in a sealed file that several processes share."""

import asyncio
import base64
import json
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mbxai.errors import ConfigurationError, MCPAuthError
from mbxai.mcp.auth import FileTokenStore, MemoryTokenStore, TokenKey

KEY = TokenKey(server="github", origin="https://mcp.example:443", client="oauth registered")
OTHER = TokenKey(server="gitlab", origin="https://mcp.example:443", client="oauth registered")
TEXT = '{"access_token": "very-secret-token"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deeper" / "tokens.json"


async def test_the_memory_keeps_and_forgets() -> None:
    store = MemoryTokenStore()
    await store.save(KEY, TEXT)
    found = await store.load(KEY), await store.load(OTHER)
    await store.delete(KEY)
    await store.delete(KEY)
    assert found == (TEXT, None)
    assert await store.load(KEY) is None


async def test_the_memory_shows_nothing_and_stays_where_it_is() -> None:
    store = MemoryTokenStore()
    await store.save(KEY, TEXT)
    assert "secret" not in repr(store)
    with pytest.raises(TypeError, match="stays in memory"):
        pickle.dumps(store)


async def test_the_file_gives_back_what_was_saved_to_another_object(path: Path) -> None:
    key = FileTokenStore.new_key()
    await FileTokenStore(path, key).save(KEY, TEXT)
    assert await FileTokenStore(path, key).load(KEY) == TEXT
    assert await FileTokenStore(path, key).load(OTHER) is None


async def test_the_file_holds_no_secret_and_is_for_its_owner_alone(path: Path) -> None:
    key = FileTokenStore.new_key()
    store = FileTokenStore(path, key)
    await store.save(KEY, TEXT)
    shown = path.read_text() + repr(store)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [word for word in ("very-secret", "access", key) if word in shown] == []
    assert sorted(one.name for one in path.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]


async def test_a_missing_file_holds_nothing(path: Path) -> None:
    store = FileTokenStore(path, b"k" * 32)
    await store.delete(KEY)
    assert await store.load(KEY) is None


async def test_deleting_forgets_one_entry_only(path: Path) -> None:
    store = FileTokenStore(path, b"k" * 32)
    await store.save(KEY, TEXT)
    await store.save(OTHER, "other")
    await store.delete(KEY)
    assert (await store.load(KEY), await store.load(OTHER)) == (None, "other")


async def test_a_wrong_key_neither_opens_nor_overwrites(path: Path) -> None:
    await FileTokenStore(path, b"1" * 32).save(KEY, TEXT)
    before = path.read_bytes()
    wrong = FileTokenStore(path, b"2" * 32)
    with pytest.raises(MCPAuthError, match=r"github.*do not open"):
        await wrong.load(KEY)
    with pytest.raises(MCPAuthError, match="do not open"):
        await wrong.save(KEY, "new")
    assert path.read_bytes() == before


async def test_a_wrong_key_may_still_be_told_to_forget(path: Path) -> None:
    await FileTokenStore(path, b"1" * 32).save(KEY, TEXT)
    wrong = FileTokenStore(path, b"2" * 32)
    await wrong.delete(KEY)
    await wrong.save(KEY, "new")
    assert await wrong.load(KEY) == "new"


async def test_keys_are_changed_with_a_ring_the_first_of_which_seals(path: Path) -> None:
    old, new = FileTokenStore.new_key(), FileTokenStore.new_key()
    await FileTokenStore(path, old).save(KEY, TEXT)
    both = FileTokenStore(path, [new, old])
    opened = await both.load(KEY)
    await both.save(KEY, "renewed")
    assert opened == TEXT
    assert await FileTokenStore(path, new).load(KEY) == "renewed"
    with pytest.raises(MCPAuthError):
        await FileTokenStore(path, old).load(KEY)


async def test_an_entry_that_was_moved_to_another_server_does_not_open(path: Path) -> None:
    store = FileTokenStore(path, b"k" * 32)
    await store.save(KEY, TEXT)
    await store.save(OTHER, "other")
    content = json.loads(path.read_text())
    mine, theirs = content["entries"].values()
    content["entries"] = dict(zip(content["entries"], (theirs, mine), strict=True))
    path.write_text(json.dumps(content))
    for key in (KEY, OTHER):
        with pytest.raises(MCPAuthError, match="do not open"):
            await store.load(key)


@pytest.mark.parametrize("position", [0, 20, -1])
async def test_a_changed_entry_does_not_open(path: Path, position: int) -> None:
    store = FileTokenStore(path, b"k" * 32)
    await store.save(KEY, TEXT)
    content = json.loads(path.read_text())
    ((label, sealed),) = content["entries"].items()
    raw = bytearray(base64.b64decode(sealed))
    raw[position] ^= 1
    content["entries"][label] = base64.b64encode(raw).decode()
    path.write_text(json.dumps(content))
    with pytest.raises(MCPAuthError, match="do not open"):
        await store.load(KEY)


@pytest.mark.parametrize("sealed", ["", "AAAA", "not base64!", "ä"])
async def test_an_entry_that_is_garbage_does_not_open(path: Path, sealed: str) -> None:
    store = FileTokenStore(path, b"k" * 32)
    await store.save(KEY, TEXT)
    content = json.loads(path.read_text())
    content["entries"] = dict.fromkeys(content["entries"], sealed)
    path.write_text(json.dumps(content))
    with pytest.raises(MCPAuthError, match="do not open"):
        await store.load(KEY)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2, "entries": {}}', "[" * 20_000])
async def test_a_damaged_file_is_an_error_and_is_not_written_over(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    store = FileTokenStore(path, b"k" * 32)
    with pytest.raises(MCPAuthError, match="damaged"):
        await store.load(KEY)
    with pytest.raises(MCPAuthError, match="damaged"):
        await store.save(KEY, TEXT)
    assert path.read_text() == content


async def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileTokenStore(tmp_path / "file" / "tokens.json", b"k" * 32)
    with pytest.raises(MCPAuthError, match="cannot be"):
        await store.save(KEY, TEXT)


async def test_a_directory_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    store = FileTokenStore(tmp_path, b"k" * 32)
    with pytest.raises(MCPAuthError, match=r"cannot be read \(IsADirectoryError\)"):
        await store.load(KEY)


async def test_entries_of_many_writers_at_once_are_all_there(path: Path) -> None:
    key = FileTokenStore.new_key()
    keys = [TokenKey(server=f"s{number}", origin="o", client="c") for number in range(12)]
    stores = [FileTokenStore(path, key) for _ in range(3)]
    await asyncio.gather(*(stores[i % 3].save(one, one.server) for i, one in enumerate(keys)))
    assert [await stores[0].load(one) for one in keys] == [one.server for one in keys]


async def test_another_process_waits_for_its_turn(path: Path) -> None:
    store = FileTokenStore(path, b"k" * 32)
    await store.save(KEY, TEXT)
    lock = f"{path}.lock"
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        save = asyncio.create_task(store.save(KEY, "later"))
        await asyncio.wait({save}, timeout=0.1)
        waited = not save.done()
        found = await store.load(KEY)
        holder.stdin.close()
        await asyncio.wait_for(save, 5)
    assert waited
    assert (found, await store.load(KEY)) == (TEXT, "later")


def test_the_key_may_stand_in_the_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MBXAI_TOKEN_KEY", f"{FileTokenStore.new_key()},{FileTokenStore.new_key()}")
    store = FileTokenStore(path)
    assert repr(store) == f"FileTokenStore({str(path)!r})"


def test_without_a_key_there_is_no_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MBXAI_TOKEN_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=r"MBXAI_TOKEN_KEY.*new_key"):
        FileTokenStore(path)


@pytest.mark.parametrize("key", [b"short", "short", "!" * 44, [b"k" * 32, b""], "a" * 44 + ",", []])
def test_a_malformed_key_is_refused_and_not_shown(path: Path, key: object) -> None:
    with pytest.raises(ConfigurationError, match="key") as caught:
        FileTokenStore(path, key)  # type: ignore[arg-type]
    assert "aaaa" not in str(caught.value)


def test_a_key_may_be_written_in_either_alphabet_of_base64(path: Path) -> None:
    raw = bytes([251, 255] * 16)
    for word in (
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        base64.b64encode(raw).decode(),
    ):
        asyncio.run(FileTokenStore(path, word).save(KEY, word))
    assert asyncio.run(FileTokenStore(path, raw).load(KEY)) == base64.b64encode(raw).decode()


def test_new_keys_differ_and_are_long_enough() -> None:
    keys = {FileTokenStore.new_key() for _ in range(3)}
    assert len(keys) == 3
    assert {len(base64.b64decode(key)) for key in keys} == {32}


async def test_a_file_that_cannot_be_read_is_an_error(path: Path) -> None:
    store = FileTokenStore(path, b"k" * 32)
    await store.save(KEY, TEXT)
    path.unlink()
    path.mkdir()  # nobody can read it as a file, not even root
    with pytest.raises(MCPAuthError, match="cannot be read"):
        await store.load(KEY)
