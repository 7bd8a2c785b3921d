"""Runs a session: makes the machine's calls, gives it their outcomes, saves."""

__all__: list[str] = []
