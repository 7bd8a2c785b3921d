"""What the model says: charge one item after the other, whatever the agent around it looks like.

Pure, and of plain Python only. A prompt names its case and how many items it has
(`Charge 6 items of order-0017.`). The next item is the first whose call has no result in the
conversation, so an agent that forgets a call is told to make it again, as a real model would do;
an error, or a word that the outcome is not known, counts as a result.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from effects.prose import passage

TOOL = "charge"

_PROMPT = re.compile(r"Charge (\d+) items of (order-\d+)")
_UNKNOWN = re.compile(r"unknown|not known", re.IGNORECASE)

Json = dict[str, Any]  # Any: JSON


class UnansweredError(Exception):
    """No provider would answer this conversation."""


class Job(NamedTuple):
    """What a conversation is about.

    Attributes:
        case: Its name, for example `order-0017`.
        count: How many items are to be charged.
    """

    case: str
    count: int

    @property
    def items(self) -> list[str]:
        """The items, in order."""
        return [f"item-{number}" for number in range(1, self.count + 1)]


def prompt_of(case: str, count: int) -> str:
    """What an agent is asked."""
    return f"Charge {count} items of {case}, one after the other."


def job_of(text: str) -> Job:
    """Return what a conversation is about.

    Raises:
        UnansweredError: It does not say so.
    """
    found = _PROMPT.search(text)
    if found is None:
        raise UnansweredError("the conversation names no order")
    return Job(found[2], int(found[1]))


def answer(request: Json, *, is_wordy: bool = False) -> tuple[str | None, list[Json]]:
    """Say what comes next.

    Args:
        request: A request for a chat completion.
        is_wordy: Whether each call comes with a passage of text.

    Returns:
        Text and calls of tools, one of which is empty.

    Raises:
        UnansweredError: No provider would answer it.
    """
    messages: list[Json] = request["messages"]
    job = job_of("\n".join(str(message.get("content")) for message in messages))
    if wanted := request.get("response_format"):
        return json.dumps(_STRUCTURED[wanted["json_schema"]["name"]](job)), []
    results = results_of(messages)
    left = [item for item in job.items if item not in results]
    if left:
        text = passage(2 * len(results)) if is_wordy else None
        return text, [_call({"case": job.case, "item": left[0]})]
    return f"All items of {job.case} are charged.", []


def results_of(messages: Sequence[Json]) -> dict[str, str]:
    """Return what a conversation says of each item's call.

    Raises:
        UnansweredError: A call has no result, which providers refuse.
    """
    results: dict[str, str] = {}
    said = {m["tool_call_id"]: str(m["content"]) for m in messages if m["role"] == "tool"}
    for call in (call for m in messages for call in m.get("tool_calls") or ()):
        if call["id"] not in said:
            raise UnansweredError("a tool call must be followed by its result")
        results[json.loads(call["function"]["arguments"])["item"]] = said[call["id"]]
    return results


def unknown_items(request: Json) -> set[str]:
    """Return the items of which a conversation says that the outcome is not known."""
    results = results_of(request["messages"])
    return {item for item, result in results.items() if _UNKNOWN.search(result)}


def _call(arguments: Json) -> Json:
    return {
        "index": 0,
        "id": f"call_{uuid4().hex}",
        "type": "function",
        "function": {"name": TOOL, "arguments": json.dumps(arguments)},
    }


def _requirement(job: Job) -> Json:
    return {
        "goal": f"All items of {job.case} are charged",
        "sub_goals": [],
        "success_criteria": ["All items are charged"],
        "constraints": [],
        "complexity_estimate": 1,
    }


def _tool_analysis(_job: Job) -> Json:
    return {
        "relevant_tools": [TOOL],
        "tool_mapping": [{"tool": TOOL, "purpose": "charges an item"}],
        "missing_capabilities": [],
    }


def _todo_list(job: Job) -> Json:
    task = {
        "key": "charge",
        "title": "Charge the items",
        "description": prompt_of(job.case, job.count),
        "depends_on": [],
        "tools_needed": [TOOL],
        "estimated_complexity": 1,
    }
    return {"tasks": [task], "estimated_total_time": "a minute"}


def _evaluation(_job: Job) -> Json:
    return {
        "feedback": "All items are charged.",
        "completed_criteria": ["All items are charged"],
        "remaining_criteria": [],
        "next_steps": [],
        "completion_percentage": 100,
        "goal_achieved": True,
    }


def _planning(job: Job) -> Json:
    todo_list = _todo_list(job)
    todo_list["tasks"][0]["tool_call"] = None
    return {
        "requirement_analysis": _requirement(job),
        "tool_analysis": _tool_analysis(job),
        "todo_list": todo_list,
    }


def _receipt(job: Job) -> Json:
    return {"summary": f"All items of {job.case} are charged."}


def _conclusion(job: Job) -> Json:
    return {"goal_evaluation": _evaluation(job), "final_response": _receipt(job)}


_STRUCTURED: Mapping[str, Callable[[Job], Json]] = {
    "RequirementAnalysis": _requirement,
    "ToolAnalysis": _tool_analysis,
    "TodoList": _todo_list,
    "GoalEvaluation": _evaluation,
    "Planning": _planning,
    "Conclusion": _conclusion,
    "Receipt": _receipt,
}
