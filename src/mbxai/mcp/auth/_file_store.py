"""Tokens in a sealed file that several processes may share."""

import base64
import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Final, TypeVar, cast

import anyio.to_thread

from mbxai.errors import ConfigurationError, MCPAuthError
from mbxai.mcp.auth._sealing import KEY_BYTES, read_keys
from mbxai.mcp.auth._stores import TokenKey

KEY_VARIABLE: Final = "MBXAI_TOKEN_KEY"
"""The environment variable that holds the key, or several with commas between them."""

_FORMAT: Final = 1
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_LOCK_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02

T = TypeVar("T")


class FileTokenStore:
    """Keeps tokens in one file: sealed with AES-256-GCM, readable by its owner alone.

    Each entry is bound to its server's name, its origin and the client; an entry that was moved or
    changed does not open. What does not open is an error, and is never written over. A crash leaves
    the old file or the new one. Needs a local disk.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: "str | bytes | Sequence[str | bytes] | None" = None,
    ) -> None:
        """Read the key; the file is not touched before the first call.

        Args:
            path: The file; it and its directory are made when something is saved.
            key: 32 bytes or their Base64; of several the first one seals and all of them open, so
                that keys can be changed. By default that of the environment's MBXAI_TOKEN_KEY.

        Raises:
            ConfigurationError: There is no key, or one is malformed.
        """
        self._path = Path(path).expanduser()
        source = "key" if key is not None else f"the environment variable {KEY_VARIABLE}"
        given = key if key is not None else os.environ.get(KEY_VARIABLE, "")
        if not given:
            raise ConfigurationError(
                f"A FileTokenStore needs a key; {source} holds none.",
                hint="Make one with FileTokenStore.new_key() and keep it apart from the file.",
            )
        self._ring = read_keys(given, source=source)
        self._lock = threading.Lock()  # guards the file between the threads of this process

    @staticmethod
    def new_key() -> str:
        """Return a new random key.

        Returns:
            Base64 of 32 bytes.
        """
        return base64.b64encode(os.urandom(KEY_BYTES)).decode()

    async def load(self, key: TokenKey) -> str | None:
        """Return the text that was saved last.

        Args:
            key: Whose text.

        Returns:
            The text; None if there is none.

        Raises:
            MCPAuthError: The file cannot be read, or the entry does not open with our keys.
        """

        def read() -> str | None:
            sealed = self._read().get(_label(key))
            return None if sealed is None else self._opened(key, sealed)

        return await _in_thread(read)

    async def save(self, key: TokenKey, text: str) -> None:
        """Keep a text in place of the former one.

        Args:
            key: Whose text.
            text: A few kB of JSON.

        Raises:
            MCPAuthError: The file cannot be written, or the former entry does not open with our
                keys.
        """

        def write() -> None:
            with self._alone():
                entries = self._read()
                former = entries.get(_label(key))
                if former is not None:
                    # Else a wrong key would silently destroy what the right one could open.
                    self._opened(key, former)
                entries[_label(key)] = self._ring.seal(text, _bound_to(key))
                self._write(entries)

        await _in_thread(write)

    async def delete(self, key: TokenKey) -> None:
        """Forget a text; nothing happens if there is none.

        Args:
            key: Whose text; it is forgotten even if it does not open.

        Raises:
            MCPAuthError: The file cannot be read or written.
        """

        def write() -> None:
            with self._alone():
                entries = self._read()
                if entries.pop(_label(key), None) is not None:
                    self._write(entries)

        await _in_thread(write)

    def __repr__(self) -> str:
        """Name the file, and nothing that is in it."""
        return f"FileTokenStore({str(self._path)!r})"

    def _opened(self, key: TokenKey, sealed: str) -> str:
        text = self._ring.open(sealed, _bound_to(key))
        if text is None:
            raise MCPAuthError(
                f"The tokens of MCP server {key.server!r} in {self._path} do not open: the key is "
                "another one, or the file was changed.",
                hint="Give the key that sealed them (also as a further key), or delete the entry"
                " to sign in anew.",
                server=key.server,
            )
        return text

    def _read(self) -> dict[str, str]:
        try:
            if self._path.stat().st_size > _MAX_FILE_BYTES:
                raise self._problem("is too large to be a token file")
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._problem(f"cannot be read ({type(error).__name__})") from error
        try:
            content: object = json.loads(raw)
        except (ValueError, RecursionError):
            content = None
        file = cast("dict[str, object]", content) if isinstance(content, dict) else {}
        entries = file.get("entries")
        if file.get("format") != _FORMAT or not isinstance(entries, dict):
            raise self._problem("is no token file, or is damaged")
        named = cast("dict[str, object]", entries)
        return {label: sealed for label, sealed in named.items() if isinstance(sealed, str)}

    def _write(self, entries: dict[str, str]) -> None:
        text = json.dumps({"format": _FORMAT, "entries": entries}, indent=1)
        try:
            # Made with mode 0600 from the start: nobody can open it in between.
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".tokens-")
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise self._problem(f"cannot be written ({type(error).__name__})") from error

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Keep other threads and processes from writing between our reading and writing."""
        import fcntl  # noqa: PLC0415  # not on Windows, where the rest of this package loads

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._problem(f"cannot be written ({type(error).__name__})") from error
        with self._lock:
            try:
                deadline = time.monotonic() + _LOCK_SECONDS
                while True:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except OSError:
                        if time.monotonic() > deadline:
                            raise self._problem("is locked by another process") from None
                    time.sleep(_POLL_SECONDS)
                yield
            finally:
                os.close(lock)

    def _problem(self, what: str) -> MCPAuthError:
        return MCPAuthError(f"The token file {self._path} {what}.")


async def _in_thread(work: Callable[[], T]) -> T:
    # Not abandoned on cancellation: a half-told story of who holds the lock would remain.
    return await anyio.to_thread.run_sync(work)


def _label(key: TokenKey) -> str:
    """Write a key as one line that a person can read and no other key can equal."""
    return json.dumps([key.server, key.origin, key.client])


def _bound_to(key: TokenKey) -> bytes:
    return f"mbxai tokens {_FORMAT} {_label(key)}".encode()
