"""Questions of tools that have begun: how a person is asked, and what the tool is told. Pure.

an address, a form without fields   DECISION: accept, decline
one choice, one yes or no           DECISION: the choices, decline
any other form                      QUESTION with a `response_schema`
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent.machine._snapshot import (
    AnswerRecord,
    Interaction,
    StoredAnswer,
    StoredQuestion,
    ToolCall,
)
from mbxai.wire import FormField, ToolQuestion, form_fields, host_of, read_form, refusal_of

ACCEPT: Final = "accept"
DECLINE: Final = "decline"
CANCEL: Final = "cancel"

_MAX_MESSAGE_CHARS: Final = 4000


class UnfitAnswerError(ValueError):
    """An answer does not say what the tool wants to know; says why."""


def stored(question: ToolQuestion) -> StoredQuestion:
    """Return a tool's question as it is stored.

    Args:
        question: What the tool wants to know.
    """
    return StoredQuestion(
        message=question.message,
        kind=question.kind,
        form=dict(question.schema),
        url=question.url,
        source=question.source,
        state=question.state,
    )


def refusal(question: StoredQuestion) -> str:
    """Say why nobody may be asked this; empty for a question that may be asked.

    Args:
        question: What the tool wants to know.
    """
    return refusal_of(
        ToolQuestion(
            message=question.message, kind=question.kind, schema=question.form, url=question.url
        )
    )


def interaction(question: StoredQuestion, call: ToolCall, *, interaction_id: str) -> Interaction:
    """Return the request by which a person is asked.

    Args:
        question: What the tool wants to know.
        call: The tool's call; it is kept in the request until it goes on.
        interaction_id: Id for the request.

    Returns:
        The request. It names who asks, and shows an address in full, and its host apart.
    """
    asker = f"The server {question.source!r}" if question.source else f"The tool {call.name!r}"
    message = shown(question.message)
    context = [f"For the tool {call.name!r}."]
    if question.kind == "url":
        prompt = f"{asker} asks you to visit {host_of(question.url)}: {message}"
        context.append(f"Address: {question.url}")
    else:
        prompt = f"{asker} asks: {message}"
        context += [_described(field) for field in form_fields(question.form)]
    options = _options(question)
    kind = HumanInteractionType.QUESTION if options is None else HumanInteractionType.DECISION
    return Interaction(
        id=interaction_id,
        purpose="elicitation",
        interaction_type=kind,
        prompt=prompt,
        options=() if options is None else (*options, DECLINE),
        context="\n".join(context),
        task_id=call.task_id,
        call_id=call.call_id,
        question=question,
        paused=call,
    )


def fitted(question: StoredQuestion, answer: AnswerRecord) -> AnswerRecord:
    """Return an answer as the form wants it; a fitted one stays as it is.

    Args:
        question: What the tool wants to know.
        answer: A decision, a text, or values by field.

    Returns:
        An answer whose `decision` is "accept", "decline" or "cancel", with `content` for the first.

    Raises:
        UnfitAnswerError: It says neither.
        FormError: A value does not fit its field.
    """
    said = (answer.decision or "").casefold().strip()
    record = AnswerRecord(response_type=answer.response_type, provides=answer.provides)
    if said in (DECLINE, CANCEL):
        return record.model_copy(update={"decision": said, "provides": ()})
    fields = form_fields(question.form) if question.kind == "form" else []
    if not fields:
        if said != ACCEPT:
            raise UnfitAnswerError(f"decision must be {ACCEPT} or {DECLINE}")
        return record.model_copy(update={"decision": ACCEPT, "content": {}})
    content = answer.content
    if content is None:
        content = _content(question, fields, answer, said)
    withheld = [field_of(handle) for handle in answer.provides]
    values = read_form(question.form, content, unchecked=withheld)
    return record.model_copy(update={"decision": ACCEPT, "content": values})


def answer_of(question: StoredQuestion, answer: AnswerRecord) -> StoredAnswer:
    """Return what the tool is told.

    Args:
        question: What it wants to know.
        answer: A fitted answer.
    """
    action = answer.decision
    return StoredAnswer(
        action=action if action in (ACCEPT, DECLINE) else CANCEL,
        content=answer.content or {},
        withheld=answer.provides,
        state=question.state,
    )


def field_of(handle: str) -> str:
    """Return the field whose value a handle stands for.

    Args:
        handle: `secret://.../field`.
    """
    return unquote(handle.rpartition("/")[2])


def shown(text: str) -> str:
    """Return a text of others without characters that show nothing or turn the reading round.

    Args:
        text: A server's or a model's words for a person.

    Returns:
        The text, shortened if it is very long.
    """
    seen = (
        c for c in text[:_MAX_MESSAGE_CHARS] if c in "\n\t" or unicodedata.category(c)[0] != "C"
    )
    return "".join(seen) + ("..." if len(text) > _MAX_MESSAGE_CHARS else "")


def _options(question: StoredQuestion) -> dict[str, object] | None:
    """Return the value of each option to choose from; None for what is no choice."""
    fields = form_fields(question.form) if question.kind == "form" else []
    if not fields:
        return {ACCEPT: True}
    if len(fields) > 1:
        return None
    if fields[0].kind == "boolean":
        return {"yes": True, "no": False}
    if fields[0].kind != "choice":
        return None
    choices = fields[0].choices
    for labels in ([title for _value, title in choices], [str(value) for value, _t in choices]):
        spelled = {label.casefold().strip() for label in labels}
        if len(spelled) == len(labels) and not spelled & {DECLINE, CANCEL, ""}:
            return {label: value for label, (value, _t) in zip(labels, choices, strict=True)}
    return None


def _content(
    question: StoredQuestion, fields: Sequence[FormField], answer: AnswerRecord, said: str
) -> Mapping[str, Any]:  # Any: JSON
    options = _options(question)
    if options is not None and not (answer.answer or "").strip():
        spelled = {label.casefold().strip(): value for label, value in options.items()}
        if said not in spelled:
            raise UnfitAnswerError(f"decision must be one of {', '.join((*options, DECLINE))}")
        return {fields[0].name: spelled[said]}
    text = answer.answer or ""
    if not text.strip():
        if said == ACCEPT:
            return {}
        raise UnfitAnswerError(f"answer is empty; to give none, decide {DECLINE!r}")
    return _from_text(fields, text)


def _from_text(fields: Sequence[FormField], text: str) -> Mapping[str, Any]:
    """Read a text: the value itself for the only field, else a JSON object."""
    if len(fields) == 1 and fields[0].kind == "text":
        return {fields[0].name: text}
    try:
        value: Any = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict) and (len(fields) > 1 or fields[0].name in value):
        return value  # pyright: ignore[reportUnknownVariableType]  # JSON
    if len(fields) == 1:
        return {fields[0].name: value}
    names = ", ".join(field.name for field in fields)
    raise UnfitAnswerError(f"answer must be a JSON object of {names}, or use content")


def _described(field: FormField) -> str:
    notes = [field.kind if field.kind not in ("choice", "choices", "other") else ""]
    if field.kind == "choices":
        notes.append("several of " + ", ".join(title for _value, title in field.choices))
    elif field.kind == "choice":
        notes.append("one of " + ", ".join(title for _value, title in field.choices))
    notes.append("" if field.is_required or field.has_default else "may be left out")
    if field.has_default:
        notes.append(f"unless given: {json.dumps(field.default, default=str)}")
    title = f" {field.title!r}" if field.title != field.name else ""
    about = f": {field.description}" if field.description else ""
    text = f"- {field.name}{title} ({'; '.join(note for note in notes if note)}){about}"
    return shown(text)
