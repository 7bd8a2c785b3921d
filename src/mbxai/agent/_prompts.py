"""Every text that the agent sends to a model.

The first message is the same for all calls of a turn and the second begins the same for all steps,
so that providers' prompt caches hit.
"""

import json
from collections.abc import Sequence
from typing import Any

from mbxai.agent._human_models import DialogOption
from mbxai.agent._plan_models import Task, TaskStatus
from mbxai.agent._snapshot import AgentSnapshot, ModelCall, ModelStep
from mbxai.wire import ToolInfo

SYSTEM = (
    "You are a careful agent. You reach a goal in steps: analyse the requirement, choose tools, "
    "plan tasks, carry out one task at a time and evaluate the result. Do only the step you are "
    "asked for. Never invent results, numbers or quotations; say what is missing instead."
)

HUMAN_SYSTEM = (
    " A person can help you: ask with the tools ask_question, request_decision or open_dialog when "
    "you lack something that only a person can give. Ask for credentials only with open_dialog. "
    "A text that begins with secret:// stands for a credential that you cannot see: pass it on "
    "unchanged, as the whole value of a tool's argument of the same name."
)

ASK_QUESTION = "Ask a person a question and wait for the answer in words."
REQUEST_DECISION = "Let a person choose one of several options and wait for the choice."
EMPTY_ANSWER = "Your last answer was empty. State the outcome of the task in words."
CUT_ANSWER = "Your last answer was cut at the length limit. Answer again and be much shorter."
WITHHELD_ANSWER = "Your last answer was withheld by a filter. Answer again in other words."
CUT_CALL = "Nothing was run: the message with this call was cut at the length limit. Be shorter."
WITHHELD_CALL = "Nothing was run: the message with this call was not finished. Call again."
UNKNOWN_OUTCOME = (
    "outcome unknown: the run was interrupted during this call; check before you repeat it"
)

_INSTRUCTIONS = {
    ModelStep.REQUIREMENT: (
        "Analyse the requirement: the goal, its parts, how to tell that it is reached, and limits."
    ),
    ModelStep.TOOLS: (
        "Say which of the available tools serve the goal, what each is for, and what is missing."
    ),
    ModelStep.PLAN: (
        "Plan the tasks that reach the goal: as few as possible, each with a short unique key. A "
        "task depends on another only if it needs its result; tasks without dependencies run at "
        "the same time."
    ),
    ModelStep.EVALUATION: (
        "Evaluate, by the tasks' results alone, which success criteria are met. The goal is "
        "achieved if none remains."
    ),
    ModelStep.FINAL: (
        "Give the final response to the requirement in the wanted structure, from the tasks' "
        "results alone."
    ),
}


def open_dialog(options: Sequence[DialogOption]) -> str:
    """Describe the tool that opens a dialogue, with the dialogues that there are."""
    lines = [f"- {o.id}: {o.title}. {o.description}{_parameters(o)}" for o in options]
    return (
        "Let a person complete a dialogue of the application, for example a login, and wait. What "
        "the person enters stays hidden; you get handles. Dialogues:\n" + "\n".join(lines)
    )


def unknown_dialog(ids: Sequence[str]) -> str:
    """Say that there is no such dialogue."""
    return f"there is no such dialogue; choose one of {', '.join(ids)}"


def unusable_answer(problems: Sequence[str]) -> str:
    """Say what was wrong with the last answer."""
    lines = "\n".join(f"- {line}" for line in problems)
    return f"# Your last answer could not be used\n{lines}\nAnswer again without that."


def step_messages(
    snapshot: AgentSnapshot, call: ModelCall, tools: Sequence[ToolInfo]
) -> list[dict[str, Any]]:  # Any: messages of the wire
    """Return the conversation of a planning, evaluation or final call.

    Args:
        snapshot: The state.
        call: The open call.
        tools: Tools that may be used.

    Returns:
        A system message, then the turn and the step in one user message.
    """
    parts = [_turn(snapshot)]
    if call.step is not ModelStep.REQUIREMENT:
        parts.append(_analysis(snapshot))
    if call.step in (ModelStep.TOOLS, ModelStep.PLAN):
        parts.append(_tools(tools))
    if snapshot.todo_list is not None:
        parts.append(_results(snapshot))
    if call.step is ModelStep.PLAN and snapshot.goal_evaluation is not None:
        parts.append(_evaluation(snapshot))
    parts.append(_people(snapshot))
    parts.append(f"# Your step\n{_INSTRUCTIONS[call.step]}")
    if call.feedback:
        parts.append(unusable_answer(call.feedback))
    return [_system(snapshot), {"role": "user", "content": _joined(parts)}]


