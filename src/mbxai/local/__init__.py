"""A small model on this machine, for trying things out without a key."""

from mbxai.local._model import LocalModel, ToolMode

__all__ = ["LocalModel", "ToolMode"]
