"""What servers ask people: how an application's handler is called, and what its answer means."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

import anyio.to_thread
from pydantic import BaseModel

from mbxai._redaction import get_logger, redact
from mbxai.mcp._options import ElicitHandler
from mbxai.mcp.connection._callbacks import Elicitor
from mbxai.wire import FormError, ToolAnswer, ToolQuestion, form_fields, read_form, refusal_of

logger = get_logger(__name__)

_ACTIONS: Final = ("accept", "decline", "cancel")


def elicitor(handler: ElicitHandler) -> Elicitor:
    """Return what asks a person by an application's handler.

    A form that asks for a credential, and an address that is none of the web, are declined without
    asking. An answer that does not fit its form, and an exception, are logged, and the server is
    told that the person went away; it learns nothing of either.

    Args:
        handler: See `ElicitHandler`; one that blocks runs in a worker thread.

    Returns:
        An asynchronous function from a question to its answer, which always has the question's
        state. Values that the person did not give have the form's defaults.
    """

    async def elicit(question: ToolQuestion) -> ToolAnswer:
        if reason := refusal_of(question):
            logger.warning("server %r was not answered: %s", question.source, redact(reason))
            return ToolAnswer(action="decline", state=question.state)
        try:
            given = await _asked(handler, question)
            return _answer(question, given)
        except FormError as error:
            problems = redact(str(error))
            logger.error("the answer to server %r does not fit: %s", question.source, problems)  # noqa: TRY400  # no traceback of ours helps
        except Exception:  # the application's own code
            logger.exception("elicit= raised for server %r", question.source)
        return ToolAnswer(action="cancel", state=question.state)

    return elicit


async def _asked(handler: ElicitHandler, question: ToolQuestion) -> object:
    if inspect.iscoroutinefunction(handler):
        return await handler(question)
    given: object = await anyio.to_thread.run_sync(handler, question, abandon_on_cancel=True)
    return await given if inspect.isawaitable(given) else given


def _answer(question: ToolQuestion, given: object) -> ToolAnswer:
    answer = _as_answer(question, given)
    if answer.action != "accept" or question.kind == "url":
        return replace(answer, content={}, state=question.state)
    content = read_form(question.schema, answer.content)
    return replace(answer, content=content, state=question.state)


def _as_answer(question: ToolQuestion, given: object) -> ToolAnswer:
    if isinstance(given, ToolAnswer):
        return given
    if given is None:
        return ToolAnswer(action="cancel")
    if isinstance(given, bool):
        return ToolAnswer(action="accept" if given else "decline")
    if isinstance(given, BaseModel):
        given = given.model_dump(by_alias=True)
    if isinstance(given, Mapping):
        content = {str(k): v for k, v in cast("Mapping[object, Any]", given).items()}
        return _as_protocol_answer(question, content) or ToolAnswer(
            action="accept", content=content
        )
    raise TypeError(
        f"elicit= must return the values of the form, True, False, None or a ToolAnswer, not a "
        f"{type(given).__name__}"
    )


def _as_protocol_answer(question: ToolQuestion, given: Mapping[str, Any]) -> ToolAnswer | None:
    """Take `{"action": ..., "content": ...}`, as the protocol writes it, where no field says so."""
    action, content = given.get("action"), given.get("content")
    named = {field.name for field in form_fields(question.schema)}
    if action not in _ACTIONS or not set(given) <= {"action", "content"} - named:
        return None
    if content is not None and not isinstance(content, Mapping):
        return None
    return ToolAnswer(action=action, content=cast("Mapping[str, Any]", content or {}))
