"""Tools that differ from those that a turn was planned with: told, refused, agreed to anew."""

from dataclasses import replace
from typing import Any, Literal

import pytest
from support.agent_player import Player, calling, task

from mbxai.agent._ports import ClientPort
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine import _definition as definition
from mbxai.agent.machine._inputs import (
    ApprovalVoided,
    Continued,
    DefinitionSeen,
    HumanAnswered,
    ModelFailed,
    ToolPolicy,
    ToolReconciled,
    ToolStarted,
)
from mbxai.agent.machine._machine import advance
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    FinalSchema,
    Interaction,
    Limits,
    ModelStep,
    ToolCall,
)
from mbxai.errors import ToolsChangedError
from mbxai.wire import ToolInfo

POLICIES = {
    "look": ToolPolicy(effect="read"),
    "put": ToolPolicy(effect="idempotent", requires_approval=True),
    "ship": ToolPolicy(effect="once", requires_approval=True),
}
SEEN = {"look": "look 1", "put": "put 1", "ship": "ship 1"}
OTHER = {**SEEN, "ship": "ship 2"}
INFO = ToolInfo(name="ship", description="Ship it", parameters={"type": "object"})


def asked(name: str = "ship", **options: Any) -> Player:
    """A session that waits for a person to approve a call."""
    player = Player(
        [task("a")],
        messages={"a": [calling(("c-1", name, '{"item": 7}'))]},
        policies=POLICIES,
        human_in_loop=True,
        definitions=dict(SEEN),
        **options,
    )
    player.start().run()
    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    return player


def request(player: Player) -> Interaction:
    (waiting,) = player.snapshot.open_interactions()
    return waiting


def open_tool(player: Player) -> ToolCall:
    (call,) = player.snapshot.calls
    assert isinstance(call, ToolCall)
    return call


def seen(player: Player, tools: dict[str, str], **options: Any) -> None:
    """What a worker with these tools does before it lets the session go on."""
    player.give(*definition.inputs_of(player.snapshot, tools, **options))


def changes(player: Player) -> list[Any]:
    return [event for event in player.events if event.type == "tools_changed"]


# --- fingerprints ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"name": "send"},
        {"description": "Ship it now"},
        {"parameters": {"type": "object", "properties": {"to": {"type": "string"}}}},
        {"effect": "read"},
        {"requires_approval": True},
        {"source": "shop"},
    ],
)
def test_whatever_is_told_of_a_tool_is_in_its_fingerprint(other: dict[str, Any]) -> None:
    assert definition.fingerprint(replace(INFO, **other)) != definition.fingerprint(INFO)


def test_a_fingerprint_does_not_depend_on_the_order_of_a_schema() -> None:
    one = replace(INFO, parameters={"type": "object", "title": "T"})
    other = replace(INFO, parameters={"title": "T", "type": "object"})

    assert definition.fingerprint(one) == definition.fingerprint(other)
    assert definition.fingerprint(INFO) == "0f0f65e476dd9ac9c4918d4c626f0d08"


class Shop:
    """A client of a user's own, whose tools can be others from time to time."""

    def __init__(self) -> None:
        self.infos = [INFO, replace(INFO, name="look", can_reconcile=True)]

    async def parse(self, **_options: Any) -> Any: ...

    def tool_infos(self) -> list[ToolInfo]:
        return [replace(info) for info in self.infos]

    def tool_definitions(self, names: Any = None) -> list[Any]:
        return []

    async def call_tool(self, name: str, arguments: str, **_options: Any) -> Any: ...


def test_the_port_gives_the_fingerprints_of_the_tools_as_they_are_now() -> None:
    shop = Shop()
    port = ClientPort(shop)
    before = port.definitions()
    assert port.definitions() == before == {i.name: definition.fingerprint(i) for i in shop.infos}

    shop.infos[0] = replace(INFO, description="Another")

    assert port.definitions()["ship"] == definition.fingerprint(shop.infos[0]) != before["ship"]
    assert port.definitions()["look"] == before["look"]


def test_a_client_that_does_not_know_reconcile_is_not_asked_for_it() -> None:
    assert ClientPort(Shop()).reconcilable() == ()


# --- going on with other tools --------------------------------------------------------------------


def test_where_nothing_has_changed_nothing_happens() -> None:
    player = asked()

    assert definition.inputs_of(player.snapshot, {**SEEN}) == []


