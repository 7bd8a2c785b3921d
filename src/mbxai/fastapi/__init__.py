"""Agents and tools as services: `agent_router` and `chat_router` for a FastAPI application.

The extra `fastapi` brings what it takes. The same without FastAPI is `mbxai.serving`.
"""

from mbxai.fastapi._bodies import (
    AnswerForm,
    ContinueRequest,
    SessionItem,
    SessionList,
    SessionStarted,
    SessionState,
    StartRequest,
)
from mbxai.fastapi._chat_router import chat_router
from mbxai.fastapi._router import agent_router, anonymous

__all__ = [
    "AnswerForm",
    "ContinueRequest",
    "SessionItem",
    "SessionList",
    "SessionStarted",
    "SessionState",
    "StartRequest",
    "agent_router",
    "anonymous",
    "chat_router",
]
