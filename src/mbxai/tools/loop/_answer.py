"""The answer of a conversation with tools: the model's last completion, and how it came about."""

from typing import Generic, TypeVar

from pydantic import PrivateAttr

from mbxai.tools._call import PendingCall
from mbxai.tools.loop._run import ToolRun
from mbxai.wire import ChatCompletion, ParsedChatCompletion

T = TypeVar("T")


class ToolCompletion(ChatCompletion):
    """The model's last answer; its `usage` is the sum of all rounds."""

    _run: ToolRun | None = PrivateAttr(default=None)

    @property
    def run(self) -> ToolRun:
        """What happened between the caller's messages and this answer."""
        return self._run or ToolRun(messages=[], new_messages=[])

    @property
    def pending(self) -> list[PendingCall]:
        """Calls that wait for the application; empty where the answer is final."""
        return self.run.pending

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import completion_html  # noqa: PLC0415  # only where it is looked at

        return completion_html(self, self.run)


class ParsedToolCompletion(ParsedChatCompletion[T], Generic[T]):
    """The model's answer as a value of the wanted type; its `usage` is the sum of all calls."""

    _run: ToolRun | None = PrivateAttr(default=None)

    @property
    def run(self) -> ToolRun:
        """What happened between the caller's messages and this answer."""
        return self._run or ToolRun(messages=[], new_messages=[])

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import completion_html  # noqa: PLC0415  # only where it is looked at

        return completion_html(self, self.run)


def completion_with_run(completion: ChatCompletion, run: ToolRun) -> ToolCompletion:
    """Return an answer together with how it came about.

    Args:
        completion: The model's last answer; it is not changed.
        run: What happened; its usage becomes the answer's.
    """
    return _with_run(ToolCompletion, completion, run)


def parsed_with_run(completion: ParsedChatCompletion[T], run: ToolRun) -> ParsedToolCompletion[T]:
    """Return a typed answer together with how it came about.

    Args:
        completion: The model's last answer; it is not changed.
        run: What happened; its usage becomes the answer's.
    """
    return _with_run(ParsedToolCompletion[T], completion, run)


C = TypeVar("C", bound=ChatCompletion)


def _with_run(kind: type[C], completion: ChatCompletion, run: ToolRun) -> C:
    if run.usage is not None and len(run.completions) > 1:
        completion = completion.with_usage(run.usage)
    # Fields, unknown ones, and what is private: all as it is, nothing is validated again.
    answer = kind.model_construct(completion.model_fields_set, **dict(completion))
    private = {**(completion.__pydantic_private__ or {}), "_run": run}
    object.__setattr__(answer, "__pydantic_private__", private)
    return answer
