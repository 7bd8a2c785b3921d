"""Sessions in the forms in which earlier versions of mbxai stored them, brought to today's. Pure.

Each step of the chain turns one form into the next; none is ever changed once the form after it is
released. Form 0 is the dict of mbxai 2.3, which bears no number.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast
from uuid import NAMESPACE_OID, uuid5

from pydantic import BaseModel, ValidationError

from mbxai.agent._human_models import DialogOption, HumanInLoopRequest, HumanInteractionType
from mbxai.agent._plan_models import (
    GoalEvaluation,
    RequirementAnalysis,
    Task,
    TaskStatus,
    TodoList,
    ToolAnalysis,
)
from mbxai.agent._result_models import AgentState, TokenSummary
from mbxai.agent.machine._snapshot import SCHEMA_VERSION
from mbxai.errors import SessionDataError

JSON: TypeAlias = dict[str, Any]  # Any: JSON of the store

_VERSION: Final = "schema_version"
_KEYS_OF_2_3: Final = frozenset({"original_prompt", "conversation_history", "state"})
_COMPLEXITY: Final = frozenset({"proceed", "skip", "modify", "abort"})
_IN_WORDS: Final[JSON] = {
    "name": "Result",
    "json_schema": {
        "type": "object",
        "properties": {"result": {"type": "string"}},
        "required": ["result"],
    },
}
_NOT_KEPT: Final = (
    "It was in the middle of a run of mbxai 2.3, which did not store what is needed to go on."
)


def migrated(data: JSON, *, agent_id: str) -> JSON:
    """Return a stored session in today's form.

    Args:
        data: What the store holds; not changed.
        agent_id: The session's id.

    Returns:
        The same data if it is in today's form already.

    Raises:
        SessionDataError: It is of a newer mbxai, or no session at all.
    """
    version = _version_of(data, agent_id)
    for step in _STEPS[version:]:
        data = step(data, agent_id)
    return data


def _version_of(data: JSON, agent_id: str) -> int:
    if _VERSION not in data:
        if data.keys() >= _KEYS_OF_2_3:
            return 0
        raise _unreadable(agent_id, "has no schema version")
    version: object = data[_VERSION]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _unreadable(agent_id, "has a schema version that there never was")
    if version > SCHEMA_VERSION:
        raise SessionDataError(
            f"The session {agent_id!r} has schema version {version}; this mbxai reads up to "
            f"{SCHEMA_VERSION}.",
            hint="Run it with the version of mbxai that wrote it, or a newer one.",
            agent_id=agent_id,
        )
    return version


def _unreadable(agent_id: str, why: str) -> SessionDataError:
    return SessionDataError(
        f"The stored session {agent_id!r} cannot be read: it {why}.",
        hint="The store's content was changed from outside; delete the session to start anew.",
        agent_id=agent_id,
    )


# --- 0 to 1: mbxai 2.3 ----------------------------------------------------------------------------


def _from_2_3(data: JSON, agent_id: str) -> JSON:
    """Turn the dict of mbxai 2.3 into the first numbered form.

    Prompts, history, analyses, plan, results, evaluation, final response and counted tokens are
    taken over where they are JSON; `json.dumps(default=str)` made text of some of them, and such
    text says nothing that could be used. What people said is left out, since 2.3 kept credentials
    among it.

    completed                       stays so, if there is a final response
    failed                          stays so; a new prompt starts a new turn
    waiting, with a readable plan   waits under the same request id
    not finished, nothing begun     the turn begins anew with its first step
    all else                        fails; a new prompt starts a new turn that knows what was said
    """
    # Nobody can guess it who does not know the session.
    seed = json.dumps(data, sort_keys=True, default=str)
    nonce = hashlib.sha256(seed.encode(errors="surrogatepass")).hexdigest()[:32]
    prompt = str(data["original_prompt"])
    common: JSON = {
        _VERSION: 1,
        "agent_id": agent_id,
        "nonce": nonce,
        "sequence": 1,
        "turn": 1,
        "original_prompt": prompt,
        "prompt": prompt,
        "human_in_loop": data.get("human_in_loop") is True,
        "dialog_options": _dialogs(data.get("dialog_options")),
        "conversation_history": _history(data["conversation_history"], prompt),
        "final_response_structure": _final_schema(data.get("final_response_structure")),
        "token_summary": _kept(TokenSummary, data.get("token_summary")) or {},
    }
    state = str(data["state"]).rpartition(".")[2].lower()
    found = _found(data)
    if state == AgentState.COMPLETED and data.get("final_response") is not None:
        return common | found | _completed(data["final_response"], common["conversation_history"])
    if state == AgentState.FAILED:
        said: object = data.get("final_response")  # where 2.3 put what went wrong
        return common | found | _failed(said if isinstance(said, str) else "It failed.")
    if state == AgentState.WAITING_FOR_HUMAN:
        waiting = _waiting(data, prompt, found, common["dialog_options"])
        return common | found | (waiting or _failed(_NOT_KEPT))
    tasks = cast("list[JSON]", found["todo_list"]["tasks"] if found["todo_list"] else [])
    is_readable = data.get("todo_list") is None or found["todo_list"] is not None
    if state == AgentState.COMPLETED or not is_readable or any(map(_is_begun, tasks)):
        return common | found | _failed(_NOT_KEPT)
    call_id = str(uuid5(NAMESPACE_OID, f"{agent_id}:{nonce}:1"))
    first = {"kind": "model", "id": call_id, "step": "requirement_analysis"}
    return common | {"state": "analyzing_requirement", "calls": [first]}


def _found(data: JSON) -> JSON:
    """What is known of the plan, and how each of its tasks stands."""
    requirement = _kept(RequirementAnalysis, data.get("requirement_analysis"))
    tools = _kept(ToolAnalysis, data.get("tool_analysis"))
    plan = _kept(TodoList, data.get("todo_list"))
    tasks = cast("list[JSON]", plan["tasks"] if plan else [])
    needed = [name for task in tasks for name in task["tools_needed"]]
    relevant = cast("list[str]", tools["relevant_tools"] if tools else [])
    return {
        "requirement_analysis": requirement,
        "tool_analysis": tools,
        "todo_list": plan,
        "goal_evaluation": _kept(GoalEvaluation, data.get("goal_evaluation")),
        "runs": {task["id"]: {"key": f"t{n}"} for n, task in enumerate(tasks, 1)},
        # A task that has ended may have read what others wrote.
        "read_untrusted": any(task["result"] for task in tasks),
        "named_tools": list(dict.fromkeys((*needed, *relevant))) if plan else None,
    }


def _completed(final_response: object, history: list[JSON]) -> JSON:
    said = final_response
    if not isinstance(said, str):
        said = json.dumps(final_response, ensure_ascii=False, default=str)
    answer = {"role": "assistant", "content": said}
    return {
        "state": AgentState.COMPLETED.value,
        "final_response": final_response,
        "conversation_history": history if answer in history else [*history, answer],
    }


def _failed(message: str) -> JSON:
    error = {"type": "AgentError", "message": message, "step": "", "retryable": False}
    return {"state": AgentState.FAILED.value, "error": error}


def _waiting(data: JSON, prompt: str, found: JSON, dialogs: list[JSON]) -> JSON | None:
    """Let a session wait for the answer that 2.3 asked for; None: it cannot be used."""
    plan, asked = found["todo_list"], _request(data.get("pending_human_request"))
    if asked is None or plan is None or found["requirement_analysis"] is None:
        return None
    task = _waiting_task(data, plan)
    if task is None:
        return None
    kind = HumanInteractionType(asked["interaction_type"])
    offered = asked["dialog_options"]
    if kind is HumanInteractionType.DIALOG_OPTION and not offered:
        return None
    request: JSON = {
        "id": asked["id"],
        "interaction_type": kind.value,
        "prompt": asked["prompt"],
        "options": asked["options"],
        "dialog_option_id": offered[0]["id"] if offered else None,
        "context": asked["context"],
        "task_id": task["id"],
    }
    run: JSON = {**found["runs"][task["id"]]}
    if asked["options"] and _COMPLEXITY.issuperset(asked["options"]):
        request["purpose"] = "complexity"
    else:
        request |= {"purpose": "ask", "call_id": asked["id"]}
        run |= _conversation(asked, task, prompt)
    tasks = [_at_rest(one, task["id"]) for one in plan["tasks"]]
    known = {option["id"] for option in dialogs}
    return {
        "state": AgentState.WAITING_FOR_HUMAN.value,
        "human_in_loop": True,
        "final_response_structure": _final_schema(data.get("final_response_structure"))
        or _IN_WORDS,
        "dialog_options": [*dialogs, *(one for one in offered if one["id"] not in known)],
        "todo_list": {**plan, "tasks": tasks},
        "runs": {**found["runs"], task["id"]: run},
        "interactions": [request],
    }


def _waiting_task(data: JSON, plan: JSON) -> JSON | None:
    """The task for which a person was asked."""
    current = _kept(Task, data.get("current_task"))
    wanted = current["id"] if current else None
    by_id = next((task for task in plan["tasks"] if task["id"] == wanted), None)
    begun = (t for t in plan["tasks"] if t["status"] == TaskStatus.IN_PROGRESS)
    return by_id or next(begun, None)


def _at_rest(task: JSON, waiting: str) -> JSON:
    """A task as it stands while another one waits."""
    if task["id"] == waiting:
        changes = {"status": TaskStatus.IN_PROGRESS.value, "attempts": 1}
        return {**task, **changes, "result": None, "error_message": None}
    if task["status"] == TaskStatus.IN_PROGRESS:
        lost = "It was interrupted; what it did is not known."
        return {**task, "status": TaskStatus.FAILED.value, "result": None, "error_message": lost}
    return task


def _conversation(asked: JSON, task: JSON, prompt: str) -> JSON:
    """A task's conversation up to the question, as if the model had asked it by a tool."""
    names = {"question": "ask_question", "decision": "request_decision"}
    name = names.get(asked["interaction_type"], "open_dialog")
    arguments = json.dumps({"prompt": asked["prompt"]}, ensure_ascii=False)
    function = {"name": name, "arguments": arguments}
    call = {"id": asked["id"], "type": "function", "function": function}
    told = f"# What is wanted\n{prompt}\n\n# Your step\n{task['title']}\n{task['description']}"
    return {
        "messages": [
            {"role": "user", "content": told},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
        "rounds": 1,
        "calls": [{"call_id": asked["id"], "name": name, "arguments": arguments}],
    }


def _is_begun(task: JSON) -> bool:
    return task["status"] != TaskStatus.PENDING


def _kept(model: type[BaseModel], value: object) -> JSON | None:
    """A value as JSON of its model; None where it is text that only describes it."""
    if not isinstance(value, Mapping):
        return None
    try:
        return model.model_validate(value).model_dump(mode="json")
    except ValidationError:
        return None


def _request(given: object) -> JSON | None:
    if not isinstance(given, Mapping):
        return None
    request = cast("JSON", given)
    plain = {**request, "dialog_options": _dialogs(request.get("dialog_options"))}
    return _kept(HumanInLoopRequest, plain)


def _dialogs(given: object) -> list[JSON]:
    items = cast("list[object]", given) if isinstance(given, list) else []
    # What stood for the application's function is text by now.
    plain = ({**cast("JSON", i), "function": None} for i in items if isinstance(i, Mapping))
    kept = (_kept(DialogOption, item) for item in plain)
    return [option for option in kept if option is not None]


def _history(given: object, prompt: str) -> list[JSON]:
    items = cast("list[object]", given) if isinstance(given, list) else []
    said = [
        {"role": str(message["role"]), "content": message["content"]}
        for message in (cast("JSON", item) for item in items if isinstance(item, Mapping))
        if message.get("role") in ("user", "assistant") and isinstance(message.get("content"), str)
    ]
    return said or [{"role": "user", "content": prompt}]


def _final_schema(given: object) -> JSON | None:
    """The wanted final response, where more than the name of its class was stored."""
    if not isinstance(given, Mapping):
        return None
    schema = cast("JSON", given)
    if isinstance(schema.get("json_schema"), Mapping) and isinstance(schema.get("name"), str):
        return {"name": schema["name"], "json_schema": schema["json_schema"]}
    if isinstance(schema.get("properties"), Mapping):
        return {"name": str(schema.get("title", "Result")), "json_schema": schema}
    return None


_STEPS: Final[tuple[Callable[[JSON, str], JSON], ...]] = (_from_2_3,)
"""The step at place n brings form n to form n + 1."""
