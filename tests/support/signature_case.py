"""What one row of the signature table is, and the words that the rows are written in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core
from hypothesis import strategies as st
from pydantic import SecretStr

Schema = dict[str, Any]
Values = st.SearchStrategy[dict[str, Any]]


@dataclass(frozen=True)
class SignatureCase:
    """One function.

    Attributes:
        name: Names the case in reports.
        function: What is registered.
        schema: The schema of its arguments, also as the general provider view.
        strict: Whether `strict` is claimed for it.
        values: Makes values by parameter name; None where there is nothing to make.
        wrong: Arguments that neither the schema nor the function takes.
        aliases: Names that the model uses instead of the parameters'.
        is_whole: Whether the only parameter takes all arguments.
    """

    name: str
    function: Callable[..., Any]
    schema: Schema
    strict: bool
    values: Callable[[], Values] | None = None
    wrong: Mapping[str, Any] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    is_whole: bool = False

    def arguments_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values as a model would write them."""
        if self.is_whole:
            (value,) = values.values()
            return written(value)
        return {self.aliases.get(name, name): written(value) for name, value in values.items()}


def written(value: Any) -> Any:
    """Return a value as JSON data, secrets in the clear."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return pydantic_core.to_jsonable_python(value, by_alias=True)


def closed(properties: Schema, *required: str, **more: Any) -> Schema:
    """Return the schema of an object that takes these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(max_size=20)
NAMES = st.text("abcxyz", min_size=1, max_size=5)


def made(**values: st.SearchStrategy[Any]) -> Callable[[], Values]:
    """Return what makes these values together."""
    return lambda: st.fixed_dictionaries(values)


STRINGS: Schema = {"type": "array", "items": {"type": "string"}}

json_values = st.recursive(
    TEXT | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
