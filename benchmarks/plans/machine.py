"""What the agent's machine alone costs: its function `advance`, with no client and no server.

Inputs are made from the script as the driver makes them from answers; beside `advance` it measures
what the driver does besides for every input, which is to write the state down for the store.
"""

import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from plans.graphs import Plan, layered, plans, value_of
from plans.report import Report
from plans.script import TOOL, answer, prompt_of

import mbxai.agent.machine._prompts as prompts
from mbxai.agent.machine._inputs import (
    Input,
    ModelReturned,
    ToolPolicy,
    ToolReturned,
    ToolStarted,
    TurnStarted,
)
from mbxai.agent.machine._machine import advance
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    FinalSchema,
    Limits,
    ModelCall,
    ModelStep,
    ToolCall,
)
from mbxai.wire import ToolInfo

_LIMITS = Limits(max_task_iterations=50, max_replans=10, max_parallel_tasks=8)
_POLICIES = {TOOL: ToolPolicy(effect="read")}
_TOOLS = [ToolInfo(name=TOOL, description="Look a value up.", parameters={}, effect="read")]
_FINAL = FinalSchema(name="Report", json_schema=Report.model_json_schema())
_SCHEMAS = {
    ModelStep.REQUIREMENT: "RequirementAnalysis",
    ModelStep.TOOLS: "ToolAnalysis",
    ModelStep.PLAN: "TodoList",
    ModelStep.PLANNING: "Planning",
    ModelStep.EVALUATION: "GoalEvaluation",
    ModelStep.CONCLUSION: "Conclusion",
    ModelStep.FINAL: "Report",
}


class Steps(NamedTuple):
    """What the inputs of one or more runs cost, one figure an input, in seconds of the processor.

    Attributes:
        advancing: The machine.
        writing: The state as JSON text.
        size_bytes: Size of that text at the end.
    """

    advancing: list[float]
    writing: list[float]
    size_bytes: int


def whole_set(planning: str) -> Steps:
    """Run the machine through all plans."""
    runs = [run(plan, planning) for plan in plans().values()]
    return Steps(
        [cost for each in runs for cost in each.advancing],
        [cost for each in runs for cost in each.writing],
        max(each.size_bytes for each in runs),
    )


def sized(tasks: int, width: int) -> Steps:
    """Run the machine through one plan of so many tasks, so many on a level."""
    plan = layered(f"case-{9000 + tasks}", [width] * (tasks // width))
    plans()[plan.case] = plan
    try:
        return run(plan, "stepwise")
    finally:
        del plans()[plan.case]


def run(plan: Plan, planning: str) -> Steps:
    """Run the machine through one plan, one input after the other.

    Raises:
        SystemExit: It did not end with the right values.
    """
    snapshot = AgentSnapshot(agent_id=plan.case)
    start = TurnStarted(
        prompt=prompt_of(plan),
        nonce="benchmark",
        final_response_structure=_FINAL,
        human_in_loop=False,
        limits=_LIMITS.model_copy(update={"planning": planning}),
    )
    waiting: list[Input] = [start]
    advancing: list[float] = []
    writing: list[float] = []
    text = ""
    while waiting:
        event = waiting.pop(0)
        began = time.thread_time()
        step = advance(snapshot, event)
        advanced = time.thread_time()
        snapshot = step.snapshot
        text = json.dumps(snapshot.model_dump(mode="json"))
        writing.append(time.thread_time() - advanced)
        advancing.append(advanced - began)
        waiting += _outcomes(snapshot, step.commands)
    expected = [f"{key}={value}" for key, value in plan.values().items()]
    if (snapshot.final_response or {}).get("values") != expected:
        raise SystemExit(f"{plan.case} rests in {snapshot.state}: {snapshot.error}")
    return Steps(advancing, writing, len(text))


def _outcomes(snapshot: AgentSnapshot, calls: Sequence[ModelCall | ToolCall]) -> list[Input]:
    """Make the inputs that follow from new calls, in the order of the calls."""
    outcomes: list[Input] = []
    for call in calls:
        if isinstance(call, ToolCall):
            arguments = json.loads(call.arguments)
            found = f"{arguments['key']}={value_of(**arguments)}"
            outcomes.append(ToolStarted(call_ids=(call.id,)))
            outcomes.append(ToolReturned(call_id=call.id, content=found))
        else:
            outcomes.append(_model_outcome(snapshot, call))
    return outcomes


def _model_outcome(snapshot: AgentSnapshot, call: ModelCall) -> ModelReturned:
    if call.step is ModelStep.TASK:
        messages = snapshot.runs[str(call.task_id)].messages
        text, calls = answer({"messages": messages, "tools": []})
        value: dict[str, Any] = {"role": "assistant", "content": text, "tool_calls": calls}
    else:
        schema = {"json_schema": {"name": _SCHEMAS[call.step]}}
        messages = prompts.step_messages(snapshot, call, _TOOLS)
        text, _ = answer({"messages": messages, "response_format": schema})
        value = json.loads(str(text))
    return ModelReturned(call_id=call.id, value=value, finish_reason="stop", policies=_POLICIES)
