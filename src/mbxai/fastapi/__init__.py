"""An agent as a service: `agent_router(agent, scope=...)` for a FastAPI application.

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
]
