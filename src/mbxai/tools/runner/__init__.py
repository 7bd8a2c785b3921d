"""Runs the calls that a model makes: arguments, approval, time, repetition, results."""

__all__: list[str] = []
