"""A function behind a resource, a prompt or a completion: what it takes, and how it is called.

The protocol gives it texts only; they are read as what the annotations say. Tools are not here:
they take JSON, and run in the tool runner.
"""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mbxai.errors import ToolDefinitionError
from mbxai.mcp.serving._context import MCPContext
from mbxai.mcp.serving._failures import INVALID_PARAMS, ServingError, function_failure
from mbxai.tools.runner._attempt import is_coroutine_function
from mbxai.tools.runner._threads import in_thread
from mbxai.tools.schema._docstring import function_texts
from mbxai.tools.schema._fields import field_description
from mbxai.tools.schema._signature import AnyFunction, Parameter, read_parameters


class ServedFunction:
    """A function that is called with texts.

    Attributes:
        label: What it serves, for errors.
        summary: What its docstring says.
        parameters: What a client may give, in the function's order.
    """

    def __init__(self, function: AnyFunction, label: str) -> None:
        """Read the function.

        Args:
            function: Any callable with annotated parameters.
            label: What it serves, for errors.

        Raises:
            ToolDefinitionError: A parameter has no annotation, or one that no text can fill.
        """
        if not callable(function):
            raise ToolDefinitionError(f"{label}: {type(function).__name__} is no function.")
        everything = read_parameters(function, label, lenient=False)
        self.label = label
        self.parameters: list[Parameter] = [p for p in everything if p.injection is None]
        self._injected = [p for p in everything if p.injection is not None]
        for parameter in self._injected:
            if parameter.injection and parameter.injection.kind == "secret":
                raise ToolDefinitionError(f"{label}: only tools can be given a Secret.")
        self._function = function
        self._adapters = {p.name: _adapter(p, label) for p in self.parameters}
        texts = function_texts(function)
        self.summary: str = texts.summary
        self._descriptions = texts.parameters

    def description_of(self, parameter: Parameter) -> str:
        """Return what is said of a parameter, in its annotation or in the docstring.

        Args:
            parameter: One of `parameters`.
        """
        info = FieldInfo.from_annotation(parameter.annotation)
        return field_description(info) or self._descriptions.get(parameter.name, "")

    async def __call__(self, texts: Mapping[str, str], context: MCPContext[Any]) -> object:
        """Call the function.

        Args:
            texts: Texts by parameter name; unknown ones are left out.
            context: What surrounds the call.

        Returns:
            What it returns.

        Raises:
            ServingError: A text does not fit, or the function failed.
        """
        values = self._values(texts)
        for parameter in self._injected:
            values[parameter.name] = context
        return await self.run(values)

    async def run(self, values: Mapping[str, Any]) -> object:
        """Call the function with values that need no reading.

        Args:
            values: Values by parameter name.

        Raises:
            ServingError: The function failed.
        """
        positional, keywords = self._bound(values)
        call = partial(self._function, *positional, **keywords)
        try:
            if is_coroutine_function(self._function):
                return await call()
            found: Any = await in_thread(call, is_tool=True)
            return await found if inspect.isawaitable(found) else found
        except Exception as error:
            raise function_failure(self.label, error) from error

    def injections(self, context: MCPContext[Any]) -> dict[str, Any]:
        """Return the values of the parameters that a client does not give.

        Args:
            context: What surrounds the call.
        """
        return {parameter.name: context for parameter in self._injected}

    def _values(self, texts: Mapping[str, str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name not in texts:
                if parameter.is_required:
                    raise ServingError(
                        INVALID_PARAMS, f"{self.label}: the argument {parameter.name!r} is missing."
                    )
                continue
            values[parameter.name] = self._value(parameter.name, texts[parameter.name])
        return values

    def _value(self, name: str, text: str) -> object:
        adapter = self._adapters[name]
        try:
            return adapter.validate_strings(text)
        except ValidationError as error:
            found = error
        try:
            return adapter.validate_json(text)
        except ValidationError:
            problem = found.errors(include_url=False, include_context=False, include_input=False)
        raise ServingError(
            INVALID_PARAMS, f"{self.label}: the argument {name!r} does not fit: {problem[0]['msg']}"
        )

    def _bound(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        keywords = dict(values)
        only = [
            p.name
            for p in (*self.parameters, *self._injected)
            if p.kind is inspect.Parameter.POSITIONAL_ONLY and p.name in keywords
        ]
        order = [name for name in inspect.signature(self._function).parameters if name in only]
        return [keywords.pop(name) for name in order], keywords


def _adapter(parameter: Parameter, label: str) -> TypeAdapter[Any]:
    if parameter.is_variadic:
        raise ToolDefinitionError(f"{label}: **{parameter.name} cannot be described to a client.")
    try:
        return TypeAdapter(parameter.annotation)
    except Exception as cause:  # the hooks of a user's type
        raise ToolDefinitionError(
            f"{label}: no text can become the parameter {parameter.name!r}.",
            hint="Annotate it with a type such as str, int or an Enum.",
        ) from cause
