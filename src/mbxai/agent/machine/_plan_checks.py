"""What is wrong with a model's plan, in words for the model. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final, NamedTuple

from mbxai.agent.machine._drafts import PlanDraft, ReplanDraft

MAX_TASKS: Final = 50
"""Most tasks of one plan; more than that is no plan that a person could read."""

MAX_KEY_CHARS: Final = 64
"""Longest key of a task."""

_MAX_LINES: Final = 20
_MAX_LINE_CHARS: Final = 300


class Before(NamedTuple):
    """The tasks that were there before a plan; none before the first one of a turn.

    Attributes:
        finished: Key to id of tasks that may be depended on.
        lost: Key to id of tasks that failed or were skipped, though not by a person.
        causes: Key of a lost task to the keys of lost tasks that it depends on.
    """

    finished: Mapping[str, str] = {}
    lost: Mapping[str, str] = {}
    causes: Mapping[str, Collection[str]] = {}

    def keys(self) -> set[str]:
        """Return the keys that no new task may have."""
        return {*self.finished, *self.lost}


def plan_problems(draft: PlanDraft, before: Before) -> list[str]:
    """Say what in a plan only the model can decide.

    Args:
        draft: The model's plan.
        before: The tasks that were there before.

    Returns:
        One line a problem, for the model to read; empty if the plan can run once repeated keys,
        which nothing depends on, are renamed.
    """
    retry, skip = changes_of(draft)
    problems: list[str] = []
    if not draft.tasks and not retry:
        problems.append("tasks: the plan is empty; give at least one task")
    if len(draft.tasks) > MAX_TASKS:
        problems.append(f"tasks: {len(draft.tasks)} are too many; give at most {MAX_TASKS}")
    problems.extend(_change_problems(retry, skip, before))
    known = {*before.finished, *retry}
    keys = Counter(task.key for task in draft.tasks)
    for task in draft.tasks:
        problems.extend(
            f"task {named(task.key)}: depends_on names {named(key)}, {_why_not(key, before)}"
            for key in task.depends_on
            if key not in known and key not in keys
        )
    problems.extend(
        f"tasks: {named(key)} is the key of {keys[key] + (key in known)} tasks; which one?"
        for key in dict.fromkeys(key for task in draft.tasks for key in task.depends_on)
        if keys[key] + (key in known) > 1
    )
    if cycle := _cycle({task.key: task.depends_on for task in draft.tasks}):
        problems.append(
            f"depends_on: {' -> '.join(map(named, cycle))} is a circle; no task in it could start"
        )
    return bounded(problems)


def _change_problems(
    retry: Collection[str], skip: Collection[str], before: Before
) -> Iterable[str]:
    """Say what is wrong with the keys of a plan that changes another."""
    changed, known = {*retry, *skip}, before.keys()
    for key in retry:
        if key not in before.lost:
            yield f"retry: {named(key)} is the key of no task that failed or was skipped"
        for cause in before.causes.get(key, ()):
            if cause not in changed:
                needs = f"needs {named(cause)}, which is not there"
                yield f"retry: {named(key)} {needs}; retry or skip that too"
    yield from (f"retry and skip: {named(key)} is in both" for key in sorted({*retry} & {*skip}))
    yield from (f"skip: {named(key)} is the key of no task" for key in skip if key not in known)


def _why_not(key: str, before: Before) -> str:
    if key in before.lost:
        return "which failed or was skipped; retry that or do without it"
    return "which no task has"


def changes_of(draft: PlanDraft) -> tuple[list[str], list[str]]:
    """Return the keys to try again and to skip, each once."""
    if not isinstance(draft, ReplanDraft):
        return [], []
    return list(dict.fromkeys(draft.retry)), list(dict.fromkeys(draft.skip))


def named(key: str) -> str:
    """A key as it is shown."""
    return repr(key if len(key) <= MAX_KEY_CHARS else f"{key[:MAX_KEY_CHARS]}...")


def bounded(lines: Sequence[str]) -> list[str]:
    """The first lines, none too long: a model, or a person, reads them."""
    shown = [
        line if len(line) <= _MAX_LINE_CHARS else f"{line[:_MAX_LINE_CHARS]}..."
        for line in lines[:_MAX_LINES]
    ]
    return [*shown, f"... and {len(lines) - _MAX_LINES} more"] if lines[_MAX_LINES:] else shown


def _cycle(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one circle of keys, first key repeated at its end; empty if there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []
