"""Functions a model may call: clients, registry, schemas, injected context and secrets."""

from mbxai.tools._call import PendingCall, ToolApproval, ToolCall
from mbxai.tools._client import AsyncToolClient
from mbxai.tools._context import Progress, Secret, SecretSource, ToolContext
from mbxai.tools._reconciling import Reconcile
from mbxai.tools._registry import ToolRegistry
from mbxai.tools._sync import ToolClient
from mbxai.tools._tool import Tool, ToolOptions, tool
from mbxai.tools.loop._answer import ParsedToolCompletion, ToolCompletion
from mbxai.tools.loop._options import ToolClientOptions, ToolFilter, ToolLoopOptions
from mbxai.tools.loop._run import ToolRun
from mbxai.tools.loop._stream import AsyncToolChatStream
from mbxai.tools.loop._stream_view import ToolStreamEvent
from mbxai.tools.loop._sync_stream import ToolChatStream
from mbxai.tools.runner._progress import ToolListener
from mbxai.tools.runner._runner import AfterCall, Approver, BeforeCall
from mbxai.tools.schema._strict import convert_to_strict_schema
from mbxai.wire import (
    Budget,
    NotDone,
    ToolAnswer,
    ToolCalled,
    ToolEnded,
    ToolEvent,
    ToolInfo,
    ToolPending,
    ToolProgressed,
    ToolQuestion,
    ToolResult,
)

__all__ = [
    "AfterCall",
    "Approver",
    "AsyncToolChatStream",
    "AsyncToolClient",
    "BeforeCall",
    "Budget",
    "NotDone",
    "ParsedToolCompletion",
    "PendingCall",
    "Progress",
    "Reconcile",
    "Secret",
    "SecretSource",
    "Tool",
    "ToolAnswer",
    "ToolApproval",
    "ToolCall",
    "ToolCalled",
    "ToolChatStream",
    "ToolClient",
    "ToolClientOptions",
    "ToolCompletion",
    "ToolContext",
    "ToolEnded",
    "ToolEvent",
    "ToolFilter",
    "ToolInfo",
    "ToolListener",
    "ToolLoopOptions",
    "ToolOptions",
    "ToolPending",
    "ToolProgressed",
    "ToolQuestion",
    "ToolRegistry",
    "ToolResult",
    "ToolRun",
    "ToolStreamEvent",
    "convert_to_strict_schema",
    "tool",
]
