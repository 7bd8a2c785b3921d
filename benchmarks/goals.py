"""What is measured, and what this project wants of it; each goal is a ratio to openai-python."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One figure of one scenario.

    Attributes:
        scenario: Name for `worker.py` and `--only`.
        metric: Which of the scenario's figures.
        title: What it says, with the unit.
        goal: Ratio to openai-python that is wanted; None if there is no goal.
        more_is_better: Whether the ratio should be at least the goal rather than at most.
        digits: Decimals that are shown.
    """

    scenario: str
    metric: str
    title: str
    goal: float | None = None
    more_is_better: bool = False
    digits: int = 0

    def is_reached(self, ratio: float) -> bool:
        """Whether a ratio meets the goal."""
        assert self.goal is not None
        return ratio >= self.goal if self.more_is_better else ratio <= self.goal


MEASURES = (
    Measure("call", "cpu_us", "one call, CPU us", 0.35),
    Measure("stream", "cpu_us", "a chunk of 2000 in one write, CPU us", 0.10, digits=1),
    Measure("stream-sep", "cpu_us", "a chunk of 2000, a write each, CPU us", 0.10, digits=1),
    Measure("paced", "cpu_us", "a chunk every 5 ms, 20 streams, CPU us", 0.30),
    Measure("streams200", "per_second", "200 streams of 200 chunks, chunks/s", 10, True),
    Measure("first-chunk", "wall_us", "first chunk, wall us", 0.40),
    Measure("typed", "cpu_us", "typed answer of 4 KB, 20 fields, CPU us", 0.40),
    Measure("load128", "per_second", "128 in flight, calls/s", 3.5, True),
    Measure("load128-50", "per_second", "128 in flight, server takes 50 ms, calls/s", 3.5, True),
    Measure("load1000", "per_second", "1000 at once on a cold pool, calls/s", 6, True),
    Measure("load1000", "p99_ms", "the same, 99th percentile, ms", 0.20),
    Measure("load1000", "memory_mb", "the same, memory (RSS) afterwards, MB", 0.75),
    Measure("import", "import_ms", "`import`, CPU ms with the start of Python", 0.05),
    Measure("import", "client_ms", "`import` and a first client, CPU ms", 0.45),
    Measure("first-call", "cpu_ms", "start of Python to the first answer, CPU ms"),
    Measure("blocking-call", "cpu_us", "one blocking call, CPU us", 0.45),
    Measure("blocking-stream", "cpu_us", "a chunk of a blocking stream, CPU us", 0.12, digits=1),
)
