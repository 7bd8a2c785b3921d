"""Makes the stored sessions in `tests/golden`: `PYTHONPATH=tests python -m support.golden_sessions`.

Nothing here depends on time or chance, so a second run makes the same files. They are made once for
each stored form that is released, and are never made again for that form: a session that a user has
stored does not change either. `mbxai_1` is written by today's code; `mbxai_0` by hand, as mbxai 2.3
stored its dicts.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.agent_player import Player, calling, task

from mbxai.agent._human_models import AnswerDeadline, DialogOption
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._inputs import (
    Continued,
    ModelFailed,
    ToolAsked,
    ToolPolicy,
    ToolStarted,
)
from mbxai.agent.machine._snapshot import AgentSnapshot, Limits, StoredQuestion

FOLDER = Path(__file__).parents[1] / "golden"
NOW = 1_790_000_000.0
POLICIES = {
    "look": ToolPolicy(effect="read"),
    "pay": ToolPolicy(effect="once"),
    "ship": ToolPolicy(effect="once", requires_approval=True),
}
DEFINITIONS = {name: f"{number:032x}" for number, name in enumerate(POLICIES, 1)}
JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in", allowed_tools=["look"])
FORM = {"type": "object", "properties": {"seat": {"type": "string"}}, "required": ["seat"]}


def _player(*messages: dict[str, Any], complexity: int = 1, **options: Any) -> Player:
    given: dict[str, Any] = {"human_in_loop": True, "dialog_options": [JIRA], **options}
    plan = [task("a", complexity=complexity), task("b", "a"), task("c")]
    return Player(
        plan,
        messages={"a": list(messages)},
        policies=POLICIES,
        definitions=DEFINITIONS,
        **given,
    )


def _called(name: str, arguments: str = '{"n": 1}') -> Player:
    """A session whose first task has called a tool; the others are done as far as they can be."""
    player = _player(calling(("c-1", name, arguments))).start()
    while not any(call.kind == "tool" for call in player.snapshot.calls):
        player.give(player.outcome(player.snapshot.calls[0]))
    return player


def _until(state: AgentState, **options: Any) -> Player:
    player = _player(**options).start()
    while player.snapshot.state is not state:
        player.give(player.outcome(player.snapshot.calls[0]))
    return player


def _started() -> Player:
    player = _called("pay")
    ids = tuple(call.id for call in player.snapshot.calls if call.kind == "tool")
    player.give(ToolStarted(call_ids=ids, now=NOW))
    return player


def _cut_off() -> Player:
    player = _started()
    player.give(Continued(now=NOW + 60))
    return player.run()


def _reconciling() -> Player:
    player = _started()
    player.give(Continued(now=NOW + 60, reconcilable=("pay",)))
    return player


def _asked_by_a_tool() -> Player:
    player = _called("pay")
    call = next(call for call in player.snapshot.calls if call.kind == "tool")
    question = StoredQuestion(message="Which seat?", form=FORM, source="shop", state="opaque")
    player.give(ToolStarted(call_ids=(call.id,), now=NOW))
    player.give(ToolAsked(call_id=call.id, question=question, now=NOW))
    return player.run()


def _failed(*, retryable: bool) -> Player:
    player = _until(AgentState.EXECUTING_TASKS)
    call = player.snapshot.calls[0]
    failure = ModelFailed(
        call_id=call.id, error_type="RateLimitError", message="busy", retryable=retryable
    )
    player.give(failure)
    return player


def _two_turns() -> Player:
    player = _player().start("the first goal").run()
    return player.start("the second goal").run()


def _with_deadline() -> Player:
    player = _player(complexity=5, limits=Limits(deadline=AnswerDeadline(seconds=1e9)))
    return player.start().run()


SESSIONS: dict[str, Callable[[], Player]] = {
    "analyzing_requirement": lambda: _player().start(),
    "analyzing_tools": lambda: _until(AgentState.ANALYZING_TOOLS),
    "generating_todo": lambda: _until(AgentState.GENERATING_TODO),
    "executing_tasks": lambda: _until(AgentState.EXECUTING_TASKS),
    "evaluating_goal": lambda: _until(AgentState.EVALUATING_GOAL),
    "planning_merged": lambda: _player(limits=Limits(planning="merged")).start(),
    "tool_open": lambda: _called("look"),
    "tool_started": _started,
    "tool_reconciling": _reconciling,
    "waiting_question": lambda: (
        _player(calling(("c-1", "ask_question", '{"prompt": "Which region?"}'))).start().run()
    ),
    "waiting_decision": lambda: (
        _player(calling(("c-1", "request_decision", '{"prompt": "Go?", "options": ["a", "b"]}')))
        .start()
        .run()
    ),
    "waiting_dialog": lambda: (
        _player(calling(("c-1", "open_dialog", '{"dialog_option_id": "jira_auth", "reason": "r"}')))
        .start()
        .run()
    ),
    "waiting_complexity": _with_deadline,
    "waiting_approval": lambda: _player(calling(("c-1", "ship", '{"n": 1}'))).start().run(),
    "waiting_elicitation": _asked_by_a_tool,
    "waiting_recovery": _cut_off,
    "waiting_goal": lambda: (
        _player(evaluations=[False], limits=Limits(max_replans=0)).start().run()
    ),
    "failed_retryable": lambda: _failed(retryable=True),
    "failed_for_good": lambda: _failed(retryable=False),
    "completed": lambda: _player().start().run(),
    "completed_two_turns": _two_turns,
}
"""Sessions of form 1 by the name of their file."""


def stored(snapshot: AgentSnapshot) -> str:
    """Return a session as the text of its file."""
    return json.dumps(snapshot.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def golden(form: int) -> dict[str, dict[str, Any]]:
    """Return the stored sessions of a form, by name."""
    files = sorted((FOLDER / f"mbxai_{form}").glob("*.json"))
    return {file.stem: json.loads(file.read_text()) for file in files}


def main() -> None:
    """Write the files of form 1 that are not there."""
    folder = FOLDER / "mbxai_1"
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in SESSIONS.items():
        file = folder / f"{name}.json"
        if not file.exists():
            file.write_text(stored(make().snapshot))


if __name__ == "__main__":
    main()
