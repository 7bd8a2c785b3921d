"""What a planner agent costs on 430 plans of tool tasks: model rounds, model calls, wall time.

    python benchmarks/bench_plans.py                                 # all of it
    python benchmarks/bench_plans.py --only mbxai,mbxai-merged --every 10

The model is a script that always says the right thing after 300 ms (`plans/oracle.py`), so only
the order and the number of the calls count, and what the agent itself costs; how well a model plans
is not measured. Peers that are not installed are left out; one in another environment is named with
`--python langgraph=path/to/python`.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from plans.graphs import Plan, plans
from plans.machine import Steps, sized, whole_set
from plans.oracle import ROOT, Oracle
from plans.worker import Row


class Design(NamedTuple):
    """One way to work through a plan.

    Attributes:
        title: Its name in the table.
        rounds: Model calls one after the other that the design needs for a plan.
        at_once: Plans in progress at once; few enough that the process mostly waits.
        needs: Packages without which it is left out.
        goal: Most rounds on average.
    """

    title: str
    rounds: Callable[[Plan], int]
    at_once: int
    needs: tuple[str, ...] = ()
    goal: float | None = None


DESIGNS = {
    "mbxai": Design("mbxai, stepwise", lambda plan: 5 + 2 * plan.depth, 16, goal=8.6),
    "mbxai-merged": Design("mbxai, merged", lambda plan: 2 + 2 * plan.depth, 16, goal=5.6),
    "mbxai-filled": Design("mbxai, merged, arguments filled in", lambda _plan: 2, 16),
    "sequential": Design("six steps in sequence", lambda plan: 5 + 2 * len(plan.needs), 48),
    "langgraph": Design(
        "langgraph, plan and execute",
        lambda plan: 1 + 3 * len(plan.needs),
        16,
        ("langgraph", "langchain", "langchain_openai"),
    ),
    "pydantic_ai": Design(
        "pydantic-ai, one agent", lambda plan: 1 + plan.depth, 12, ("pydantic_ai", "openai")
    ),
}

MAX_WALL_RATIO = 1.05
MAX_MACHINE_MS = 1.0
SAMPLE = 43
"""Every so many of the plans run one at a time as well, to see what plans take from each other."""
SIZES = ((30, 5), (200, 5))
"""Tasks of further plans, and how many of them stand on a level."""
WORKER_SECONDS = 1800.0


class Outcome(NamedTuple):
    """What a worker measured: a row for each plan, and its processor time in seconds."""

    rows: list[Row]
    cpu: float

    def mean(self, figure: Callable[[Row], float]) -> float:
        """Return the mean of a figure over the plans."""
        return statistics.fmean(figure(row) for row in self.rows)


class Workers(NamedTuple):
    """Starts a process for each measurement.

    Attributes:
        pythons: Other environments, by design.
        port: Where the oracle listens.
    """

    pythons: dict[str, str]
    port: int

    def measure(self, name: str, latency: int, at_once: int, every: int) -> Outcome:
        """Run one design through every so many of the plans.

        Raises:
            SystemExit: It failed, or did not give what the plans ask for.
        """
        python = self.pythons.get(name, sys.executable)
        numbers = [str(number) for number in (self.port, latency, at_once, every)]
        command = [python, "-m", "plans.worker", name, *numbers]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=WORKER_SECONDS, check=False
        )
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr[-2000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        return Outcome([Row(*row) for row in found["rows"]], found["cpu"])


def critical_path(name: str, outcome: Outcome, latency: int) -> float:
    """Return the mean seconds that a design must take, if the agent itself took no time."""
    rounds = DESIGNS[name].rounds
    return outcome.mean(lambda row: rounds(plans()[row.case])) * latency / 1000


def wall_ratio(name: str, outcome: Outcome, latency: int) -> float:
    """Return wall time by critical path, both on average."""
    return outcome.mean(lambda row: row.wall) / critical_path(name, outcome, latency)


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as the README has it, each row when it is there."""
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def print_designs(
    outcomes: Mapping[str, Outcome], alone: Mapping[str, Outcome], latency: int
) -> None:
    """Print the designs side by side.

    Args:
        outcomes: Figures of many plans at once, by design.
        alone: Figures of a few, one at a time.
        latency: Milliseconds of a model call.
    """
    rows: list[list[str]] = []
    for name, outcome in outcomes.items():
        calls = sum(row.calls for row in outcome.rows)
        rows.append(
            [
                DESIGNS[name].title,
                f"{outcome.mean(lambda row: row.rounds):.2f}",
                f"{outcome.mean(lambda row: row.calls):.2f}",
                f"{outcome.mean(lambda row: row.wall):.2f}",
                f"{wall_ratio(name, outcome, latency):.3f}",
                f"{wall_ratio(name, alone[name], latency):.3f}",
                f"{outcome.mean(lambda row: row.sent_bytes) / 1000:.1f}",
                f"{outcome.cpu / calls * 1000:.1f}",
            ]
        )
    count, few = (len(next(iter(each.values())).rows) for each in (outcomes, alone))
    head = [
        f"{count} plans, {latency} ms a model call",
        *("rounds", "model calls", "wall s", "wall by critical path"),
        *(f"the same, {few} plans one at a time", "KB sent", "CPU ms a call"),
    ]
    print_table(head, rows)
    for name, outcome in outcomes.items():
        other = sum(row.rounds != DESIGNS[name].rounds(plans()[row.case]) for row in outcome.rows)
        if other:
            print(f"\n{other} plans of {DESIGNS[name].title!r} took other rounds than its design.")


