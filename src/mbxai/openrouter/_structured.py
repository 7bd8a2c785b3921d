"""Text of an answer becomes a value of the caller's type; pure."""

import re
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from mbxai.errors import (
    ContentFilteredError,
    OutputTruncatedError,
    OutputValidationError,
    RefusalError,
    RequestOrigin,
)
from mbxai.wire import ChatCompletion

T = TypeVar("T", bound=BaseModel)

_FENCE: Final = re.compile(
    r"```(?:json)?[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL | re.IGNORECASE
)
_MAX_PROBLEMS: Final = 20


def parsed_value(completion: ChatCompletion, model: type[T]) -> T:
    """Return the first answer as an instance of the model.

    Args:
        completion: An answer with at least one choice.
        model: What the text is validated against.

    Raises:
        OutputTruncatedError: The answer was cut at the token limit.
        ContentFilteredError: The provider's filter withheld it.
        RefusalError: The model refused.
        OutputValidationError: The text is no JSON or does not fit; `problems` says where.
    """
    choice = completion.choices[0]
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
    text = unfenced(choice.message.content or "")
    try:
        # JSON has no NaN, though Python's float does.
        from_json(text, allow_inf_nan=False)
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = tuple(
            f"{'.'.join(str(part) for part in problem['loc']) or 'value'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)[:_MAX_PROBLEMS]
        )
        cause: Exception = error
    except ValueError as error:
        problems = (f"value: {'no text' if not text else f'not JSON ({error})'}",)
        cause = error
    raise OutputValidationError(
        f"The answer is no valid {model.__name__}: {'; '.join(problems)[:500]}.",
        completion=completion,
        problems=problems,
        **origin,
    ) from cause


def unfenced(text: str) -> str:
    """Return what stands inside a Markdown code fence, or the text itself if there is none."""
    stripped = text.strip().removeprefix("\ufeff")
    if stripped.startswith(("{", "[")):
        return stripped
    fenced = _FENCE.search(stripped)
    return fenced.group(1).strip() if fenced else stripped


def origin_of_completion(completion: ChatCompletion) -> RequestOrigin:
    """Return what the completion knows of its request."""
    return {
        "request_id": completion.request_id,
        "generation_id": completion.generation_id,
        "attempts": completion.attempts,
    }
