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
from pathlib import Path

from goals import MEASURES, Measure
from server import Server

CLIENTS = {
    "mbxai": "mbxai",
    "httpx": "raw httpx",
    "openai": "openai",
    "openrouter": "openrouter",
    "pydantic_ai": "pydantic-ai",
}
REFERENCE = "openai"
ONE_ROUND = frozenset({"openrouter", "pydantic_ai"})
"""So slow that a second round would say nothing new."""
LEFT_OUT = {
    "openrouter": frozenset({"typed", "load1000"}),
    "pydantic_ai": frozenset({"blocking-call", "blocking-stream"}),
}
"""What a client has no means for; and a burst of 1000 takes openrouter almost two minutes."""
WORKER_SECONDS = 120.0

Row = dict[str, dict[str, float]]
"""Figures of one scenario in one round, by client."""


def main() -> int:
    options = _options()
    pythons = dict(pair.split("=", 1) for pair in options.python)
    wanted = options.clients.split(",")
    clients = [name for name in CLIENTS if name in wanted and _is_installed(name, pythons)]
    names = list(dict.fromkeys(measure.scenario for measure in MEASURES))
    if options.only:
        names = [name for name in names if name in options.only.split(",")]
    rows: dict[str, list[Row]] = {name: [] for name in names}
    with Server() as server:
        for number in range(options.rounds):
            for name in names:
                row = _row(name, clients, number, pythons, server.url)
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
    parser.add_argument("--clients", default=",".join(CLIENTS), help="separated by commas")
    parser.add_argument("--python", action="append", default=[], metavar="CLIENT=PATH")
    parser.add_argument("--json", action="store_true", help="raw figures instead of the tables")
    return parser.parse_args()


def _is_installed(client: str, pythons: dict[str, str]) -> bool:
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({client!r}) is None)"
    found = subprocess.run([pythons.get(client, sys.executable), "-c", code], check=False)
    if found.returncode:
        print(f"{CLIENTS[client]} is not installed and left out", file=sys.stderr)
    return found.returncode == 0


def _row(name: str, clients: list[str], number: int, pythons: dict[str, str], url: str) -> Row:
    # Every round begins with another client, so that no one always runs after the same other.
    turn = number % len(clients)
    row: Row = {}
    for client in clients[turn:] + clients[:turn]:
        if (number and client in ONE_ROUND) or name in LEFT_OUT.get(client, ()):
            continue
        began = time.monotonic()
        figures = _measure(client, name, pythons, url)
        seconds = time.monotonic() - began
        print(f"{number + 1} {name} {client} {seconds:.1f} s {figures}", file=sys.stderr)
        if figures is not None:
            row[client] = figures
    return row


def _measure(
    client: str, scenario: str, pythons: dict[str, str], url: str
) -> dict[str, float] | None:
    worker = str(Path(__file__).with_name("worker.py"))
    command = [pythons.get(client, sys.executable), worker, client, scenario, url]
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


def _print_tables(rows: dict[str, list[Row]], clients: list[str]) -> None:
    measures = [measure for measure in MEASURES if measure.scenario in rows]
    if {"mbxai", REFERENCE} <= set(clients):
        print("| measure | goal | mbxai / openai | reached |\n|---|---|---|---|")
        for measure in measures:
            ratio = _ratio(measure, rows[measure.scenario], "mbxai")
            if measure.goal is not None:
                sign = ">=" if measure.more_is_better else "<="
                goal = f"{sign} {measure.goal:.2f}"
                reached = "failed" if ratio is None else _yes(measure.is_reached(ratio))
                print(f"| {measure.title} | {goal} | {_short(ratio)} | {reached} |")
        print()
    print(f"| measure | {' | '.join(CLIENTS[name] for name in clients)} |")
    print(f"|---|{'---|' * len(clients)}")
    for measure in measures:
        cells = (_cell(measure, rows[measure.scenario], client) for client in clients)
        print(f"| {measure.title} | {' | '.join(cells)} |")


def _cell(measure: Measure, rounds: list[Row], client: str) -> str:
    """The median figure with its ratio."""
    figures = [row[client][measure.metric] for row in rounds if client in row]
    if not figures:
        return "-" if measure.scenario in LEFT_OUT.get(client, ()) else "failed"
    shown = f"{statistics.median(figures):.{measure.digits}f}"
    ratio = _ratio(measure, rounds, client)
    return shown if ratio is None or client == REFERENCE else f"{shown} ({_short(ratio)})"


def _ratio(measure: Measure, rounds: list[Row], client: str) -> float | None:
    """Median of the ratios to the reference, each within one round."""
    ratios = [
        row[client][measure.metric] / row[REFERENCE][measure.metric]
        for row in rounds
        if client in row and REFERENCE in row
    ]
    return statistics.median(ratios) if ratios else None


def _short(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


if __name__ == "__main__":
    sys.exit(main())
