"""The type of the final response; apart from the script, since the server needs no pydantic."""

from pydantic import BaseModel, Field


class Report(BaseModel):
    """All values of a case."""

    values: list[str] = Field(description="One entry a value, for example t1=0a1b2c3d, in order")
