"""A model's plan, checked, repaired and turned into tasks. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from mbxai.agent._drafts import TaskDraft, TodoDraft, ToolAnalysisDraft
from mbxai.agent._plan_models import Task, ToolAnalysis

MAX_TASKS = 50
"""Most tasks of one plan; more than that is no plan that a person could read."""


def plan_problems(draft: TodoDraft, known: Collection[str]) -> list[str]:
    """Say what in a plan only the model can decide.

    Args:
        draft: The model's plan.
        known: Keys of finished tasks, which may be depended on.

    Returns:
        One line a problem, for the model to read; empty if the plan can run once repeated keys,
        which nothing depends on, are renamed.
    """
    problems: list[str] = []
    if len(draft.tasks) > MAX_TASKS:
        problems.append(f"tasks: {len(draft.tasks)} are too many; give at most {MAX_TASKS}")
    keys = [task.key for task in draft.tasks]
    possible = {*known, *keys}
    for task in draft.tasks:
        problems.extend(
            f"task {task.key!r}: depends_on names {key!r}, which no task has"
            for key in task.depends_on
            if key not in possible
        )
    problems.extend(
        f"tasks: {key!r} is the key of {keys.count(key)} tasks; which one is depended on?"
        for key in dict.fromkeys(k for task in draft.tasks for k in task.depends_on)
        if keys.count(key) + (key in known) > 1
    )
    if cycle := _cycle({task.key: task.depends_on for task in draft.tasks}):
        problems.append(f"depends_on: {' -> '.join(cycle)} is a circle; no task in it could start")
    return problems


def repaired_plan(draft: TodoDraft, known: Iterable[str]) -> tuple[TodoDraft, list[str]]:
    """Return a plan that can run, made from one that cannot.

    Repeated keys are renamed, unknown dependencies and those that close a circle are dropped, and
    tasks past the limit are cut.

    Args:
        draft: The model's plan; not changed.
        known: Keys of finished tasks, which may be depended on and not be used again.

    Returns:
        The plan and one line a repair.
    """
    repairs: list[str] = []
    taken = set(known)
    renamed: list[TaskDraft] = []
    for task in draft.tasks[:MAX_TASKS]:
        key = _free_key(task.key, taken)
        if key != task.key:
            repairs.append(f"task {task.key!r} was renamed to {key!r}: the key was taken")
        taken.add(key)
        renamed.append(task.model_copy(update={"key": key}))
    if len(draft.tasks) > MAX_TASKS:
        repairs.append(f"{len(draft.tasks) - MAX_TASKS} tasks past the limit were dropped")
    edges: dict[str, list[str]] = {}
    tasks: list[TaskDraft] = []
    for task in renamed:
        edges[task.key] = []
        for key in dict.fromkeys(task.depends_on):
            edges[task.key].append(key)
            if key not in taken or _cycle(edges):
                edges[task.key].pop()
                repairs.append(
                    f"task {task.key!r} no longer depends on {key!r}: it could not start"
                )
        tasks.append(task.model_copy(update={"depends_on": edges[task.key]}))
    return draft.model_copy(update={"tasks": tasks}), repairs


def planned_tasks(
    draft: TodoDraft, ids: Sequence[str], known: Mapping[str, str], tools: Sequence[str]
) -> list[tuple[str, Task]]:
    """Turn a plan that can run into tasks.

    Args:
        draft: The plan.
        ids: An id for each task.
        known: Key to id of finished tasks.
        tools: Names of the tools that may be used; others are left out of `tools_needed`.

    Returns:
        (key, task) pairs in plan order.
    """
    id_of = {**known, **{task.key: id_ for task, id_ in zip(draft.tasks, ids, strict=True)}}
    return [
        (
            task.key,
            Task(
                id=id_of[task.key],
                title=task.title,
                description=task.description,
                dependencies=[id_of[key] for key in task.depends_on],
                tools_needed=[name for name in task.tools_needed if name in tools],
                estimated_complexity=task.estimated_complexity,
            ),
        )
        for task in draft.tasks
    ]


def tool_analysis(draft: ToolAnalysisDraft, tools: Sequence[str]) -> ToolAnalysis:
    """Turn the model's tool analysis into the public one.

    Args:
        draft: The model's analysis.
        tools: Names of the tools that may be used; others are left out.

    Returns:
        The analysis, limited to tools that exist.
    """
    return ToolAnalysis(
        relevant_tools=[name for name in dict.fromkeys(draft.relevant_tools) if name in tools],
        tool_mapping={use.tool: use.purpose for use in draft.tool_mapping if use.tool in tools},
        missing_capabilities=draft.missing_capabilities,
    )


def _free_key(key: str, taken: set[str]) -> str:
    key = key.strip() or "task"
    if key not in taken:
        return key
    number = 2
    while f"{key}_{number}" in taken:
        number += 1
    return f"{key}_{number}"


def _cycle(edges: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one circle of keys, first key repeated at its end; empty if there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []
