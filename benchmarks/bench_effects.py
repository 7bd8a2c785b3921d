"""How often effects happen when two workers resume, answers come twice, processes are killed.

    python benchmarks/bench_effects.py                                  # all of it
    python benchmarks/bench_effects.py --only mbxai --pauses 10         # a part

Each framework has the same tool, the same scripted model over HTTP, and keeps its state as its own
documentation says (`effects/*_agent.py`). Frameworks and stores that are not here are left out.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

from effects.oracle import Oracle
from effects.tools import Till

ROOT = Path(__file__).resolve().parent
ITEMS = 6
"""Items of a run whose process is killed: six model turns and six calls, then the answer."""
ORDER_SECONDS = 60.0
_POLL_SECONDS = 0.002

Json = dict[str, Any]  # Any: JSON


class Framework(NamedTuple):
    """What is tried.

    Attributes:
        title: Its name in the table.
        module: Its agent, in `effects`.
        store: Where sessions live, for this project's agent.
        tells: Who gets to know from it that an outcome is unknown, beside the model.
        needs: Packages without which it is left out.
    """

    title: str
    module: str
    store: str = ""
    tells: str = "to a person"
    needs: tuple[str, ...] = ()


FRAMEWORKS = {
    "mbxai": Framework("mbxai, SQLite", "mbxai", "sqlite"),
    "mbxai-redis": Framework("mbxai, Redis", "mbxai", "redis"),
    "mbxai-postgres": Framework("mbxai, Postgres", "mbxai", "postgres"),
    "langgraph": Framework(
        "langgraph",
        "langgraph",
        needs=("langgraph.checkpoint.sqlite", "langchain", "langchain_openai"),
    ),
    "pydantic_ai": Framework(
        "pydantic-ai, harness",
        "pydantic_ai",
        tells="in its ledger",
        needs=("pydantic_ai", "pydantic_ai_harness"),
    ),
    "openai_agents": Framework("openai-agents", "openai_agents", needs=("agents",)),
}


class Worker:
    """A process that carries out orders in children."""

    def __init__(self, framework: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "effects.worker", framework],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def give(self, order: Json) -> int:
        """Give an order, and return the id of the child that carries it out."""
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def outcomes(self) -> list[Json]:
        """Wait for the child to end, and return what came of each session."""
        return json.loads(self._process.stdout.readline())

    def carry_out(self, order: Json) -> list[Json]:
        """Give an order and wait for it."""
        self.give(order)
        return self.outcomes()


class Tally(NamedTuple):
    """What became of the effects.

    Attributes:
        sessions: How many sessions there were.
        twice: Effects that happened once more than they should, each time.
        missing: Effects that never happened, and nobody was told that they may not have.
        lost: Sessions that did not come to their end.
        told: Outcomes of which a person or the application was told that they are unknown.
        known: Outcomes of which the model was told so.
        slower: What came of the second of two attempts, most frequent first.
    """

    sessions: int = 0
    twice: int = 0
    missing: int = 0
    lost: int = 0
    told: int = 0
    known: int = 0
    slower: str = ""


class Trials:
    """One framework's trials, in a folder of its own and with two processes."""

    def __init__(
        self, framework: Framework, oracle: Oracle, folder: Path, workers: tuple[Worker, Worker]
    ) -> None:
        self._oracle = oracle
        self._folder = folder
        self._till = Till(folder / "till")
        self._framework = framework
        self._one, self._other = workers
        self._names = (f"order-{number:05d}" for number in range(1, 100_000))

    def pauses(self, count: int) -> Tally:
        """Let two processes resume each of so many pauses with the same answer at once."""
        cases = self._paused(count)
        order = self._order("answer", cases, has_gate=True)
        self._one.give(order)
        self._other.give(order)
        pairs = zip(self._one.outcomes(), self._other.outcomes(), strict=True)
        return self._tally(cases, pairs)

    def at_once(self, count: int) -> Tally:
        """Let one process get the same answer twice at the same moment."""
        cases = self._paused(count)
        outcomes = self._one.carry_out(self._order("answer", cases, times=2))
        return self._tally(cases, zip(outcomes[::2], outcomes[1::2], strict=True))

    def in_sequence(self, count: int) -> Tally:
        """Let a second process get the same answer when the first one is done with it."""
        cases = self._paused(count)
        order = self._order("answer", cases)
        pairs = zip(self._one.carry_out(order), self._other.carry_out(order), strict=True)
        return self._tally(cases, pairs)

    def kills(self, every: int) -> Tally:
        """Kill a process at every so many of a run's steps, and let another one go on."""
        (case,) = self._cases(1)
        (outcome,) = self._other.carry_out(self._order("start", [case], count=ITEMS))
        if outcome["state"] != "done" or len(self._till.effects(case)) != ITEMS:
            raise SystemExit(f"{self._framework.title} does not get through: {outcome}")
        turns = range(1, self._oracle.calls[case] + 1)
        items = [f"item-{number}" for number in range(1, ITEMS + 1)]
        moments = [(item, moment) for item in items for moment in ("begun", "effect")]
        tally = Tally()
        for stop in [*turns, *moments][::every]:
            tally = _sum(tally, self._killed(stop))
        return tally

    def _killed(self, stop: int | tuple[str, str]) -> Tally:
        """Kill a process while the model answers for the n-th time, or within the tool."""
        (case,) = self._cases(1)
        order = self._order("start", [case], count=ITEMS)
        if isinstance(stop, int):
            child = self._one.give({**order, "model": f"effects/hold-{stop}"})
            _wait_until(lambda: case in self._oracle.held)
        else:
            item, moment = stop
            child = self._one.give({**order, "stop_at": stop})
            _wait_until(lambda: (moment, case, item) in self._till.notes())
        os.kill(child, signal.SIGKILL)
        self._one.outcomes()
        (outcome,) = self._other.carry_out(self._order("resume", [case], count=ITEMS))
        if outcome["state"] != "done":
            print(f"{self._framework.title}, killed at {stop}: {outcome}", file=sys.stderr)
        happened = Counter(self._till.effects(case))
        told, known = outcome["told"], len(self._oracle.unknown.get(case, ()))
        return Tally(
            sessions=1,
            twice=happened.total() - len(happened),
            missing=max(0, ITEMS - len(happened) - max(told, known)),
            lost=int(outcome["state"] != "done"),
            told=told,
            known=known,
        )

    def _tally(self, cases: Sequence[str], pairs: Iterable[tuple[Json, Json]]) -> Tally:
        """Count the effects of sessions with one item, and look at each once more."""
        slower: Counter[str] = Counter()
        for pair in pairs:
            states = sorted((outcome["state"] for outcome in pair), key=lambda s: s != "done")
            slower[states[1]] += 1
        ends = self._one.carry_out(self._order("resume", cases))
        happened = [len(self._till.effects(case)) for case in cases]
        return Tally(
            sessions=len(cases),
            twice=sum(max(0, effects - 1) for effects in happened),
            missing=happened.count(0),
            lost=sum(end["state"] != "done" for end in ends),
            slower=", ".join(f"{state} {count}" for state, count in slower.most_common()),
        )

    def _paused(self, count: int) -> list[str]:
        """Begin sessions that wait for a person."""
        cases = self._cases(count)
        for outcome in self._one.carry_out(self._order("start", cases)):
            if outcome["state"] != "waiting":
                raise SystemExit(f"{self._framework.title} does not pause: {outcome}")
        return cases

    def _cases(self, count: int) -> list[str]:
        return [next(self._names) for _ in range(count)]

    def _order(
        self,
        do: str,
        cases: Sequence[str],
        *,
        count: int = 1,
        times: int = 1,
        has_gate: bool = False,
    ) -> Json:
        return {
            "do": do,
            "cases": list(cases),
            "count": count,
            "approval": count == 1,
            "times": times,
            "has_gate": has_gate,
            "url": self._oracle.url,
            "model": "effects/run",
            "folder": str(self._folder),
            "stop_at": None,
            "store": self._framework.store,
            "seconds": ORDER_SECONDS,
        }


