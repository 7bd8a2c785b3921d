"""The conversation of a model and its tools, until it answers."""

__all__: list[str] = []
