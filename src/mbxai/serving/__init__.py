"""Agent runs behind any web framework: detached from requests, bounded, followed from anywhere.

`RunManager` begins runs, takes answers, cancels, and has them run by a worker of this process;
`Follower` is what happens in one of them; `encode_event` makes server-sent events of it, `AGUIRun`
those of AG-UI 1.0, `AIUIRun` what `useChat` of Vercel's AI SDK reads. `mbxai.fastapi` is built on
it, and so can be a service in Starlette, Litestar or anything that speaks ASGI.
"""

from mbxai.serving._ag_ui import AGUIEvent, AGUIRun, encode_ag_ui
from mbxai.serving._ai_ui import AI_UI_DONE, AI_UI_HEADERS, AIUIChunk, AIUIRun, encode_ai_ui
from mbxai.serving._chat_completions import (
    CHAT_DONE,
    NEEDS_APPROVAL,
    ChatChunks,
    chat_error,
    chat_problem_of,
    completion_of,
    encode_chat,
)
from mbxai.serving._follower import Follower
from mbxai.serving._forms import answer_schema
from mbxai.serving._origins import is_foreign
from mbxai.serving._problems import Problem, problem_of
from mbxai.serving._run_manager import RunManager
from mbxai.serving._session_view import RESTS, SessionView
from mbxai.serving._sse import (
    SSE_HEADERS,
    encode_comment,
    encode_end,
    encode_event,
    is_counted,
    last_event_number,
)

__all__ = [
    "AI_UI_DONE",
    "AI_UI_HEADERS",
    "CHAT_DONE",
    "NEEDS_APPROVAL",
    "RESTS",
    "SSE_HEADERS",
    "AGUIEvent",
    "AGUIRun",
    "AIUIChunk",
    "AIUIRun",
    "ChatChunks",
    "Follower",
    "Problem",
    "RunManager",
    "SessionView",
    "answer_schema",
    "chat_error",
    "chat_problem_of",
    "completion_of",
    "encode_ag_ui",
    "encode_ai_ui",
    "encode_chat",
    "encode_comment",
    "encode_end",
    "encode_event",
    "is_counted",
    "is_foreign",
    "last_event_number",
    "problem_of",
]
