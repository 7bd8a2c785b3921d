"""States kept by hand in SQLite, for frameworks that leave this to the application.

Each write names the revision that was read, so that no writer overwrites another one unnoticed.
"""

import sqlite3
from contextlib import closing
from pathlib import Path


class StaleStateError(Exception):
    """Another writer was faster."""


class States:
    """One text a session."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._open()) as connection, connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS states (name TEXT PRIMARY KEY, revision INT, text TEXT)"
            )

    def load(self, name: str) -> tuple[int, str]:
        """Return revision and text; revision 0 and no text if there is none."""
        with closing(self._open()) as connection:
            query = "SELECT revision, text FROM states WHERE name = ?"
            return connection.execute(query, (name,)).fetchone() or (0, "")

    def save(self, name: str, revision: int, text: str) -> None:
        """Store a text over the revision that was read.

        Raises:
            StaleStateError: It is not the newest one any more.
        """
        with closing(self._open()) as connection, connection:
            done = connection.execute(
                "INSERT INTO states VALUES (?, 1, ?) ON CONFLICT (name) DO UPDATE"
                " SET revision = revision + 1, text = excluded.text WHERE revision = ?",
                (name, text, revision),
            )
            if not done.rowcount:
                raise StaleStateError

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30.0)
