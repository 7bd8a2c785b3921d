"""430 tool-task plans, made here, as wide and as deep as those of a public set.

`WIDTHS` counts the gold plans of WorFBench (github.com/zjunlp/WorFBench, MIT licence; its parts
seal_tools, toolbench and toolalpaca, 430 plans) by how many tasks stand on each level; a task's
level is the length of the longest chain of tasks that ends with it. Nothing else is taken from
there: who depends on whom, the tasks and their values are made here, the same in every run. For the
server too, so of plain Python only.
"""

import functools
import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

WIDTHS: dict[tuple[int, ...], int] = {
    (1,): 7,
    (2,): 26,
    (3,): 88,
    (4,): 77,
    (5,): 10,
    (6,): 2,
    (1, 1): 72,
    (1, 2): 19,
    (1, 3): 7,
    (1, 4): 3,
    (2, 1): 16,
    (2, 2): 5,
    (3, 1): 8,
    (4, 1): 2,
    (1, 1, 1): 46,
    (1, 1, 2): 2,
    (1, 1, 3): 1,
    (1, 1, 4): 1,
    (1, 2, 1): 2,
    (2, 1, 1): 8,
    (2, 2, 1): 2,
    (2, 3, 1): 1,
    (1, 1, 1, 1): 20,
    (1, 1, 2, 1): 1,
    (1, 1, 1, 1, 1): 4,
}
"""Tasks on each level, from the first, to how many plans are so."""

_SEED = 430


class Plan(NamedTuple):
    """A plan of tasks that each call one tool.

    Attributes:
        case: Name by which prompts mention it, `case-0000` and so on.
        needs: Key of each task, `t1` and so on, to the keys of those whose values it needs; in an
            order in which they can be done.
        widths: Tasks on each level.
    """

    case: str
    needs: dict[str, tuple[str, ...]]
    widths: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Tasks on the longest chain."""
        return len(self.widths)

    def ready(self, done: Mapping[str, str]) -> list[str]:
        """Return the tasks that can be done next, in order."""
        return [
            key
            for key, needed in self.needs.items()
            if key not in done and all(need in done for need in needed)
        ]

    def values(self) -> dict[str, str]:
        """Return what each task finds, by key, if all is done in a right order."""
        found: dict[str, str] = {}
        for key, needed in self.needs.items():
            found[key] = value_of(self.case, key, [found[need] for need in needed])
        return found


def value_of(case: str, key: str, inputs: Sequence[str]) -> str:
    """Return what a task finds; other inputs, or a wrong order of them, give something else."""
    return hashlib.sha256(f"{case}/{key}:{','.join(inputs)}".encode()).hexdigest()[:8]


@functools.cache
def plans() -> dict[str, Plan]:
    """Return all plans by case, in a mixed order that is always the same."""
    mixed = [widths for widths, count in WIDTHS.items() for _ in range(count)]
    chance = random.Random(_SEED)
    chance.shuffle(mixed)
    made = [_plan(f"case-{number:04}", widths, chance) for number, widths in enumerate(mixed)]
    return {plan.case: plan for plan in made}


def layered(case: str, widths: Sequence[int]) -> Plan:
    """Return one more plan, of any size; plans of one name and size are equal."""
    return _plan(case, tuple(widths), random.Random(case))


def _plan(case: str, widths: tuple[int, ...], chance: random.Random) -> Plan:
    """Let each task need one or two tasks of the level above."""
    needs: dict[str, tuple[str, ...]] = {}
    above: list[str] = []
    for width in widths:
        level = [f"t{len(needs) + place}" for place in range(1, width + 1)]
        for key in level:
            count = min(len(above), chance.choice((1, 1, 2)))
            needs[key] = tuple(sorted(chance.sample(above, count), key=above.index))
        above = level
    return Plan(case, needs, widths)
