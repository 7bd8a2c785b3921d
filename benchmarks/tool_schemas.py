"""Compares what three libraries make of the same functions: the schema, and the call.

    python benchmarks/tool_schemas.py                  all functions of the tests
    python benchmarks/tool_schemas.py --case NAME      one of them, with the schemas side by side
    python benchmarks/tool_schemas.py --alone          ours only: do its schemas and calls agree

What differs is shown as `path: ours / theirs` under the reason why ours is right. Every difference
needs a reason in `schema_reasons.py`, and every reason a difference; otherwise the exit code is 1.
Schemas are compared in the normal form of `schema_forms.py`. The calls get values that hypothesis
makes, written as JSON, which the function must get back; and each library gets arguments that are
wrong in one place, about which its schema and its call should agree.
"""

import argparse
import importlib.util
import json
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schema_forms import differences, normal_form
from schema_libraries import Library, Mbxai, OpenAiAgents, OpenAiAgentsLoose, PydanticAi
from schema_probes import arguments_for, fits, samples, wrong
from schema_reasons import LIMITS, Difference, Reason, explained

PEERS = {
    "pydantic-ai": PydanticAi,
    "openai-agents": OpenAiAgents,
    "openai-agents, not strict": OpenAiAgentsLoose,
}
Peers = dict[str, type[Library]]
OURS = "mbxai"
MODULES = {"pydantic-ai": "pydantic_ai"}
"""What is imported, where it is not `agents`."""

Found = dict[tuple[str, str], list[str]]
"""Differences by case and peer, one line for each place; pairs without one are left out."""


@dataclass
class Made:
    """What one library makes of one function.

    Attributes:
        tool: None if it cannot be made.
        problem: Why not.
        lost: What became of right values that did not reach the function as they were.
        counts: How many arguments were right, reached the function, and so on.
        broken: Arguments that fit the library's schema and are refused by its call.
        lenient: Arguments that do not fit, and the function is called all the same.
    """

    tool: Library | None = None
    problem: str = ""
    lost: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[dict[str, Any]] = field(default_factory=list)
    lenient: list[dict[str, Any]] = field(default_factory=list)


def made(library: type[Library], case: Any) -> Made:
    try:
        tool = library(case.function)
    except Exception as error:  # noqa: BLE001  # whatever a library says to a function
        return Made(problem=_one_line(error))
    result = Made(tool)
    given: list[dict[str, Any]] = []
    for values in samples(case):
        arguments = arguments_for(case, values, tool.schema)
        lost = _lost(tool, arguments, values)
        result.counts["right"] += 1
        result.counts["arrived"] += not lost
        result.lost += lost
        given.append(arguments)
    if case.wrong is not None:
        result.counts["wrong"] += 1
        result.counts["wrong, runs"] += isinstance(_received(tool, dict(case.wrong)), dict)
    for arguments in (each for base in given[:4] for each in wrong(base)):
        result.counts["probes"] += 1
        is_promised = fits(tool.schema, arguments)
        is_called = isinstance(_received(tool, arguments), dict)
        if is_promised and not is_called:
            result.broken.append(arguments)
        if is_called and not is_promised:
            result.lenient.append(arguments)
    return result


def _lost(tool: Library, arguments: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """What is wrong with what the function gets; empty if it gets the values as they are."""
    if not fits(tool.schema, arguments):
        return ["call: the schema refuses right arguments"]
    received = _received(tool, arguments)
    if isinstance(received, str):
        return [f"call: right arguments are refused, {received.split(':')[0]}"]
    return [
        f"call: `{name}` gets {type(received.get(name)).__name__} for {type(value).__name__}"
        for name, value in values.items()
        if name not in received or not _is_same(received[name], value)
    ]


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(_is_same(one[key], other[key]) for key in other)
    if isinstance(one, list | tuple):
        return all(map(_is_same, one, other))
    return True


def compared(ours: Made, theirs: Made) -> list[str]:
    """Where a peer differs; empty if it does not."""
    if ours.tool is None or theirs.tool is None:
        if ours.tool is theirs.tool:
            return []
        side = OURS if ours.tool is None else "the peer"
        return [f"{side} refuses the function: {ours.problem or theirs.problem}"]
    lines = list(differences(normal_form(ours.tool.schema), normal_form(theirs.tool.schema)))
    lines += [line for line in theirs.lost if line not in ours.lost]
    return list(dict.fromkeys(lines))


def _received(tool: Library, arguments: dict[str, Any]) -> dict[str, Any] | str:
    try:
        return tool.received(arguments)
    except Exception as error:  # noqa: BLE001  # a refusal, in whatever words
        return _one_line(error)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:140]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare schemas of tools with other libraries'.")
    parser.add_argument("--case", help="show the schemas of one case side by side")
    parser.add_argument("--alone", action="store_true", help="check ours without the others")
    options = parser.parse_args()
    peers = {} if options.alone else {n: each for n, each in PEERS.items() if _is_installed(n)}
    cases = {case.name: case for case in _cases()}
    if options.case:
        _show(_all_made(cases[options.case], peers))
        return 0
    results = {name: _all_made(case, peers) for name, case in cases.items()}
    found: Found = {
        (name, peer): lines
        for name, result in results.items()
        for peer in peers
        if (lines := compared(result[OURS], result[peer]))
    }
    reasons, problems = explained(found, peers)
    if peers:
        _print_table(list(cases), peers, found)
    _print_summary(results, peers, found)
    _print_differences(reasons)
    problems += _own_faults({name: result[OURS] for name, result in results.items()})
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _is_installed(peer: str) -> bool:
    is_found = importlib.util.find_spec(MODULES.get(peer, "agents")) is not None
    if not is_found:
        print(f"{peer} is not installed and left out", file=sys.stderr)
    return is_found


