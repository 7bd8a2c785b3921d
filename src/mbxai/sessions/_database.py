"""The SQLite file: opening it with care, transactions, and errors that say what to do.

What a row means is the business of `_sqlite.py`. Everything here blocks and runs in a worker
thread.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from mbxai.errors import SessionStoreError
from mbxai.sessions._sqlite_schema import APPLICATION_ID, SCHEMA_VERSION, create, migrate

T = TypeVar("T")

PAUSE_SECONDS: Final = 0.02

# By the low byte of SQLite's result code, which is the primary code.
_HINTS: Final = {
    sqlite3.SQLITE_BUSY: "Another program holds the database; end it or raise busy_timeout.",
    sqlite3.SQLITE_LOCKED: "Another program holds the database; end it or raise busy_timeout.",
    sqlite3.SQLITE_READONLY: "Make the file and its directory writable for this user.",
    sqlite3.SQLITE_CANTOPEN: "Make the file and its directory writable for this user.",
    sqlite3.SQLITE_PERM: "Make the file and its directory writable for this user.",
    sqlite3.SQLITE_NOTADB: "Give the path of a new file; this one was left as it is.",
    sqlite3.SQLITE_CORRUPT: "The file is damaged: restore a copy or salvage it with"
    " `sqlite3 FILE .recover`; it was left as it is.",
    sqlite3.SQLITE_FULL: "The disk is full; free some space.",
}


class SessionDatabase:
    """One connection to the file, opened when first needed and closed before a fork."""

    def __init__(self, path: Path, *, busy_timeout: float) -> None:
        """Remember where the file is; nothing is opened yet.

        Args:
            path: Absolute path of the file.
            busy_timeout: Seconds to wait for another process's transaction.
        """
        self._path = path
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._flush = ""  # which of its ways of flushing the connection is in
        self._lock = threading.Lock()  # guards the connection: one transaction at a time
        _databases.add(self)

    def read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run one query; writers of other processes do not hold it up.

        Args:
            operation: Gets the connection.

        Returns:
            What the operation returned.

        Raises:
            SessionStoreError: The file cannot be opened or read.
        """
        with self._lock, self._translated():
            return operation(self._opened())

    def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run one transaction, alone among all processes, and have it on the disk.

        Args:
            operation: Gets the connection; what it did is undone if it raises.

        Returns:
            What the operation returned.

        Raises:
            SessionStoreError: The file cannot be opened, read or written.
        """
        return self._write(operation, "FULL")

    def write_soon(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run one transaction that a loss of power may undo, but no end of a process.

        That is enough for leases: who held one is gone then, too. It does not wait for the disk.

        Args:
            operation: Gets the connection; what it did is undone if it raises.

        Returns:
            What the operation returned.

        Raises:
            SessionStoreError: The file cannot be opened, read or written.
        """
        return self._write(operation, "NORMAL")

    def _write(self, operation: Callable[[sqlite3.Connection], T], flush: str) -> T:
        with self._lock, self._translated():
            connection = self._opened()
            if self._flush != flush:
                connection.execute(f"PRAGMA synchronous = {flush}")
                self._flush = flush
            with _transaction(connection):
                return operation(connection)

    def close(self, *, wait: bool = True) -> None:
        """Close the connection; the next transaction opens it again.

        Args:
            wait: For a running transaction; without it a busy connection is left open.
        """
        if self._lock.acquire(blocking=wait):
            try:
                self._disconnect()
            finally:
                self._lock.release()

    def before_fork(self) -> None:
        """Close the connection and let nobody open it until `after_fork`."""
        self._lock.acquire()
        self._disconnect()

    def after_fork(self) -> None:
        """Go on, in the parent and in the child."""
        self._lock.release()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._flush = ""
        if connection is not None:
            connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        self._create_file()
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw",  # never creates: _create_file decides the file mode
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        try:
            connection.text_factory = bytes  # damaged text must reach us, not fail the whole query
            with _transaction(connection, "DEFERRED"):  # all that it reads is of one moment
                version = self._version(connection)
            if version != SCHEMA_VERSION:
                with _transaction(connection):
                    self._bring_up(connection)
            self._switch_to_wal(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create_file(self) -> None:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            if self._path.is_dir():
                raise self._error("it is a directory", "Give the path of a file.") from None
        except FileNotFoundError as error:
            raise self._error("its directory does not exist", "Create the directory.") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            hint = "Make the file and its directory readable and writable for this user."
            raise self._error(reason or type(error).__name__, hint) from error

    def _bring_up(self, connection: sqlite3.Connection) -> None:
        version = self._version(connection)  # another process may have been faster
        if version == 0:
            create(connection)
        elif version < SCHEMA_VERSION:
            migrate(connection)

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file's tables; 0 for an empty file."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application == APPLICATION_ID and 1 <= version <= SCHEMA_VERSION:
            return version
        if application == APPLICATION_ID and version > SCHEMA_VERSION:
            raise self._error(
                f"it was written by a newer mbxai (schema {version}, known {SCHEMA_VERSION})",
                "Upgrade mbxai, or give another path; the file was left as it is.",
            )
        if application or version or objects:
            raise self._error(
                "it is a database of another program",
                "Give the path of a new file; this one was left as it is.",
            )
        return 0

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait here as it does elsewhere when several processes open a new file.
        # A file system without shared memory keeps its old mode, which is as safe, only slower.
        give_up = time.monotonic() + self._busy_timeout
        while connection.execute("PRAGMA journal_mode").fetchone() != (b"wal",):
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > give_up:
                    raise
                time.sleep(PAUSE_SECONDS)
            else:
                return

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise self._error(str(error), _HINTS.get(code, "")) from error

    def _error(self, reason: str, hint: str) -> SessionStoreError:
        return SessionStoreError(
            f"The session database {self._path} cannot be used: {reason}.", hint=hint
        )


@contextmanager
def _transaction(
    connection: sqlite3.Connection, mode: str = "IMMEDIATE"
) -> Generator[sqlite3.Connection, None, None]:
    # IMMEDIATE takes the write lock before reading, so that what was read still holds when written.
    connection.execute(f"BEGIN {mode}")
    try:
        yield connection
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


# SQLite keeps its locks in the process's memory: a child that inherits an open file believes in
# locks that only its parent has, and the parent's closing then takes the child's log away.
_databases: Final[weakref.WeakSet[SessionDatabase]] = weakref.WeakSet()
_held: Final[list[SessionDatabase]] = []


def _before_fork() -> None:
    _held.extend(_databases)
    for database in _held:
        database.before_fork()


def _after_fork() -> None:
    while _held:
        _held.pop().after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
