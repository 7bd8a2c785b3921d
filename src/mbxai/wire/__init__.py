"""What travels: messages, requests, answers, chunks, schemas. No I/O."""

from mbxai.wire._call_ids import with_unique_call_ids
from mbxai.wire._chunks import (
    ChatCompletionChunk,
    ChunkChoice,
    CompletionBuilder,
    Delta,
    FunctionCallDelta,
    ToolCallDelta,
    fold_chunks,
)
from mbxai.wire._completion import (
    ChatCompletion,
    Choice,
    CompletionTokensDetails,
    FunctionCall,
    Message,
    ParsedChatCompletion,
    ParsedChoice,
    ParsedMessage,
    PromptTokensDetails,
    ToolCallPart,
    Usage,
    WireModel,
)
from mbxai.wire._messages import FunctionDefinition, MessageParam, Messages, ToolDefinition
from mbxai.wire._params import CompletionParams, ParseParams
from mbxai.wire._schema import compact, json_schema_of, response_format_of, strict_view
from mbxai.wire._sse import EventTooLargeError, ServerSentEvent, SSEDecoder
from mbxai.wire._tools import Effect, ToolInfo, ToolResult

__all__ = [
    "ChatCompletion",
    "ChatCompletionChunk",
    "Choice",
    "ChunkChoice",
    "CompletionBuilder",
    "CompletionParams",
    "CompletionTokensDetails",
    "Delta",
    "Effect",
    "EventTooLargeError",
    "FunctionCall",
    "FunctionCallDelta",
    "FunctionDefinition",
    "Message",
    "MessageParam",
    "Messages",
    "ParseParams",
    "ParsedChatCompletion",
    "ParsedChoice",
    "ParsedMessage",
    "PromptTokensDetails",
    "SSEDecoder",
    "ServerSentEvent",
    "ToolCallDelta",
    "ToolCallPart",
    "ToolDefinition",
    "ToolInfo",
    "ToolResult",
    "Usage",
    "WireModel",
    "compact",
    "fold_chunks",
    "json_schema_of",
    "response_format_of",
    "strict_view",
    "with_unique_call_ids",
]
