"""A completion whose text has become a value of the caller's type, and what it took."""

from collections.abc import Iterable, Sequence
from typing import Generic, Self, TypeVar, cast

from pydantic import BaseModel, Field, PrivateAttr

from mbxai.wire._completion import (
    ChatCompletion,
    Choice,
    CompletionTokensDetails,
    Message,
    PromptTokensDetails,
    Usage,
)

T = TypeVar("T")
DetailsT = TypeVar("DetailsT", bound=BaseModel)


class ParsedMessage(Message, Generic[T]):
    """An assistant message with its typed value.

    Attributes:
        parsed: The value. There is none only if `parse` was given `tools=` of the caller's own and
            the model called them.
    """

    parsed: T = cast("T", None)

    _repaired: bool = PrivateAttr(default=False)

    @property
    def repaired(self) -> bool:
        """Whether the value had to be picked out of more than clean JSON.

        True for code fences, words around the JSON, trailing commas, a byte order mark, and a bare
        value where an object was asked for.
        """
        return self._repaired

    def set_parsed(self, value: T, *, repaired: bool) -> None:
        """Note the value; called once by the client that read it.

        Args:
            value: What the text says.
            repaired: Whether the text was not clean JSON.
        """
        self.parsed = value
        self._repaired = repaired


class ParsedChoice(Choice, Generic[T]):
    """One answer with its typed value."""

    # A narrower type in a field that is only read.
    message: ParsedMessage[T] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=ParsedMessage[T]
    )


class ParsedChatCompletion(ChatCompletion, Generic[T]):
    """A whole answer whose `choices[0].message.parsed` is an instance of the wanted type."""

    # A narrower list in a field that is only read.
    choices: list[ParsedChoice[T]] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default_factory=list[ParsedChoice[T]]
    )

    _strategy: str = PrivateAttr(default="json_schema")
    _validation_retries: int = PrivateAttr(default=0)
    _total_usage: Usage | None = PrivateAttr(default=None)

    @property
    def parsed(self) -> T:
        """The value of the first answer."""
        return self.choices[0].message.parsed

    @property
    def strategy(self) -> str:
        """How the type was asked for: `json_schema`, `tool`, `json_object` or `prompted`."""
        return self._strategy

    @property
    def validation_retries(self) -> int:
        """How many earlier answers did not fit and were asked for again."""
        return self._validation_retries

    @property
    def total_usage(self) -> Usage:
        """Tokens and cost of all answers, those that did not fit included."""
        return self._total_usage or total_usage_of([self])

    def with_usage(self, usage: Usage | None) -> Self:
        """Return a copy that counts more than itself, as the last answer of a conversation.

        Args:
            usage: Of all its answers.
        """
        copy = super().with_usage(usage)
        copy._total_usage = usage  # noqa: SLF001  # of this very class
        return copy

    def set_outcome(self, *, strategy: str, earlier: Sequence[ChatCompletion] = ()) -> None:
        """Note what it took; called once by the client that asked.

        Args:
            strategy: How the type was asked for.
            earlier: Answers that did not fit, oldest first.
        """
        self._strategy = strategy
        self._validation_retries = len(earlier)
        self._total_usage = total_usage_of([*earlier, self])


def total_usage_of(completions: Iterable[ChatCompletion]) -> Usage:
    """Return the tokens and the cost of several answers together.

    Args:
        completions: Answers; one without usage counts as nothing.

    Returns:
        The sum; `cost` is None where no answer names one.
    """
    return sum_usages(
        completion.usage for completion in completions if completion.usage is not None
    )


def sum_usages(parts: Iterable[Usage]) -> Usage:
    """Return the tokens and the cost of several calls together.

    Args:
        parts: What each of them used.

    Returns:
        The sum; `cost` is None where no part names one.
    """
    usages = list(parts)
    costs = [usage.cost for usage in usages if usage.cost is not None]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        total_tokens=sum(usage.total_tokens for usage in usages),
        cost=sum(costs) if costs else None,
        prompt_tokens_details=_sum_of(
            PromptTokensDetails, [usage.prompt_tokens_details for usage in usages]
        ),
        completion_tokens_details=_sum_of(
            CompletionTokensDetails, [usage.completion_tokens_details for usage in usages]
        ),
    )


def _sum_of(kind: type[DetailsT], details: Iterable[DetailsT | None]) -> DetailsT | None:
    given = [part for part in details if part is not None]
    if not given:
        return None
    totals: dict[str, int | None] = {}
    for name in kind.model_fields:
        counts = [count for part in given if (count := getattr(part, name)) is not None]
        totals[name] = sum(counts) if counts else None
    return kind.model_validate(totals)