def test_a_turn_learns_its_tools_when_it_begins_and_only_those_it_may_use() -> None:
    player = Player([task("a")])
    begun = player._start.model_copy(update={"tools": ("look",)})

    (stamped,) = definition.stamped([begun], SEEN)
    player.give(stamped)

    assert player.snapshot.definitions == {"look": "look 1"}
    seen(player, {**SEEN, "look": "look 1", "ship": "ship 9"})
    assert changes(player) == []
    assert definition.stamped([Continued()], SEEN) == [Continued()]


def test_other_tools_are_told_once() -> None:
    player = asked()
    for _ in range(2):
        seen(player, {"look": "look 2", "ship": "ship 1", "new": "new 1"})

    (event,) = changes(player)
    assert (event.added, event.removed, event.changed) == (("new",), ("put",), ("look",))
    assert (
        advance(player.snapshot, DefinitionSeen(tools=dict(player.snapshot.definitions or {})))[2]
        == ()
    )


def test_a_session_that_does_not_know_its_tools_goes_on_as_before() -> None:
    player = asked()
    old = player.snapshot.model_copy(update={"definitions": None})

    assert definition.inputs_of(old, OTHER, policy="refuse") == []


def test_a_turn_that_is_over_has_no_tools_to_lose() -> None:
    player = asked()
    player.answer(decision="decline")
    player.run()
    assert player.snapshot.state is AgentState.COMPLETED

    assert definition.inputs_of(player.snapshot, OTHER, policy="refuse") == []


def refuse(snapshot: AgentSnapshot, tools: dict[str, str], **options: Any) -> ToolsChangedError:
    with pytest.raises(ToolsChangedError) as raised:
        definition.inputs_of(snapshot, tools, **options)
    return raised.value


@pytest.mark.parametrize("where", ["turn", "call"])
def test_a_turn_that_refuses_other_tools_names_them(where: str) -> None:
    policy: Literal["refuse"] | None = "refuse" if where == "call" else None
    limits = Limits(on_changed_tools="refuse") if where == "turn" else None
    player = asked(limits=limits)

    error = refuse(player.snapshot, {"look": "l2", "put": "put 1", "new": "n"}, policy=policy)

    assert error.tools == ("new", "ship", "look")
    assert "'new' came; 'ship' went; 'look' changed" in str(error)
    assert error.agent_id == "agent-1"
    assert player.snapshot.definitions == SEEN
    assert definition.inputs_of(player.snapshot, dict(SEEN), policy=policy) == []


def test_a_caller_may_go_on_with_other_tools_all_the_same() -> None:
    player = asked(limits=Limits(on_changed_tools="refuse"))

    seen(player, OTHER, policy="continue")

    assert player.snapshot.definitions == OTHER


def test_a_turn_that_refuses_also_refuses_another_final_response() -> None:
    player = asked(limits=Limits(on_changed_tools="refuse"))
    same = player.snapshot.final_response_structure
    other = FinalSchema(name="Other", json_schema={"type": "object"})

    error = refuse(player.snapshot, SEEN, final_schema=other)

    assert "the final response has another schema" in str(error)
    assert definition.inputs_of(player.snapshot, SEEN, final_schema=same) == []
    assert definition.inputs_of(player.snapshot, SEEN, final_schema=other, policy="continue") == []


# --- what people agreed to ------------------------------------------------------------------------


def test_a_request_about_a_tool_that_has_changed_gives_way_to_a_new_one() -> None:
    player = asked()
    before = request(player)
    seen(player, OTHER)

    after = request(player)
    assert after.id != before.id
    assert after.prompt == "May the tool 'ship' run? It has changed since this was asked before."
    assert (after.context, after.task_id, after.call_id) == (
        before.context,
        before.task_id,
        before.call_id,
    )
    player.answer(decision="approve")
    assert open_tool(player).approved
    assert player.run().snapshot.state is AgentState.COMPLETED


def test_an_answer_to_the_old_request_lets_nothing_run() -> None:
    player = asked()
    before = request(player)
    player.answer(decision="approve")
    answer = player.snapshot.interactions[0].answer
    assert answer is not None
    player = asked()
    seen(player, OTHER)

    player.give(HumanAnswered(interaction_id=before.id, answer=answer))

    assert player.snapshot.calls == ()
    assert request(player).id != before.id


def test_a_request_about_a_tool_that_is_as_it_was_stays() -> None:
    player = asked()
    before = request(player)
    seen(player, {**SEEN, "look": "look 2"})

    assert request(player) == before


