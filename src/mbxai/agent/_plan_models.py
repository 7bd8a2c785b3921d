"""Models of the plan: analyses, tasks, evaluation. Names and defaults are a public contract."""

from collections.abc import Iterator
from enum import StrEnum
from uuid import uuid4

from pydantic import BaseModel, Field


class TaskStatus(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


class RequirementAnalysis(BaseModel):
    """Step 1: what the prompt asks for."""

    goal: str = Field(description="What is to be achieved, in one sentence")
    sub_goals: list[str] = Field(default_factory=list[str], description="Parts of the goal")
    success_criteria: list[str] = Field(description="How to tell that the goal is reached")
    constraints: list[str] = Field(default_factory=list[str], description="Limits to respect")
    complexity_estimate: int = Field(ge=1, le=10, description="1 (trivial) to 10 (very hard)")

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import requirement_html  # noqa: PLC0415  # only where it is looked at

        return requirement_html(self)


class ToolAnalysis(BaseModel):
    """Step 2: which tools serve the goal."""

    relevant_tools: list[str] = Field(
        default_factory=list[str], description="Names of useful tools"
    )
    tool_mapping: dict[str, str] = Field(
        default_factory=dict[str, str], description="Tool name to what it is used for"
    )
    missing_capabilities: list[str] = Field(
        default_factory=list[str], description="What the goal needs and no tool offers"
    )


class Task(BaseModel):
    """One unit of work.

    Attributes:
        dependencies: Ids of the tasks that must end before this one starts.
        estimated_complexity: 1 (trivial) to 5 (very hard).
        result: The outcome in words; None until the task is completed.
        error_message: Why the task failed or was skipped; None otherwise.
        attempts: How often it was started.
    """

    id: str = Field(default_factory=lambda: str(uuid4()))
    title: str
    description: str
    status: TaskStatus = TaskStatus.PENDING
    dependencies: list[str] = Field(default_factory=list[str])
    tools_needed: list[str] = Field(default_factory=list[str])
    estimated_complexity: int = Field(default=1, ge=1, le=5)
    result: str | None = None
    error_message: str | None = None
    attempts: int = 0

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """Show what it is and what it took, not what it says."""
        from mbxai._notebook import task_facts  # noqa: PLC0415  # only where it is looked at

        return task_facts(self)


class TodoList(BaseModel):
    """Step 3: the plan."""

    tasks: list[Task] = Field(default_factory=list[Task])
    estimated_total_time: str | None = None

    def get_task_by_id(self, task_id: str) -> Task | None:
        """Return the task with this id.

        Args:
            task_id: Which task.

        Returns:
            The task, or None if the plan has no such task.
        """
        return next((task for task in self.tasks if task.id == task_id), None)

    def get_next_task(self) -> Task | None:
        """Return the first task that could start now.

        Returns:
            A pending task whose dependencies are all completed or skipped; None if there is none.
        """
        return next(self.ready_tasks(), None)

    def ready_tasks(self) -> Iterator[Task]:
        """Yield the tasks that could start now.

        Yields:
            Pending tasks whose dependencies are all completed or skipped, in plan order.
        """
        settled = {
            task.id
            for task in self.tasks
            if task.status in (TaskStatus.COMPLETED, TaskStatus.SKIPPED)
        }
        for task in self.tasks:
            if task.status is TaskStatus.PENDING and settled.issuperset(task.dependencies):
                yield task

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """Show what it is and what it took, not what it says."""
        from mbxai._notebook import plan_facts  # noqa: PLC0415  # only where it is looked at

        return plan_facts(self)

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import plan_html  # noqa: PLC0415  # only where it is looked at

        return plan_html(self)


class GoalEvaluation(BaseModel):
    """Step 6: how far the goal is reached."""

    goal_achieved: bool
    completion_percentage: int = Field(ge=0, le=100)
    completed_criteria: list[str] = Field(default_factory=list[str])
    remaining_criteria: list[str] = Field(default_factory=list[str])
    feedback: str = ""
    next_steps: list[str] = Field(default_factory=list[str])

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import evaluation_html  # noqa: PLC0415  # only where it is looked at

        return evaluation_html(self)
