"""What each tool was when it was first seen, so that a later change is noticed.

A server that was honest when it was looked at may change what its tools say, or do, a day later.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, cast
from uuid import uuid4

from mbxai.errors import ConfigurationError

PinMode: TypeAlias = Literal["off", "warn", "block"]
"""What happens when a tool is no longer what it was when it was first seen."""

_PINNED: Final = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
_IDENTITY: Final = "server"
_DESCRIBED: Final = (*_PINNED[1:], _IDENTITY)
_VERSION: Final = 1
LOCK_SECONDS: Final = 5.0
"""How long to wait for other processes that use a file of pins."""

_LOOK_SECONDS: Final = 0.02


class PinStore(Protocol):
    """Where pins are kept: for each server, the digests of its tools by name.

    Methods may block; they are called in a worker thread where that matters.
    """

    def first_seen(self, server: str, pins: Mapping[str, str]) -> Mapping[str, str]:
        """Return what is kept of a server; if that is nothing, keep this, in one step.

        Args:
            server: The name the server was registered under.
            pins: What its tools are now.
        """
        ...

    def keep(self, server: str, pins: Mapping[str, str]) -> None:
        """Keep this of a server, in the place of all that was kept.

        Args:
            server: The name the server was registered under.
            pins: What its tools are now.
        """
        ...


class MemoryPinStore:
    """Keeps pins as long as it lives."""

    def __init__(self) -> None:
        """Start with no pins."""
        self._lock = threading.Lock()  # guards _pins
        self._pins: dict[str, dict[str, str]] = {}

    def first_seen(self, server: str, pins: Mapping[str, str]) -> Mapping[str, str]:
        """Return what is kept of a server, or keep this; see `PinStore`."""
        with self._lock:
            return dict(self._pins.setdefault(server, dict(pins)))

    def keep(self, server: str, pins: Mapping[str, str]) -> None:
        """Keep this of a server; see `PinStore`."""
        with self._lock:
            self._pins[server] = dict(pins)


class FilePinStore:
    """Keeps pins in a JSON file that several processes may use, and that belongs under review.

    A second file, of the same name with `.lock` after it, keeps the processes apart.
    """

    def __init__(self, path: str | Path, *, lock_seconds: float = LOCK_SECONDS) -> None:
        """Take the file's place; nothing is read yet.

        Args:
            path: The file; it and its directory are made when they are needed.
            lock_seconds: How long to wait for other processes that use the file.
        """
        self._path = Path(path)
        self._lock_seconds = lock_seconds
        self._lock = threading.Lock()  # one thread at a time; between processes, the lock file

    def first_seen(self, server: str, pins: Mapping[str, str]) -> Mapping[str, str]:
        """Return what is kept of a server, or keep this; see `PinStore`.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        with self._alone():
            kept = self._read()
            if server in kept:
                return kept[server]
            self._write({**kept, server: dict(pins)})
            return dict(pins)

    def keep(self, server: str, pins: Mapping[str, str]) -> None:
        """Keep this of a server; see `PinStore`.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        with self._alone():
            self._write({**self._read(), server: dict(pins)})

    @contextmanager
    def _alone(self) -> Generator[None, None, None]:
        with self._lock:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                guard = self._path.with_name(f"{self._path.name}.lock")
                descriptor = os.open(guard, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    _lock_file(descriptor, self._lock_seconds)
                    yield
                finally:
                    os.close(descriptor)  # and with it, the lock
            except OSError as error:
                raise ConfigurationError(
                    f"The pins in {self._path} cannot be used ({error.strerror or error}).",
                    hint="Give pins= a file that may be written.",
                ) from error

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        try:
            return _servers(json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            # To begin anew would be to trust whatever the servers say today.
            raise ConfigurationError(
                f"{self._path} holds no pins of mbxai.",
                hint="Restore it, or remove it to trust the servers' tools as they are now.",
            ) from error

    def _write(self, pins: Mapping[str, Mapping[str, str]]) -> None:
        document = {"version": _VERSION, "servers": pins}
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
        fresh = self._path.with_name(f".{self._path.name}.{uuid4().hex}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        finally:
            with suppress(FileNotFoundError):
                fresh.unlink()


def pin_of(tool: Mapping[str, Any], server: str, declared_name: str) -> str:
    """Return the digest of all that decides what a tool is.

    Args:
        tool: The tool as the server lists it.
        server: The name the server was registered under.
        declared_name: The server's name for itself; empty if it gave none.

    Returns:
        "sha256:" and 64 hexadecimal digits, then the beginnings of the digests of its parts, by
        which a change is described; the order of keys does not matter.
    """
    parts = {name: tool.get(name) for name in _PINNED}
    whole = _digest([parts, server, declared_name])
    said = {**parts, _IDENTITY: [server, declared_name]}
    single = (f"{name}:{_digest(said[name])[:8]}" for name in _DESCRIBED)
    return " ".join((f"sha256:{whole}", *single))


def _digest(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def changes(pins: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """Return which tools are no longer what they were, and how, in words.

    A tool that is gone is no change; one under another name is a new one.

    Args:
        pins: What the tools are now.
        kept: What they were when they were first seen, or trusted.
    """
    return {
        name: _difference(kept[name], pin)
        if name in kept
        else "it was added after the server was first seen"
        for name, pin in pins.items()
        if kept.get(name) != pin
    }


def _difference(old: str, new: str) -> str:
    before, after = old.split()[1:], new.split()[1:]
    parts = [part.partition(":")[0] for part in after if part not in before]
    what = f" ({', '.join(parts)})" if parts else ""
    return f"it has changed since it was first seen{what}"


def _servers(document: Any) -> dict[str, dict[str, str]]:
    if document["version"] != _VERSION:
        raise ValueError
    servers = cast("dict[str, dict[str, str]]", document["servers"])
    for pins in servers.values():
        if not all(isinstance(pin, str) for pin in cast("dict[str, object]", pins).values()):
            raise TypeError
    return servers


def _lock_file(descriptor: int, seconds: float) -> None:
    """Lock a file, or fail with an `OSError`; a process that stands still must not stop others."""
    try:
        import fcntl  # noqa: PLC0415
    except ImportError:  # pragma: no cover  # Windows, where only single writes are whole
        return
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return
