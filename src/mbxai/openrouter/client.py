"""The path under which earlier releases had the client and its errors."""

from mbxai.errors import OpenRouterAPIError, OpenRouterConnectionError, OpenRouterError
from mbxai.openrouter._client import AsyncOpenRouterClient
from mbxai.openrouter._retry import with_retry
from mbxai.openrouter._sync import OpenRouterClient
from mbxai.openrouter.models import OpenRouterModel

__all__ = [
    "AsyncOpenRouterClient",
    "OpenRouterAPIError",
    "OpenRouterClient",
    "OpenRouterConnectionError",
    "OpenRouterError",
    "OpenRouterModel",
    "with_retry",
]
