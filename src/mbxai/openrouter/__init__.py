"""Clients for OpenRouter."""

from mbxai.openrouter._client import AsyncOpenRouterClient
from mbxai.openrouter._stream import AsyncChatStream
from mbxai.openrouter._sync import ChatStream, OpenRouterClient
from mbxai.openrouter.config import OpenRouterConfig
from mbxai.openrouter.models import OpenRouterModel, OpenRouterModelRegistry

__all__ = [
    "AsyncChatStream",
    "AsyncOpenRouterClient",
    "ChatStream",
    "OpenRouterClient",
    "OpenRouterConfig",
    "OpenRouterModel",
    "OpenRouterModelRegistry",
]
