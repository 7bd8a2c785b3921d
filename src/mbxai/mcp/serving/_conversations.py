"""Messages, as the protocol writes them: those of a prompt, those a model is asked; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from mbxai.errors import ConfigurationError
from mbxai.mcp.serving._blocks import Block, message_blocks, text_of_blocks

# Any in this file: open JSON of the wire.
Message: TypeAlias = str | Mapping[str, Any]


def prompt_messages(value: object) -> list[Block]:
    """Return what a prompt's function returned as messages, one block each.

    Args:
        value: A text, a content part or a resource, which become messages of the user; a message
            with `role` and `content`; or a list of any of these.

    Raises:
        ConfigurationError: A role is neither "user" nor "assistant".
    """
    many = isinstance(value, (list, tuple))
    items = cast("Sequence[object]", value) if many else [value]
    messages: list[Block] = []
    for item in items:
        role, content = _spoken(item)
        if role not in ("user", "assistant"):
            raise ConfigurationError(
                f"A prompt's message cannot have the role {role!r:.40}.",
                hint='The protocol knows "user" and "assistant".',
            )
        messages += [{"role": role, "content": block} for block in message_blocks(content)]
    return messages


def sampling_messages(messages: str | Sequence[Message]) -> tuple[str, list[Block]]:
    """Return what a model is asked.

    Args:
        messages: A text, or messages as our clients take them.

    Returns:
        The text of system messages, and the others.

    Raises:
        ConfigurationError: A role is unknown.
    """
    told: list[str] = []
    asked: list[Block] = []
    for item in [messages] if isinstance(messages, str) else messages:
        role, content = _spoken(item)
        blocks = message_blocks(content)
        if role in ("system", "developer"):
            told.append(text_of_blocks(blocks))
        elif role in ("user", "assistant"):
            asked.append({"role": role, "content": blocks[0] if len(blocks) == 1 else blocks})
        else:
            raise ConfigurationError(f"A client's model cannot be sent the role {role!r:.40}.")
    return "\n\n".join(told), asked


def _spoken(item: object) -> tuple[str, object]:
    if isinstance(item, Mapping) and "role" in item:
        message = cast("Mapping[str, object]", item)
        return str(message["role"]), message.get("content", "")
    return "user", cast("object", item)
