"""Marks for the prompt caches of providers that keep nothing unless they are told to. Pure.

Most providers keep the beginning of a prompt by themselves. Those below want marks in the request;
others would be sent lists of parts for nothing. Only conversations of tasks are marked: they are
sent again and again, with the same tools, while every other step has a schema of its own, which
comes before the messages where providers keep them. What is marked costs more the first time and a
tenth from then on.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import mbxai.agent.machine._prompts as prompts
from mbxai.agent.machine._snapshot import AgentSnapshot

_WANT_MARKS: Final = ("anthropic/", "google/gemini", "qwen/", "alibaba/")
_KEEP_GROWING_ONES: Final = ("anthropic/",)
"""Who keeps a conversation that goes on without paying for its beginning again."""

MIN_CHARS: Final = 4_096
"""Shortest prompt that is kept: 1 024 tokens for most models; of a shorter one marks do nothing."""

_MARK: Final = {"type": "ephemeral"}

Messages = Sequence[Mapping[str, Any]]  # Any: messages of the wire


def marked_messages(
    snapshot: AgentSnapshot, messages: Messages, tools: Sequence[Any] = ()
) -> list[dict[str, Any]]:  # Any: messages and tool definitions of the wire
    """Return a task's conversation as it is sent: with at most two marks, where they help.

    Args:
        snapshot: The state; it knows which model answered last.
        messages: The conversation; not changed.
        tools: Tools that are offered with it; providers keep them with the beginning.

    Returns:
        The conversation. Its texts are the same, marked ones as parts.
    """
    sent = [dict(message) for message in messages]
    model = snapshot.model.removeprefix("~").lower()
    if not model.startswith(_WANT_MARKS):
        return sent
    length = len(json.dumps(list(tools), default=str)) if tools else 0
    first = next((n for n, message in enumerate(sent) if message.get("role") == "user"), None)
    length += sum(_length(message) for message in sent[:first])
    if first is not None:
        _mark_beginning(sent[first], prompts.shared_beginning(snapshot), length)
    last = sent[-1] if sent else {}
    is_growing = any(message.get("role") == "assistant" for message in sent)
    if is_growing and model.startswith(_KEEP_GROWING_ONES):
        _mark_end(last, length + sum(_length(message) for message in sent[first:]))
    return sent


def _mark_beginning(message: dict[str, Any], beginning: str, before: int) -> None:
    """Mark the end of what all tasks begin with."""
    text = message.get("content")
    if before + len(beginning) < MIN_CHARS or not isinstance(text, str):
        return
    if beginning and text.startswith(beginning) and len(text) > len(beginning):
        rest = {"type": "text", "text": text[len(beginning) :]}
        message["content"] = [_part(beginning), rest]


def _mark_end(message: dict[str, Any], length: int) -> None:
    """Mark the last message, so that the next round finds all that came before it."""
    text = message.get("content")
    if length >= MIN_CHARS and message.get("role") in ("tool", "user") and text:
        message["content"] = [_part(text)] if isinstance(text, str) else text


def _part(text: str) -> dict[str, Any]:  # Any: a content part of the wire
    return {"type": "text", "text": text, "cache_control": dict(_MARK)}


def _length(message: Mapping[str, Any]) -> int:
    return len(json.dumps(message, ensure_ascii=False, default=str))
