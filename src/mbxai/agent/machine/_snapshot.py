"""The state of a session: one frozen model, JSON only.

`AgentSnapshot` is all that is stored of a session and all that the machine sees. Nothing in it is a
class, a callable or a secret. What is still to be done stands in it as open calls, so a worker that
loads it knows what to run without asking the machine.
"""

from enum import StrEnum
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from mbxai.agent._human_models import AnswerDeadline, DialogOption, HumanInteractionType
from mbxai.agent._plan_models import GoalEvaluation, RequirementAnalysis, TodoList, ToolAnalysis
from mbxai.agent._result_models import AgentFailure, AgentState, ModelCallUsage, TokenSummary
from mbxai.wire import Effect

SCHEMA_VERSION = 1
"""Version of the stored form; a higher one is refused."""


class Frozen(BaseModel):
    """Base of all that is stored: changed only by copy."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)


class ModelStep(StrEnum):
    """What a model call is for.

    `PLANNING` gives both analyses and the plan in one answer, `CONCLUSION` the evaluation and, if
    the goal is reached, the final response. `QUALITY` judges a final response, `COMPACTION` sums up
    a conversation that has grown too long.
    """

    REQUIREMENT = "requirement_analysis"
    TOOLS = "tool_analysis"
    PLAN = "todo_generation"
    PLANNING = "planning"
    TASK = "task_execution"
    EVALUATION = "goal_evaluation"
    CONCLUSION = "conclusion"
    FINAL = "final_response"
    QUALITY = "quality_check"
    COMPACTION = "compaction"


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


class StoredQuestion(Frozen):
    """What a tool's server wants a person to tell it; `ToolQuestion` as it is stored.

    Attributes:
        form: JSON Schema of the answer; empty for an address.
        state: Opaque text by which the server goes on, in whichever process.
    """

    message: str
    kind: Literal["form", "url"] = "form"
    form: dict[str, Any] = {}  # Any: JSON Schema
    url: str = ""
    source: str = ""
    state: str = ""


class StoredAnswer(Frozen):
    """A person's answer on its way to the tool that asked; `ToolAnswer` as it is stored.

    Attributes:
        content: Values of the form, by field.
        withheld: Handles of values that look like credentials; the values are in a vault.
    """

    action: Literal["accept", "decline", "cancel"]
    content: dict[str, Any] = Field(default={}, repr=False)  # Any: JSON
    withheld: tuple[str, ...] = ()
    state: str = ""


class ToolCall(Frozen):
    """An open call of a tool.

    Attributes:
        call_id: Id that the model gave the call.
        arguments: JSON text as the model wrote it; credentials stand in it as handles.
        effect: What a repeated run does.
        started: Whether a worker began to run it; saved before it does.
        started_at: When its last run began, in seconds since 1970; None where that is not known.
        attempt: How many times it was started.
        reconciles: Whether the tool is asked what its last run did, instead of being run.
        approved: Whether a person agreed to it.
        grant: What exactly a person agreed to, see `_permits`; empty where that is not known.
        key: Id of the call's first run, by which repeated runs are known; empty in that run itself.
        questions: How often the tool has asked something during this call.
        answer: The answer to its last question, for the run that goes on with it.
    """

    kind: Literal["tool"] = "tool"
    id: str
    task_id: str
    call_id: str
    name: str
    arguments: str
    effect: Effect = "once"
    started: bool = False
    started_at: float | None = None
    attempt: int = 0
    reconciles: bool = False
    approved: bool = False
    grant: str = ""
    key: str = ""
    questions: int = 0
    answer: StoredAnswer | None = None


class AnswerRecord(Frozen):
    """A person's answer without its secrets.

    Attributes:
        content: Values of a tool's form, by field, without those that are in `provides`.
        provides: Handles of the credentials that came with it, `secret://option/name`.
    """

    response_type: HumanInteractionType
    decision: str | None = None
    answer: str | None = None
    dialog_option_id: str | None = None
    note: str = ""
    # Not in repr, and so in no traceback: it may hold what is not for everybody.
    content: dict[str, Any] | None = Field(default=None, repr=False)  # Any: JSON
    provides: tuple[str, ...] = ()


class Interaction(Frozen):
    """A request to a person, open until `answer` is set.

    Attributes:
        purpose: What the answer decides: the result of a tool call of the model (`ask`), whether a
            complex task runs (`complexity`), whether a tool runs (`approval`), what a tool that has
            begun is told (`elicitation`), what becomes of a tool's call that was cut off
            (`recovery`), what becomes of a goal that is not reached (`goal`).
        task_id: The task that waits; empty for `goal`.
        call_id: The model's call that waits, for all but `complexity` and `goal`.
        question: What the tool wants to know, for `elicitation`.
        paused: The tool's call, which may be opened again with the answer; None once it was.
        grant: What exactly is agreed to with it, see `_permits`; empty where that is not known.
        withdrawn: Whether the task ended otherwise, so that no answer is wanted any more.
        expires_at: When the default action is taken instead, in seconds since 1970; None: never.
        expired: Whether it was taken; then `withdrawn` is True as well.
        is_unplanned: Whether a tool wants to run that text of others may have asked for; nobody but
            a person can approve it.
    """

    id: str
    purpose: Literal["ask", "complexity", "approval", "elicitation", "recovery", "goal"]
    interaction_type: HumanInteractionType
    prompt: str
    options: tuple[str, ...] = ()
    dialog_option_id: str | None = None
    context: str = ""
    task_id: str = ""
    call_id: str | None = None
    question: StoredQuestion | None = None
    paused: ToolCall | None = None
    grant: str = ""
    answer: AnswerRecord | None = None
    withdrawn: bool = False
    expires_at: float | None = None
    expired: bool = False
    is_unplanned: bool = False


class PlannedCall(Frozen):
    """A tool call that the plan has filled in, so that its task begins without a model.

    Attributes:
        arguments: JSON text; results of other tasks stand in it as references, see `_references`.
        source: "local", or the name of the MCP server that has the tool.
        is_trusted: Whether what it returns is as good as what the caller says.
    """

    name: str
    arguments: str
    effect: Effect = "once"
    requires_approval: bool = False
    source: str = "local"
    is_trusted: bool = False


class PendingCall(Frozen):
    """One call of the round that a task's conversation is in; `result` is None until it is back.

    Attributes:
        source: "local", or the name of the MCP server that has the tool.
        is_trusted: Whether what it returns is as good as what the caller says.
        result: In words, without marks.
        has_run: Whether `result` comes from the tool; if not, it is a person's answer, or says why
            nothing was run.
        is_error: Whether it tells of a failure.
    """

    call_id: str
    name: str
    arguments: str
    effect: Effect = "once"
    source: str = "local"
    is_trusted: bool = False
    result: str | None = None
    has_run: bool = False
    is_error: bool = False


class TaskRun(Frozen):
    """How a task is being executed.

    Attributes:
        key: The plan's short key.
        messages: The task's own conversation, oldest first.
        rounds: Rounds of tool calls so far.
        calls: Calls of the current round, in the model's order.
        attempts: Answers of the model that could not be used, in a row.
        skipped_by_person: Whether a person skipped the task; its dependents go on without it.
        planned: The call with which the task begins, instead of the model.
        earlier: What earlier attempts at the task did, one line a tool call; never repeated
            unknowingly.
        seen: Digest of a call to the digest of its result and how often it came in a row.
        context_tokens: Tokens of the conversation at the last answer of the model; 0: not known.
        did: What this attempt did, one line a tool call; `earlier` of the next one.
        result_source: Tool and server whose result is the task's result, word for word; None where
            a model has put it into words.
    """

    key: str
    planned: PlannedCall | None = None
    earlier: tuple[str, ...] = ()
    seen: dict[str, tuple[str, int]] = {}
    context_tokens: int = 0
    did: tuple[str, ...] = ()
    result_source: tuple[str, str] | None = None
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
        max_replans: New rounds after an evaluation that found the goal not reached; a person may
            allow more.
        max_parallel_tasks: Tasks in progress at once.
        max_tool_rounds: Rounds of tool calls in one task.
        max_answer_attempts: Answers of the model to one step, the first included.
        approve_complexity: Complexity from which a task asks a person first; None: never.
        planning: "stepwise" plans in three model calls, "merged" in one.
        quality_iterations: How often a final response may be judged and improved.
        max_repeats: How often the same call of a tool may give the same result in a row.
        max_context_tokens: Tokens of a conversation above which it is summed up; None: three
            quarters of the model's context window, where that is known.
        unplanned_tools: What becomes of a call with effects that the plan did not name, once text
            of others was read: "ask" a person (without one, refuse it), or "allow" it.
        on_changed_tools: What becomes of the turn where it is to go on with other tools than it was
            planned with: "continue" with those that there are, or "refuse" to.
        deadline: How long requests to people stay open; None: for ever.
    """

    max_task_iterations: int = 10
    max_replans: int = 2
    max_parallel_tasks: int = 8
    max_tool_rounds: int = 10
    max_answer_attempts: int = 3
    approve_complexity: int | None = 4
    planning: Literal["stepwise", "merged"] = "stepwise"
    quality_iterations: int = 0
    max_repeats: int = 3
    max_context_tokens: int | None = None
    unplanned_tools: Literal["ask", "allow"] = "ask"
    on_changed_tools: Literal["continue", "refuse"] = "continue"
    deadline: AnswerDeadline | None = None


