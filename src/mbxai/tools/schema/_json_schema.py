"""How pydantic's JSON Schemas are made for tools: true, plain, and with what docstrings say."""

import enum
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic.json_schema import GenerateJsonSchema

from mbxai.tools.schema._docstring import DocstringText, class_texts

# Any in this file: pydantic's core schemas and JSON Schemas are open data.
Schema = dict[str, Any]

_DECIMAL: Final = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$"
_INTEGER: Final = r"^-?[0-9]+$"
_MAX_FLAGS: Final = 4


class ToolJsonSchema(GenerateJsonSchema):
    """Makes the schema of a tool's arguments."""

    # A default that JSON cannot hold is left out without a warning.
    # Declared as an instance's attribute there, and read from the class.
    ignored_warning_kinds: ClassVar[set[Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "skipped-choice",
        "non-serializable-default",
    }

    def model_schema(self, schema: Any) -> Schema:
        """Describe a model, its fields with the words of its docstring."""
        made = super().model_schema(schema)
        fields: Mapping[str, Any] = getattr(schema["cls"], "model_fields", {})
        return _described(made, schema["cls"], {name: _alias(fields[name]) for name in fields})

    def dataclass_schema(self, schema: Any) -> Schema:
        """Describe a dataclass, its fields with the words of its docstring."""
        return _described(super().dataclass_schema(schema), schema["cls"], {})

    def typed_dict_schema(self, schema: Any) -> Schema:
        """Describe a TypedDict, its keys with the words of its docstring."""
        made = super().typed_dict_schema(schema)
        return _described(made, schema["cls"], {}) if "cls" in schema else made

    def generate_inner(self, schema: Any) -> Schema:
        """Describe a type; flags also by their names, since they may be added up."""
        made = super().generate_inner(schema)
        if schema["type"] == "enum" and issubclass(schema["cls"], enum.Flag):
            _describe_flags(self.resolve_ref_schema(made), schema["cls"])
        return made

    def decimal_schema(self, schema: Any) -> Schema:
        """Describe a decimal number; pydantic's own pattern is beyond many grammars."""
        made = super().decimal_schema(schema)
        for member in made.get("anyOf", ()):
            if member.get("type") == "string":
                member["pattern"] = _DECIMAL
        return made

    def dict_schema(self, schema: Any) -> Schema:
        """Describe a mapping; JSON has text for keys only, so numbers are said by a pattern."""
        made = super().dict_schema(schema)
        if schema.get("keys_schema", {}).get("type") == "int":
            made["propertyNames"] = {"type": "string", "pattern": _INTEGER}
        return made

    def is_subclass_schema(self, schema: Any) -> Schema:
        """Refuse `type[...]`: no JSON value can become a class."""
        return self.handle_invalid_for_json_schema(schema, "core_schema.IsSubclassSchema")


def _alias(field: Any) -> str | None:
    alias = field.validation_alias or field.alias
    return alias if isinstance(alias, str) else None


def _described(made: Schema, owner: type[Any], aliases: Mapping[str, str | None]) -> Schema:
    """Give fields without a description the one from the docstring of their class."""
    properties: Any = made.get("properties")
    text: DocstringText | None = class_texts(owner) if properties else None
    if text is None:
        return made
    for name, said in text.parameters.items():
        wire_name = aliases.get(name) or name
        if wire_name in properties and "description" not in properties[wire_name]:
            properties[wire_name] = {**properties[wire_name], "description": said}
    # The fields are described where they are; saying it twice costs tokens with every request.
    if made.get("description") and text.summary:
        made["description"] = text.summary
    return made


def _describe_flags(made: Schema, owner: type[enum.Flag]) -> None:
    names = {str(name): int(flag.value) for name, flag in owner.__members__.items()}
    sums = {0}
    if len(names) <= _MAX_FLAGS:
        for value in names.values():
            sums |= {value | known for known in sums}
        made["enum"] = sorted(sums)
    else:
        made.pop("enum", None)
        made["minimum"] = 0
    words = f"Sum of: {', '.join(f'{name} = {value}' for name, value in names.items())}."
    made["description"] = f"{made.get('description', '')} {words}".strip()
