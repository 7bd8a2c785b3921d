"""A file system: plain functions, registered by name."""

from enum import Enum
from random import Random
from typing import Any, Literal

from support.tool_world import EVERYTHING, Op, RefusedError, Runs, WorldKind, some

from mbxai.tools import AsyncToolClient


class Access(Enum):
    WRITABLE = "writable"
    LOCKED = "locked"


class Files:
    """Texts by path, and which of them are locked."""

    def __init__(self, start: dict[str, Any], runs: Runs) -> None:
        self.texts: dict[str, str] = dict(start["texts"])
        self.locked: set[str] = set(start["locked"])
        self.runs = runs

    def register(self, client: AsyncToolClient, **options: Any) -> None:
        for function in (*_writing_tools(self), *_reading_tools(self)):
            name = function.__name__
            client.register_tool(name, f"{name.replace('_', ' ')}.", function, **options)

    def state(self) -> dict[str, Any]:
        return {"texts": self.texts, "locked": sorted(self.locked)}

    def check(self, path: str) -> None:
        if path not in self.texts:
            raise FileNotFoundError(f"{path} is not there")

    def check_writable(self, path: str) -> None:
        if path in self.locked:
            raise PermissionError(f"{path} is locked")


def _writing_tools(files: Files) -> tuple[Any, ...]:
    def write_file(path: str, text: str, mode: Literal["replace", "append"] = "replace") -> int:
        with files.runs.of("write_file", path=path, text=text, mode=mode):
            files.check_writable(path)
            files.texts[path] = files.texts.get(path, "") * (mode == "append") + text
            return len(files.texts[path])

    def move_file(source: str, target: str, overwrite: bool = False) -> dict[str, str]:
        with files.runs.of("move_file", source=source, target=target, overwrite=overwrite):
            files.check(source)
            files.check_writable(source)
            files.check_writable(target)
            if target in files.texts and not overwrite:
                raise FileExistsError(f"{target} is there already")
            files.texts[target] = files.texts.pop(source)
            return {"moved": target}

    def delete_files(paths: list[str]) -> list[str]:
        with files.runs.of("delete_files", paths=paths):
            for path in paths:
                files.check_writable(path)
            gone = [path for path in paths if files.texts.pop(path, None) is not None]
            return sorted(gone)

    async def set_access(path: str, access: Access) -> str:
        with files.runs.of("set_access", path=path, access=access):
            files.check(path)
            change = files.locked.add if access is Access.LOCKED else files.locked.discard
            change(path)
            return f"{path} is {access.value}"

    return write_file, move_file, delete_files, set_access


def _reading_tools(files: Files) -> tuple[Any, ...]:
    def read_file(path: str, max_chars: int | None = None) -> str:
        with files.runs.of("read_file", path=path, max_chars=max_chars):
            files.check(path)
            return files.texts[path][:max_chars]

    def list_files(folder: str = "/") -> list[str]:
        with files.runs.of("list_files", folder=folder):
            return sorted(path for path in files.texts if path.startswith(folder))

    async def count_files() -> int:
        with files.runs.of("count_files"):
            return len(files.texts)

    return read_file, list_files, count_files


# --- the reference --------------------------------------------------------------------------------

START: dict[str, Any] = {
    "texts": {
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/home/ann/todo.md": "- milk\n- “bread”\n",
        "/home/ann/draft.txt": "Dear Bob",
        "/tmp/a.log": "x",
    },
    "locked": ["/etc/hosts"],
}
FOLDERS = ("/", "/home", "/home/ann", "/tmp", "/nowhere")
TEXTS = ("", "one", "zwei\n", '{"three": 3}', "Ünïcode \\ and \t tab", "🙂" * 5)


def after(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    texts = state["texts"]
    if name == "count_files":
        return len(texts)
    if name == "list_files":
        return sorted(filter(lambda path: path.startswith(given["folder"]), texts))
    if name in ("read_file", "set_access") and given["path"] not in texts:
        raise RefusedError(f"{given['path']} is not there")
    if name == "read_file":
        text, most = texts[given["path"]], given["max_chars"]
        return text if most is None else text[:most]
    if name == "set_access":
        others = [path for path in state["locked"] if path != given["path"]]
        is_locked = given["access"] == "locked"
        state["locked"] = sorted([*others, given["path"]] if is_locked else others)
        return f"{given['path']} is {given['access']}"
    return _after_writing(state, name, given)


def _after_writing(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    texts = state["texts"]
    if name == "move_file" and given["source"] not in texts:
        raise RefusedError(f"{given['source']} is not there")
    touched = given.get("paths") or [given[k] for k in ("path", "source", "target") if k in given]
    for path in touched:
        if path in state["locked"]:
            raise RefusedError(f"{path} is locked")
    if name == "write_file":
        before = texts.get(given["path"], "") if given["mode"] == "append" else ""
        texts[given["path"]] = before + given["text"]
        return len(before + given["text"])
    if name == "delete_files":
        gone = sorted({path for path in given["paths"] if path in texts})
        for path in gone:
            del texts[path]
        return gone
    if given["target"] in texts and not given["overwrite"]:
        raise RefusedError(f"{given['target']} is there already")
    texts[given["target"]] = texts[given["source"]]
    if given["source"] != given["target"]:
        del texts[given["source"]]
    return {"moved": given["target"]}


def propose(rng: Random, state: dict[str, Any]) -> Op:
    new = f"{rng.choice(FOLDERS[1:])}/{rng.choice('bcdef')}.txt"
    known = [*state["texts"], new]
    one, two = rng.sample(known, 2)
    all_of_it = {EVERYTHING}
    written = {"path": one, "text": rng.choice(TEXTS)}
    moved = {"source": one, "target": two}
    access = {"path": one, "access": rng.choice(("writable", "locked"))}
    return rng.choice(
        (
            Op("write_file", {**written, **some(rng, mode="append")}, {one}),
            Op("write_file", {**written, "mode": "append"}, {one}),
            Op("write_file", {**written, "path": new}, {new}),
            Op("move_file", {**moved, **some(rng, overwrite=True)}, {one, two}),
            Op("delete_files", {"paths": rng.choice(([], [one], [one, two]))}, {one, two}),
            Op("set_access", access, {one}),
            Op("read_file", {"path": one, **some(rng, max_chars=3)}, reads={one}),
            Op("list_files", some(rng, folder=rng.choice(FOLDERS)), reads=all_of_it),
            Op("count_files", reads=all_of_it),
        )
    )


FILES = WorldKind(
    name="files",
    start=START,
    live=Files,
    after=after,
    propose=propose,
    defaults={
        "write_file": {"mode": "replace"},
        "move_file": {"overwrite": False},
        "delete_files": {},
        "set_access": {},
        "read_file": {"max_chars": None},
        "list_files": {"folder": "/"},
        "count_files": {},
    },
    choices={"write_file": "mode", "set_access": "access"},
)
