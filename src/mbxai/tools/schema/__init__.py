"""What a function takes, as JSON Schema; and the views of a schema that providers accept."""

__all__: list[str] = []
