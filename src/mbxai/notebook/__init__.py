"""For notebooks: an agent's run shown in a cell while it happens."""

from mbxai.notebook._progress import show_progress

__all__ = ["show_progress"]
