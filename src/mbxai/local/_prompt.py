"""Conversations as a very small model can read them: plain, short messages. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

# Any in this file: messages and tool definitions are open JSON of the wire.
Message = dict[str, Any]

MAX_TOOL_RESULT_CHARS: Final = 800
"""How much of one tool result the model reads; reading costs seconds."""

_CUT: Final = "\n[...]\n"
_ROLES: Final = {"system": "system", "developer": "system", "assistant": "assistant"}


def plain_messages(
    messages: Sequence[Mapping[str, Any]], *, max_chars: int
) -> list[dict[str, str]]:
    """Return a conversation without tool messages, parts or repeated roles.

    Calls become text of the assistant and results become text of the user, because the templates of
    small models know neither.

    Args:
        messages: A conversation of the wire; not changed.
        max_chars: Most characters of all messages; the longest are cut in the middle.
    """
    names: dict[str, str] = {}
    plain: list[dict[str, str]] = []
    for message in messages:
        role = _ROLES.get(str(message.get("role", "user")), "user")
        text = _text_of(message, names)
        if plain and plain[-1]["role"] == role:
            plain[-1]["content"] += f"\n\n{text}"
        elif text:
            plain.append({"role": role, "content": text})
    return _within(plain, max_chars)


def with_tools(
    messages: Sequence[dict[str, str]], tools: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Return plain messages whose last one asks for a call of one of the tools.

    Args:
        messages: Plain messages.
        tools: Function definitions (the `function` part of `tools`).
    """
    lines = "\n".join(_tool_line(tool) for tool in tools)
    *before, last = messages or ({"role": "user", "content": ""},)
    if last["role"] != "user":
        before, last = [*before, last], {"role": "user", "content": "Go on."}
    # The list first and the task last: the other way round it calls tools at random.
    text = (
        f"You have these tools:\n{lines}\n\nTask: {last['content']}\n\n"
        "Write the JSON tool call for the task."
    )
    return [*before, {"role": "user", "content": text}]


def with_question(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return plain messages whose last one, a tool's result, asks for an answer in words.

    Args:
        messages: Plain messages; at least one.
    """
    *before, last = messages
    text = f"{last['content']}\n\nWhat did you find out? Answer in one sentence."
    return [*before, {**last, "content": text}]


def shortened(text: str, max_chars: int) -> str:
    """Return the text, with its middle left out where it is longer than allowed."""
    if len(text) <= max_chars:
        return text
    room = max(0, max_chars - len(_CUT))
    head = room * 2 // 3
    tail = room - head
    return f"{text[:head]}{_CUT}{text[len(text) - tail :]}"


def _text_of(message: Mapping[str, Any], names: dict[str, str]) -> str:
    text = _joined_content(message.get("content"))
    if message.get("role") == "tool":
        name = names.get(str(message.get("tool_call_id", "")), "")
        # Without blank lines: an answer ends with its first paragraph, also a copied one.
        lines = "\n".join(line for line in text.splitlines() if line.strip())
        return f"The tool {name} says:\n{shortened(lines, MAX_TOOL_RESULT_CHARS)}"
    said = [text] if text else []
    for call in cast("Sequence[Mapping[str, Any]]", message.get("tool_calls") or ()):
        function = cast("Mapping[str, Any]", call.get("function") or {})
        name = str(function.get("name", ""))
        names[str(call.get("id", ""))] = name
        arguments = str(function.get("arguments") or "{}")
        said.append(f"I use the tool {name} with {arguments}.")
    return "\n".join(said)


def _joined_content(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (
        cast("Mapping[str, object]", part).get("text")
        for part in cast("list[object]", content)
        if isinstance(part, Mapping)
    )
    return "".join(text for text in texts if isinstance(text, str))


def _within(messages: list[dict[str, str]], max_chars: int) -> list[dict[str, str]]:
    """Cut the longest messages until all fit; short ones stay whole."""
    lengths = sorted(len(message["content"]) for message in messages)
    left, share = max_chars, max_chars
    for index, length in enumerate(lengths):
        share = left // (len(lengths) - index)
        if length > share:
            break
        left -= length
    else:
        return messages
    return [{**message, "content": shortened(message["content"], share)} for message in messages]


def _tool_line(tool: Mapping[str, Any]) -> str:
    parameters = cast("Mapping[str, Any]", tool.get("parameters") or {})
    names = ", ".join(cast("Mapping[str, Any]", parameters.get("properties") or {}))
    about = str(tool.get("description") or "").strip().partition("\n")[0]
    return f"- {tool.get('name', '')}({names}): {shortened(about, 200)}"
