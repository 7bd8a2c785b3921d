"""The agent's machine: pure and synchronous, `advance(snapshot, event)`; no clock and no I/O."""

__all__: list[str] = []
