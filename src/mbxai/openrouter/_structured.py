"""An answer becomes a value of the caller's type, or the list of what does not fit; pure."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mbxai.errors import (
    ContentFilteredError,
    OutputTruncatedError,
    OutputValidationError,
    RefusalError,
    RequestOrigin,
)
from mbxai.openrouter._json_text import (
    BYTE_ORDER_MARK,
    ambiguity_of,
    bracketed_parts,
    fenced_parts,
    without_trailing_commas,
)
from mbxai.wire import ChatCompletion, Choice
from mbxai.wire._output_type import WRAPPER_KEY, OutputType

T = TypeVar("T")

_MAX_PROBLEMS: Final = 20
_MAX_PROBLEM_CHARS: Final = 300
_MAX_MESSAGE_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """A value, and whether it had to be picked out of more than clean JSON."""

    value: T
    repaired: bool


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why an answer is no value.

    Attributes:
        problems: One line a problem, `path: reason`.
        is_prose: Whether the model did not even try to write JSON.
        cause: What the parser or the validator raised, if it did.
    """

    problems: tuple[str, ...]
    is_prose: bool = False
    cause: Exception | None = None


def parsed_value(
    completion: ChatCompletion, output_type: OutputType[T], *, answer_tool: str | None = None
) -> tuple[T, bool]:
    """Return the first answer as a value, and whether its text had to be repaired.

    Args:
        completion: An answer with at least one choice.
        output_type: What the text is validated against.
        answer_tool: Name of the tool whose arguments are the answer; text is taken as well.

    Raises:
        OutputTruncatedError: The answer was cut at the token limit; it is never repaired.
        ContentFilteredError: The provider's filter withheld it.
        RefusalError: The model refused.
        OutputValidationError: The text is no JSON or does not fit; `problems` says where.
    """
    reading = read_answer(completion, output_type, answer_tool=answer_tool)
    if isinstance(reading, Misfit):
        raise misfit_error(reading, output_type, (completion,)) from reading.cause
    return reading.value, reading.repaired


def read_answer(
    completion: ChatCompletion, output_type: OutputType[T], *, answer_tool: str | None = None
) -> Reading[T] | Misfit:
    """Return what the first answer says, or why it says nothing of the type.

    Args:
        completion: An answer with at least one choice.
        output_type: What the text is validated against.
        answer_tool: Name of the tool whose arguments are the answer; text is taken as well.

    Raises:
        OutputError: The answer was cut, withheld or refused; asking again is no correction.
    """
    choice = completion.choices[0]
    _check_end(choice, completion)
    return read_text(_text_of(choice, answer_tool), output_type)


def read_text(text: str, output_type: OutputType[T]) -> Reading[T] | Misfit:
    """Return the value in a text.

    Clean JSON is validated as it is. Otherwise fences, words around the JSON, trailing commas, a
    byte order mark and a missing wrapper are forgiven, as long as only one value can be meant.

    Args:
        text: What the model wrote.
        output_type: What it is validated against.
    """
    clean = text.strip()
    if not clean:
        return Misfit(("value: no text",))
    try:
        value = output_type.validate_json(clean)
    except ValidationError as error:
        return _picked_out(clean, output_type, error)
    why = ambiguity_of(clean)
    return Misfit((f"value: {why}",)) if why else Reading(value, repaired=False)


def misfit_error(
    misfit: Misfit, output_type: OutputType[T], completions: tuple[ChatCompletion, ...]
) -> OutputValidationError:
    """Return the error for an answer that does not fit.

    Args:
        misfit: What is wrong with the last answer.
        output_type: What was wanted.
        completions: Every answer, oldest first.
    """
    problems = "; ".join(misfit.problems)[:_MAX_MESSAGE_CHARS]
    return OutputValidationError(
        f"The answer is no valid {output_type.name}: {problems}.",
        completion=completions[-1],
        completions=completions,
        problems=misfit.problems,
        **origin_of_completion(completions[-1]),
    )


