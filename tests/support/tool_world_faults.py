"""How a model gets a call wrong, and how a provider gets an answer wrong; pure."""

import json
from random import Random
from typing import Any

from support.tool_world import TRAPS, Op, WorldKind
from support.tool_world_plan import Call

from mbxai.testing import Drop, Failure, Step

MENDED = (
    "fenced",
    "encoded_twice",
    "comma_left_behind",
    "empty_object_first",
    "inner_object_encoded",
    "nothing_for_no_arguments",
    "null_for_no_arguments",
)
"""Faults whose meaning is beyond doubt: the call runs at once."""

WRONG = (
    "unknown_tool",
    "wrong_type",
    "missing",
    "extra",
    "bad_choice",
    "no_json",
    "cut_json",
    "no_object",
)
"""Faults that the model is told of, so that it calls again; nothing runs."""

TROUBLES: dict[str, Step] = {
    "too_many_requests": Failure(429, message="slow down"),
    "server_error": Failure(500, message="Internal Server Error"),
    "bad_gateway": Failure(502),
    "overloaded": Failure(503),
    "dropped": Drop(0),
    "error_with_200": Failure(200, code=502, message="Provider returned error"),
    "error_before_first_token": Failure(502, after_content=""),
}
"""What may come instead of an answer, so that the client asks again by itself."""


def written(rng: Random, arguments: dict[str, Any]) -> str:
    """Return arguments as JSON text in one of the ways in which models write it."""
    names = list(arguments)
    rng.shuffle(names)
    shuffled = {name: arguments[name] for name in names}
    styles: tuple[dict[str, Any], ...] = (
        {},
        {"separators": (",", ":")},
        {"indent": 2, "ensure_ascii": False},
        {"separators": (" ,  ", " : "), "ensure_ascii": False},
    )
    return json.dumps(shuffled, **rng.choice(styles))


def plain_call(rng: Random, op: Op) -> Call:
    """Return the call of an operation, rightly written."""
    return Call(tool=op.tool, text=written(rng, op.arguments), op=op)


def faults_of(kind: WorldKind, op: Op) -> list[str]:
    """Return the faults that a call of an operation can have, without those inside the tool."""
    faults = ["unknown_tool", "extra", "no_json", "cut_json", "no_object", "fenced"]
    faults += ["encoded_twice", "comma_left_behind", "empty_object_first"]
    if not op.arguments:
        faults = ["unknown_tool", "extra", "no_json", "no_object"]
        faults += ["nothing_for_no_arguments", "null_for_no_arguments"] * 3
    if op.arguments:
        faults.append("wrong_type")
    if kind.required(op):
        faults.append("missing")
    if op.tool in kind.choices:
        faults.append("bad_choice")
    if any(isinstance(value, (dict, list)) and value for value in op.arguments.values()):
        faults += ["inner_object_encoded"] * 2
    return faults


def faulty_call(rng: Random, kind: WorldKind, op: Op, fault: str) -> Call:
    """Return the call of an operation with a fault.

    Args:
        rng: Source of chance.
        kind: Of the world.
        op: What is meant.
        fault: One of `faults_of`, or a trap.
    """
    if fault in TRAPS:
        text = f"{op.tool} is out of order, error {rng.randint(100, 999)}"
        call = plain_call(rng, op)
        return Call(
            tool=call.tool, text=call.text, op=op, has_effect=False, tells=text, fault=fault
        )
    if fault in MENDED:
        return Call(tool=op.tool, text=_mended_text(rng, op, fault), op=op, fault=fault)
    name, text, tells = _wrong(rng, kind, op, fault)
    return Call(tool=name, text=text, enters=False, has_effect=False, tells=tells, fault=fault)


def _mended_text(rng: Random, op: Op, fault: str) -> str:
    text = written(rng, op.arguments)
    if fault == "inner_object_encoded":
        inner = [n for n, v in op.arguments.items() if isinstance(v, (dict, list)) and v]
        name = rng.choice(inner)
        return written(rng, {**op.arguments, name: json.dumps(op.arguments[name])})
    return {
        "fenced": f"```json\n{text}\n```",
        "encoded_twice": json.dumps(text),
        "comma_left_behind": text.rstrip()[:-1].rstrip() + ",}",
        "empty_object_first": "{}" + text,
        "nothing_for_no_arguments": rng.choice(("", " ", "\n")),
        "null_for_no_arguments": "null",
    }[fault]


def _wrong(rng: Random, kind: WorldKind, op: Op, fault: str) -> tuple[str, str, str]:
    """Name, text, and what the model must be told."""
    given = op.arguments
    text = written(rng, given)
    if fault == "unknown_tool":
        name = rng.choice((f"{op.tool}s", op.tool.title(), f"functions.{op.tool}", "search_web"))
        return name, text, name
    if fault == "no_json":
        return op.tool, f"I call {op.tool} with everything it needs.", "not valid JSON"
    if fault == "cut_json":
        return op.tool, text.rstrip()[: -rng.randint(1, 3)], "not valid JSON"
    if fault == "no_object":
        return op.tool, json.dumps([given]), "JSON object"
    if fault == "extra":
        return op.tool, written(rng, {**given, "by_the_way": 1}), "by_the_way"
    if fault == "bad_choice":
        name = kind.choices[op.tool]
        return op.tool, written(rng, {**given, name: "no-such-word"}), name
    if fault == "missing":
        name = rng.choice(kind.required(op))
        return op.tool, written(rng, {n: v for n, v in given.items() if n != name}), name
    name = rng.choice(list(given))
    # None of these can be taken for the other, however lenient a reader is.
    wrong = 7 if isinstance(given[name], (dict, list)) else {"value": [given[name]]}
    return op.tool, written(rng, {**given, name: wrong}), name
