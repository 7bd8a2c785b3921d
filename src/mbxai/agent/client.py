"""The agent clients; this module only re-exports."""

from mbxai.agent._client import AsyncAgentClient
from mbxai.agent._sync import AgentClient

__all__ = ["AgentClient", "AsyncAgentClient"]
