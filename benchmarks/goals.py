"""What is measured, and what this project wants of it."""

from dataclasses import dataclass

REFERENCE = "openai"
"""The client that figures are compared with, unless a goal names another."""


@dataclass(frozen=True)
class Goal:
    """What our figure should be.

    Attributes:
        limit: Bound of the ratio, or of the figure itself.
        against: Client whose figure ours is divided by; None means that ours counts as it is.
        is_least: Whether the limit is the least that is wanted rather than the most.
    """

    limit: float
    against: str | None = REFERENCE
    is_least: bool = False

    def is_reached(self, value: float) -> bool:
        """Whether a ratio, or a figure where nothing is compared, meets the goal."""
        return value >= self.limit if self.is_least else value <= self.limit


def at_most(limit: float, against: str | None = REFERENCE) -> Goal:
    return Goal(limit, against)


def at_least(limit: float, against: str | None = REFERENCE) -> Goal:
    return Goal(limit, against, is_least=True)


@dataclass(frozen=True)
class Measure:
    """One figure of one scenario.

    Attributes:
        scenario: Name for `worker.py` and `--only`.
        metric: Which of the scenario's figures.
        title: What it says, with the unit.
        goals: What is wanted of it.
        digits: Decimals that are shown.
    """

    scenario: str
    metric: str
    title: str
    goals: tuple[Goal, ...] = ()
    digits: int = 0


def _measure(scenario: str, metric: str, title: str, *goals: Goal, digits: int = 0) -> Measure:
    return Measure(scenario, metric, title, goals, digits)


MEASURES = (
    _measure("call", "cpu_us", "one call, CPU us", at_most(0.35)),
    _measure("stream", "cpu_us", "a chunk of 2000 in one write, CPU us", at_most(0.10), digits=1),
    _measure(
        "stream-sep", "cpu_us", "a chunk of 2000, a write each, CPU us", at_most(0.10), digits=1
    ),
    _measure("paced", "cpu_us", "a chunk every 5 ms, 20 streams, CPU us", at_most(0.30)),
    _measure("streams200", "per_second", "200 streams of 200 chunks, chunks/s", at_least(10)),
    _measure("first-chunk", "wall_us", "first chunk, wall us", at_most(0.40)),
    _measure("typed", "cpu_us", "typed answer of 4 KB, 20 fields, CPU us", at_most(0.40)),
    _measure("tools", "wall_ms", "tool loop, 2 x 8 calls of 50 ms, wall ms", at_most(110, None)),
    _measure("tools", "p90_ms", "the same, 90th percentile, ms"),
    _measure(
        "tools",
        "cpu_ms",
        "the same, CPU ms",
        at_most(0.40),
        at_most(0.20, "pydantic_ai"),
        digits=1,
    ),
    _measure("tools-stream", "cpu_ms", "the same streamed, CPU ms", digits=1),
    _measure("load128", "per_second", "128 in flight, calls/s", at_least(3.5)),
    _measure(
        "load128-50", "per_second", "128 in flight, server takes 50 ms, calls/s", at_least(3.5)
    ),
    _measure("load1000", "per_second", "1000 at once on a cold pool, calls/s", at_least(6)),
    _measure("load1000", "p99_ms", "the same, 99th percentile, ms", at_most(0.20)),
    _measure("load1000", "memory_mb", "the same, memory (RSS) afterwards, MB", at_most(0.75)),
    _measure("import", "import_ms", "`import`, CPU ms with the start of Python", at_most(0.05)),
    _measure("import", "client_ms", "`import` and a first client, CPU ms", at_most(0.45)),
    _measure("first-call", "cpu_ms", "start of Python to the first answer, CPU ms"),
    _measure(
        "blocking-call",
        "cpu_us",
        "one blocking call, CPU us",
        at_most(0.45),
        at_most(1.0, "httpx"),
    ),
    _measure(
        "blocking-stream",
        "cpu_us",
        "a chunk of a blocking stream, CPU us",
        at_most(0.12),
        at_most(0.70, "httpx"),
        digits=1,
    ),
)
