"""Stored sessions of every form: each is read, and goes on to its end."""

import copy
import json
from typing import Any

import pytest
from support.agent_player import Player, task
from support.golden_sessions import POLICIES, SESSIONS, golden, stored

from mbxai.agent import _stored_forms as stored_forms
from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent._result_models import AgentState
from mbxai.agent._stored_forms import migrated
from mbxai.agent.machine._inputs import Continued, ToolReconciled
from mbxai.agent.machine._snapshot import SCHEMA_VERSION, AgentSnapshot, Interaction, ToolCall
from mbxai.errors import SessionDataError

FORM_0, FORM_1 = golden(0), golden(1)
WAITING = {name: data for name, data in FORM_0.items() if name.startswith("waiting")}


class GoingOn(Player):
    """A scripted model, person and tools that take up a stored session."""

    def __init__(self, snapshot: AgentSnapshot) -> None:
        super().__init__([task("d")], policies=POLICIES, human_in_loop=True)
        self.snapshot = snapshot

    def outcome(self, call: Any) -> Any:
        if isinstance(call, ToolCall) and call.reconciles:
            return ToolReconciled(call_id=call.id, outcome="done", content="paid")
        return super().outcome(call)

    def to_rest(self) -> None:
        for _ in range(20):
            if self.snapshot.calls:
                self.give(Continued())
                self.run()
            elif requests := self.snapshot.open_interactions():
                self.answer(**fitting(requests[0]))
            elif self.snapshot.state is AgentState.COMPLETED:
                return
            else:
                assert self.snapshot.state is AgentState.FAILED
                self.start("once more")


def fitting(request: Interaction) -> dict[str, Any]:
    if request.question is not None:
        return {"content": {"seat": "12A"}}
    if request.interaction_type is HumanInteractionType.QUESTION:
        return {"answer": "eu-west"}
    if request.interaction_type is HumanInteractionType.DIALOG_OPTION:
        return {"dialog_option_id": request.dialog_option_id}
    return {"decision": request.options[0]}


def read(data: dict[str, Any]) -> AgentSnapshot:
    return AgentSnapshot.model_validate(migrated(copy.deepcopy(data), agent_id="agent-1"))


# --- every golden file ----------------------------------------------------------------------------


def test_there_are_sessions_of_every_form_and_phase() -> None:
    assert FORM_1.keys() >= SESSIONS.keys()
    assert {data["state"] for data in FORM_1.values()} == {state.value for state in AgentState}
    purposes = {i["purpose"] for data in FORM_1.values() for i in data["interactions"]}
    assert purposes == {"ask", "complexity", "approval", "elicitation", "recovery", "goal"}
    assert len(FORM_0) >= 3
    assert len(stored_forms._STEPS) == SCHEMA_VERSION


@pytest.mark.parametrize("name", FORM_1)
def test_a_session_of_the_first_form_is_read_as_it_was(name: str) -> None:
    snapshot = read(FORM_1[name])

    dumped = snapshot.model_dump(mode="json")
    assert {key: dumped[key] for key in FORM_1[name]} == FORM_1[name]


@pytest.mark.parametrize("name", FORM_1)
def test_a_session_of_the_first_form_goes_on_to_its_end(name: str) -> None:
    player = GoingOn(read(FORM_1[name]))
    player.to_rest()

    assert player.snapshot.state is AgentState.COMPLETED
    assert player.snapshot.final_response == {"text": "the answer"}
    answers = [m for m in player.snapshot.conversation_history if m["role"] == "assistant"]
    assert len(answers) == player.snapshot.turn - (name == "failed_for_good")


@pytest.mark.parametrize("name", FORM_0)
def test_a_session_of_mbxai_2_3_goes_on_to_its_end_or_begins_a_new_turn(name: str) -> None:
    snapshot = read(FORM_0[name])
    assert snapshot.original_prompt == "Write a report on the orders of May"
    assert snapshot.conversation_history[0]["content"] == snapshot.original_prompt
    assert "not-to-be-kept" not in snapshot.model_dump_json()
    assert "<function" not in snapshot.model_dump_json()

    player = GoingOn(snapshot)
    player.to_rest()

    assert player.snapshot.state is AgentState.COMPLETED
    assert player.snapshot.original_prompt == "Write a report on the orders of May"


