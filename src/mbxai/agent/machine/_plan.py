"""Analyses and plans of a model, turned into the public models. Pure."""

import json
from collections.abc import Collection, Mapping, Sequence

import mbxai.agent.machine._references as references
from mbxai.agent._plan_models import Task, ToolAnalysis
from mbxai.agent.machine._asked_calls import MAX_ARGUMENT_CHARS
from mbxai.agent.machine._drafts import CallingTaskDraft, TaskDraft, ToolAnalysisDraft
from mbxai.agent.machine._inputs import ToolPolicy
from mbxai.agent.machine._snapshot import PlannedCall
from mbxai.wire import call_digest


def planned_tasks(
    drafts: Sequence[TaskDraft], ids: Sequence[str], known: Mapping[str, str], tools: Sequence[str]
) -> list[tuple[str, Task]]:
    """Turn a plan that can run into tasks.

    Args:
        drafts: The plan's new tasks.
        ids: An id for each task.
        known: Key to id of older tasks.
        tools: Names of the tools that may be used; others are left out of `tools_needed`.

    Returns:
        (key, task) pairs in plan order.
    """
    id_of = {**known, **{task.key: id_ for task, id_ in zip(drafts, ids, strict=True)}}
    return [
        (
            task.key,
            Task(
                id=id_of[task.key],
                title=task.title,
                description=task.description,
                dependencies=[id_of[key] for key in task.depends_on],
                tools_needed=[name for name in dict.fromkeys(_tools_of(task)) if name in tools],
                estimated_complexity=task.estimated_complexity,
            ),
        )
        for task in drafts
    ]


def planned_call(
    draft: TaskDraft,
    policies: Mapping[str, ToolPolicy],
    keys: Collection[str] = (),
    needs_approval: Collection[str] | None = None,
) -> PlannedCall | None:
    """Return the call with which a task begins, if the plan gives one that can be made.

    Args:
        draft: The task.
        policies: Policies of the tools that may be used, by name.
        keys: Keys of the plan's tasks, to whose results arguments may refer.
        needs_approval: Digests of the calls that a person must agree to; None: as `policies` say.

    Returns:
        The call; None if there is none, if no tool has its name, if its arguments are no JSON
        object, or if they refer to a result within a longer text. Then a model does the task.
    """
    call = draft.tool_call if isinstance(draft, CallingTaskDraft) else None
    policy = policies.get(call.name) if call else None
    if call is None or policy is None or not _is_object(call.arguments):
        return None
    if references.mentions(call.arguments, keys):
        return None
    return PlannedCall(
        name=call.name,
        arguments=call.arguments,
        effect=policy.effect,
        requires_approval=policy.requires_approval
        if needs_approval is None
        else call_digest(call.name, call.arguments) in needs_approval,
        source=policy.source,
        is_trusted=policy.is_trusted,
    )


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


def _tools_of(task: TaskDraft) -> list[str]:
    call = task.tool_call if isinstance(task, CallingTaskDraft) else None
    return [*task.tools_needed, call.name] if call else task.tools_needed


def _is_object(text: str) -> bool:
    """Tell whether a text is a JSON object, and not too long to be passed on."""
    try:
        return len(text) <= MAX_ARGUMENT_CHARS and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