def _sum(one: Tally, other: Tally) -> Tally:
    figures = [a + b for a, b in zip(one[:6], other[:6], strict=True)]
    return Tally(*figures)


def _wait_until(is_so: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > ORDER_SECONDS:
            raise SystemExit("a run did not come to the step at which it was to be killed")
        time.sleep(_POLL_SECONDS)


def why_missing(framework: Framework) -> str | None:
    """Say why a framework is left out; None if it is here."""
    for package in framework.needs:
        try:
            if importlib.util.find_spec(package) is None:
                return f"{package} is not installed"
        except ModuleNotFoundError:
            return f"{package} is not installed"
    if not framework.store:
        return None
    from effects.stores import missing  # imports this project

    return missing(framework.store)


@contextmanager
def trials_of(framework: Framework) -> Iterator[Trials]:
    """Prepare the trials of a framework."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="effects")))
        oracle = stack.enter_context(Oracle())
        one, other = (stack.enter_context(Worker(framework.module)) for _ in range(2))
        yield Trials(framework, oracle, folder, (one, other))
        if framework.store:
            from effects.stores import emptied  # imports this project

            asyncio.run(emptied(framework.store, folder))


def print_table(rows: Sequence[tuple[Framework, dict[str, Tally]]], parts: Sequence[str]) -> None:
    """Print what was found, as the README has it."""
    for part in parts:
        first = rows[0][1][part]
        head = [HEADS[part].format(first.sessions), "effects repeated", "lost sessions"]
        head += KILL_HEAD if part == "kills" else ["the slower one"]
        print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for framework, found in rows:
            tally = found[part]
            cells = [framework.title, str(tally.twice), str(tally.lost)]
            if part == "kills":
                said = {framework.tells: tally.told, "to the model": tally.known}
                told = ", ".join(f"{number} {whom}" for whom, number in said.items() if number)
                cells += [str(tally.sessions), str(tally.missing), told or "0"]
            else:
                cells.append(tally.slower)
            print(f"| {' | '.join(cells)} |")


HEADS = {
    "pauses": "two workers resume one pause, {} times",
    "at_once": "one answer posted twice at once, {} times",
    "in_sequence": "one answer posted twice, one after the other, {} times",
    "kills": "kill -9 at each step of a run of 12 steps",
}
KILL_HEAD = ["kills", "effects missing, unsaid", "outcomes said to be unknown"]


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(FRAMEWORKS), help="separated by commas")
    parser.add_argument("--parts", default=",".join(HEADS), help="separated by commas")
    parser.add_argument("--pauses", type=int, default=100, help="pauses that two workers resume")
    parser.add_argument("--posts", type=int, default=25, help="answers that are posted twice")
    parser.add_argument("--every", type=int, default=1, help="kill at every so many of the steps")
    return parser.parse_args()


def main() -> None:
    arguments = parsed_arguments()
    parts = arguments.parts.split(",")
    posts = arguments.posts
    counts = {"pauses": arguments.pauses, "at_once": posts, "in_sequence": posts}
    counts["kills"] = arguments.every
    rows: list[tuple[Framework, dict[str, Tally]]] = []
    for name in arguments.only.split(","):
        framework = FRAMEWORKS[name]
        if reason := why_missing(framework):
            print(f"{framework.title} is left out: {reason}")
            continue
        found: dict[str, Tally] = {}
        with trials_of(framework) as trials:
            for part in parts:
                print(f"{framework.title}: {part} ...", file=sys.stderr, flush=True)
                found[part] = getattr(trials, part)(counts[part])
        rows.append((framework, found))
    if rows:
        print_table(rows, parts)
    ours = [tally for framework, found in rows if framework.store for tally in found.values()]
    if any(tally.twice or tally.lost or tally.missing for tally in ours):
        raise SystemExit("an effect of mbxai was repeated or lost")


if __name__ == "__main__":
    main()
