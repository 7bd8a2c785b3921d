"""The methods of an object that bear the `tool` decorator."""

import inspect
from typing import Any

from mbxai.errors import ToolDefinitionError
from mbxai.tools._tool import Tool, is_marked


def tools_of(source: object, *, prefix: str = "") -> list[Tool]:
    """Return the marked methods of an object as tools.

    Args:
        source: The object.
        prefix: Put before each tool's name.

    Returns:
        Tools in the order of their definition, those of base classes first.

    Raises:
        ToolDefinitionError: There is no such method, or one cannot become a tool.
    """
    names: dict[str, None] = {}
    for cls in reversed(type(source).__mro__):
        # Looked at in the class: a property of the object would be run by looking at it.
        names |= dict.fromkeys(name for name, member in vars(cls).items() if _is_marked(member))
    tools: list[Tool] = []
    for name in names:
        method: Any = getattr(source, name)
        if not is_marked(method):  # a subclass has replaced it without the decorator
            continue
        made = Tool.from_function(method)
        tools.append(Tool.from_function(method, name=f"{prefix}{made.name}") if prefix else made)
    if not tools:
        raise ToolDefinitionError(
            f"A {type(source).__name__} has no method that bears the decorator `tool`.",
            hint="Write @tool above the methods that a model may call.",
        )
    return tools


def _is_marked(member: object) -> bool:
    if isinstance(member, (staticmethod, classmethod)):
        member = inspect.unwrap(member.__func__)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    return is_marked(member)
