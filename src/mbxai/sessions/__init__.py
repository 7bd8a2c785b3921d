"""Where an agent's state lives: session stores, the five-method handler, the credential vault."""

from mbxai.sessions._adapter import HandlerSessionStore, as_store
from mbxai.sessions._ids import id_of_request, is_id, new_agent_id
from mbxai.sessions._key_ring import KeyRing
from mbxai.sessions._memory import InMemorySessionStore
from mbxai.sessions._postgres import PostgresSessionStore
from mbxai.sessions._redis import RedisSessionStore
from mbxai.sessions._sealed import SealedSessionStore
from mbxai.sessions._sqlite import SQLiteSessionStore
from mbxai.sessions._store import (
    DueSession,
    LogRow,
    PostedAnswer,
    SessionPage,
    SessionRecord,
    SessionStore,
    SessionSummary,
)
from mbxai.sessions._sync import BlockingSessionStore
from mbxai.sessions._vault import (
    HANDLE_SCHEME,
    CredentialVault,
    handle_of,
    parse_credentials,
)
from mbxai.sessions.handler import InMemorySessionHandler, SessionHandler

__all__ = [
    "HANDLE_SCHEME",
    "BlockingSessionStore",
    "CredentialVault",
    "DueSession",
    "HandlerSessionStore",
    "InMemorySessionHandler",
    "InMemorySessionStore",
    "KeyRing",
    "LogRow",
    "PostedAnswer",
    "PostgresSessionStore",
    "RedisSessionStore",
    "SQLiteSessionStore",
    "SealedSessionStore",
    "SessionHandler",
    "SessionPage",
    "SessionRecord",
    "SessionStore",
    "SessionSummary",
    "as_store",
    "handle_of",
    "id_of_request",
    "is_id",
    "new_agent_id",
    "parse_credentials",
]
