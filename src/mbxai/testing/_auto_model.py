"""The automatic model: obedient, without wit, always the same answer to the same request."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mbxai.testing._conversation import ANSWERED, Conversation, OfferedTool
from mbxai.testing._json_views import Json, as_list, as_object, as_text, is_object
from mbxai.testing._sampler import Sampler, UnsatisfiableError

ASKING_TOOLS: Final = frozenset({"ask_question", "request_decision"})
"""Tools that the model never calls by itself: they would ask a person for nothing."""

DIALOG_TOOL: Final = "open_dialog"
_QUOTE_LENGTH: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One tool call: id, name, the arguments as JSON text, and what a provider adds to it."""

    id: str
    name: str
    arguments: str
    extra: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says.

    Attributes:
        content: Text; None beside tool calls without text.
        calls: Tool calls.
        finish_reason: Why it stopped.
        usage: Fields that replace the counted ones.
        extra: More fields of the message.
    """

    content: str | None = None
    calls: tuple[Call, ...] = ()
    finish_reason: str = "stop"
    usage: Mapping[str, object] = field(default_factory=dict[str, object])
    extra: Mapping[str, object] = field(default_factory=dict[str, object])


def answer_to(talk: Conversation, overrides: Mapping[str, object]) -> Answer:
    """Return the automatic answer.

    Args:
        talk: The request.
        overrides: Values by schema name that are laid over the generated ones.
    """
    tools = _tools_to_call(talk)
    if tools:
        calls = tuple(_call(tool, talk) for tool in tools)
        return Answer(calls=calls, finish_reason="tool_calls")
    if talk.schema is not None:
        return Answer(content=_json_text(_instance(talk, overrides)))
    results = talk.results()
    if talk.wants_json:
        told: Json = dict(results)
        return Answer(content=_json_text({"answer": _echo(talk), **told}))
    if results:
        quotes = [f"{name}{ANSWERED}{_cut(text)}" for name, text in results]
        return Answer(content="Done. " + "\n".join(quotes))
    return Answer(content=_echo(talk))


def call_id(body: Json, name: str, at: int) -> str:
    """Return an id that is the same for the same request and differs between its calls."""
    digest = hashlib.sha256(f"{name}/{at}/{json.dumps(body, sort_keys=True)}".encode())
    return f"call_{digest.hexdigest()[:16]}"


def _tools_to_call(talk: Conversation) -> list[OfferedTool]:
    choice = talk.tool_choice()
    offered = talk.tools()
    if choice == "none" or not offered:
        return []
    if choice.startswith("="):
        return [tool for tool in offered if tool.name == choice[1:]][:1]
    dialogs = [tool for tool in offered if tool.name == DIALOG_TOOL]
    if dialogs and not talk.handles() and DIALOG_TOOL not in talk.called(anywhere=True):
        return dialogs[:1]
    plain = [tool for tool in offered if tool.name not in ASKING_TOOLS | {DIALOG_TOOL}]
    called = talk.called()
    new = [tool for tool in plain if tool.name not in called]
    if not new and choice == "required":
        return (plain or offered)[:1]
    return new[:1] if talk.body.get("parallel_tool_calls") is False else new


def _call(tool: OfferedTool, talk: Conversation) -> Call:
    names = [entry.name for entry in talk.tools()]
    sampler = Sampler(tool.parameters, facts=_secrets(tool, talk), arguments=True)
    arguments: object = {}
    with contextlib.suppress(UnsatisfiableError):
        arguments = sampler.sample() if tool.parameters else arguments
    return Call(
        id=call_id(talk.body, tool.name, names.index(tool.name)),
        name=tool.name,
        arguments=_json_text(arguments),
    )


def _secrets(tool: OfferedTool, talk: Conversation) -> dict[str, object]:
    parameters = as_object(tool.parameters.get("properties"))
    return {name: handle for name, handle in talk.handles().items() if name in parameters}


def _instance(talk: Conversation, overrides: Mapping[str, object]) -> object:
    value: object = {}
    sampler = Sampler(talk.schema, facts=talk.facts(), last_key=talk.last_task_key())
    with contextlib.suppress(UnsatisfiableError):
        value = sampler.sample()
    override = overrides.get(talk.schema_name or "")
    if is_object(value) and is_object(override):
        return value | override
    return value if override is None else override


def _echo(talk: Conversation) -> str:
    return f"Fake answer to: {talk.last_user_text()[:200]}"


def _cut(text: str) -> str:
    if len(text) <= _QUOTE_LENGTH:
        return text
    entries: list[object] = []
    with contextlib.suppress(ValueError, RecursionError):
        entries = as_list(json.loads(text))
    # of a long list the last entry says most
    last = _json_text(entries[-1]) if entries else text
    return last if len(last) <= _QUOTE_LENGTH else as_text(last[:_QUOTE_LENGTH]) + "..."


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
