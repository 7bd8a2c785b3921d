"""The state of a session: one frozen model, JSON only.

`AgentSnapshot` is all that is stored of a session and all that the machine sees. Nothing in it is a
class, a callable or a secret. What is still to be done stands in it as open calls, so a worker that
loads it knows what to run without asking the machine.
"""

from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from mbxai.agent._human_models import DialogOption, HumanInteractionType
from mbxai.agent._plan_models import GoalEvaluation, RequirementAnalysis, TodoList, ToolAnalysis
from mbxai.agent._result_models import AgentFailure, AgentState, TokenSummary
from mbxai.wire import Effect

SCHEMA_VERSION = 1
"""Version of the stored form; a higher one is refused."""


class Frozen(BaseModel):
    """Base of all that is stored: changed only by copy."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class ModelStep(StrEnum):
    """What a model call is for; the values are the fields of `TokenSummary`."""

    REQUIREMENT = "requirement_analysis"
    TOOLS = "tool_analysis"
    PLAN = "todo_generation"
    TASK = "task_execution"
    EVALUATION = "goal_evaluation"
    FINAL = "final_response"


class ModelCall(Frozen):
    """An open call of the model.

    Attributes:
        task_id: The task whose conversation goes on; None for the other steps.
        attempt: 1 for the first try of a step, counted up with each answer that did not fit.
        feedback: What was wrong with the last answer, one line a problem.
    """

    kind: Literal["model"] = "model"
    id: str
    step: ModelStep
    task_id: str | None = None
    attempt: int = 1
    feedback: tuple[str, ...] = ()


class ToolCall(Frozen):
    """An open call of a tool.

    Attributes:
        call_id: Id that the model gave the call.
        arguments: JSON text as the model wrote it; credentials stand in it as handles.
        effect: What a repeated run does.
        started: Whether a worker began to run it; saved before it does.
        attempt: How many times it was started.
        approved: Whether a person agreed to it.
    """

    kind: Literal["tool"] = "tool"
    id: str
    task_id: str
    call_id: str
    name: str
    arguments: str
    effect: Effect = "once"
    started: bool = False
    attempt: int = 0
    approved: bool = False


class AnswerRecord(Frozen):
    """A person's answer without its secrets.

    Attributes:
        provides: Handles of the credentials that came with it, `secret://option/name`.
    """

    response_type: HumanInteractionType
    decision: str | None = None
    answer: str | None = None
    dialog_option_id: str | None = None
    note: str = ""
    provides: tuple[str, ...] = ()


class Interaction(Frozen):
    """A request to a person, open until `answer` is set.

    Attributes:
        purpose: What the answer decides: the result of a tool call of the model (`ask`), whether a
            complex task runs (`complexity`), whether a tool runs (`approval`).
        call_id: The model's call that waits, for `ask` and `approval`.
        withdrawn: Whether the task ended otherwise, so that no answer is wanted any more.
    """

    id: str
    purpose: Literal["ask", "complexity", "approval"]
    interaction_type: HumanInteractionType
    prompt: str
    options: tuple[str, ...] = ()
    dialog_option_id: str | None = None
    context: str = ""
    task_id: str
    call_id: str | None = None
    answer: AnswerRecord | None = None
    withdrawn: bool = False


class PendingCall(Frozen):
    """One call of the round that a task's conversation is in; `result` is None until it is back."""

    call_id: str
    name: str
    arguments: str
    effect: Effect = "once"
    result: str | None = None


class TaskRun(Frozen):
    """How a task is being executed.

    Attributes:
        key: The plan's short key.
        messages: The task's own conversation, oldest first.
        rounds: Rounds of tool calls so far.
        calls: Calls of the current round, in the model's order.
        attempts: Answers of the model that could not be used, in a row.
        skipped_by_person: Whether a person skipped the task; its dependents go on without it.
    """

    key: str
    messages: tuple[dict[str, Any], ...] = ()  # Any: messages of the wire
    rounds: int = 0
    calls: tuple[PendingCall, ...] = ()
    attempts: int = 0
    skipped_by_person: bool = False


class FinalSchema(Frozen):
    """The wanted final response: its name and JSON Schema."""

    name: str
    json_schema: dict[str, Any]  # Any: JSON Schema


class Limits(Frozen):
    """Bounds of a turn.

    Attributes:
        max_task_iterations: Tasks started in one round of the plan.
        max_replans: New rounds after an evaluation that found the goal not reached.
        max_parallel_tasks: Tasks in progress at once.
        max_tool_rounds: Rounds of tool calls in one task.
        max_answer_attempts: Answers of the model to one step, the first included.
        approve_complexity: Complexity from which a task asks a person first; None: never.
    """

    max_task_iterations: int = 10
    max_replans: int = 2
    max_parallel_tasks: int = 4
    max_tool_rounds: int = 10
    max_answer_attempts: int = 3
    approve_complexity: int | None = 4


class AgentSnapshot(Frozen):
    """The state of a session.

    Attributes:
        nonce: Random text of the session, so that a deleted session's ids never come back.
        sequence: Counts ids given out; with the agent id and the nonce it makes each id.
        turn: Which prompt of the session is worked on, from 1.
        original_prompt: The session's first prompt.
        prompt: The current turn's prompt.
        tools: Names of the tools that may be used; None: all.
        conversation_history: Prompts and final answers of all turns, as messages.
        human_context: What people said in this turn, in words.
        credentials: Handles of what people gave in this session; the values are in a vault.
        runs: How each task is being executed, by task id.
        calls: Open calls of models and tools.
        interactions: Requests to people of this turn, answered ones included.
        iteration_count: Tasks started in the current round of the plan.
        replans: Rounds of the plan after the first.
        model_calls: Model calls that came back, over all turns.
        tool_calls: Tool calls that came back, over all turns.
        final_response: The final response as JSON; None until there is one.
    """

    schema_version: int = SCHEMA_VERSION
    agent_id: str
    nonce: str = ""
    sequence: int = 0
    turn: int = 0
    state: AgentState = AgentState.ANALYZING_REQUIREMENT
    original_prompt: str = ""
    prompt: str = ""
    final_response_structure: FinalSchema | None = None
    human_in_loop: bool = False
    dialog_options: tuple[DialogOption, ...] = ()
    tools: tuple[str, ...] | None = None
    limits: Limits = Limits()
    conversation_history: tuple[dict[str, str], ...] = ()
    requirement_analysis: RequirementAnalysis | None = None
    tool_analysis: ToolAnalysis | None = None
    todo_list: TodoList | None = None
    runs: dict[str, TaskRun] = {}
    calls: tuple[ModelCall | ToolCall, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    human_context: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    iteration_count: int = 0
    replans: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    goal_evaluation: GoalEvaluation | None = None
    final_response: Any = None  # Any: JSON of the caller's model
    token_summary: TokenSummary = TokenSummary()
    error: AgentFailure | None = None

    def open_interactions(self) -> tuple[Interaction, ...]:
        """Return the requests that wait for a person, oldest first."""
        return tuple(i for i in self.interactions if i.answer is None and not i.withdrawn)
