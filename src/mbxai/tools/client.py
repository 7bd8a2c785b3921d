"""The clients with tools, at the path where they have always been importable from."""

from mbxai.tools._client import AsyncToolClient
from mbxai.tools._sync import ToolClient

__all__ = ["AsyncToolClient", "ToolClient"]
