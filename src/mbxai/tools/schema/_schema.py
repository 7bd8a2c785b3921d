"""A function's signature as a JSON Schema and as the validator of the arguments a model sends.

Made once, at registration. What a provider gets to see of the schema is made in `_provider_view`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pydantic_core
from pydantic import ValidationError

from mbxai.errors import ToolArgumentError
from mbxai.tools.runner._arguments import argument_problems, read_object, with_decoded
from mbxai.tools.schema._docstring import DocstringText
from mbxai.tools.schema._fields import read_fields
from mbxai.tools.schema._restore import restored
from mbxai.tools.schema._signature import AnyFunction, Parameter, read_parameters
from mbxai.tools.schema._whole_model import read_whole_model

ArgumentReader: TypeAlias = Callable[[str | bytes], dict[str, Any]]
"""Reads JSON text into values by parameter name; raises pydantic's `ValidationError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSignature:
    """How a function is described to a model, and how it is called with the model's arguments.

    Attributes:
        schema: JSON Schema of the arguments: an object with `properties` and `required`.
        parameters: All parameters, injected ones included, in the function's order.
        reader: Validates JSON text.
        droppable: Arguments for which null means "not given": optional, but not nullable.
        wire_names: Names of the arguments, as the model gives them.
        is_open: Whether arguments of any other name are taken too.
        strict: Whether a string is refused where a number is wanted, and the like.
    """

    schema: dict[str, Any]
    parameters: tuple[Parameter, ...]
    reader: ArgumentReader
    droppable: frozenset[str]
    wire_names: tuple[str, ...]
    is_open: bool
    strict: bool

    def validate(self, arguments: str) -> dict[str, Any]:
        """Return the values for the function, by parameter name.

        Args:
            arguments: JSON text of an object; blank text and `null` are an empty one.

        Returns:
            Validated values of the arguments that were given; what was not given is left to the
            function's own defaults.

        Raises:
            ToolArgumentError: The text is no JSON object, or the arguments do not fit.
        """
        # Always from JSON text: there, strict rules still take a date or an enum from a string.
        # `NaN` and `Infinity` are words of Python's JSON only, and pydantic would take them.
        if "NaN" not in arguments and "Infinity" not in arguments:
            try:
                return self.reader(arguments)
            except ValidationError:
                pass  # most often something that a second look can mend
        given = read_object(arguments)
        values = {k: v for k, v in given.items() if v is not None or k not in self.droppable}
        if self.strict:
            values = restored(values, self.schema)
        try:
            return self.reader(pydantic_core.to_json(values))
        except ValidationError as cause:
            found = cause
        decoded = with_decoded(values, found.errors(include_url=False, include_context=False))
        if decoded is not None:
            if self.strict:
                decoded = restored(decoded, self.schema)
            try:
                return self.reader(pydantic_core.to_json(decoded))
            except ValidationError as cause:
                found = cause
        problems = found.errors(include_url=False, include_context=False, include_input=False)
        raise ToolArgumentError(argument_problems(problems))

    def bind(
        self, values: dict[str, Any], contexts: Mapping[str, Any] | None = None
    ) -> tuple[list[Any], dict[str, Any]]:
        """Split values into positional and keyword arguments, as the function wants them.

        Args:
            values: Values by parameter name, injected secrets included.
            contexts: Contexts by parameter name. A positional-only one may have the name of an
                argument that lands in `**options`.

        Returns:
            Positional-only arguments, and all others by name.
        """
        keywords, own = dict(values), dict(contexts or {})
        only = [p for p in self.parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY]
        given = values.keys() | own.keys()
        last = max((i for i, p in enumerate(only) if p.name in given), default=-1)
        positional = [
            own.pop(p.name) if p.name in own else keywords.pop(p.name, p.default)
            for p in only[: last + 1]
        ]
        return positional, {**keywords, **own}


def read_signature(
    function: AnyFunction, label: str, texts: DocstringText, *, lenient: bool = False
) -> FunctionSignature:
    """Read a function once, for all its calls.

    Args:
        function: The function; see `read_parameters` for what may be one.
        label: The tool's name, for errors.
        texts: What its docstring says.
        lenient: Accept annotations that no schema can be made of, and convert what can be
            converted; used where a schema was given with the function.

    Raises:
        ToolDefinitionError: A parameter has no annotation, or one that cannot become a schema.
    """
    parameters = read_parameters(function, label, lenient=lenient)
    given = [parameter for parameter in parameters if parameter.injection is None]
    if not lenient and len(given) == 1:
        whole = read_whole_model(given[0], texts)
        if whole is not None:
            return FunctionSignature(
                schema=whole.schema,
                parameters=parameters,
                reader=whole,
                droppable=frozenset(),
                wire_names=tuple(whole.schema["properties"]),
                is_open=True,
                strict=True,
            )
    fields = read_fields(function, parameters, label, texts, lenient=lenient)
    return FunctionSignature(
        schema=fields.schema,
        parameters=parameters,
        reader=fields,
        droppable=fields.droppable,
        wire_names=fields.wire_names,
        is_open=fields.extra is not None,
        strict=not lenient,
    )
