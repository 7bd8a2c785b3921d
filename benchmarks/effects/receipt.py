"""The type of the final response; apart from the script, since the server needs no pydantic."""

from pydantic import BaseModel


class Receipt(BaseModel):
    """What was charged."""

    summary: str
