"""Sessions that lie sealed in any store: AES-256-GCM, bound to where each piece belongs."""

import base64
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from anyio import to_thread

from mbxai.errors import SessionDataError
from mbxai.sessions._adapter import as_store
from mbxai.sessions._codec import text_of
from mbxai.sessions._key_ring import KeyRing
from mbxai.sessions._store import (
    JSON,
    DueSession,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
    SessionStore,
)

T = TypeVar("T")

_FORM: Final = 1
_NONCE_BYTES: Final = 12
_LARGE_BYTES: Final = 256 * 1024
"""From here on a worker thread does it, which blocks nobody; below, the hand-over costs more."""


class SealedSessionStore:
    """Passes sessions on to another store, with their data, log rows and answers sealed.

    Each piece is bound to scope, session and place (the version, the row's number, the request), so
    that one that was changed, or put in another's place, is refused. What stays in clear: ids,
    scopes, status, times, and how much there is. Where an agent's store is sealed, and only there,
    credentials that people give are stored, too, until the turn has ended.

    A row of the log keeps the key that it was written with. A session's data is sealed anew, with
    the key that seals now, when it is written as a whole.
    """

    is_sealed: bool = True

    def __init__(
        self, store: object, keys: KeyRing | None = None, *, accept_unsealed: bool = False
    ) -> None:
        """Take a store.

        Args:
            store: Where sessions are kept: a store, or a handler with five methods.
            keys: The keys; None: those of the environment variable MBXAI_SESSION_KEY.
            accept_unsealed: Whether what lies there in clear is read, to seal a store that was
                used before. Whoever can write to the store can then put anything there.

        Raises:
            ConfigurationError: There is no key, or the store is none.
        """
        self._store: SessionStore = as_store(store)
        self._keys = KeyRing.from_environment() if keys is None else keys
        self._accept_unsealed = accept_unsealed
        self.keeps_log: bool = self._store.keeps_log

    def __repr__(self) -> str:
        """Say what it is around."""
        return f"<SealedSessionStore of {self._store!r}>"

    async def load(self, agent_id: str, *, scope: str = "") -> SessionRecord | None:
        """Read a session without claiming it; see `SessionStore.load`."""
        record = await self._store.load(agent_id, scope=scope)
        return None if record is None else await self._opened(record)

    async def create(
        self,
        agent_id: str,
        data: JSON,
        *,
        scope: str = "",
        rows: Sequence[JSON] = (),
        status: str = "",
        due_at: float | None = None,
    ) -> SessionRecord:
        """Store a new session; see `SessionStore.create`."""
        record = await self._store.create(
            agent_id,
            await self._seal(data, "data", scope, agent_id, 1),
            scope=scope,
            rows=await self._sealed_rows(rows, scope, agent_id, after=0),
            status=status,
            due_at=due_at,
        )
        return await self._opened(record)

    async def claim(
        self, agent_id: str, *, owner: str, lease_seconds: float, scope: str = ""
    ) -> SessionRecord:
        """Take a session for one run, creating it if need be; see `SessionStore.claim`."""
        record = await self._store.claim(
            agent_id, owner=owner, lease_seconds=lease_seconds, scope=scope
        )
        try:
            return await self._opened(record)
        except BaseException:
            await self._store.release(record, owner=owner)
            raise

    async def save(
        self,
        record: SessionRecord,
        data: JSON | None = None,
        *,
        owner: str,
        rows: Sequence[JSON] = (),
        status: str | None = None,
        answers_read: int = 0,
        drop_rows: int = 0,
    ) -> SessionRecord:
        """Store new data and rows by compare-and-set; see `SessionStore.save`."""
        agent_id, scope, place = record.agent_id, record.scope, record.version + 1
        sealed = None if data is None else await self._seal(data, "data", scope, agent_id, place)
        saved = await self._store.save(
            record,
            sealed,
            owner=owner,
            rows=await self._sealed_rows(rows, scope, agent_id, after=record.seq),
            status=status,
            answers_read=answers_read,
            drop_rows=drop_rows,
        )
        return replace(saved, data=record.data) if data is None else await self._opened(saved)

    async def heartbeat(self, record: SessionRecord, *, owner: str) -> None:
        """Renew the lease; see `SessionStore.heartbeat`."""
        await self._store.heartbeat(record, owner=owner)

    async def release(
        self, record: SessionRecord, *, owner: str, due_at: float | None = None
    ) -> None:
        """Give a claimed session back; see `SessionStore.release`."""
        await self._store.release(record, owner=owner, due_at=due_at)

    async def post_answer(
        self, agent_id: str, interaction_id: str, content: JSON, *, scope: str = ""
    ) -> PostedAnswer:
        """Put an answer into a session's inbox; see `SessionStore.post_answer`."""
        sealed = await self._seal(content, "answer", scope, agent_id, interaction_id)
        answer = await self._store.post_answer(agent_id, interaction_id, sealed, scope=scope)
        return await self._opened_answer(answer, scope, agent_id)

    async def read_answers(
        self, agent_id: str, *, scope: str = "", after: int = 0
    ) -> list[PostedAnswer]:
        """Read a session's inbox; see `SessionStore.read_answers`."""
        answers = await self._store.read_answers(agent_id, scope=scope, after=after)
        return [await self._opened_answer(answer, scope, agent_id) for answer in answers]

    async def read_log(
        self, agent_id: str, *, scope: str = "", after: int = 0, limit: int = 1000
    ) -> list[LogRow]:
        """Read a part of a session's log; see `SessionStore.read_log`."""
        rows = await self._store.read_log(agent_id, scope=scope, after=after, limit=limit)
        return [
            replace(row, content=await self._open(row.content, "row", scope, agent_id, row.seq))
            for row in rows
        ]

    async def wait(
        self, agent_id: str, *, after: int, timeout_seconds: float, scope: str = ""
    ) -> bool:
        """Wait for the next row of a session's log; see `SessionStore.wait`."""
        return await self._store.wait(
            agent_id, after=after, timeout_seconds=timeout_seconds, scope=scope
        )

    async def delete(self, agent_id: str, *, scope: str = "") -> bool:
        """Remove a session, whatever it is sealed with; see `SessionStore.delete`."""
        return await self._store.delete(agent_id, scope=scope)

    async def due(self, *, scope: str | None = None, limit: int = 100) -> list[DueSession]:
        """Name sessions that want a worker; see `SessionStore.due`."""
        return await self._store.due(scope=scope, limit=limit)

    async def sweep(self, *, limit: int = 1000) -> int:
        """Remove sessions whose time is up; see `SessionStore.sweep`."""
        return await self._store.sweep(limit=limit)

    async def aclose(self) -> None:
        """Close what the store has opened; see `SessionStore.aclose`."""
        await self._store.aclose()

    async def list(
        self,
        *,
        scope: str = "",
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """Name the sessions of a scope; see `SessionStore.list`."""
        return await self._store.list(scope=scope, status=status, cursor=cursor, limit=limit)

    # --- pieces -----------------------------------------------------------------------------------

    async def _sealed_rows(
        self, rows: Sequence[JSON], scope: str, agent_id: str, *, after: int
    ) -> Sequence[JSON]:
        return [
            await self._seal(row, "row", scope, agent_id, seq)
            for seq, row in enumerate(rows, after + 1)
        ]

    async def _opened(self, record: SessionRecord) -> SessionRecord:
        if not record.data:  # a session that was only claimed, or whose state is all in its log
            return record
        agent_id, sealed = record.agent_id, _sealed_part(record.data)
        place = sealed.get("at") if sealed else None
        if place is not None and not (isinstance(place, int) and 0 < place <= record.version):
            raise _refused(agent_id)
        data = await self._open(record.data, "data", record.scope, agent_id, place)
        return replace(record, data=data)

    async def _opened_answer(self, answer: PostedAnswer, scope: str, agent_id: str) -> PostedAnswer:
        if answer.content is None:
            return answer
        place = answer.interaction_id
        content = await self._open(answer.content, "answer", scope, agent_id, place)
        return replace(answer, content=content)

    async def _seal(
        self, content: JSON, kind: str, scope: str, agent_id: str, place: int | str
    ) -> JSON:
        key_id = self._keys.current_id
        key = _subkey(await self._keys.key(key_id, agent_id=agent_id), scope, agent_id)
        text = text_of(content, agent_id=agent_id)
        bound_to = _bound_to(kind, scope, agent_id, place)
        sealed = await _run(len(text), lambda: _encrypted(key, text, bound_to))
        at = {"at": place} if kind == "data" else {}
        return {"sealed": {"form": _FORM, "key": key_id, **at, "text": sealed}}

    async def _open(
        self, content: JSON, kind: str, scope: str, agent_id: str, place: int | str | None
    ) -> JSON:
        sealed = _sealed_part(content)
        if sealed is None:
            if self._accept_unsealed:
                return content
            raise SessionDataError(
                f"What is stored for session {agent_id!r} is not sealed.",
                hint="SealedSessionStore(..., accept_unsealed=True) reads what was stored before.",
                agent_id=agent_id,
            )
        key_id, text = sealed.get("key"), sealed.get("text")
        if sealed.get("form") != _FORM or not isinstance(key_id, str) or not isinstance(text, str):
            raise _refused(agent_id)
        key = _subkey(await self._keys.key(key_id, agent_id=agent_id), scope, agent_id)
        bound_to = _bound_to(kind, scope, agent_id, place)
        opened = await _run(len(text), lambda: _decrypted(key, text, bound_to))
        if opened is None:
            raise _refused(agent_id)
        return opened


def _sealed_part(content: JSON) -> dict[str, Any] | None:  # Any: JSON of whoever wrote it
    part: object = content.get("sealed") if len(content) == 1 else None
    return cast("dict[str, Any]", part) if isinstance(part, dict) else None


def _bound_to(kind: str, scope: str, agent_id: str, place: int | str | None) -> bytes:
    return json.dumps(["mbxai", _FORM, kind, scope, agent_id, place]).encode()


def _subkey(key: bytes, scope: str, agent_id: str) -> bytes:
    """Return the session's own key, so that no key sees so much that nonces could meet."""
    from cryptography.hazmat.primitives.hashes import SHA256  # heavy
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = json.dumps(["mbxai session", _FORM, scope, agent_id]).encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key)


def _encrypted(key: bytes, text: bytes, bound_to: bytes) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # heavy

    nonce = os.urandom(_NONCE_BYTES)
    # Compressed first: afterwards nothing can be.
    sealed = AESGCM(key).encrypt(nonce, zlib.compress(text), bound_to)
    return base64.b64encode(nonce + sealed).decode()


def _decrypted(key: bytes, text: str, bound_to: bytes) -> JSON | None:
    """Return what was sealed; None if it was changed, or belongs elsewhere."""
    from cryptography.exceptions import InvalidTag  # heavy
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = base64.b64decode(text, validate=True)
        packed = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound_to)
        opened: object = json.loads(zlib.decompress(packed))
    except (InvalidTag, ValueError, zlib.error):
        return None
    return cast("JSON", opened) if isinstance(opened, dict) else None


async def _run(size: int, function: Callable[[], T]) -> T:
    return function() if size < _LARGE_BYTES else await to_thread.run_sync(function)


def _refused(agent_id: str) -> SessionDataError:
    return SessionDataError(
        f"What is stored for session {agent_id!r} does not open: it was changed, or belongs to"
        " another session or place.",
        hint="It was left as it is; other sessions are not affected. delete() removes it.",
        agent_id=agent_id,
    )
