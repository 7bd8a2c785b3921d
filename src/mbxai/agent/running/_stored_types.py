"""The model of a final response where its class is not here: made from the stored JSON Schema.

A worker, or whoever answers a person's question, need not have the class that a session was begun
with. The answer is validated against the whole stored schema and kept as JSON.
"""

import copy
import json
from functools import lru_cache
from typing import Any, ClassVar, Final, cast

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from mbxai.agent.machine._snapshot import FinalSchema

_Schema = dict[str, Any]  # Any: JSON Schema

_MAX_TYPES: Final = 64
_MAX_DEPTH: Final = 4
_MAX_PROBLEMS: Final = 10


class StoredResponse(BaseModel):
    """A final response of which only the schema is known; base of the types made here.

    Attributes:
        whole_schema: What is validated.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")
    whole_schema: ClassVar[_Schema] = {}

    @model_validator(mode="before")
    @classmethod
    def _fits(cls, value: object) -> object:
        problems = _problems(cls.whole_schema, value)
        if problems:
            raise ValueError("; ".join(problems))
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> _Schema:
        """Return the stored schema, as it can stand within another one."""
        definitions = cls.whole_schema.get("$defs", {})
        return cast("_Schema", _inlined(cls.whole_schema, definitions, 0))


def stored_type(schema: FinalSchema) -> type[BaseModel]:
    """Return a model for a schema.

    Args:
        schema: Name and JSON Schema of the final response.

    Returns:
        The same class for the same schema.
    """
    return _type_of(schema.name, json.dumps(schema.json_schema, sort_keys=True))


@lru_cache(maxsize=_MAX_TYPES)
def _type_of(name: str, text: str) -> type[BaseModel]:
    whole: _Schema = json.loads(text)
    return type(
        name if name.isidentifier() else "Response",
        (StoredResponse,),
        {
            "__module__": __name__,
            "__doc__": whole.get("description"),
            "__annotations__": {"whole_schema": "ClassVar[dict]"},
            "whole_schema": whole,
        },
    )


def _problems(schema: _Schema, value: object) -> list[str]:
    from jsonschema import Draft202012Validator  # heavy
    from referencing import Registry  # noqa: PLC0415 - comes with it

    # Any: jsonschema's errors have few types. The empty registry fetches nothing.
    validator: Any = Draft202012Validator(schema, registry=Registry())
    found = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.path)))
    return [
        f"{'.'.join(map(str, error.path)) or 'the response'}: {error.message:.200}"
        for error in found[:_MAX_PROBLEMS]
    ]


def _inlined(node: object, definitions: _Schema, depth: int) -> object:
    """Return a schema without references; one that refers to itself ends after some rounds."""
    if isinstance(node, list):
        return [_inlined(item, definitions, depth) for item in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    schema = cast("_Schema", node)
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = definitions.get(reference.removeprefix("#/$defs/"))
        if depth >= _MAX_DEPTH or target is None:
            return {}
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        inlined = cast("_Schema", _inlined(copy.deepcopy(target), definitions, depth + 1))
        return {**inlined, **rest}
    return {
        key: _inlined(value, definitions, depth) for key, value in schema.items() if key != "$defs"
    }