def print_goals(goals: Iterable[tuple[str, float, float]]) -> None:
    """Print what was to be reached, the bound, and what was measured."""
    rows = (
        [title, f"<= {bound:g}", f"{measured:.3f}", "yes" if measured <= bound else "no"]
        for title, bound, measured in goals
    )
    print_table(["measure", "goal", "mbxai", "reached"], rows)


def print_machine(found: dict[str, Steps]) -> None:
    """Print what the machine costs for each input."""
    rows: list[list[str]] = []
    for title, steps in found.items():
        costs = sorted(1e6 * cost for cost in steps.advancing)
        rows.append(
            [
                title,
                str(len(costs)),
                f"{statistics.fmean(costs):.0f}",
                f"{statistics.median(costs):.0f}",
                f"{costs[int(len(costs) * 0.99)]:.0f}",
                f"{costs[-1]:.0f}",
                f"{1e6 * statistics.fmean(steps.writing):.0f}",
                f"{steps.size_bytes / 1000:.0f}",
            ]
        )
    head = [
        *("the machine, CPU us an input", "inputs", "mean", "median", "99th percentile", "most"),
        *("writing the state down, mean", "KB of state at the end"),
    ]
    print_table(head, rows)


def print_run_costs(workers: Workers, every: int) -> None:
    """Print what a model call costs an agent when the model takes no time."""
    rows: list[list[str]] = []
    for name in ("mbxai", "sequential"):
        outcome = workers.measure(name, 0, 1, every)
        calls = sum(row.calls for row in outcome.rows)
        wall = sum(row.wall - row.serving for row in outcome.rows) / calls * 1000
        rows.append([DESIGNS[name].title, f"{wall:.2f}", f"{outcome.cpu / calls * 1000:.2f}"])
    head = ["one plan at a time, without the server's own time", "wall ms a call", "CPU ms a call"]
    print_table(head, rows)


def measure_machine() -> dict[str, Steps]:
    """Run the machine alone."""
    whole_set("stepwise")  # a warm-up
    found = {f"the plans, {planning}": whole_set(planning) for planning in ("stepwise", "merged")}
    return found | {f"{tasks} tasks": sized(tasks, width) for tasks, width in SIZES}


def is_installed(name: str, pythons: dict[str, str]) -> bool:
    """Tell whether a design can run, and say so if not."""
    missing = [each for each in DESIGNS[name].needs if importlib.util.find_spec(each) is None]
    if missing and name not in pythons:
        print(f"{DESIGNS[name].title} is left out: {', '.join(missing)} not installed")
        return False
    return True


def parsed_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(DESIGNS), help="designs, separated by commas")
    parser.add_argument("--latency", type=int, default=300, help="milliseconds of a model call")
    parser.add_argument("--every", type=int, default=1, help="take every so many of the plans")
    parser.add_argument("--python", action="append", default=[], metavar="DESIGN=PATH")
    return parser.parse_args()


def main() -> None:
    arguments = parsed_arguments()
    pythons = dict(each.split("=", 1) for each in arguments.python)
    latency, every = arguments.latency, arguments.every
    names = [name for name in arguments.only.split(",") if is_installed(name, pythons)]
    goals: list[tuple[str, float, float]] = []
    outcomes: dict[str, Outcome] = {}
    alone: dict[str, Outcome] = {}
    with Oracle() as oracle:
        workers = Workers(pythons, oracle.port)
        for name in names:
            design = DESIGNS[name]
            print(f"{design.title} ...", file=sys.stderr, flush=True)
            outcome = outcomes[name] = workers.measure(name, latency, design.at_once, every)
            alone[name] = workers.measure(name, latency, 1, max(every, SAMPLE))
            if design.goal:
                if every == 1:  # a part of the plans has another mean
                    rounds = outcome.mean(lambda row: row.rounds)
                    goals.append((f"{design.title}: rounds", design.goal, rounds))
                ratio = wall_ratio(name, outcome, latency)
                goals.append((f"{design.title}: wall by critical path", MAX_WALL_RATIO, ratio))
        print_designs(outcomes, alone, latency)
        print_run_costs(workers, every)
    machine = measure_machine()
    print_machine(machine)
    for title in list(machine)[:2]:
        mean = statistics.fmean(machine[title].advancing) * 1000
        goals.append((f"the machine, CPU ms an input, {title}", MAX_MACHINE_MS, mean))
    print_goals(goals)


if __name__ == "__main__":
    main()
