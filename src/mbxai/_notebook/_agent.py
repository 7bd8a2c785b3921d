"""Runs of an agent: the plan, the questions, the outcome, what it cost. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from mbxai._notebook._markup import (
    Facts,
    Markup,
    card,
    counted,
    folded,
    listing,
    money,
    paragraph,
    table,
    value,
)
from mbxai._notebook._shapes import (
    EvaluationShape,
    PlanShape,
    RequestShape,
    RequirementShape,
    ResponseShape,
    SummaryShape,
    TaskShape,
    UsageShape,
)

_MARKS: Final = {
    "completed": "✓",
    "failed": "✗",
    "skipped": "–",  # noqa: RUF001  # a dash is what is meant
    "in_progress": "▸",
    "pending": "○",
}
_MAX_TITLE: Final = 60


def task_facts(task: TaskShape) -> Facts:
    """Yield what a task is, without what it says.

    Args:
        task: The task.
    """
    yield "id", task.id
    yield "title", task.title if len(task.title) <= _MAX_TITLE else f"{task.title[:_MAX_TITLE]}…"
    yield "status", str(task.status)
    yield "attempts", task.attempts


def plan_facts(plan: PlanShape) -> Facts:
    """Yield how many tasks a plan has, and how many of each status.

    Args:
        plan: The plan.
    """
    yield "tasks", len(plan.tasks)
    yield from Counter(str(task.status) for task in plan.tasks).items()


def plan_html(plan: PlanShape) -> str:
    """Return a plan as a table.

    Args:
        plan: The plan; one without tasks has no table.
    """
    return card("Plan", _counts(plan), tasks_table(plan.tasks))


def tasks_table(tasks: Sequence[TaskShape]) -> Markup:
    """Return tasks as a table; what one waits for is told by its number.

    Args:
        tasks: In the order of the plan.
    """
    numbers = {task.id: str(number) for number, task in enumerate(tasks, 1)}
    rows = [
        (
            numbers[task.id],
            f"{_MARKS.get(task.status, '')} {task.status.replace('_', ' ')}",
            f"{task.title} ({task.error_message})" if task.error_message else task.title,
            ", ".join(numbers.get(key, key) for key in task.dependencies),
            ", ".join(task.tools_needed),
        )
        for task in tasks
    ]
    return table(("#", "Status", "Task", "After", "Tools"), rows, "task")


def requirement_html(requirement: RequirementShape) -> str:
    """Return what a prompt asks for.

    Args:
        requirement: The analysis.
    """
    return card(
        "Requirement",
        [f"complexity {requirement.complexity_estimate} of 10"],
        paragraph(requirement.goal),
        listing("Parts", requirement.sub_goals),
        listing("Reached when", requirement.success_criteria),
        listing("Limits", requirement.constraints),
    )


def evaluation_html(evaluation: EvaluationShape) -> str:
    """Return how far a goal is reached.

    Args:
        evaluation: The evaluation.
    """
    return card(
        "Goal",
        [_reached(evaluation)],
        paragraph(evaluation.feedback),
        listing("Met", evaluation.completed_criteria),
        listing("Not met", evaluation.remaining_criteria),
    )


def request_html(request: RequestShape) -> str:
    """Return a question to a person.

    Args:
        request: The question.
    """
    expires = f"until {request.expires_at:%Y-%m-%d %H:%M} UTC" if request.expires_at else ""
    from_server = f"asked by {request.source}" if request.source else ""
    return card(
        "Question", [str(request.interaction_type), from_server, expires], *_question(request)
    )


def summary_facts(summary: SummaryShape) -> Facts:
    """Yield what a run took over all steps.

    Args:
        summary: Tokens and cost by step.
    """
    total = summary.total()
    yield "total_tokens", total.total_tokens
    yield "prompt_tokens", total.prompt_tokens
    yield "completion_tokens", total.completion_tokens
    yield "cost_usd", round(total.cost_usd, 6)


def summary_html(summary: SummaryShape) -> str:
    """Return tokens and cost by step, as a table.

    Args:
        summary: Tokens and cost by step.
    """
    total = summary.total()
    facts = [counted(total.total_tokens, "token"), money(total.cost_usd)]
    return card("Tokens", facts, _usage_table(summary))


def response_facts(response: ResponseShape) -> Facts:
    """Yield what a run is and where it stands, without what it says.

    Args:
        response: The state of the run.
    """
    total = response.token_summary.total()
    yield "agent_id", response.agent_id
    yield "state", str(response.state)
    if response.todo_list is not None:
        yield "tasks", len(response.todo_list.tasks)
    if response.human_interaction_requests:
        yield "open_requests", len(response.human_interaction_requests)
    if response.final_response is not None:
        yield "final_response", type(response.final_response).__name__
    if response.error is not None:
        yield "error", response.error.type
    yield "total_tokens", total.total_tokens
    yield "cost_usd", round(total.cost_usd, 6)


def response_html(response: ResponseShape) -> str:
    """Return a run: why it failed or whom it waits for, its outcome, its plan, what it took.

    Args:
        response: The state of the run.
    """
    total = response.token_summary.total()
    facts = [
        response.state.replace("_", " "),
        _reached(response.goal_evaluation) if response.goal_evaluation else "",
        counted(total.total_tokens, "token"),
        money(total.cost_usd),
        response.agent_id,
    ]
    return card("Agent run", facts, *_outcome(response))


def _outcome(response: ResponseShape) -> Iterator[Markup]:
    if response.error is not None:
        yield paragraph(f"{response.error.type}: {response.error.message}")
    for request in response.human_interaction_requests:
        yield from _question(request)
    if response.final_response is not None:
        yield value(response.final_response)
    if (plan := response.todo_list) is not None:
        yield folded(f"Plan: {', '.join(_counts(plan))}", tasks_table(plan.tasks))
    if response.token_summary.total().total_tokens:
        yield folded("Tokens by step", _usage_table(response.token_summary))


def _question(request: RequestShape) -> Iterator[Markup]:
    yield paragraph(request.prompt)
    yield paragraph(request.url)
    yield listing("Answers", request.options)
    yield listing("Dialogues", [dialog.title for dialog in request.dialog_options])
    yield folded("Why", paragraph(request.context))


def _reached(evaluation: EvaluationShape) -> str:
    word = "reached" if evaluation.goal_achieved else "not reached"
    return f"goal {word}, {evaluation.completion_percentage} %"


def _counts(plan: PlanShape) -> list[str]:
    statuses = Counter(task.status.replace("_", " ") for task in plan.tasks)
    counts = [f"{count} {status}" for status, count in statuses.items()]
    return [counted(len(plan.tasks), "task"), *counts]


def _usage_table(summary: SummaryShape) -> Markup:
    steps: dict[str, Sequence[UsageShape]] = {
        "requirement": [summary.requirement_analysis],
        "tools": [summary.tool_analysis],
        "plan": [summary.todo_generation],
        "tasks": summary.task_execution,
        "questions": summary.dialog_interactions,
        "evaluation": [summary.goal_evaluation],
        "answer": [summary.final_response],
        "all": [summary.total()],
    }
    rows = [
        (
            step,
            f"{sum(usage.prompt_tokens for usage in usages):,}",
            f"{sum(usage.completion_tokens for usage in usages):,}",
            money(sum(usage.cost_usd for usage in usages)),
        )
        for step, usages in steps.items()
        if any(usage.total_tokens for usage in usages)
    ]
    return table(("Step", "Prompt", "Answer", "Cost"), rows, "step")
