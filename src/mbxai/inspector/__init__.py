"""A page on which a person watches the runs of an agent and answers what it asks.

`mbxai.fastapi.agent_router(..., inspector=True)` serves it beside the agent's paths, and
the command `mbxai serve` does so on this machine, behind `LoopbackGuard`.
"""

from mbxai.inspector._guard import LOOPBACK, LoopbackGuard
from mbxai.inspector._page import Page, inspector_page

__all__ = ["LOOPBACK", "LoopbackGuard", "Page", "inspector_page"]
