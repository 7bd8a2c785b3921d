"""Our own side as a server: tools, resources and prompts over the protocol."""

__all__: list[str] = []