def test_the_script_makes_the_same_files_again() -> None:
    """As long as today's form is not released; then the files stay, and the script goes on."""
    again = {name: make().snapshot for name, make in SESSIONS.items()}

    assert {name: json.loads(stored(one)) for name, one in again.items()} == {
        name: read(data).model_dump(mode="json") for name, data in FORM_1.items()
    }


# --- what becomes of a session of mbxai 2.3 -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("completed", AgentState.COMPLETED),
        ("failed", AgentState.FAILED),
        ("interrupted", AgentState.FAILED),
        ("planned", AgentState.ANALYZING_REQUIREMENT),
        ("text_before_work", AgentState.ANALYZING_REQUIREMENT),
        ("text_waiting", AgentState.FAILED),
        ("waiting_decision", AgentState.WAITING_FOR_HUMAN),
        ("waiting_dialog", AgentState.WAITING_FOR_HUMAN),
        ("waiting_question", AgentState.WAITING_FOR_HUMAN),
    ],
)
def test_a_session_of_mbxai_2_3_stands_where_it_can_stand(name: str, state: AgentState) -> None:
    assert read(FORM_0[name]).state is state


@pytest.mark.parametrize("name", WAITING)
def test_a_request_of_mbxai_2_3_keeps_its_id_and_takes_its_answer(name: str) -> None:
    player = GoingOn(read(WAITING[name]))
    (request,) = player.snapshot.open_interactions()
    assert request.id == WAITING[name]["pending_human_request"]["id"]

    player.answer(**fitting(request))
    player.run()

    assert player.snapshot.state is AgentState.COMPLETED
    assert set(player.statuses().values()) == {"completed"}
    assert player.snapshot.todo_list is not None
    assert player.snapshot.todo_list.tasks[0].result == "Three orders"


def test_a_finished_session_of_mbxai_2_3_keeps_its_results_and_is_remembered() -> None:
    snapshot = read(FORM_0["completed"])

    assert snapshot.final_response == {"summary": "Three orders in May"}
    assert snapshot.goal_evaluation is not None
    assert snapshot.goal_evaluation.goal_achieved
    assert snapshot.todo_list is not None
    assert [task.result for task in snapshot.todo_list.tasks] == [
        "Three orders",
        "The report is written",
    ]
    assert snapshot.token_summary.total_tokens == 500
    assert json.loads(snapshot.conversation_history[-1]["content"]) == snapshot.final_response


def test_the_same_dict_of_mbxai_2_3_becomes_the_same_session_and_is_not_changed() -> None:
    data = copy.deepcopy(FORM_0["waiting_dialog"])

    assert migrated(data, agent_id="s") == migrated(data, agent_id="s")
    assert data == FORM_0["waiting_dialog"]
    assert (
        migrated(data, agent_id="s")["nonce"] != migrated(FORM_0["failed"], agent_id="s")["nonce"]
    )


# --- what is refused ------------------------------------------------------------------------------


def test_a_session_of_a_newer_mbxai_is_refused_with_both_versions() -> None:
    with pytest.raises(SessionDataError, match=r"version 7; this mbxai reads up to 1\."):
        migrated({"schema_version": 7}, agent_id="s")


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.0, [1], "x" * 1000])
def test_an_absurd_version_is_refused_and_not_shown(version: object) -> None:
    with pytest.raises(SessionDataError, match="there never was") as raised:
        migrated({**FORM_1["completed"], "schema_version": version}, agent_id="s")

    assert "x" * 50 not in str(raised.value)
    assert raised.value.agent_id == "s"


@pytest.mark.parametrize("data", [{"a": 1}, {"state": "completed"}, {"original_prompt": "p"}])
def test_what_bears_no_version_and_is_no_dict_of_mbxai_2_3_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(SessionDataError, match="no schema version"):
        migrated(data, agent_id="s")


@pytest.mark.parametrize("name", FORM_0)
@pytest.mark.parametrize("junk", [None, 7, "text", [], [1], {}, {"tasks": 3}])
def test_no_single_field_of_a_dict_of_mbxai_2_3_makes_it_unreadable(
    name: str, junk: object
) -> None:
    for key in FORM_0[name]:
        snapshot = read({**FORM_0[name], key: junk})
        assert snapshot.schema_version == SCHEMA_VERSION
