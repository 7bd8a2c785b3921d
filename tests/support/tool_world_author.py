"""Writes plans of conversations by chance; the same number is always the same plan."""

import copy
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

from support.tool_world import TRAPS, Op, Trap, run_key
from support.tool_world_faults import TROUBLES, faults_of, faulty_call, plain_call
from support.tool_world_kinds import WORLDS
from support.tool_world_plan import Answer, Call, Plan, Turn, told_after

MAX_REPEATS = 3
"""How often a client runs the same call with the same result."""

_DETAILS: tuple[dict[str, Any], ...] = (
    {
        "type": "reasoning.text",
        "text": "First  the\nbalance…",
        "signature": "sig+/==",
        "format": "anthropic-claude-v1",
        "index": 0,
    },
    {
        "type": "reasoning.encrypted",
        "data": "gAAAAABo+/\\u00e9==",
        "id": "rs_1",
        "format": "openai-responses-v1",
        "index": 1,
    },
    {"type": "reasoning.summary", "summary": "**Plan**", "format": None, "index": 2},
)
_CUT = ("length", "content_filter")


def make_plan(number: int) -> Plan:
    """Return a plan: 1 to 4 turns of 1 to 5 rounds of 1 to 6 intended calls.

    Three of ten have no faults. Every second one is streamed.

    Args:
        number: Which one.
    """
    author = _Author(number)
    turns = tuple(author.turn(index) for index in range(author.rng.randint(1, 4)))
    return Plan(
        number=number,
        kind=author.kind,
        turns=turns,
        traps=author.traps,
        is_streamed=(number + number // len(WORLDS)) % 2 == 1,
        is_ordered=author.is_ordered,
        faults=author.faults,
    )


class _Author:
    """Writes one plan and keeps the state that it leads to, to propose what makes sense."""

    def __init__(self, number: int) -> None:
        self.rng = Random(f"conversation {number}")
        self.kind = WORLDS[number % len(WORLDS)]
        self.is_ordered = number % 5 == 4
        self.traps: dict[tuple[str, int], Trap] = {}
        self.faults: Counter[str] = Counter()
        self._is_faulty = number % 10 >= 3
        self._state = copy.deepcopy(self.kind.start)
        self._entered: Counter[str] = Counter()
        self._id_style = self.rng.choice(("fine", "fine", "counted", "empty", "equal"))
        self._ids = 0
        # Of the turn:
        self._meant: Counter[str] = Counter()
        self._said: Counter[tuple[str, str]] = Counter()

    # --- turns and answers ------------------------------------------------------------------------

    def turn(self, index: int) -> Turn:
        self._meant.clear()
        self._said.clear()
        answers: list[Answer] = []
        for _ in range(self.rng.choice((1, 1, 2, 2, 3, 4, 5))):
            answers += self._round(self._choose_ops())
        if self._chance(0.1):
            answers += self._stuck_rounds()
        choice = self._tool_choice(answers)
        wants_data = self.rng.random() < 0.2
        if self._chance(0.1):
            self.faults["empty_answer"] += 1
            answers.append(self._answer())
        answers.append(self._answer(text=f"Turn {index} is done: “{self.rng.random()}”."))
        if wants_data:
            self.faults["typed_answer"] += 1
            answers.append(self._answer(data={"summary": "done", "calls": len(answers)}))
        return Turn(
            question=f"Question {index}, please.",
            answers=tuple(answers),
            wants_data=wants_data,
            tool_choice=choice,
        )

    def _answer(self, **parts: Any) -> Answer:
        details: tuple[dict[str, Any], ...] = ()
        if self.rng.random() < 0.4 and "data" not in parts:
            self.faults["reasoning_details"] += 1
            details = tuple(self.rng.sample(_DETAILS, self.rng.randint(1, 3)))
        trouble = ""
        if self._chance(0.15):
            trouble = self.rng.choice(list(TROUBLES))
            self.faults[trouble] += 1
        usage = (self.rng.randint(1, 900), self.rng.randint(1, 90), self.rng.randint(1, 500))
        return Answer(details=details, usage=usage, trouble=trouble, **parts)

    def _calling(self, calls: list[Call], **parts: Any) -> Answer:
        text = self.rng.choice(("", "", "", "I look that up. "))
        self.faults["text_beside_calls"] += bool(text)
        ids = tuple(self._id(place) for place in range(len(calls)))
        return self._answer(text=text, calls=tuple(calls), ids=ids, **parts)

    def _id(self, place: int) -> str:
        self._ids += 1
        self.faults[f"{self._id_style}_ids"] += 1
        names = {"fine": f"toolu_{self._ids:04}", "counted": f"call_{place}", "equal": "call"}
        return names.get(self._id_style, "")

    def _tool_choice(self, answers: list[Answer]) -> Any:
        op = next((call.op for answer in answers for call in answer.calls if call.op), None)
        if op is None or self.rng.random() < 0.6:
            return None
        self.faults["forced_choice"] += 1
        return self.rng.choice(("required", {"type": "function", "function": {"name": op.tool}}))

    # --- rounds -----------------------------------------------------------------------------------

    def _choose_ops(self) -> list[Op]:
        chosen: list[Op] = []
        wanted = self.rng.choice((1, 1, 2, 3, 4, 6))
        for _ in range(wanted * 4):
            op = self.kind.propose(self.rng, self._state)
            is_apart = self.is_ordered or not any(op.disturbs(other) for other in chosen)
            if len(chosen) < wanted and is_apart and self._may_mean(op):
                chosen.append(op)
                if self._chance(0.1) and len(chosen) < 6 and self._may_mean(op):
                    self.faults["same_call_twice"] += 1
                    chosen.append(op)
        return chosen

    def _may_mean(self, op: Op) -> bool:
        """Whether it is not yet a repetition that leads nowhere, also if it fails once before."""
        key = self._key(op)
        if self._meant[key] + 2 > MAX_REPEATS:
            return False
        self._meant[key] += 1
        return True

    def _round(self, ops: list[Op]) -> list[Answer]:
        """Write the answers that call these operations, until all of them have run."""
        answers: list[Answer] = []
        while ops:
            self.rng.shuffle(ops)
            pairs = [(op, self._call(op, ops)) for op in ops]
            calls = [call for _, call in pairs]
            if self._chance(0.08):
                answers.append(self._cut(calls))
            answers.append(self._calling(calls))
            for op, call in pairs:
                self._enter(op, call)
            ops = [op for op, call in pairs if not call.has_effect]
        return answers

    def _call(self, op: Op, ops: list[Op]) -> Call:
        key = self._key(op)
        if not self._chance(0.25):
            return plain_call(self.rng, op)
        faults = faults_of(self.kind, op)
        if [self._key(other) for other in ops].count(key) == 1:
            faults += [*TRAPS, *TRAPS]
        fault = self.rng.choice(faults)
        self._said[fault, key] += 1
        if self._said[fault, key] >= MAX_REPEATS:
            return plain_call(self.rng, op)
        self.faults[fault] += 1
        return faulty_call(self.rng, self.kind, op, fault)

    def _enter(self, op: Op, call: Call) -> None:
        key = self._key(op)
        if call.fault in TRAPS:
            self.traps[key, self._entered[key]] = Trap(TRAPS[call.fault], call.tells)
        if call.enters:
            self._entered[key] += 1
        if call.has_effect:
            told_after(self.kind, self._state, op)

    def _cut(self, calls: list[Call]) -> Answer:
        """Write an answer that was cut in its last call, or withheld; nothing of it may run."""
        reason = self.rng.choice(_CUT)
        self.faults[reason] += 1
        if reason == "length":
            last = calls[-1]
            calls = [*calls[:-1], replace(last, text=last.text[: len(last.text) // 2])]
        return self._calling(calls, finish_reason=reason)

    def _stuck_rounds(self) -> list[Answer]:
        """Write the same call in one round after the other, once more than it is run."""
        ops = [self.kind.propose(self.rng, self._state) for _ in range(40)]
        fresh = [op for op in ops if not op.writes and not self._meant[self._key(op)]]
        if not fresh:
            return []
        op = fresh[0]
        self._meant[self._key(op)] = MAX_REPEATS
        self.faults["stuck"] += 1
        answers: list[Answer] = []
        for _ in range(MAX_REPEATS):
            call = plain_call(self.rng, op)
            answers.append(self._calling([call]))
            self._enter(op, call)
        call = plain_call(self.rng, op)
        refused = replace(call, enters=False, has_effect=False, tells="was not run", fault="stuck")
        return [*answers, self._calling([refused])]

    def _key(self, op: Op) -> str:
        return run_key(op.tool, self.kind.full_arguments(op))

    def _chance(self, probability: float) -> bool:
        return self._is_faulty and self.rng.random() < probability
