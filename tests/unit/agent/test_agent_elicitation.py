"""Questions of tools in the machine: how people are asked, what answers fit, how calls go on."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.agent_player import Player, calling, task

import mbxai.agent.running._credentials as credentials
from mbxai.agent._human_models import HumanInteractionType
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._inputs import Continued, HumanAnswered, Input, ToolAsked, ToolStarted
from mbxai.agent.machine._machine import advance
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    AnswerRecord,
    Interaction,
    ModelCall,
    StoredAnswer,
    StoredQuestion,
    ToolCall,
)
from mbxai.agent.machine._work import request_of
from mbxai.errors import InteractionMismatchError
from mbxai.sessions import CredentialVault
from mbxai.wire import ToolInfo

DECISION, QUESTION = HumanInteractionType.DECISION, HumanInteractionType.QUESTION


def form(*required: str, **fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required)}


def question(form: dict[str, Any], message: str = "Which one?") -> StoredQuestion:
    return StoredQuestion(message=message, form=form, source="shop", state="opaque-state")


TEXT = question(form("city", city={"type": "string", "description": "Where to"}))
PERSON = question(form("name", name={"type": "string"}, age={"type": "integer", "minimum": 18}))
COLOUR = question(form("c", c={"type": "string", "enum": ["red", "blue"]}))
TITLED = question(
    form("c", c={"oneOf": [{"const": "#f00", "title": "Red"}, {"const": "#00f", "title": "Blue"}]})
)
SURE = question(form("sure", sure={"type": "boolean"}))
NOTHING = question(form())
ADDRESS = StoredQuestion(
    message="Log in", kind="url", url="https://pay.example.com/x?id=1", source="shop", state="s"
)


class AskingPlayer(Player):
    """Tools that ask these questions, one after the other, before they return."""

    def __init__(self, questions: dict[str, list[StoredQuestion]], **options: Any) -> None:
        self.answers: list[Any] = []
        self.questions = {name: list(given) for name, given in questions.items()}
        calls = [(f"c-{name}", name, "{}") for name in questions]
        options = {"human_in_loop": True, "messages": {"a": [calling(*calls)]}, **options}
        super().__init__(options.pop("plan", [task("a")]), **options)

    def outcome(self, call: ModelCall | ToolCall) -> Input:
        if isinstance(call, ModelCall):
            return super().outcome(call)
        self.give(ToolStarted(call_ids=(call.id,)))
        if call.answer is not None:
            self.answers.append((call.name, call.answer))
        if waiting := self.questions.get(call.name):
            return ToolAsked(call_id=call.id, question=waiting.pop(0))
        return super().outcome(call)


def asked(*questions: StoredQuestion, **options: Any) -> AskingPlayer:
    player = AskingPlayer({"buy": list(questions)}, **options)
    player.start().run()
    return player


def only_request(player: Player) -> Interaction:
    (request,) = player.snapshot.open_interactions()
    return request


def test_a_tool_that_asks_waits_for_a_person_and_goes_on_with_the_answer() -> None:
    player = asked(TEXT)
    waiting = player.snapshot

    player.answer(answer="Oslo")
    player.run()

    assert waiting.state is AgentState.WAITING_FOR_HUMAN
    assert waiting.calls == ()
    ((name, answer),) = player.answers
    assert (name, answer.action, answer.content) == ("buy", "accept", {"city": "Oslo"})
    assert answer.state == "opaque-state"
    assert player.snapshot.state is AgentState.COMPLETED


def test_the_call_goes_on_under_its_first_key_and_counts_as_no_repetition() -> None:
    player = asked(TEXT, SURE)
    first = only_request(player).paused
    player.answer(answer="Oslo")
    player.run()
    second = only_request(player).paused
    player.answer(decision="yes")
    player.run()

    assert first is not None
    assert second is not None
    ran = player.ran[-1]
    assert ran.key == second.key == first.id
    assert len({first.id, second.id, ran.id}) == 3
    assert (ran.attempt, ran.call_id, ran.questions) == (0, "c-buy", 2)


def test_the_state_of_a_waiting_tool_survives_json() -> None:
    snapshot = asked(PERSON).snapshot
    text = json.dumps(snapshot.model_dump(mode="json"), default=str)

    assert AgentSnapshot.model_validate(json.loads(text)) == snapshot
    assert "opaque-state" in text


def test_a_snapshot_of_before_there_were_questions_still_loads() -> None:
    data = asked(TEXT).snapshot.model_dump(mode="json")
    for interaction in data["interactions"]:
        interaction["purpose"] = "ask"
        for name in ("question", "paused"):
            del interaction[name]
    old = AgentSnapshot.model_validate(data)

    assert old.interactions[0].question is None
    assert old.schema_version == 1


def test_other_tasks_go_on_while_a_tool_waits() -> None:
    player = asked(TEXT, plan=[task("a"), task("b")])

    assert player.statuses() == {"a": "in_progress", "b": "completed"}
    assert player.snapshot.state is AgentState.WAITING_FOR_HUMAN


# --- how a person is asked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "kind", "options"),
    [
        (TEXT, QUESTION, []),
        (PERSON, QUESTION, []),
        (COLOUR, DECISION, ["red", "blue", "decline"]),
        (TITLED, DECISION, ["Red", "Blue", "decline"]),
        (SURE, DECISION, ["yes", "no", "decline"]),
        (NOTHING, DECISION, ["accept", "decline"]),
        (ADDRESS, DECISION, ["accept", "decline"]),
        (question(form(c={"enum": ["decline", "agree"]})), QUESTION, []),
        (question(form(c={"enum": ["Up", "up"]})), QUESTION, []),
    ],
)
def test_each_kind_of_question_is_put_as_a_person_can_answer_it(
    wanted: StoredQuestion, kind: HumanInteractionType, options: list[str]
) -> None:
    player = asked(wanted)
    request = request_of(player.snapshot, only_request(player))

    assert request.interaction_type is kind
    assert request.options == options
    assert "'shop'" in request.prompt
    assert request.source == "shop"
    assert "'buy'" in request.context


def test_a_form_is_given_with_its_schema_and_described_in_words() -> None:
    player = asked(PERSON)
    request = request_of(player.snapshot, only_request(player))

    assert request.response_schema == PERSON.form
    assert "- name (text)" in request.context
    assert "- age (integer; may be left out)" in request.context


def test_an_address_is_shown_whole_and_its_host_apart() -> None:
    player = asked(ADDRESS)
    request = request_of(player.snapshot, only_request(player))

    assert request.url == "https://pay.example.com/x?id=1"
    assert "pay.example.com:" in request.prompt
    assert request.url in request.context
    assert request.response_schema is None


def test_characters_that_nobody_sees_are_not_shown() -> None:
    player = asked(question(TEXT.form, message="Pay\u202e 1\u200b EUR"))

    assert only_request(player).prompt.endswith("asks: Pay 1 EUR")


# --- answers that fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "fields", "content"),
    [
        (COLOUR, {"decision": " RED "}, {"c": "red"}),
        (TITLED, {"decision": "blue"}, {"c": "#00f"}),
        (TITLED, {"content": {"c": "#f00"}}, {"c": "#f00"}),
        (SURE, {"decision": "no"}, {"sure": False}),
        (NOTHING, {"decision": "accept"}, {}),
        (ADDRESS, {"decision": "accept"}, {}),
        (TEXT, {"answer": '{"city": "Rome"}'}, {"city": '{"city": "Rome"}'}),
        (PERSON, {"answer": '{"name": "Bo", "age": "30"}'}, {"name": "Bo", "age": 30}),
        (PERSON, {"content": {"name": "Bo", "age": None}}, {"name": "Bo"}),
        (question(form("n", n={"type": "integer"})), {"answer": " 7 "}, {"n": 7}),
        (
            question(form("n", n={"type": "integer", "default": 3})),
            {"decision": "accept"},
            {"n": 3},
        ),
        (
            question(form("t", t={"type": "array", "items": {"enum": ["x", "y"]}})),
            {"answer": '["y"]'},
            {"t": ["y"]},
        ),
    ],
)
def test_an_answer_that_fits_reaches_the_tool(
    wanted: StoredQuestion, fields: dict[str, Any], content: dict[str, Any]
) -> None:
    player = asked(wanted)
    player.answer(**fields)
    player.run()

    assert player.answers[0][1].content == content
    assert player.answers[0][1].action == "accept"


@pytest.mark.parametrize("wanted", [TEXT, PERSON, COLOUR, SURE, NOTHING, ADDRESS])
@pytest.mark.parametrize("no", ["decline", "cancel"])
def test_every_question_can_be_declined(wanted: StoredQuestion, no: str) -> None:
    player = asked(wanted)
    player.answer(decision=no)
    player.run()

    assert (player.answers[0][1].action, player.answers[0][1].content) == (no, {})
    assert player.snapshot.state is AgentState.COMPLETED


@pytest.mark.parametrize(
    ("wanted", "fields", "says"),
    [
        (PERSON, {"answer": '{"name": "Bo", "age": 12}'}, "age: must be at least 18"),
        (PERSON, {"answer": '{"age": 30}'}, "name: is missing"),
        (PERSON, {"content": {"name": "Bo", "shoe": 44}}, "shoe: is no field"),
        (PERSON, {"answer": "Bo"}, "JSON object of name, age"),
        (PERSON, {"content": {"name": 5}}, "name: must be text"),
        (TEXT, {"answer": "  "}, "answer is empty"),
        (COLOUR, {"decision": "green"}, "red, blue, decline"),
        (ADDRESS, {"decision": "yes"}, "accept or decline"),
    ],
)
def test_an_answer_that_does_not_fit_names_the_field_and_changes_nothing(
    wanted: StoredQuestion, fields: dict[str, Any], says: str
) -> None:
    player = asked(wanted)
    before = player.snapshot

    with pytest.raises(InteractionMismatchError, match=says):
        player.answer(**fields)
    assert player.snapshot == before


def test_the_same_answer_twice_is_one_answer_and_another_one_is_refused() -> None:
    player = asked(PERSON)
    request = only_request(player)
    record = AnswerRecord(response_type=QUESTION, answer='{"name": "Bo"}')
    again = AnswerRecord(response_type=QUESTION, content={"name": "Bo"})
    other = AnswerRecord(response_type=QUESTION, content={"name": "Li"})

    player.give(HumanAnswered(interaction_id=request.id, answer=record))
    after = player.snapshot
    player.give(HumanAnswered(interaction_id=request.id, answer=again))

    assert player.snapshot == after
    assert len(after.calls) == 1
    with pytest.raises(InteractionMismatchError, match="already answered"):
        player.give(HumanAnswered(interaction_id=request.id, answer=other))


def test_the_answer_is_told_to_the_tool_and_not_to_the_model() -> None:
    player = asked(TEXT)
    player.answer(answer="Longyearbyen")
    player.run()

    assert player.snapshot.human_context == ()
    assert "Longyearbyen" not in json.dumps(player.conversation("a"))
    answered = player.snapshot.interactions[0]
    assert answered.paused is None
    assert answered.question is not None
    assert answered.question.state == ""


# --- nobody is asked ------------------------------------------------------------------------------


def test_where_no_person_can_be_asked_the_tool_is_told_cancel_and_goes_on() -> None:
    player = asked(TEXT, human_in_loop=False)

    assert player.answers[0][1].action == "cancel"
    assert player.snapshot.interactions == ()
    assert player.snapshot.state is AgentState.COMPLETED


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (question(form(apiKey={"type": "string"})), "apiKey"),
        (question(form(x={"type": "string", "description": "Your GitHub password"})), "x"),
        (question(form(x={"type": "string", "format": "password"})), "x"),
        (StoredQuestion(message="m", kind="url", url="javascript:alert(1)"), "address"),
        (StoredQuestion(message="m", kind="url", url="https://a.b/\u200b"), "nobody sees"),
    ],
)
def test_what_nobody_may_be_asked_is_declined_and_told(wanted: StoredQuestion, why: str) -> None:
    player = asked(wanted)

    assert player.answers[0][1].action == "decline"
    (refused,) = [e for e in player.events if e.type == "question_refused"]
    assert why in refused.reason
    assert player.snapshot.interactions == ()
    assert player.snapshot.state is AgentState.COMPLETED


def test_a_tool_that_asks_without_end_is_ended() -> None:
    player = asked(*[TEXT] * 30, human_in_loop=False)

    assert len(player.answers) == 20
    assert player.snapshot.state is AgentState.COMPLETED
    assert "more than 20 questions" in json.dumps(player.conversation("a"))


# --- order ----------------------------------------------------------------------------------------


def test_a_tool_interrupted_after_its_answer_is_not_run_again_if_that_may_do_harm() -> None:
    player = asked(TEXT)
    player.answer(answer="Oslo")
    (call,) = player.snapshot.calls
    player.give(ToolStarted(call_ids=(call.id,)), Continued())
    player.answer(decision="skip")

    assert "outcome unknown" in json.dumps(player.conversation("a"))
    assert not any(isinstance(c, ToolCall) for c in player.snapshot.calls)


QUESTIONS = st.lists(st.sampled_from([TEXT, PERSON, COLOUR, SURE, NOTHING, ADDRESS]), max_size=3)
ANSWERS = {
    "city": {"answer": "Oslo"},
    "name": {"content": {"name": "Bo"}},
    "c": {"decision": "red"},
    "sure": {"decision": "yes"},
}


def answer_to(wanted: StoredQuestion, *, no: bool) -> dict[str, Any]:
    first = next(iter(wanted.form.get("properties", {})), "")
    return {"decision": "decline"} if no else ANSWERS.get(first, {"decision": "accept"})


@settings(max_examples=60, deadline=None)
@given(
    asking=st.lists(QUESTIONS, min_size=1, max_size=3),
    picks=st.lists(st.integers(0, 50), max_size=40),
    declined=st.lists(st.booleans(), max_size=9),
)
def test_any_order_of_questions_and_answers_runs_each_tool_to_its_end_once(
    asking: list[list[StoredQuestion]], picks: list[int], declined: list[bool]
) -> None:
    choices, noes = iter(picks), iter(declined)
    tools = {f"tool{n}": questions for n, questions in enumerate(asking)}
    player = AskingPlayer(tools, plan=[task("a"), task("b")])
    player.start()
    given_before: list[Input] = []
    while player.snapshot.calls or player.snapshot.open_interactions():
        waiting = player.snapshot.open_interactions()
        index = next(choices, 0) % (len(player.snapshot.calls) + len(waiting))
        if index < len(player.snapshot.calls):
            event = player.outcome(player.snapshot.calls[index])
        else:
            request = waiting[index - len(player.snapshot.calls)]
            assert request.question is not None
            fields = answer_to(request.question, no=next(noes, False))
            record = AnswerRecord(response_type=request.interaction_type, **fields)
            event = HumanAnswered(interaction_id=request.id, answer=record)
        player.give(event)
        given_before.append(event)
        data = player.snapshot.model_dump(mode="json")
        assert AgentSnapshot.model_validate(data) == player.snapshot
        for late in given_before:
            assert advance(player.snapshot, late) == (player.snapshot, (), ())

    assert player.snapshot.state is AgentState.COMPLETED
    assert sorted(call.name for call in player.ran) == sorted(tools)
    assert len(player.answers) == sum(len(questions) for questions in asking)
    assert all(answer.state for _name, answer in player.answers)


# --- answers that look like credentials -----------------------------------------------------------


def test_an_answer_to_one_tool_is_no_other_tools_credential() -> None:
    vault = CredentialVault()
    (handle,) = vault.put("s", "elicited:i-1", {"auth_token": "sk-abcdefgh12345678"})
    tool = ToolInfo(name="t", description="", parameters={})
    arguments = json.dumps({"auth_token": handle})

    assert credentials.injectable("s", vault) == {}
    assert credentials.resolved("s", tool, arguments, vault).refusal is not None
    answer = StoredAnswer(action="accept", content={"x": 1}, withheld=(handle,), state="st")
    told = credentials.elicited("s", answer, vault)
    assert told is not None
    assert told.content == {"x": 1, "auth_token": "sk-abcdefgh12345678"}


def test_a_state_with_such_an_answer_in_it_is_kept_apart_from_the_session() -> None:
    vault = CredentialVault()
    vault.put("s", "elicited:i-1", {"x": "sk-abcdefgh12345678"})
    plain = TEXT.model_copy(update={"state": '{"answers": {}}'})
    telling = TEXT.model_copy(update={"state": '{"answers": {"x": "sk-abcdefgh12345678"}}'})

    stored = credentials.concealed("s", "c-1", telling, vault)
    told = credentials.elicited("s", StoredAnswer(action="decline", state=stored.state), vault)

    assert credentials.concealed("s", "c-1", plain, vault) == plain
    assert "sk-abcdefgh" not in stored.state
    assert told is not None
    assert told.state == telling.state


def test_an_answer_whose_value_is_not_kept_any_more_becomes_a_cancel(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = StoredAnswer(action="accept", withheld=("secret://elicited%3Ai-1/x",), state="st")
    told = credentials.elicited("s", answer, CredentialVault())

    assert told is not None
    assert (told.action, told.content, told.state) == ("cancel", {}, "st")
    assert "not kept any more" in caplog.text