class AgentSnapshot(Frozen):
    """The state of a session.

    Attributes:
        nonce: Random text of the session, so that a deleted session's ids never come back.
        sequence: Counts ids given out; with the agent id and the nonce it makes each id.
        turn: Which prompt of the session is worked on, from 1.
        requests: Digests of the last requests that began turns and had a name.
        original_prompt: The session's first prompt.
        prompt: The current turn's prompt.
        tools: Names of the tools that may be used; None: all.
        definitions: Fingerprints of the tools that the turn goes on with, by name, see
            `_definition`; None: not known.
        traceparent: The span in which the turn began, as the W3C has it; empty: nobody traced.
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
        failures: Failures for a passing reason in a row, since the last answer of a model.
        final_response: The final response as JSON; None until there is one.
        draft_response: A final response that is being judged, as JSON.
        draft_feedback: What is wrong with it; empty: not judged yet.
        quality_checks: How often one was judged in this turn.
        history_summary: What was said in turns that `conversation_history` no longer holds.
        read_untrusted: Whether a model has read text that tools brought in, in this turn.
        named_tools: Tools that the plan named before that; None: not planned yet.
        context_window: Most tokens of a conversation, as the last model that answered in a task has
            it; None: not known.
        model: The model that answered last; empty where it is not known.
        event_sequence: Number of the last event.
        ledger: Every model call that came back, oldest first, over all turns.
    """

    schema_version: int = SCHEMA_VERSION
    agent_id: str
    nonce: str = ""
    sequence: int = 0
    turn: int = 0
    requests: tuple[str, ...] = ()
    state: AgentState = AgentState.ANALYZING_REQUIREMENT
    original_prompt: str = ""
    prompt: str = ""
    final_response_structure: FinalSchema | None = None
    human_in_loop: bool = False
    dialog_options: tuple[DialogOption, ...] = ()
    tools: tuple[str, ...] | None = None
    definitions: dict[str, str] | None = None
    limits: Limits = Limits()
    traceparent: str = ""
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
    failures: int = 0
    goal_evaluation: GoalEvaluation | None = None
    final_response: Any = None  # Any: JSON of the caller's model
    draft_response: Any = None  # Any: JSON of the caller's model
    draft_feedback: str = ""
    quality_checks: int = 0
    history_summary: str = ""
    read_untrusted: bool = False
    named_tools: tuple[str, ...] | None = None
    context_window: int | None = None
    model: str = ""
    event_sequence: int = 0
    ledger: tuple[ModelCallUsage, ...] = ()
    token_summary: TokenSummary = TokenSummary()
    error: AgentFailure | None = None

    @property
    def can_be_cancelled(self) -> bool:
        """Whether the turn is not over: it runs, waits, was cut off, or can be tried again."""
        is_over = self.error is not None and not self.error.retryable
        return self.turn > 0 and self.state is not AgentState.COMPLETED and not is_over

    def open_interactions(self) -> tuple[Interaction, ...]:
        """Return the requests that wait for a person, oldest first."""
        return tuple(i for i in self.interactions if i.answer is None and not i.withdrawn)
