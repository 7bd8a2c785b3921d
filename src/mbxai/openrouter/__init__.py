"""Clients for OpenRouter."""

from mbxai.openrouter._calls import AttemptObserver
from mbxai.openrouter._client import AsyncOpenRouterClient
from mbxai.openrouter._content import (
    MAX_FILE_BYTES,
    Source,
    audio_part,
    file_part,
    image_part,
    text_part,
    video_part,
)
from mbxai.openrouter._http_client import HTTPClient
from mbxai.openrouter._ladder import Strategy
from mbxai.openrouter._limiter import RateLimiter
from mbxai.openrouter._options import ClientOptions
from mbxai.openrouter._parsed_stream import AsyncParsedChatStream
from mbxai.openrouter._raw import AsyncRawCalls, RawCalls, RawResponse
from mbxai.openrouter._requester import (
    BinaryContent,
    QueryValue,
    RequestOptions,
    Upload,
    path_of,
)
from mbxai.openrouter._stream import AsyncChatStream, AsyncStreamManager
from mbxai.openrouter._sync import OpenRouterClient
from mbxai.openrouter._sync_stream import ChatStream, ParsedChatStream, StreamManager
from mbxai.openrouter.config import OpenRouterConfig
from mbxai.openrouter.models import OpenRouterModel, OpenRouterModelRegistry

__all__ = [
    "MAX_FILE_BYTES",
    "AsyncChatStream",
    "AsyncOpenRouterClient",
    "AsyncParsedChatStream",
    "AsyncRawCalls",
    "AsyncStreamManager",
    "AttemptObserver",
    "BinaryContent",
    "ChatStream",
    "ClientOptions",
    "HTTPClient",
    "OpenRouterClient",
    "OpenRouterConfig",
    "OpenRouterModel",
    "OpenRouterModelRegistry",
    "ParsedChatStream",
    "QueryValue",
    "RateLimiter",
    "RawCalls",
    "RawResponse",
    "RequestOptions",
    "Source",
    "Strategy",
    "StreamManager",
    "Upload",
    "audio_part",
    "file_part",
    "image_part",
    "path_of",
    "text_part",
    "video_part",
]
