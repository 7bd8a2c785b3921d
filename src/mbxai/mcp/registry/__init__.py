"""All servers of a client: their tools, under names a model can use, and what holds for them."""

__all__: list[str] = []
