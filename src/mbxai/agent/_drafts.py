"""What the model fills in; checked and turned into the public models by `_plan`.

Drafts differ from the public models where a model should not decide: a plan's tasks bear short keys
instead of ids and have no status or result, and a mapping is a list of pairs, which strict schemas
can say. The schema's name (`title`) is the public model's name.
"""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Key = Annotated[str, StringConstraints(strip_whitespace=True)]
"""A short name that tasks refer to."""


class RequirementDraft(BaseModel):
    """Schema `RequirementAnalysis`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="RequirementAnalysis")

    goal: str = Field(description="What is to be achieved, in one sentence")
    sub_goals: list[str] = Field(description="Parts of the goal; may be empty")
    success_criteria: list[str] = Field(description="How to tell that the goal is reached")
    constraints: list[str] = Field(description="Limits to respect; may be empty")
    complexity_estimate: int = Field(ge=1, le=10, description="1 (trivial) to 10 (very hard)")


class ToolUse(BaseModel):
    """One pair of the tool mapping."""

    tool: str = Field(description="Name of an available tool")
    purpose: str = Field(description="What it is used for")


class ToolAnalysisDraft(BaseModel):
    """Schema `ToolAnalysis`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="ToolAnalysis")

    relevant_tools: list[str] = Field(description="Names of the available tools that help")
    tool_mapping: list[ToolUse] = Field(description="What each of them is used for")
    missing_capabilities: list[str] = Field(
        description="What the goal needs and no available tool offers; may be empty"
    )


class TaskDraft(BaseModel):
    """One task of a plan."""

    key: Key = Field(description="Short unique key, for example t1")
    title: str = Field(description="What is done, in a few words")
    description: str = Field(description="What is done, precisely")
    depends_on: list[Key] = Field(description="Keys of tasks that must end first; may be empty")
    tools_needed: list[str] = Field(description="Names of tools that it uses; may be empty")
    estimated_complexity: int = Field(ge=1, le=5, description="1 (trivial) to 5 (very hard)")


class TodoDraft(BaseModel):
    """Schema `TodoList`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="TodoList")

    tasks: list[TaskDraft] = Field(min_length=1, description="The tasks, in a sensible order")
    estimated_total_time: str = Field(description="For example: 10 minutes")


class EvaluationDraft(BaseModel):
    """Schema `GoalEvaluation`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(title="GoalEvaluation")

    feedback: str = Field(description="What was done well and what is missing")
    completed_criteria: list[str] = Field(description="Success criteria that are met")
    remaining_criteria: list[str] = Field(description="Success criteria that are not met")
    next_steps: list[str] = Field(description="What to do about the unmet ones; may be empty")
    completion_percentage: int = Field(ge=0, le=100, description="0 to 100")
    goal_achieved: bool = Field(description="Whether the goal is reached")
