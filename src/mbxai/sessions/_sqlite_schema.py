"""The tables of the SQLite file, and how a file of an older mbxai gets them."""

import sqlite3
from typing import Final

APPLICATION_ID: Final = 0x6D627861  # "mbxa" in the header, so that a foreign database is noticed
SCHEMA_VERSION: Final = 2

# The content stands apart, so that a save which only appends to the log does not write it again.
# `wanted_from` is what StoredSession.wanted_from() says, kept here to be found by an index.
_TABLES: Final = (
    """
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY,
        scope TEXT NOT NULL,
        agent_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        status TEXT NOT NULL,
        owner TEXT,
        until REAL NOT NULL,
        lease_seconds REAL NOT NULL,
        due_at REAL,
        answers_posted INTEGER NOT NULL,
        answers_read INTEGER NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        wanted_from REAL,
        UNIQUE (scope, agent_id)
    )
    """,
    "CREATE INDEX sessions_by_age ON sessions (scope, created_at, agent_id)",
    "CREATE INDEX sessions_by_status ON sessions (scope, status, created_at, agent_id)",
    "CREATE INDEX sessions_wanted ON sessions (wanted_from) WHERE wanted_from IS NOT NULL",
    "CREATE INDEX sessions_by_save ON sessions (updated_at)",
    "CREATE TABLE contents (id INTEGER PRIMARY KEY, content BLOB NOT NULL)",
    """
    CREATE TABLE log (
        id INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (id, seq)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE answers (
        id INTEGER NOT NULL,
        interaction_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        content BLOB,
        posted_at REAL NOT NULL,
        PRIMARY KEY (id, interaction_id)
    ) WITHOUT ROWID
    """,
)

_FROM_VERSION_1: Final = (
    """
    INSERT INTO sessions (scope, agent_id, version, fence, seq, status, owner, until,
        lease_seconds, answers_posted, answers_read, created_at, updated_at)
    SELECT '', agent_id, version, fence, 0, '', owner, until, lease_seconds, 0, 0, updated_at,
        updated_at FROM sessions_1
    """,
    """
    INSERT INTO contents (id, content)
    SELECT id, CAST(data AS BLOB) FROM sessions JOIN sessions_1 USING (agent_id)
    """,
    "UPDATE sessions SET wanted_from = until WHERE owner IS NOT NULL",
    "DROP TABLE sessions_1",
)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file, within the caller's transaction.

    Args:
        connection: To the file.
    """
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file of version 1 to this version, within the caller's transaction.

    Args:
        connection: To the file.
    """
    connection.execute("ALTER TABLE sessions RENAME TO sessions_1")
    create(connection)
    for statement in _FROM_VERSION_1:
        connection.execute(statement)
