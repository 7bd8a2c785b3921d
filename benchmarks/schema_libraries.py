"""How three libraries describe a function to a model, and what they call it with."""

import inspect
import json
from collections.abc import Callable
from typing import Any

AnyFunction = Callable[..., Any]


class Library:
    """One way to make a tool of a function.

    Attributes:
        schema: What it tells the model.
    """

    schema: dict[str, Any]

    def __init__(self, function: AnyFunction) -> None:
        self.function = function

    def prepared(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        """What the function is called with for a model's arguments; raises if they are refused."""
        raise NotImplementedError

    def received(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the function gets by name, its own defaults left out; raises if it cannot be."""
        positional, keywords = self.prepared(json.dumps(arguments))
        signature = inspect.signature(self.function)
        values = dict(signature.bind(*positional, **keywords).arguments)
        for name, parameter in signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                values.update(values.pop(name, {}))
        return values


class Mbxai(Library):
    """This project: `Tool`."""

    def __init__(self, function: AnyFunction) -> None:
        from mbxai.tools import Tool

        super().__init__(function)
        self._signature = Tool.from_function(function, name="case").signature
        self.schema = self._signature.schema

    def prepared(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        values = self._signature.validate(text)
        for parameter in self._signature.parameters:
            if parameter.injection is not None:
                values[parameter.name] = None  # a context or secret, which a run puts in
        return self._signature.bind(values)


class PydanticAi(Library):
    """pydantic-ai: `Tool`; its arguments are made as its own tool manager does."""

    def __init__(self, function: AnyFunction) -> None:
        from pydantic_ai import Tool

        super().__init__(function)
        tool = Tool(function, name="case")
        self._made = tool.function_schema
        self.schema = tool.tool_def.parameters_json_schema

    def prepared(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        values = self._made.validator.validate_json(text)
        return self._made._call_args(values, None)  # noqa: SLF001  # nothing public binds


class OpenAiAgents(Library):
    """openai-agents: `function_tool`; its arguments are made as `FunctionTool` does."""

    is_strict = True

    def __init__(self, function: AnyFunction) -> None:
        from agents.function_schema import function_schema

        super().__init__(function)
        self._made = function_schema(
            function, name_override="case", strict_json_schema=self.is_strict
        )
        self.schema = self._made.params_json_schema

    def prepared(self, text: str) -> tuple[list[Any], dict[str, Any]]:
        return self._made.to_call_args(self._made.params_pydantic_model(**json.loads(text)))


class OpenAiAgentsLoose(OpenAiAgents):
    """The same with `strict_mode=False`."""

    is_strict = False
