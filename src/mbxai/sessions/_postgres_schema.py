"""The tables in Postgres: numbered migrations, and the check that they are there."""

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mbxai.errors import ConfigurationError, SessionStoreError

if TYPE_CHECKING:
    from psycopg import AsyncConnection

Connection: TypeAlias = "AsyncConnection[tuple[Any, ...]]"  # Any: columns

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")
_LOCK: Final = 0x6D627861  # "mbxa": one process at a time makes or changes the tables

# `wanted_from` is what StoredSession.wanted_from() says, kept here to be found by an index. `write`
# names the last write, so that one whose answer was lost is known when it comes again.
_VERSION_1: Final = """
    CREATE TABLE {schema}.sessions (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        scope text COLLATE "C" NOT NULL,
        agent_id text COLLATE "C" NOT NULL,
        version bigint NOT NULL,
        fence bigint NOT NULL,
        seq bigint NOT NULL,
        status text NOT NULL,
        owner text,
        until float8 NOT NULL,
        lease_seconds float8 NOT NULL,
        due_at float8,
        answers_posted bigint NOT NULL,
        answers_read bigint NOT NULL,
        created_at float8 NOT NULL,
        updated_at float8 NOT NULL,
        wanted_from float8,
        write text,
        content bytea NOT NULL,
        UNIQUE (scope, agent_id)
    );
    CREATE INDEX sessions_by_age ON {schema}.sessions (scope, created_at, agent_id);
    CREATE INDEX sessions_by_status ON {schema}.sessions (scope, status, created_at, agent_id);
    CREATE INDEX sessions_wanted ON {schema}.sessions (wanted_from)
        WHERE wanted_from IS NOT NULL;
    CREATE INDEX sessions_by_save ON {schema}.sessions (updated_at);
    CREATE TABLE {schema}.log (
        session_id bigint NOT NULL REFERENCES {schema}.sessions ON DELETE CASCADE,
        seq bigint NOT NULL,
        content bytea NOT NULL,
        PRIMARY KEY (session_id, seq)
    );
    CREATE TABLE {schema}.answers (
        session_id bigint NOT NULL REFERENCES {schema}.sessions ON DELETE CASCADE,
        interaction_id text COLLATE "C" NOT NULL,
        number bigint NOT NULL,
        content bytea,
        posted_at float8 NOT NULL,
        PRIMARY KEY (session_id, interaction_id)
    );
"""

# `made` names the creation, which `write` forgets when another worker saves before its maker asks
# again.
_VERSION_2: Final = """
    ALTER TABLE {schema}.sessions ADD COLUMN made text;
"""

MIGRATIONS: Final = (_VERSION_1, _VERSION_2)
"""Each brings the tables from the version before to its own; none is ever changed."""


class Tables:
    """The tables of one schema.

    Attributes:
        listen: The statement that subscribes to the channel of `channel`.
        channel: Where saves are announced.
    """

    def __init__(self, schema: str) -> None:
        """Take the schema's name.

        Args:
            schema: Letters, digits and underscores, 41 at most.

        Raises:
            ConfigurationError: It is no such name.
        """
        if not _NAME.fullmatch(schema):
            raise ConfigurationError(
                "The schema of a PostgresSessionStore is a name of up to 41 letters, digits and"
                f" underscores, not {schema!r:.80}."
            )
        self._schema = schema
        self.channel: str = f"mbxai_{schema}"
        self.listen: bytes = f'LISTEN "{self.channel}"'.encode()

    def sql(self, text: str) -> bytes:
        """Return a statement with the schema's name in the place of `{schema}`."""
        return text.replace("{schema}", f'"{self._schema}"').encode()

    async def prepare(self, connection: Connection) -> None:
        """Make or change the tables, if they are not as they should be.

        Args:
            connection: Outside of a transaction.

        Raises:
            SessionStoreError: They are of a newer mbxai.
        """
        if await self._version(connection) == len(MIGRATIONS):
            return
        async with connection.transaction():
            await connection.execute(b"SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            # Another process may have been faster. What follows looks with its own eyes, where a
            # look-up by name may still remember that there was nothing.
            if not await self._has_schema(connection):  # else no right to make one is needed
                await connection.execute(self.sql("CREATE SCHEMA IF NOT EXISTS {schema}"))
            await connection.execute(
                self.sql("CREATE TABLE IF NOT EXISTS {schema}.migrations (version bigint)")
            )
            version = await self._last(connection)
            for number, statements in enumerate(MIGRATIONS[version:], version + 1):
                await connection.execute(self.sql(statements))
                await connection.execute(
                    self.sql("INSERT INTO {schema}.migrations VALUES (%s)"), [number]
                )

    async def _has_schema(self, connection: Connection) -> bool:
        cursor = await connection.execute(
            b"SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", [self._schema]
        )
        return await cursor.fetchone() is not None

    async def _version(self, connection: Connection) -> int:
        """Return the version of the tables; 0 where there are none."""
        name = f'"{self._schema}".migrations'
        cursor = await connection.execute(b"SELECT to_regclass(%s) IS NOT NULL", [name])
        found = await cursor.fetchone()
        if found is None or not found[0]:
            return 0
        return await self._last(connection)

    async def _last(self, connection: Connection) -> int:
        cursor = await connection.execute(
            self.sql("SELECT coalesce(max(version), 0) FROM {schema}.migrations")
        )
        row = await cursor.fetchone()
        version = int(row[0]) if row else 0
        if version > len(MIGRATIONS):
            raise SessionStoreError(
                f"The tables in schema {self._schema} are of a newer mbxai (version {version},"
                f" known {len(MIGRATIONS)}).",
                hint="Upgrade mbxai, or give another schema; nothing was changed.",
            )
        return version
