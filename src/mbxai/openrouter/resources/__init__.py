"""The operations of the API besides chat, one file a group."""

__all__: list[str] = []
