"""One server: how it is reached, how its connection lives, and what is asked of it."""

__all__: list[str] = []
