"""Small types that every floor may use: JSON values and the "not given" sentinel."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Literal, TypeAlias

JSONValue: TypeAlias = (
    "str | int | float | bool | Sequence[JSONValue] | Mapping[str, JSONValue] | None"
)
"""Anything that `json.dumps` writes without help."""

JSONObject: TypeAlias = dict[str, JSONValue]
"""A JSON object."""


class Unset(Enum):
    """The type of `UNSET`; a one-member enum narrows with `is`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        """Show the name that the code uses."""
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        """Read as false, like any other absence."""
        return False


UNSET: Final = Unset.UNSET
"""Stands for "not given" where `None` is a value of its own."""
