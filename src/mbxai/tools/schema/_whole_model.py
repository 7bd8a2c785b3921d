"""A function whose only argument is a model: the model takes that argument's place.

A model that must fill `{"order": {"item": ...}}` writes one level more than it needs, and some
write it without. So the arguments are the fields of the model themselves.
"""

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Annotated, Any, NewType, get_args, get_origin

import typing_extensions
from pydantic import BaseModel, ConfigDict, RootModel, TypeAdapter
from pydantic.fields import FieldInfo

from mbxai.tools.schema._docstring import DocstringText
from mbxai.tools.schema._fields import field_description
from mbxai.tools.schema._json_schema import ToolJsonSchema
from mbxai.tools.schema._provider_view import provider_view
from mbxai.tools.schema._signature import Parameter
from mbxai.wire._typed_dicts import with_readable_typed_dicts


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeModelReader:
    """Reads all arguments into the value of one parameter.

    Attributes:
        schema: JSON Schema of the model, which is that of the arguments.
        name: The parameter's name.
        adapter: Validates the arguments.
    """

    schema: dict[str, Any]
    name: str
    adapter: TypeAdapter[Any]

    def __call__(self, text: str | bytes) -> dict[str, Any]:
        """Return the value by the parameter's name.

        Args:
            text: JSON text of an object.

        Raises:
            ValidationError: The arguments do not fit.
        """
        return {self.name: self.adapter.validate_json(text, strict=True)}


def read_whole_model(parameter: Parameter, texts: DocstringText) -> WholeModelReader | None:
    """Return the reader for a parameter that takes all arguments.

    Args:
        parameter: The only parameter that a model gives.
        texts: What the function's docstring says.

    Returns:
        The reader; None if the parameter is optional, has a name of its own for the model, or is
        no pydantic model, dataclass or TypedDict with fields.
    """
    if not parameter.is_required or not _is_record(parameter.annotation):
        return None
    info = FieldInfo.from_annotation(parameter.annotation)
    if not info.is_required() or info.alias or info.validation_alias:
        return None
    try:
        # Only under a name of its own does a dataclass or TypedDict let the names be closed.
        rename: Any = NewType  # type checkers want its arguments written out
        named = rename("Arguments", with_readable_typed_dicts(parameter.annotation))
        adapter = TypeAdapter[Any](named, config=ConfigDict(extra="forbid"))
        schema = adapter.json_schema(schema_generator=ToolJsonSchema)
    except Exception:  # noqa: BLE001  # the hooks of a user's type; said where fields are read
        return None
    plain = provider_view(schema, root=False)
    if plain.get("type") != "object" or not plain.get("properties"):
        return None  # a model that describes itself in its own way
    view = provider_view(schema)
    said = field_description(info) or texts.parameters.get(parameter.name)
    if said:
        view.setdefault("description", said)
    return WholeModelReader(schema=view, name=parameter.name, adapter=adapter)


def _is_record(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    kind: Any = get_origin(annotation) or annotation
    if typing_extensions.is_typeddict(kind):
        return True
    if not inspect.isclass(kind) or issubclass(kind, RootModel):
        return False
    return issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind)
