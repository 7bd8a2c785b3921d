"""A store in memory that counts the bytes which a backend would be given."""

from collections.abc import Sequence
from typing import Any

import mbxai.sessions as sessions
from mbxai.sessions._codec import encode

Json = dict[str, Any]  # Any: JSON


class CountingStore(sessions.InMemorySessionStore):
    """Counts data, rows and answers as every store writes them.

    Attributes:
        written_bytes: All of them so far.
        writes: How often something was written; claims and releases are not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written_bytes = 0
        self.writes = 0

    async def create(
        self, agent_id: str, data: Json, *, rows: Sequence[Json] = (), **options: Any
    ) -> sessions.SessionRecord:
        self._count(data, *rows)
        return await super().create(agent_id, data, rows=rows, **options)

    async def save(
        self,
        record: sessions.SessionRecord,
        data: Json | None = None,
        *,
        rows: Sequence[Json] = (),
        **options: Any,
    ) -> sessions.SessionRecord:
        self._count(*([] if data is None else [data]), *rows)
        return await super().save(record, data, rows=rows, **options)

    async def post_answer(
        self, agent_id: str, interaction_id: str, content: Json, **options: Any
    ) -> Any:  # Any: a posted answer
        self._count(content)
        return await super().post_answer(agent_id, interaction_id, content, **options)

    def _count(self, *contents: Json) -> None:
        self.writes += 1
        self.written_bytes += sum(len(encode(content, agent_id="")) for content in contents)
