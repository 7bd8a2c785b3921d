"""Functions a model may call: clients, registry, schemas, injected context and secrets."""

from mbxai.tools._call import ToolCall
from mbxai.tools._client import AsyncToolClient
from mbxai.tools._context import Secret, SecretSource, ToolContext
from mbxai.tools._registry import ToolRegistry
from mbxai.tools._runner import Approver
from mbxai.tools._stream import AsyncToolChatStream, ToolChatStream
from mbxai.tools._strict import convert_to_strict_schema
from mbxai.tools._sync import ToolClient
from mbxai.tools._tool import Tool, ToolOptions, tool

__all__ = [
    "Approver",
    "AsyncToolChatStream",
    "AsyncToolClient",
    "Secret",
    "SecretSource",
    "Tool",
    "ToolCall",
    "ToolChatStream",
    "ToolClient",
    "ToolContext",
    "ToolOptions",
    "ToolRegistry",
    "convert_to_strict_schema",
    "tool",
]
