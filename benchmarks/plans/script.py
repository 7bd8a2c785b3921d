"""What the oracle answers: the right next words of any agent, read off the conversation alone.

Pure, and of plain Python only. A prompt names its plan (`case-0173`), a task's description ends in
`[do t2]`, and every value stands somewhere as `t2=1f3a90bc`. What a task needs must be in the
conversation that the agent has sent; if it is not, there is no answer.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plans.graphs import Plan, plans

TOOL = "look_up"
MAX_TASKS = 50
"""Most tasks of one plan; what is left comes in the next round of it."""

FINAL_TOOL = "final_result"
"""The tool by which pydantic-ai gets a typed answer, unless it is told otherwise."""

_CASE = re.compile(r"case-\d{4}")
_TASK = re.compile(r"\[do (t\d+)\]")
_VALUE = re.compile(r"\b(t\d+)=([0-9a-f]{8})\b")

Json = dict[str, Any]  # Any: JSON


class UnansweredError(Exception):
    """The conversation does not hold what its next step needs."""


def prompt_of(plan: Plan) -> str:
    """What an agent is asked."""
    return f"Look up all values of {plan.case} and report them."


def case_of(text: str) -> str:
    """Return which plan a conversation is about.

    Raises:
        UnansweredError: It is about none.
    """
    found = _CASE.search(text)
    if found is None:
        raise UnansweredError("the conversation names no case")
    return found[0]


def answer(request: Json, *, is_filled: bool = False) -> tuple[str | None, list[Json]]:
    """Say what comes next.

    Args:
        request: A request for a chat completion.
        is_filled: Whether a merged plan gives the arguments of the calls.

    Returns:
        Text and calls of tools, one of which is empty.

    Raises:
        UnansweredError: Something is missing in the conversation.
    """
    messages: list[Json] = request["messages"]
    text = "\n".join(str(message.get("content")) for message in messages)
    plan = plans()[case_of(text)]
    found = dict(_VALUE.findall(text))
    if wanted := request.get("response_format"):
        name = wanted["json_schema"]["name"]
        if name == "Planning":
            return json.dumps(_planning(plan, is_filled=is_filled)), []
        if name not in _STRUCTURED:
            raise UnansweredError(f"no answer has the schema {name}")
        return json.dumps(_STRUCTURED[name](plan, found)), []
    if tasks := _TASK.findall(text):
        return _task_answer(plan, tasks[-1], found, messages)
    return _next_calls(plan, found, [tool["function"]["name"] for tool in request["tools"]])


def describe(plan: Plan, key: str) -> str:
    """Say what a task is, so that its conversation can be told from others."""
    needed = ", ".join(plan.needs[key]) or "nothing"
    return f"Look {key} of {plan.case} up; it needs {needed}. [do {key}]"


def report_of(plan: Plan, found: Mapping[str, str]) -> Json:
    """Return the final response.

    Raises:
        UnansweredError: A value is missing.
    """
    return {"values": _pairs(plan.needs, found)}


# --- conversations with tools ---------------------------------------------------------------------


def _task_answer(
    plan: Plan, key: str, found: Mapping[str, str], messages: Sequence[Json]
) -> tuple[str | None, list[Json]]:
    if messages[-1]["role"] == "tool":
        return f"Done: {_pairs([key], found)[0]}", []
    return None, [_call(0, TOOL, arguments_of(plan, key, found))]


def _next_calls(
    plan: Plan, found: Mapping[str, str], tools: Sequence[str]
) -> tuple[str | None, list[Json]]:
    """Go on in one conversation for the whole plan: all that can be called now, at once."""
    if ready := plan.ready(found):
        calls = [arguments_of(plan, key, found) for key in ready]
        return None, [_call(place, TOOL, each) for place, each in enumerate(calls)]
    if FINAL_TOOL in tools:
        return None, [_call(0, FINAL_TOOL, report_of(plan, found))]
    return json.dumps(report_of(plan, found)), []


def arguments_of(plan: Plan, key: str, found: Mapping[str, str]) -> Json:
    """Return the arguments of a task's call.

    Raises:
        UnansweredError: A value that the task needs is missing.
    """
    inputs = [pair.partition("=")[2] for pair in _pairs(plan.needs[key], found)]
    return {"case": plan.case, "key": key, "inputs": inputs}


def _call(place: int, name: str, arguments: Json) -> Json:
    return {
        "index": place,
        "id": f"call_{name}_{arguments.get('key', 'end')}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def _pairs(keys: Sequence[str] | Mapping[str, object], found: Mapping[str, str]) -> list[str]:
    missing = [key for key in keys if key not in found]
    if missing:
        raise UnansweredError(f"the conversation lacks the value of {', '.join(missing)}")
    return [f"{key}={found[key]}" for key in keys]


# --- structured answers ---------------------------------------------------------------------------


def _requirement(plan: Plan, _found: Mapping[str, str]) -> Json:
    return {
        "goal": f"Know all values of {plan.case}",
        "sub_goals": [],
        "success_criteria": [f"{key} is known" for key in plan.needs],
        "constraints": [],
        "complexity_estimate": 3,
    }


def _tool_analysis(_plan: Plan, _found: Mapping[str, str]) -> Json:
    return {
        "relevant_tools": [TOOL],
        "tool_mapping": [{"tool": TOOL, "purpose": "looks a value up"}],
        "missing_capabilities": [],
    }


def _todo_list(plan: Plan, found: Mapping[str, str]) -> Json:
    """What is not known yet, and at most as much as one plan may hold."""
    left = [key for key in plan.needs if key not in found][:MAX_TASKS]
    tasks = [
        {
            "key": key,
            "title": f"Look {key} up",
            "description": describe(plan, key),
            "depends_on": list(plan.needs[key]),
            "tools_needed": [TOOL],
            "estimated_complexity": 2,
        }
        for key in left
    ]
    return {"tasks": tasks, "estimated_total_time": "a minute"}


def _evaluation(plan: Plan, found: Mapping[str, str]) -> Json:
    left = [key for key in plan.needs if key not in found]
    return {
        "feedback": f"{len(found)} of {len(plan.needs)} values are known.",
        "completed_criteria": [f"{key} is known" for key in plan.needs if key in found],
        "remaining_criteria": [f"{key} is known" for key in left],
        "next_steps": [],
        "completion_percentage": 100 * len(found) // len(plan.needs),
        "goal_achieved": not left,
    }


def _planning(plan: Plan, *, is_filled: bool) -> Json:
    """Both analyses and the plan; what a call needs of other tasks stands in it as a reference."""
    todo_list = _todo_list(plan, {})
    for task in todo_list["tasks"]:
        inputs = [f"{{{{{key}}}}}" for key in task["depends_on"]]
        arguments = json.dumps({"case": plan.case, "key": task["key"], "inputs": inputs})
        task["tool_call"] = {"name": TOOL, "arguments": arguments} if is_filled else None
    return {
        "requirement_analysis": _requirement(plan, {}),
        "tool_analysis": _tool_analysis(plan, {}),
        "todo_list": todo_list,
    }


def _conclusion(plan: Plan, found: Mapping[str, str]) -> Json:
    evaluation = _evaluation(plan, found)
    final_response = report_of(plan, found) if evaluation["goal_achieved"] else None
    return {"goal_evaluation": evaluation, "final_response": final_response}


def _steps(plan: Plan, found: Mapping[str, str]) -> Json:
    """A plan in words, in order; what a step needs is said in it, as far as it is known."""
    steps: list[str] = []
    for key in plan.needs:
        if key not in found:
            known = [f"{need}={found[need]}" for need in plan.needs[key] if need in found]
            steps.append(f"With {', '.join(known) or 'nothing'}: {describe(plan, key)}")
    return {"steps": steps}


def _act(plan: Plan, found: Mapping[str, str]) -> Json:
    """The next plan, or the answer when nothing is left of it."""
    left = _steps(plan, found)
    if left["steps"]:
        return {"action": left}
    return {"action": {"response": json.dumps(report_of(plan, found))}}


_STRUCTURED: dict[str, Callable[[Plan, Mapping[str, str]], Json]] = {
    "RequirementAnalysis": _requirement,
    "ToolAnalysis": _tool_analysis,
    "TodoList": _todo_list,
    "GoalEvaluation": _evaluation,
    "Report": report_of,
    "Conclusion": _conclusion,
    "Plan": _steps,
    "Act": _act,
}