def origin_of_completion(completion: ChatCompletion) -> RequestOrigin:
    """Return what the completion knows of its request."""
    return {
        "request_id": completion.request_id,
        "generation_id": completion.generation_id,
        "attempts": completion.attempts,
    }


def _check_end(choice: Choice, completion: ChatCompletion) -> None:
    origin = origin_of_completion(completion)
    if choice.message.refusal:
        raise RefusalError("The model refused to answer.", completion=completion, **origin)
    if choice.finish_reason == "content_filter":
        raise ContentFilteredError(
            "The provider's filter withheld the answer.", completion=completion, **origin
        )
    if choice.finish_reason == "length":
        origin["hint"] = "Raise max_tokens or ask for less."
        raise OutputTruncatedError(
            "The answer was cut at the token limit.", completion=completion, **origin
        )


def _text_of(choice: Choice, answer_tool: str | None) -> str:
    for call in choice.message.tool_calls or ():
        if answer_tool is not None and call.function.name == answer_tool:
            return call.function.arguments
    return choice.message.content or ""


def _picked_out(
    clean: str, output_type: OutputType[T], error: ValidationError
) -> Reading[T] | Misfit:
    """The value in a text that is more than JSON, or less than asked for."""
    bare = clean.removeprefix(BYTE_ORDER_MARK).strip()
    misfits: list[Misfit] = []
    for parts in ([bare], fenced_parts(bare), bracketed_parts(bare)):
        values: list[T] = []
        for part in parts:
            reading = _read_part(part, output_type)
            if isinstance(reading, Misfit):
                # The wanted schema is an object's, so other brackets are only part of the words.
                misfits += [reading] if not reading.is_prose and part.startswith("{") else []
            elif reading.value not in values:
                values.append(reading.value)
        if len(values) == 1:
            return Reading(values[0], repaired=True)
        if values:
            return Misfit(("value: the text holds several values that fit",))
    if not _is_no_json(error):
        return Misfit(_problems_of(error), cause=error)
    if misfits:  # what was JSON but did not fit says more than that there are words around it
        return misfits[0]
    tried = bare.startswith(("{", "[", '"', "```"))
    return Misfit(_problems_of(error), is_prose=not tried, cause=error)


def _read_part(part: str, output_type: OutputType[T]) -> Reading[T] | Misfit:
    misfit = Misfit((), is_prose=True)
    for text in dict.fromkeys((part, without_trailing_commas(part))):
        try:
            value = _validated(text, output_type)
        except ValidationError as error:
            misfit = Misfit(_problems_of(error), is_prose=_is_no_json(error), cause=error)
        else:
            why = ambiguity_of(text)
            return Misfit((f"value: {why}",)) if why else Reading(value, repaired=True)
    return misfit


def _validated(text: str, output_type: OutputType[T]) -> T:
    try:
        return output_type.validate_json(text)
    except ValidationError as error:
        if not output_type.is_wrapped or not _lacks_wrapper(error):
            raise
        try:
            return output_type.adapter.validate_json(text)
        except ValidationError:
            raise error from None  # it tells of the wrapper, which the model was asked for


def _lacks_wrapper(error: ValidationError) -> bool:
    places = {(problem["type"], problem["loc"]) for problem in _details_of(error)}
    return bool(places & {("missing", (WRAPPER_KEY,)), ("dict_type", ())})


def _is_no_json(error: ValidationError) -> bool:
    first = _details_of(error)[0]
    return first["type"] == "json_invalid" and not first["loc"]


def _problems_of(error: ValidationError) -> tuple[str, ...]:
    if _is_no_json(error):
        reason = _details_of(error)[0]["msg"].removeprefix("Invalid JSON: ")
        return (f"value: not JSON ({reason})",)
    return tuple(
        f"{'.'.join(str(part) for part in problem['loc']) or 'value'}: {problem['msg']}"[
            :_MAX_PROBLEM_CHARS
        ]
        for problem in _details_of(error)[:_MAX_PROBLEMS]
    )


def _details_of(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False, include_context=False)