def test_a_request_about_a_tool_that_is_gone_waits_until_it_is_back() -> None:
    player = asked()
    before = request(player)
    seen(player, {"look": "look 1"})
    assert request(player) == before

    seen(player, SEEN)
    assert request(player) == before

    seen(player, OTHER)
    assert request(player).id != before.id


def test_an_approved_call_that_has_not_begun_is_asked_about_again() -> None:
    player = asked()
    player.answer(decision="approve")
    call = open_tool(player)
    seen(player, OTHER)

    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    player.answer(decision="approve")
    assert open_tool(player).id != call.id
    assert open_tool(player).grant != call.grant
    assert player.run().snapshot.state is AgentState.COMPLETED


def test_a_call_that_was_not_run_because_its_tool_has_changed_is_asked_about_again() -> None:
    player = asked()
    player.answer(decision="approve")
    call = open_tool(player)
    player.give(ToolStarted(call_ids=(call.id,)))
    player.give(ApprovalVoided(call_id=call.id, tools=dict(OTHER)))

    assert request(player).purpose == "approval"
    assert changes(player)[0].changed == ("ship",)
    player.answer(decision="decline")
    assert player.run().snapshot.state is AgentState.COMPLETED
    assert player.ran == []


def test_a_call_that_has_begun_before_keeps_its_key_when_its_tool_has_changed() -> None:
    player = asked("put")
    player.answer(decision="approve")
    first = open_tool(player)
    player.give(ToolStarted(call_ids=(first.id,)), Continued())
    player.give(ToolStarted(call_ids=(first.id,)))
    player.give(ApprovalVoided(call_id=first.id, tools={**SEEN, "put": "put 2"}))

    assert request(player).purpose == "recovery"
    player.answer(decision="run it again")
    assert open_tool(player).key == first.id
    assert open_tool(player).attempt == 1


def test_what_a_person_is_asked_about_an_interrupted_call_is_asked_anew_of_another_tool() -> None:
    player = asked()
    player.answer(decision="approve")
    call = open_tool(player)
    player.give(ToolStarted(call_ids=(call.id,)), Continued())
    before = request(player)
    seen(player, OTHER)

    assert request(player).purpose == "recovery"
    assert request(player).id != before.id
    player.answer(decision="run it again")
    assert open_tool(player).key == call.id


def test_a_changed_tool_is_first_asked_what_its_last_run_did() -> None:
    player = asked()
    player.answer(decision="approve")
    first = open_tool(player)
    player.give(ToolStarted(call_ids=(first.id,)), Continued(reconcilable=("ship",)))
    seen(player, OTHER)

    call = open_tool(player)
    assert call.reconciles
    player.give(ToolStarted(call_ids=(call.id,)))
    player.give(ToolReconciled(call_id=call.id, outcome="not_done"))
    assert open_tool(player).grant == first.grant


def test_arguments_that_are_not_those_that_were_shown_are_asked_about_again() -> None:
    player = asked()
    data = player.snapshot.model_dump(mode="json")
    (run,) = data["runs"].values()
    run["calls"][0]["arguments"] = '{"item": 8}'
    player.snapshot = AgentSnapshot.model_validate(data)

    player.answer(decision="approve")

    assert player.snapshot.calls == ()
    assert '"item": 8' in request(player).context
    player.answer(decision="approve")
    assert open_tool(player).arguments == '{"item": 8}'


def test_a_request_of_before_the_tools_were_known_takes_its_answer() -> None:
    player = asked()
    old = request(player).model_copy(update={"grant": ""})
    player.snapshot = player.snapshot.model_copy(update={"interactions": (old,)})
    seen(player, OTHER)
    player.answer(decision="approve")

    assert open_tool(player).approved
    assert open_tool(player).grant == ""


def test_a_failed_run_whose_approved_call_is_void_can_be_tried_again() -> None:
    player = Player(
        [task("a"), task("b")],
        messages={"a": [calling(("c-1", "ship", "{}"))]},
        policies=POLICIES,
        human_in_loop=True,
        definitions=dict(SEEN),
    )
    player.start()
    while not player.snapshot.open_interactions():
        player.give(player.outcome(player.snapshot.calls[0]))
    player.answer(decision="approve")
    model = next(call for call in player.snapshot.calls if not isinstance(call, ToolCall))
    assert model.step is ModelStep.TASK
    player.give(ModelFailed(call_id=model.id, error_type="E", message="busy"))
    seen(player, OTHER)
    player.give(Continued())
    player.run()

    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN
    player.answer(decision="approve")
    assert player.run().snapshot.state is AgentState.COMPLETED
