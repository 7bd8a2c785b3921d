"""Runs the benchmarks and prints two tables: the goals, and all clients side by side.

    python benchmarks/run.py
    python benchmarks/run.py --only call,stream --rounds 5 --clients mbxai,openai

Clients that are not installed are left out. A client in another environment is named with
`--python openai=path/to/python`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from goals import MEASURES, REFERENCE, Goal, Measure
from server import Server

CLIENTS = {
    "mbxai": "mbxai",
    "httpx": "raw httpx",
    "openai": "openai",
    "openrouter": "openrouter",
    "pydantic_ai": "pydantic-ai",
    "openai_agents": "openai-agents",
}
MODULES = {"openai_agents": "agents"}
"""What is imported, where it is not the client's name."""
ONE_ROUND = frozenset({"openrouter", "pydantic_ai", "openai_agents"})
"""So slow that a second round would say nothing new, except where a goal compares with them."""
SCENARIOS = tuple(dict.fromkeys(measure.scenario for measure in MEASURES))
LEFT_OUT = {
    "httpx": frozenset({"tools", "tools-stream"}),
    "openai": frozenset({"tools-stream"}),
    "openrouter": frozenset({"typed", "tools", "tools-stream", "load1000"}),
    "pydantic_ai": frozenset({"tools-stream", "blocking-call", "blocking-stream"}),
    "openai_agents": frozenset(SCENARIOS) - {"tools"},
}
"""What a client has no means for, or is not asked for; and a burst of 1000 takes openrouter almost
two minutes."""
WORKER_SECONDS = 120.0

Row = dict[str, dict[str, float]]
"""Figures of one scenario in one round, by client."""


@dataclass(frozen=True)
class Workers:
    """Starts a process for each figure.

    Attributes:
        pythons: Other environments, by client.
        url: Where the server is.
        loops: Tool loops for each figure.
    """

    pythons: dict[str, str]
    url: str
    loops: str

    def measure(self, client: str, scenario: str) -> dict[str, float] | None:
        """Figures of one client in one scenario; None if it failed."""
        worker = str(Path(__file__).with_name("worker.py"))
        python = self.pythons.get(client, sys.executable)
        command = [python, worker, client, scenario, self.url, self.loops]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=WORKER_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            print(done.stderr[-500:], file=sys.stderr)
            return None
        return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    options = _options()
    pythons = dict(pair.split("=", 1) for pair in options.python)
    wanted = options.clients.split(",")
    clients = [name for name in CLIENTS if name in wanted and _is_installed(name, pythons)]
    only = options.only.split(",") if options.only else SCENARIOS
    names = [name for name in SCENARIOS if name in only]
    rows: dict[str, list[Row]] = {name: [] for name in names}
    with Server() as server:
        workers = Workers(pythons, server.url, options.loops)
        for number in range(options.rounds):
            for name in names:
                row = _row(name, clients, number, workers)
                rows[name].append(row)
                if options.json:
                    print(json.dumps({"round": number, "scenario": name, **row}), flush=True)
    if not options.json:
        _print_tables(rows, clients)
    is_complete = all(
        client in rounds[0] or name in LEFT_OUT.get(client, ())
        for name, rounds in rows.items()
        for client in clients
    )
    return 0 if is_complete else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure mbxai beside its peers.")
    parser.add_argument("--rounds", type=int, default=3, help="the slowest peers take part in one")
    parser.add_argument("--only", help="scenarios, separated by commas; see goals.py")
    parser.add_argument("--loops", default="40", help="tool loops for each figure")
    parser.add_argument("--clients", default=",".join(CLIENTS), help="separated by commas")
    parser.add_argument("--python", action="append", default=[], metavar="CLIENT=PATH")
    parser.add_argument("--json", action="store_true", help="raw figures instead of the tables")
    return parser.parse_args()


def _is_installed(client: str, pythons: dict[str, str]) -> bool:
    module = MODULES.get(client, client)
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    found = subprocess.run([pythons.get(client, sys.executable), "-c", code], check=False)
    if found.returncode:
        print(f"{CLIENTS[client]} is not installed and left out", file=sys.stderr)
    return found.returncode == 0


def _row(name: str, clients: list[str], number: int, workers: Workers) -> Row:
    # Every round begins with another client, so that no one always runs after the same other.
    turn = number % len(clients)
    row: Row = {}
    for client in clients[turn:] + clients[:turn]:
        if not _takes_part(client, name, number):
            continue
        began = time.monotonic()
        figures = workers.measure(client, name)
        seconds = time.monotonic() - began
        print(f"{number + 1} {name} {client} {seconds:.1f} s {figures}", file=sys.stderr)
        if figures is not None:
            row[client] = figures
    return row


def _takes_part(client: str, scenario: str, number: int) -> bool:
    if scenario in LEFT_OUT.get(client, ()):
        return False
    if not number or client not in ONE_ROUND:
        return True
    goals = (goal for measure in MEASURES if measure.scenario == scenario for goal in measure.goals)
    return any(goal.against == client for goal in goals)


def _print_tables(rows: dict[str, list[Row]], clients: list[str]) -> None:
    measures = [measure for measure in MEASURES if measure.scenario in rows]
    wanted = [
        (measure, goal)
        for measure in measures
        for goal in measure.goals
        if "mbxai" in clients and (goal.against is None or goal.against in clients)
    ]
    if wanted:
        print("| measure | goal | mbxai | reached |\n|---|---|---|---|")
        for measure, goal in wanted:
            print(_goal_line(measure, goal, rows[measure.scenario]))
        print()
    print(f"| measure | {' | '.join(CLIENTS[name] for name in clients)} |")
    print(f"|---|{'---|' * len(clients)}")
    for measure in measures:
        cells = (_cell(measure, rows[measure.scenario], client) for client in clients)
        print(f"| {measure.title} | {' | '.join(cells)} |")


def _goal_line(measure: Measure, goal: Goal, rounds: list[Row]) -> str:
    sign = ">=" if goal.is_least else "<="
    if goal.against is None:
        value = _median(measure, rounds, "mbxai")
        wanted = f"{sign} {goal.limit:g}"
    else:
        value = _ratio(measure, rounds, "mbxai", goal.against)
        wanted = f"{sign} {goal.limit:.2f} x {CLIENTS[goal.against]}"
    reached = "failed" if value is None else _yes(goal.is_reached(value))
    return f"| {measure.title} | {wanted} | {_short(value)} | {reached} |"


def _cell(measure: Measure, rounds: list[Row], client: str) -> str:
    """The median figure with its ratio."""
    figure = _median(measure, rounds, client)
    if figure is None:
        return "-" if measure.scenario in LEFT_OUT.get(client, ()) else "failed"
    shown = f"{figure:.{measure.digits}f}"
    ratio = _ratio(measure, rounds, client, REFERENCE)
    return shown if ratio is None or client == REFERENCE else f"{shown} ({_short(ratio)})"


def _median(measure: Measure, rounds: list[Row], client: str) -> float | None:
    figures = [row[client][measure.metric] for row in rounds if client in row]
    return statistics.median(figures) if figures else None


def _ratio(measure: Measure, rounds: list[Row], client: str, other: str) -> float | None:
    """Median of the ratios of two clients, each within one round."""
    ratios = [
        row[client][measure.metric] / row[other][measure.metric]
        for row in rounds
        if client in row and other in row
    ]
    return statistics.median(ratios) if ratios else None


def _short(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


if __name__ == "__main__":
    sys.exit(main())
