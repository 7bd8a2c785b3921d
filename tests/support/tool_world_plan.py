"""The plan of a conversation: what the model intends, what it says, and what goes wrong; pure."""

import copy
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from support.tool_world import Op, RefusedError, Trap, WorldKind, run_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as the model writes it.

    Attributes:
        tool: Name of the tool, perhaps a wrong one.
        text: The arguments, perhaps no JSON.
        op: What it means; None if it can mean nothing.
        has_effect: Whether the world is to change as `op` says.
        enters: Whether the tool's function is to be called.
        tells: What the model must read in the result of a call that fails.
        fault: What is wrong with it.
    """

    tool: str
    text: str
    op: Op | None = None
    has_effect: bool = True
    enters: bool = True
    tells: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of the model.

    Attributes:
        text: What it says, also beside calls.
        calls: What it calls.
        ids: An id for each call, as the provider sends them.
        finish_reason: Why it ended; None is the usual reason.
        details: Opaque parts of its reasoning.
        usage: Prompt and completion tokens, and the cost in 1/1024 USD.
        trouble: What fails before it comes; the client asks again by itself.
        data: A value in JSON, instead of a text.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    ids: tuple[str, ...] = ()
    finish_reason: str | None = None
    details: tuple[dict[str, Any], ...] = ()
    usage: tuple[int, int, int] = (0, 0, 0)
    trouble: str = ""
    data: Any = None

    @property
    def is_unfinished(self) -> bool:
        """Whether it was cut or withheld, so that none of its calls counts."""
        return self.finish_reason in ("length", "content_filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What happens between two messages of the user.

    Attributes:
        question: The user's message.
        answers: All answers; the last one ends the turn.
        wants_data: Whether the last answer is a typed one.
        tool_choice: What the first request demands.
    """

    question: str
    answers: tuple[Answer, ...]
    wants_data: bool = False
    tool_choice: Any = None

    @property
    def rounds(self) -> list[Answer]:
        """The answers that call tools."""
        return [answer for answer in self.answers if answer.calls]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One conversation.

    Attributes:
        number: Of the plan; the same number is always the same plan.
        kind: Whose tools are offered.
        turns: What is said.
        traps: Runs that fail in the tool.
        is_streamed: Whether answers are streamed.
        is_ordered: Whether the calls of a round must run one after the other.
        faults: What goes wrong, and how often.
    """

    number: int
    kind: WorldKind
    turns: tuple[Turn, ...]
    traps: dict[tuple[str, int], Trap] = field(default_factory=dict)
    is_streamed: bool = False
    is_ordered: bool = False
    faults: Counter[str] = field(default_factory=Counter)

    def calls(self) -> Iterator[tuple[Answer, Call]]:
        """Give every call of the conversation, in its order."""
        for turn in self.turns:
            for answer in turn.answers:
                for call in answer.calls:
                    yield answer, call


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the model must be told of a call.

    Attributes:
        is_failure: Whether it must be told of a failure.
        value: The result; of a failure, a part of the text.
    """

    is_failure: bool
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What must have happened at the end.

    Attributes:
        state: Of the world.
        runs: A run key for each call of a tool's function, sorted.
        told: For each call of the plan, in its order.
    """

    state: dict[str, Any]
    runs: list[str]
    told: list[Told]


def expected_outcome(plan: Plan) -> Outcome:
    """Return what the intended operations come to, by the reference alone.

    Args:
        plan: A conversation.
    """
    state = copy.deepcopy(plan.kind.start)
    runs: list[str] = []
    told: list[Told] = []
    for answer, call in plan.calls():
        if answer.is_unfinished:
            told.append(Told(is_failure=True, value="Nothing was run"))
            continue
        if call.enters and call.op is not None:
            runs.append(run_key(call.op.tool, plan.kind.full_arguments(call.op)))
        if call.op is None or not call.has_effect:
            told.append(Told(is_failure=True, value=call.tells))
            continue
        told.append(told_after(plan.kind, state, call.op))
    return Outcome(state=plain(state), runs=sorted(runs), told=told)


def told_after(kind: WorldKind, state: dict[str, Any], op: Op) -> Told:
    """Change a plain state as an operation does, and return what the model is told.

    Args:
        kind: Of the world.
        state: Is changed.
        op: The operation.
    """
    given = copy.deepcopy(kind.full_arguments(op))
    try:
        return Told(is_failure=False, value=plain(kind.after(state, op.tool, given)))
    except RefusedError as refused:
        return Told(is_failure=True, value=str(refused))


def plain(value: Any) -> Any:
    """Return a copy of a value as it is in JSON."""
    return json.loads(json.dumps(value))
