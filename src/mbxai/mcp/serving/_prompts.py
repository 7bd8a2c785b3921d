"""Prompts: named functions that return messages; and completion of what they take. No protocol."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from mbxai.errors import ToolDefinitionError
from mbxai.mcp.serving._context import MCPContext
from mbxai.mcp.serving._failures import INTERNAL_ERROR, ServingError
from mbxai.mcp.serving._functions import ServedFunction
from mbxai.tools.schema._signature import AnyFunction

_MOST_VALUES: Final = 100  # what the protocol allows in one answer


@dataclass(frozen=True, kw_only=True)
class ServedPrompt:
    """A prompt.

    Attributes:
        name: Its name.
        title: Its name for people.
        description: What it is for.
        function: Returns its messages.
    """

    name: str
    title: str = ""
    description: str = ""
    function: ServedFunction

    def listed(self) -> dict[str, Any]:
        """Return how a list of the protocol names it."""
        arguments: list[dict[str, Any]] = []
        for parameter in self.function.parameters:
            argument: dict[str, Any] = {"name": parameter.name, "required": parameter.is_required}
            if said := self.function.description_of(parameter):
                argument["description"] = said
            arguments.append(argument)
        known = {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "arguments": arguments,
        }
        return {key: value for key, value in known.items() if value}


class ServedPrompts:
    """The prompts of one server."""

    def __init__(self) -> None:
        """Start with none."""
        self._known: dict[str, ServedPrompt] = {}

    def add(self, prompt: ServedPrompt) -> None:
        """Serve a prompt; one of the same name is replaced."""
        self._known = {**self._known, prompt.name: prompt}

    def remove(self, name: str) -> bool:
        """Stop serving a prompt; returns whether there was one."""
        is_known = name in self._known
        self._known = {key: known for key, known in self._known.items() if key != name}
        return is_known

    def get(self, name: str) -> ServedPrompt | None:
        """Return the prompt of a name, or None."""
        return self._known.get(name)

    def listed(self) -> list[dict[str, Any]]:
        """Return all of them, as the protocol lists them."""
        return [prompt.listed() for prompt in self._known.values()]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._known)


class Completions:
    """What may be suggested for the arguments of prompts and the variables of templates."""

    def __init__(self) -> None:
        """Start with none."""
        self._known: dict[tuple[str, str], ServedFunction] = {}

    def add(self, target: str, argument: str, function: AnyFunction) -> None:
        """Ask a function for suggestions.

        Args:
            target: Name of a prompt, or a template.
            argument: The argument, or the variable.
            function: Takes what has been written so far, and perhaps the other arguments.

        Raises:
            ToolDefinitionError: It takes neither.
        """
        served = ServedFunction(function, f"The completion of {argument!r} in {target!r}")
        if not 1 <= len(served.parameters) <= 2:
            raise ToolDefinitionError(
                f"{served.label} takes one text, and perhaps a mapping of the other arguments."
            )
        self._known = {**self._known, (target, argument): served}

    def targets(self) -> list[tuple[str, str]]:
        """Return what is completed: names of prompts or templates, and arguments in them."""
        return list(self._known)

    async def complete(
        self,
        reference: Mapping[str, Any],
        argument: Mapping[str, str],
        others: Mapping[str, str],
        context: MCPContext[Any],
    ) -> dict[str, Any]:
        """Return suggestions, as the protocol writes them.

        Args:
            reference: What is completed: a prompt or a template.
            argument: Name and text of the argument.
            others: What the other arguments are, as far as they are known.
            context: What surrounds the call.

        Raises:
            ServingError: The function failed, or returned no texts.
        """
        kind: Literal["name", "uri"] = "name" if reference.get("type") == "ref/prompt" else "uri"
        function = self._known.get((str(reference.get(kind, "")), argument["name"]))
        if function is None:
            return {"values": [], "total": 0, "hasMore": False}
        values = dict(
            zip([p.name for p in function.parameters], (argument["value"], others), strict=False)
        )
        found = await function.run({**values, **function.injections(context)})
        if isinstance(found, (str, bytes)) or not isinstance(found, Iterable):
            raise ServingError(INTERNAL_ERROR, f"{function.label} failed.")
        texts = [str(text) for text in cast("Iterable[object]", found)]
        return {
            "values": texts[:_MOST_VALUES],
            "total": len(texts),
            "hasMore": len(texts) > _MOST_VALUES,
        }

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._known)
