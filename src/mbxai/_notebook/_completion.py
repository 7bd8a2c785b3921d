"""Chat completions and the tool calls before them. Pure."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from mbxai._notebook._markup import (
    Facts,
    Markup,
    card,
    counted,
    folded,
    listing,
    money,
    paragraph,
    table,
    value,
)


class _Function(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> str: ...


class _Call(Protocol):
    @property
    def function(self) -> _Function: ...


class _Message(Protocol):
    @property
    def content(self) -> str | None: ...
    @property
    def refusal(self) -> str | None: ...
    @property
    def reasoning(self) -> str | None: ...
    @property
    def tool_calls(self) -> Sequence[_Call] | None: ...


class _Choice(Protocol):
    @property
    def message(self) -> _Message: ...
    @property
    def finish_reason(self) -> str | None: ...


class _Usage(Protocol):
    @property
    def total_tokens(self) -> int: ...
    @property
    def cost(self) -> float | None: ...


class Completion(Protocol):
    """A chat completion."""

    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def choices(self) -> Sequence[_Choice]: ...
    @property
    def total_usage(self) -> _Usage | None: ...


class _Result(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def content(self) -> str: ...
    @property
    def is_error(self) -> bool: ...
    @property
    def seconds(self) -> float: ...


class _WaitingCall(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> str: ...


class Pending(Protocol):
    """A call that waits for the application."""

    @property
    def call(self) -> _WaitingCall: ...
    @property
    def reason(self) -> str: ...


class Run(Protocol):
    """What happened before a completion."""

    @property
    def rounds(self) -> int: ...
    @property
    def results(self) -> Sequence[_Result]: ...
    @property
    def pending(self) -> Sequence[Pending]: ...


def completion_facts(completion: Completion) -> Facts:
    """Yield what a completion is, without what it says.

    Args:
        completion: A completion, also one without choices or usage.
    """
    yield "id", completion.id
    yield "model", completion.model
    for choice in completion.choices[:1]:
        yield "finish_reason", choice.finish_reason
        yield "text_length", len(choice.message.content or "")
        if choice.message.tool_calls:
            yield "tool_calls", len(choice.message.tool_calls)
    if completion.total_usage is not None:
        yield "total_tokens", completion.total_usage.total_tokens
        yield "cost", completion.total_usage.cost


def completion_html(completion: Completion, run: Run | None = None) -> str:
    """Return a completion: its text as text, its typed value as JSON, and what it cost.

    Args:
        completion: A completion, also one without choices or usage.
        run: What tools did before it.
    """
    usage = completion.total_usage
    choice = next(iter(completion.choices), None)
    facts = [
        completion.model,
        (choice.finish_reason if choice else None) or "",
        counted(usage.total_tokens, "token") if usage else "",
        money(usage.cost) if usage else "",
        counted(run.rounds, "tool round") if run and run.rounds else "",
    ]
    said = _said(choice.message) if choice else ()
    return card("Completion", facts, *(_done(run) if run else ()), *said)


def pending_html(pending: Pending) -> str:
    """Return a call that waits: its tool and all of its arguments.

    Args:
        pending: The call.
    """
    call = pending.call
    return card("Pending call", [call.name, f"waits: {pending.reason}"], paragraph(call.arguments))


def _said(message: _Message) -> Iterator[Markup]:
    yield folded("Reasoning", paragraph(message.reasoning or ""))
    parsed: object = getattr(message, "parsed", None)  # only typed completions have it
    yield paragraph(message.content or "") if parsed is None else value(parsed)
    if message.refusal:
        yield paragraph(f"Refused: {message.refusal}")
    calls = [call.function for call in message.tool_calls or ()]
    yield listing("Calls", [f"{call.name} {call.arguments}" for call in calls])


def _done(run: Run) -> Iterator[Markup]:
    rows = [
        (result.name, "failed" if result.is_error else "done", f"{result.seconds:.2f} s")
        for result in run.results
    ]
    yield table(("Tool", "Outcome", "Time"), rows, "call")
    waiting = [f"{pending.call.name} ({pending.reason})" for pending in run.pending]
    yield listing("Calls that wait", waiting)
