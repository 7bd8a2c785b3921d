"""A model's plan made into one that can run. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from mbxai.agent.machine._drafts import PlanDraft, TaskDraft
from mbxai.agent.machine._plan_checks import (
    MAX_KEY_CHARS,
    MAX_TASKS,
    Before,
    bounded,
    changes_of,
    named,
)

_GOAL_KEY: Final = "goal"


class MadePlan(NamedTuple):
    """A plan that can run.

    Attributes:
        tasks: New tasks, with keys of their own.
        retry: Keys of lost tasks that are tried again.
        skip: Keys of lost tasks that are not.
        repairs: What was mended, one line a repair.
    """

    tasks: list[TaskDraft]
    retry: list[str]
    skip: list[str]
    repairs: list[str]


def repaired_plan(draft: PlanDraft, before: Before, goal: TaskDraft) -> MadePlan:
    """Return a plan that can run, made from one that cannot.

    Repeated keys are renamed, unknown keys and dependencies that close a circle are dropped, tasks
    past the limit are cut, and a plan without a task gets the goal as its only one.

    Args:
        draft: The model's plan; not changed.
        before: The tasks that were there before; their keys are not used again.
        goal: The task that is the goal itself.

    Returns:
        The plan, and what was mended.
    """
    repairs: list[str] = []
    retry, skip = _possible_changes(draft, before, repairs)
    tasks: list[TaskDraft] = list(draft.tasks[:MAX_TASKS])
    if len(draft.tasks) > MAX_TASKS:
        repairs.append(f"{len(draft.tasks) - MAX_TASKS} tasks past the limit were dropped")
    if not tasks and not retry:
        repairs.append("the plan was empty: the goal itself is its only task")
        tasks = [goal.model_copy(update={"depends_on": list(before.finished)})]
    known = {*before.finished, *retry}
    meant = {key: key for key in known}
    taken, keys = before.keys(), list[str]()
    for task in tasks:
        key = _free_key(task.key, taken)
        if key != task.key:
            repairs.append(
                f"task {named(task.key)} was renamed to {named(key)}: {_why_renamed(task.key)}"
            )
        taken.add(key)
        keys.append(key)
        meant.setdefault(task.key, key)
    able = _able_tasks(dict(zip(keys, tasks, strict=True)), known, meant, repairs)
    return MadePlan(able, retry, skip, bounded(repairs))


def _able_tasks(
    tasks: Mapping[str, TaskDraft],
    known: Collection[str],
    meant: Mapping[str, str],
    repairs: list[str],
) -> list[TaskDraft]:
    """Return the tasks, by their new keys, with those dependencies alone that let them start."""
    able: list[TaskDraft] = []
    circles = _Circles([*tasks])
    for key, task in tasks.items():
        needed, dropped = list[str](), list[str]()
        for name in dict.fromkeys(task.depends_on):
            other = meant.get(name)
            if other is not None and (other in known or circles.add(key, other)):
                needed.append(other)
            else:
                dropped.append(named(name))
        if dropped:
            why = "it could not start"
            repairs.append(f"task {named(key)} no longer depends on {_some(dropped)}: {why}")
        able.append(task.model_copy(update={"key": key, "depends_on": needed}))
    return able


def _possible_changes(
    draft: PlanDraft, before: Before, repairs: list[str]
) -> tuple[list[str], list[str]]:
    """Return the keys to try again and to skip, as far as that can be done."""
    given_retry, given_skip = changes_of(draft)
    skip = [key for key in given_skip if key in before.lost]
    retry = [key for key in given_retry if key in before.lost and key not in skip]
    while True:
        able = [
            key
            for key in retry
            if all(cause in retry or cause in skip for cause in before.causes.get(key, ()))
        ]
        if len(able) == len(retry):
            break
        retry = able
    dropped = [named(key) for key in given_retry if key not in retry]
    if dropped:
        repairs.append(f"{_some(dropped)} cannot be tried again")
    known = before.keys()
    unknown = [named(key) for key in given_skip if key not in known]
    if unknown:
        repairs.append(f"{_some(unknown)} cannot be skipped: no task has the key")
    return retry, skip


class _Circles:
    """Knows which dependencies between new tasks would close a circle.

    The tasks that a task needs, directly or through others, are the bits of one number, so that a
    plan full of dependencies costs next to nothing.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._bit = {key: 1 << place for place, key in enumerate(keys)}
        self._needed = dict.fromkeys(keys, 0)

    def add(self, key: str, other: str) -> bool:
        """Let one task need another, and return True, if that closes no circle."""
        new = self._bit[other] | self._needed[other]
        if new & self._bit[key]:
            return False
        for each, needed in self._needed.items():
            if each == key or needed & self._bit[key]:
                self._needed[each] = needed | new
        return True


def goal_task(goal: str, complexity: int, tools: Sequence[str]) -> TaskDraft:
    """Return the task that is the goal itself.

    Args:
        goal: What is to be achieved.
        complexity: How hard the analysis took it to be, 1 to 10.
        tools: Names of the tools that serve it.
    """
    return TaskDraft(
        key=_GOAL_KEY,
        title="Reach the goal",
        description=goal,
        depends_on=[],
        tools_needed=list(tools),
        estimated_complexity=(complexity + 1) // 2,
    )


def _free_key(key: str, taken: set[str]) -> str:
    key = key.strip()[:MAX_KEY_CHARS] or "task"
    if key not in taken:
        return key
    number = 2
    while f"{key}_{number}" in taken:
        number += 1
    return f"{key}_{number}"


def _why_renamed(key: str) -> str:
    if not key.strip():
        return "it had no key"
    return "the key was too long" if len(key) > MAX_KEY_CHARS else "the key was taken"


def _some(names: Sequence[str]) -> str:
    """The first names of a list, and how many there are besides."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