def task_messages(
    snapshot: AgentSnapshot, task: Task
) -> tuple[dict[str, Any], ...]:  # Any: messages of the wire
    """Return the conversation with which a task starts.

    Args:
        snapshot: The state.
        task: The task; its dependencies have ended.

    Returns:
        A system message, then the turn, the results that the task depends on, and the task.
    """
    needed = set(task.dependencies)
    parts = [_turn(snapshot), _analysis(snapshot), _results(snapshot, needed), _people(snapshot)]
    parts.append(
        f"# Your step\nCarry out this task and state its outcome.\n{task.title}\n{task.description}"
    )
    if task.tools_needed:
        parts.append(f"Tools meant for it: {', '.join(task.tools_needed)}")
    return (_system(snapshot), {"role": "user", "content": _joined(parts)})


def _system(snapshot: AgentSnapshot) -> dict[str, Any]:
    return {"role": "system", "content": SYSTEM + (HUMAN_SYSTEM if snapshot.human_in_loop else "")}


def _turn(snapshot: AgentSnapshot) -> str:
    earlier = snapshot.conversation_history[:-1]
    lines = [f"{message['role']}: {message['content']}" for message in earlier]
    history = "# Earlier in this conversation\n" + "\n".join(lines) + "\n\n" if lines else ""
    return f"{history}# Requirement\n{snapshot.prompt}"


def _analysis(snapshot: AgentSnapshot) -> str:
    analysis = snapshot.requirement_analysis
    if analysis is None:
        return ""
    lines = [f"# Goal\n{analysis.goal}"]
    lines += _listed("Success criteria", analysis.success_criteria)
    lines += _listed("Constraints", analysis.constraints)
    return "\n".join(lines)


def _tools(tools: Sequence[ToolInfo]) -> str:
    if not tools:
        return "# Available tools\nnone"
    lines = [f"- {tool.name}: {tool.description}" for tool in tools]
    return "# Available tools\n" + "\n".join(lines)


def _results(snapshot: AgentSnapshot, only: set[str] | None = None) -> str:
    tasks = snapshot.todo_list.tasks if snapshot.todo_list else []
    ended = [
        task
        for task in tasks
        if (only is None or task.id in only) and task.status is not TaskStatus.PENDING
    ]
    if not ended:
        return ""
    lines: list[str] = []
    for task in ended:
        run = snapshot.runs.get(task.id)
        outcome = task.result or task.error_message or "no result"
        lines.append(f"- [{run.key if run else task.id}] {task.title} ({task.status}): {outcome}")
    return "# Results of tasks\n" + "\n".join(lines)


def _evaluation(snapshot: AgentSnapshot) -> str:
    evaluation = snapshot.goal_evaluation
    if evaluation is None:
        return ""
    lines = [f"# Evaluation of the last round\n{evaluation.feedback}"]
    lines += _listed("Not met yet", evaluation.remaining_criteria)
    lines += _listed("Next steps", evaluation.next_steps)
    lines.append("Plan only what is still missing; finished tasks stay.")
    return "\n".join(lines)


def _people(snapshot: AgentSnapshot) -> str:
    lines = _listed("What people said", snapshot.human_context)
    lines += _listed("Credentials that people gave", snapshot.credentials)
    return "\n".join(lines)


def _listed(title: str, items: Sequence[str]) -> list[str]:
    return [f"{title}:", *(f"- {item}" for item in items)] if items else []


def _parameters(option: DialogOption) -> str:
    return f" {json.dumps(option.parameters, default=str)}" if option.parameters else ""


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part)
