"""What a tool run tells the model and the application; plain data shared by tools and agents."""

import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pydantic_core

from mbxai.errors._base import ConfigurationError

Effect: TypeAlias = Literal["read", "idempotent", "once"]
"""What a repeated run of a tool does: nothing, the same again, or the effect a second time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolInfo:
    """What a planner must know of a tool before it is called.

    Attributes:
        name: The name that the model uses.
        description: What the tool does.
        parameters: JSON Schema of its arguments.
        effect: What a repeated run does.
        requires_approval: Whether a person must agree before a run; where that depends on the
            arguments, it is True.
        source: "local", or the name of the MCP server that has it.
        is_external: Whether the application runs it, and not this library.
        is_trusted: Whether what it returns is as good as what the caller says.
        may_repeat: Whether the same call may be repeated though it always gives the same result.
        can_reconcile: Whether it can say what a run of it did that was cut off.
    """

    name: str
    description: str
    parameters: dict[str, object]
    effect: Effect = "once"
    requires_approval: bool = False
    source: str = "local"
    is_external: bool = False
    is_trusted: bool = False
    may_repeat: bool = False
    can_reconcile: bool = False


@dataclass(frozen=True, slots=True)
class NotDone:
    """What a tool's `reconcile` returns where the run that was cut off surely had no effect."""

    @classmethod
    def is_said_by(cls, value: object) -> bool:
        """Tell whether a value says so; the class itself does as well.

        Args:
            value: What `reconcile` returned.
        """
        return value is cls or isinstance(value, cls)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolQuestion:
    """What a tool must be told by a person before it can go on.

    Attributes:
        message: What is asked, for the person.
        kind: "form" asks for values, "url" asks the person to visit an address.
        schema: JSON Schema of the values of a form: an object of plain fields. Empty for "url".
        url: The address; never opened by itself. Empty for "form".
        source: Name of the MCP server that asks.
        state: Opaque text by which the same call goes on; empty where the asker waits for the
            answer itself.
    """

    message: str
    kind: Literal["form", "url"] = "form"
    schema: Mapping[str, Any] = field(default_factory=dict[str, Any])  # Any: JSON Schema
    url: str = ""
    source: str = ""
    state: str = field(default="", repr=False)  # holds what the person has answered before


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """A person's answer to a `ToolQuestion`.

    Attributes:
        action: "accept" gives what was asked for, "decline" is a no, "cancel" is neither.
        content: The values of a form, by field; empty for "url" and where nothing was accepted.
        state: The question's state, as it was given.
    """

    action: Literal["accept", "decline", "cancel"]
    content: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)  # Any: JSON
    state: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Refuse an action that is none.

        Raises:
            ConfigurationError: It is another word.
        """
        if self.action not in ("accept", "decline", "cancel"):
            raise ConfigurationError(
                "A ToolAnswer's action is 'accept', 'decline' or 'cancel',"
                f" not {self.action!r:.40}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The outcome of one tool call.

    Attributes:
        call_id: Id of the call as the model gave it.
        name: Name of the tool.
        content: Text for the model: the result, or what went wrong.
        is_error: Whether `content` tells of a failure.
        value: What the function returned, whole, for the application; None on failure.
        parts: Pictures, files and sound beside the text, as content parts of a message.
        is_cut: Whether `content` holds only the beginning of the result; `value` has all of it.
        seconds: How long the run took, retries included; 0 where nothing ran.
        attempts: How often the function was run; 0 where nothing ran.
        question: What a person must answer before the call can go on; None for a call that is over.
        raw: The answer of an MCP server as it came, the JSON of a `CallToolResult`, with what is
            meant for people only; None for every other tool.
    """

    call_id: str
    name: str
    content: str
    is_error: bool = False
    value: object = field(default=None, repr=False)
    parts: Sequence[Mapping[str, Any]] = field(default=(), repr=False)  # Any: open JSON of the wire
    is_cut: bool = False
    seconds: float = 0.0
    attempts: int = 0
    question: ToolQuestion | None = None
    raw: Mapping[str, Any] | None = field(default=None, repr=False)  # Any: JSON of the protocol

    def __reduce__(self) -> tuple[object, ...]:
        """Leave a value behind that cannot go to another process; what the model saw goes."""
        state = {name: getattr(self, name) for name in self.__slots__}
        try:
            pickle.dumps(self.value)
        except Exception:  # noqa: BLE001  # whatever a tool has returned
            state["value"] = None
        return _rebuilt, (state,)

    def __deepcopy__(self, memo: object) -> "ToolResult":
        """Return itself; a result never changes."""
        return self

    def to_message(self) -> dict[str, Any]:  # Any: a JSON object of the wire
        """Return the `tool` message that answers the call.

        Its content is text, or, where there are pictures or files, a list of parts with the text
        first (OpenRouter takes text, `image_url` and `file` parts in tool messages).
        """
        content: object = self.content
        if self.parts:
            text = [{"type": "text", "text": self.content}] if self.content else []
            content = [*text, *(dict(part) for part in self.parts)]
        return {"role": "tool", "tool_call_id": self.call_id, "content": content}


def _rebuilt(state: dict[str, Any]) -> ToolResult:
    return ToolResult(**state)


def call_digest(name: str, arguments: str | Mapping[str, object]) -> str:
    """Return what identifies a call by its tool and the meaning of its arguments.

    Two argument texts that hold the same JSON, differently spaced or ordered, have one digest.

    Args:
        name: Name of the tool.
        arguments: The arguments, or their JSON text; a text that is no JSON counts as it stands.

    Returns:
        SHA-256 in hexadecimal.
    """
    meaning: object = arguments if isinstance(arguments, str) else dict(arguments)
    if isinstance(arguments, str):
        try:
            meaning = pydantic_core.from_json(arguments) if arguments.strip() else {}
        except (ValueError, TypeError):  # TypeError: half a surrogate pair
            meaning = [arguments]
        if meaning is None:
            meaning = {}
    # The standard library's writer sorts in C; `default` is for values that no JSON text holds.
    canonical = json.dumps([name, meaning], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