def _own_faults(results: dict[str, Made]) -> list[str]:
    """Where our own schema and call do not agree, unless `LIMITS` says why."""
    problems = [
        f"{name}: {line}"
        for name, ours in results.items()
        for line in dict.fromkeys([ours.problem, *ours.lost] if ours.problem else ours.lost)
    ]
    broken = {name for name, ours in results.items() if ours.broken}
    problems += [
        f"{name}: our schema takes {json.dumps(results[name].broken[0])}, our call does not"
        for name in sorted(broken - LIMITS.keys())
    ]
    return problems + [f"no such limit: {name}" for name in sorted(LIMITS.keys() - broken)]


def _cases() -> Iterable[Any]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.tool_signatures import CASES

    return CASES


def _all_made(case: Any, peers: Peers) -> dict[str, Made]:
    return {name: made(library, case) for name, library in {OURS: Mbxai, **peers}.items()}


def _show(results: dict[str, Made]) -> None:
    for name, result in results.items():
        print(f"\n{name}")
        if result.tool is None:
            print(f"  {result.problem}")
            continue
        print(json.dumps(result.tool.schema, indent=2))
        for line in dict.fromkeys(result.lost):
            print(f"  {line}")
        for arguments in result.broken:
            print(f"  fits, and is refused: {json.dumps(arguments)}")
        for arguments in result.lenient:
            received = _received(result.tool, arguments)
            print(f"  does not fit, and runs: {json.dumps(arguments)} as {received}")


def _print_table(names: list[str], peers: Peers, found: Found) -> None:
    print(f"| function | {' | '.join(peers)} |\n|---|{'---|' * len(peers)}")
    for name in names:
        cells = (_word(found.get((name, peer), [])) for peer in peers)
        print(f"| {name} | {' | '.join(cells)} |")


def _word(lines: list[str]) -> str:
    if not lines:
        return "equal"
    if " refuses the function" in lines[0]:
        return "we refuse it" if lines[0].startswith(OURS) else "refuses it"
    if all(line.startswith("call: ") for line in lines):
        return "equal schema, other call"
    return "differs"


def _print_summary(results: dict[str, dict[str, Made]], peers: Peers, found: Found) -> None:
    libraries = (OURS, *peers)
    print(f"\n| of {len(results)} functions | {' | '.join(libraries)} |")
    print(f"|---|{'---|' * len(libraries)}")
    words = {peer: Counter(_word(found.get((n, peer), [])) for n in results) for peer in peers}
    kinds = ("equal", "equal schema, other call", "differs", "refuses it", "we refuse it")
    for word in kinds if peers else ():
        print(f"| {word} | - | {' | '.join(str(words[peer][word]) for peer in peers)} |")
    rows = {
        "right arguments": lambda each: each.counts["right"],
        "reach the function as the values they stand for": lambda each: each.counts["arrived"],
        "arguments that the tests call wrong": lambda each: each.counts["wrong"],
        "and the function runs": lambda each: each.counts["wrong, runs"],
        "arguments changed in one place": lambda each: each.counts["probes"],
        "fit the library's own schema, and its call refuses them": lambda each: len(each.broken),
        "do not fit it, and the function runs": lambda each: len(each.lenient),
    }
    for title, count in rows.items():
        totals = (sum(count(each[name]) for each in results.values()) for name in libraries)
        print(f"| {title} | {' | '.join(str(total) for total in totals)} |")


def _print_differences(reasons: dict[Reason, list[Difference]]) -> None:
    for reason, explained_by_it in reasons.items():
        print(f"\n{reason.text}\n")
        # The same line for many functions, or for many libraries, is shown once.
        peers_of: dict[tuple[str, str], list[str]] = {}
        for case, peer, line in explained_by_it:
            peers_of.setdefault((line, case), []).append(peer)
        cases_of: dict[tuple[str, str], list[str]] = {}
        for (line, case), peers in peers_of.items():
            names = "all" if len(peers) == len(PEERS) else "; ".join(peers)
            cases_of.setdefault((line, names), []).append(case)
        for (line, names), cases in cases_of.items():
            shown = line.replace("`", "'")
            print(f"- {', '.join(cases)} ({names}): `{shown}`")


if __name__ == "__main__":
    logging.disable()
    warnings.simplefilter("ignore")  # what libraries say of odd functions is not asked here
    sys.exit(main())
