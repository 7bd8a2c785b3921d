"""Answers of people: every form they come in, what does not fit, and the secrets in them."""

import json
import logging
import traceback
from itertools import permutations
from typing import Any

import pytest
from support.agent_player import Player, calling, task

import mbxai.agent._people as people
import mbxai.agent.machine._human_tools as human_tools
from mbxai.agent._human_models import (
    Answer,
    AnswerDeadline,
    AnswerList,
    DialogOption,
    HumanInLoopResponse,
    HumanInLoopResponseBatch,
)
from mbxai.agent._response import response_of
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._inputs import ModelFailed, ToolPolicy
from mbxai.agent.machine._snapshot import Interaction, Limits
from mbxai.agent.machine._work import request_of
from mbxai.errors import (
    ConfigurationError,
    InteractionError,
    InteractionExpiredError,
    InteractionMismatchError,
    InteractionNotFoundError,
)
from mbxai.sessions import CredentialVault

JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in", allowed_tools=["fetch"])
TOKEN = "ghp_abcdefghijklmnopqrst12"


def calls(*given: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One assistant message that makes these calls."""
    return [calling(*((f"c{n}", name, json.dumps(a)) for n, (name, a) in enumerate(given)))]


QUESTION = ("ask_question", {"prompt": "Which region?"})
DECISION = ("request_decision", {"prompt": "Cloud?", "options": ["AWS", "GCP"]})
DIALOG = ("open_dialog", {"dialog_option_id": "jira_auth", "reason": "to read the story"})


class Asked:
    """A session that waits for people, and the vault beside it."""

    def __init__(self, *given: tuple[str, dict[str, Any]], **options: Any) -> None:
        self.vault = CredentialVault()
        self.player = Player(
            options.pop("plan", [task("a")]),
            messages={"a": calls(*given)} if given else {},
            human_in_loop=True,
            dialog_options=[JIRA],
            **options,
        )
        self.player.start().run()

    def requests(self) -> tuple[Interaction, ...]:
        return self.player.snapshot.interactions

    def response(self, number: int = 0, **fields: Any) -> HumanInLoopResponse:
        request = self.requests()[number]
        kind = fields.pop("response_type", request.interaction_type)
        return HumanInLoopResponse(interaction_id=request.id, response_type=kind, **fields)

    def answer(self, *responses: HumanInLoopResponse, now: float = 0.0) -> None:
        snapshot = self.player.snapshot
        inputs = people.accept(snapshot, responses, self.vault, tools=(), now=now)
        self.player.give(*inputs)

    def told(self) -> list[dict[str, Any]]:
        """What the model of task "a" got as results."""
        messages = self.player.conversation("a")
        return [json.loads(m["content"]) for m in messages if m["role"] == "tool"]


# --- forms -----------------------------------------------------------------------------------------


def test_answers_come_alone_in_a_list_or_in_a_batch() -> None:
    one = HumanInLoopResponse(interaction_id="i", response_type="question", answer="x")
    batch = HumanInLoopResponseBatch(responses=[one, one])

    assert people.as_list(one) == [one]
    assert people.as_list([one]) == people.as_list((one,)) == [one]
    assert people.as_list(batch) == [one, one]
    assert people.as_list(None) == people.as_list([]) == []
    assert people.as_list(HumanInLoopResponseBatch(responses=[])) == []


@pytest.mark.parametrize("given", [7, {"interaction_id": "i"}, ["yes"], [None], "yes"])
def test_what_is_no_answer_is_refused_by_its_type(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="human_response"):
        people.as_list(given)


def test_an_empty_batch_changes_nothing() -> None:
    asked = Asked(QUESTION)
    before = asked.player.snapshot
    asked.answer()

    assert asked.player.snapshot == before


def test_answers_by_key_reach_their_questions() -> None:
    asked = Asked(QUESTION, ("ask_question", {"prompt": "And when?"}))
    keys = [question.key for question in response_of(asked.player.snapshot).questions]
    answers = AnswerList(answers=[Answer(key=keys[1], answer="soon")])
    asked.answer(*people.from_answer_list(asked.player.snapshot, answers))

    assert [i.id for i in asked.player.snapshot.open_interactions()] == [asked.requests()[0].id]


@pytest.mark.parametrize("given", [{"answers": []}, [Answer(key="q_1", answer="x")], "x"])
def test_answers_by_key_must_be_an_answer_list(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="AnswerList"):
        people.from_answer_list(Asked(QUESTION).player.snapshot, given)


def test_an_answer_by_an_unknown_key_names_the_key() -> None:
    answers = AnswerList(answers=[Answer(key="q_no_such", answer="x")])

    with pytest.raises(InteractionNotFoundError, match="q_no_such"):
        people.from_answer_list(Asked(QUESTION).player.snapshot, answers)


# --- several requests ------------------------------------------------------------------------------


FITTING: list[dict[str, Any]] = [
    {"answer": "eu-west"},
    {"decision": "gcp"},
    {"dialog_option_id": "jira_auth", "credentials": {"auth_token": "tok-123456"}},
]


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_three_open_requests_are_answered_in_any_order_one_at_a_time(
    order: tuple[int, ...],
) -> None:
    asked = Asked(QUESTION, DECISION, DIALOG)
    ids = [request.id for request in asked.requests()]
    for left, number in zip((2, 1, 0), order, strict=True):
        asked.answer(asked.response(number, **FITTING[number]))
        assert len(asked.player.snapshot.open_interactions()) == left
        assert [request.id for request in asked.requests()] == ids
    asked.player.run()

    assert asked.player.snapshot.state is AgentState.COMPLETED
    assert [result.get("answer") for result in asked.told()] == ["eu-west", None, None]
    assert asked.told()[1] == {"decision": "GCP"}
    assert asked.told()[2]["provides"] == ["secret://jira_auth/auth_token"]


def test_a_batch_may_be_partial_and_hold_the_same_answer_twice() -> None:
    asked = Asked(QUESTION, DECISION, DIALOG)
    some = [asked.response(n, **FITTING[n]) for n in (2, 0)]
    asked.answer(*some, some[0])
    before = asked.player.snapshot
    assert [i.interaction_type for i in before.open_interactions()] == ["decision"]

    asked.answer(*some)
    assert asked.player.snapshot == before
    asked.answer(*some, asked.response(1, decision=" aws "))
    assert asked.player.snapshot.open_interactions() == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_type": "decision", "decision": "eu-west"},
        {"response_type": "dialog_option", "dialog_option_id": "jira_auth"},
        {"answer": ""},
        {"answer": " \n"},
        {"decision": "eu-west"},
        {"interaction_id": "no-such-request", "answer": "x"},
    ],
)
def test_a_batch_with_an_answer_that_does_not_fit_changes_nothing_and_keeps_no_credential(
    wrong: dict[str, Any],
) -> None:
    asked = Asked(QUESTION, DIALOG)
    before = asked.player.snapshot
    other = wrong.get("interaction_id", asked.requests()[0].id)
    wrong = {"response_type": "question", **wrong, "interaction_id": other}
    login = asked.response(1, **FITTING[2])

    with pytest.raises(InteractionError) as caught:
        asked.answer(login, HumanInLoopResponse(**wrong))
    assert caught.value.interaction_id == other
    assert "tok-123456" not in str(caught.value)
    assert asked.player.snapshot == before
    assert asked.vault.handles("agent-1") == []


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        (QUESTION, {"answer": " "}),
        (QUESTION, {"answer": "\u200b\u2060"}),
        (DECISION, {"decision": "Azure"}),
        (DECISION, {"decision": None}),
        (DECISION, {"decision": ""}),
        (DECISION, {"response_type": "question", "answer": "AWS"}),
        (DIALOG, {"dialog_option_id": "github_auth"}),
        (DIALOG, {"dialog_option_id": None}),
        (DIALOG, {"response_type": "question", "answer": "done"}),
        (DIALOG, {"response_type": "decision", "decision": "jira_auth"}),
    ],
)
def test_an_answer_of_another_type_or_with_an_unknown_option_is_refused(
    call: tuple[str, dict[str, Any]], fields: dict[str, Any]
) -> None:
    asked = Asked(call)
    before = asked.player.snapshot

    with pytest.raises(InteractionMismatchError, match="does not fit"):
        asked.answer(asked.response(**fields))
    assert asked.player.snapshot == before


def test_two_different_answers_to_one_request_in_one_batch_are_refused() -> None:
    asked = Asked(DECISION)
    before = asked.player.snapshot

    with pytest.raises(InteractionMismatchError, match="two different answers"):
        asked.answer(asked.response(decision="AWS"), asked.response(decision="GCP"))
    assert asked.player.snapshot == before
    asked.answer(asked.response(decision="AWS"), asked.response(decision=" aws"))
    assert asked.player.snapshot.open_interactions() == ()


def test_another_answer_after_the_first_is_refused_and_names_the_request() -> None:
    asked = Asked(DECISION)
    asked.answer(asked.response(decision="AWS"))
    before = asked.player.snapshot

    with pytest.raises(InteractionMismatchError, match="already answered") as caught:
        asked.answer(asked.response(decision="GCP"))
    assert caught.value.interaction_id == asked.requests()[0].id
    assert asked.player.snapshot == before


def test_other_tasks_go_on_while_several_people_are_asked() -> None:
    plan = [task("a"), task("b"), task("c", "b"), task("d", complexity=5)]
    asked = Asked(QUESTION, DECISION, plan=plan)

    statuses = {"a": "in_progress", "b": "completed", "c": "completed", "d": "in_progress"}
    assert asked.player.statuses() == statuses
    assert len(asked.player.snapshot.open_interactions()) == 3
    assert asked.player.snapshot.state is AgentState.WAITING_FOR_HUMAN


def test_a_failed_run_asks_for_nothing() -> None:
    asked = Asked(QUESTION)
    waiting = asked.player.snapshot
    assert response_of(waiting).needs_human_interaction()

    failing = Player([task("a")], messages={"a": calls(QUESTION)}, human_in_loop=True).start()
    call = failing.snapshot.calls[0]
    failing.give(ModelFailed(call_id=call.id, error_type="X", message="gone"))
    failed = failing.snapshot.model_copy(update={"interactions": waiting.interactions})
    assert failed.open_interactions()
    assert not response_of(failed).needs_human_interaction()
    assert not response_of(failed).has_questions()


# --- what answers change ---------------------------------------------------------------------------


def test_a_changed_task_runs_as_its_additional_context_says() -> None:
    asked = Asked(plan=[task("a", complexity=4)])
    asked.answer(asked.response(decision="MODIFY", additional_context="only the first page"))
    asked.player.run()

    assert "only the first page" in asked.player.conversation("a")[1]["content"]
    assert asked.player.statuses() == {"a": "completed"}


def test_a_change_without_words_is_refused() -> None:
    asked = Asked(plan=[task("a", complexity=4)])

    for words in ("", "   "):
        with pytest.raises(InteractionMismatchError, match="additional_context"):
            asked.answer(asked.response(decision="modify", additional_context=words))


@pytest.mark.parametrize("field", ["answer", "additional_context"])
def test_an_answer_that_no_model_could_be_sent_is_refused_and_the_request_stays_open(
    field: str,
) -> None:
    asked = Asked(QUESTION)
    words = {"answer": "eu", field: "a cut emoji: \ud83d"}

    with pytest.raises(InteractionMismatchError, match="surrogate"):
        asked.answer(asked.response(**words))
    asked.answer(asked.response(answer="eu \U0001f600"))
    asked.player.run()

    assert asked.player.statuses() == {"a": "completed"}


def test_a_credential_whose_name_cannot_be_written_is_refused_and_none_is_kept() -> None:
    asked = Asked(DIALOG)
    given = {"token": TOKEN, "cut \ud83d": "another-one"}

    with pytest.raises(InteractionMismatchError, match="surrogate"):
        asked.answer(asked.response(dialog_option_id="jira_auth", credentials=given))
    assert asked.vault.handles("agent-1") == []
    assert len(asked.player.snapshot.open_interactions()) == 1


def test_a_call_of_the_applications_own_tool_is_counted_for_its_task() -> None:
    own = {"ask_question": ToolPolicy(effect="read")}
    player = Player([task("a")], messages={"a": calls(QUESTION)}, policies=own).start().run()

    assert [call.name for call in player.ran] == ["ask_question"]
    assert player.snapshot.token_summary.dialog_interactions == []
    assert len(player.snapshot.token_summary.task_execution) == 2


def test_an_abort_ends_the_run_as_failed_with_the_reason() -> None:
    asked = Asked(plan=[task("a", complexity=4), task("b", "a")])
    asked.answer(asked.response(decision="Abort"))

    error = asked.player.snapshot.error
    assert asked.player.snapshot.state is AgentState.FAILED
    assert error is not None
    assert (error.type, error.message) == ("Aborted", "A person aborted the run.")
    assert not error.retryable
    assert asked.player.statuses() == {"a": "skipped", "b": "skipped"}


def test_a_choice_among_the_models_own_options_reaches_the_task_that_asked() -> None:
    asked = Asked(DECISION)
    asked.answer(asked.response(decision="gcp", additional_context="it is cheaper"))
    asked.player.run()

    assert asked.told() == [{"decision": "GCP", "remark": "it is cheaper"}]
    assert asked.player.statuses() == {"a": "completed"}


# --- what people are shown -------------------------------------------------------------------------


def test_options_of_the_model_are_offered_once_each_and_never_blank() -> None:
    asked = Asked(
        (
            "request_decision",
            {"prompt": "?", "options": ["AWS", "", "aws ", "  ", "G\u200bCP", "A"]},
        )
    )

    assert asked.requests()[0].options == ("AWS", "GCP", "A")
    asked.answer(asked.response(decision="gcp"))
    assert asked.requests()[0].answer is not None


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("request_decision", {"prompt": "?", "options": ["", " ", "\u200b"]}, "all are blank"),
        ("request_decision", {"prompt": "?", "options": []}, "options"),
        ("request_decision", {"prompt": "?", "options": ["x"] * 51}, "options"),
        ("request_decision", {"prompt": "?"}, "options"),
        ("request_decision", {"prompt": " ", "options": ["A"]}, "is blank"),
        ("ask_question", {"prompt": "\u202e \n"}, "is blank"),
        ("ask_question", {}, "prompt"),
        ("open_dialog", {"reason": "x"}, "dialog_option_id"),
        ("open_dialog", {"dialog_option_id": "sap", "reason": "x"}, "jira_auth"),
    ],
)
def test_a_request_that_nobody_could_answer_goes_back_to_the_model(
    name: str, arguments: dict[str, Any], says: str
) -> None:
    asked = Asked((name, arguments))

    assert asked.requests() == ()
    assert says in asked.told()[0]["error"]
    assert asked.player.snapshot.state is AgentState.COMPLETED


def test_words_of_the_model_are_said_to_be_the_models() -> None:
    asked = Asked(QUESTION, DECISION, DIALOG)
    question, decision, dialog = (
        request_of(asked.player.snapshot, request) for request in asked.requests()
    )

    assert question.context == decision.context == "The model asks this, in its own words."
    assert dialog.prompt == "Jira: Log in"
    assert dialog.context == "The model says: to read the story"
    assert dialog.dialog_options == [JIRA]


def test_a_reason_of_the_model_cannot_hide_or_turn_letters() -> None:
    reason = "log in\u202e now\u200b"
    asked = Asked(("open_dialog", {"dialog_option_id": "jira_auth", "reason": reason}))

    assert asked.requests()[0].context == "The model says: log in now"


def test_a_complex_tasks_description_cannot_hide_or_turn_letters() -> None:
    hidden = {**task("a", complexity=5), "description": "Look\n\u202eeteled\u200b all"}
    request = Asked(plan=[hidden]).requests()[0]

    assert request.context == "Look\n\\u202eeteled\\u200b all"


def test_a_person_is_not_asked_for_the_same_dialogue_for_ever() -> None:
    player = Player(
        [task("a")],
        messages={"a": calls(DIALOG) * 8},
        human_in_loop=True,
        dialog_options=[JIRA],
    )
    player.start().run()
    while player.snapshot.open_interactions():
        player.answer(dialog_option_id="jira_auth", provides=("secret://jira_auth/auth_token",))
        player.run()

    assert len(player.snapshot.interactions) == human_tools.MAX_SAME_DIALOG
    assert player.snapshot.state is AgentState.COMPLETED
    assert "several times" in player.conversation("a")[-2]["content"]


# --- secrets in words ------------------------------------------------------------------------------


def test_a_credential_in_an_answer_is_kept_apart_and_a_handle_stands_in_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    asked = Asked(QUESTION)
    request = asked.requests()[0]
    asked.answer(asked.response(answer=f"eu-west, use {TOKEN} there"))
    asked.player.run()

    handle = f"secret://answer%3A{request.id}/value_1"
    (told,) = asked.told()
    assert told["answer"] == f"eu-west, use {handle} there"
    assert told["provides"] == [handle]
    assert asked.vault.resolve("agent-1", handle) == TOKEN
    assert asked.player.snapshot.credentials == (handle,)
    (event,) = [e for e in asked.player.events if e.type == "credential_concealed"]
    assert (event.interaction_id, event.handles) == (request.id, (handle,))
    assert "looks like a credential" in caplog.text
    events = str([e.model_dump_json() for e in asked.player.events])
    for place in (asked.player.snapshot.model_dump_json(), events, caplog.text):
        assert TOKEN not in place


@pytest.mark.parametrize(
    ("given", "fields", "name"),
    [
        (DECISION, {"decision": "AWS", "additional_context": f"with {TOKEN}"}, "value_1"),
        (DECISION, {"decision": "AWS", "answer": "password: hunter22"}, "password"),
        (QUESTION, {"answer": "eu", "additional_context": "auth_token:abc-123456"}, "auth_token"),
    ],
)
def test_remarks_are_searched_for_credentials_too(
    given: tuple[str, dict[str, Any]], fields: dict[str, Any], name: str
) -> None:
    asked = Asked(given)
    asked.answer(asked.response(**fields))
    asked.player.run()

    (handle,) = asked.told()[0]["provides"]
    assert handle.endswith(f"/{name}")
    assert handle in asked.told()[0]["remark"]
    secret = str(asked.vault.resolve("agent-1", handle))
    assert secret not in asked.player.snapshot.model_dump_json()


def test_a_changed_tasks_description_holds_no_credential() -> None:
    asked = Asked(plan=[task("a", complexity=4)])
    asked.answer(asked.response(decision="modify", additional_context=f"log in with {TOKEN}"))
    asked.player.run()

    assert "secret://answer" in asked.player.conversation("a")[1]["content"]
    assert TOKEN not in asked.player.snapshot.model_dump_json()


def test_an_answer_with_a_credential_may_come_twice_but_not_with_another_one() -> None:
    asked = Asked(QUESTION)
    asked.answer(asked.response(answer=f"use {TOKEN}"))
    before = asked.player.snapshot

    asked.answer(asked.response(answer=f"use {TOKEN}"))
    assert asked.player.snapshot == before
    with pytest.raises(InteractionMismatchError, match="two different"):
        asked.answer(asked.response(answer=f"use {TOKEN[:-1]}9"))
    assert asked.player.snapshot == before
    assert asked.vault.resolve("agent-1", asked.player.snapshot.credentials[0]) == TOKEN


def test_a_credential_that_is_known_already_keeps_its_handle() -> None:
    asked = Asked(QUESTION)
    (handle,) = asked.vault.put("agent-1", "jira_auth", {"auth_token": TOKEN})
    asked.answer(asked.response(answer=f"use {TOKEN}"))

    assert asked.requests()[0].answer is not None
    assert asked.requests()[0].answer.answer == f"use {handle}"
    assert asked.vault.handles("agent-1") == [handle]
    assert not [e for e in asked.player.events if e.type == "credential_concealed"]


def test_prose_is_told_to_the_model_as_it_was_written(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked(QUESTION)
    asked.answer(asked.response(answer="The password is wrong; take the basic subscription."))
    asked.player.run()

    assert asked.told() == [{"answer": "The password is wrong; take the basic subscription."}]
    assert asked.vault.handles("agent-1") == []
    assert "credential" not in caplog.text


def test_a_dialogues_grant_goes_with_its_credentials() -> None:
    asked = Asked(DIALOG)
    asked.answer(asked.response(**FITTING[2]))

    assert asked.vault.allowed_tools("agent-1", "secret://jira_auth/auth_token") == ("fetch",)


@pytest.mark.parametrize(
    ("call", "one", "other"),
    [
        (DIALOG, {**FITTING[2]}, {**FITTING[2], "credentials": {"auth_token": "tok-654321"}}),
        (DIALOG, {**FITTING[2]}, {**FITTING[2], "dialog_option_id": "github_auth"}),
        (QUESTION, {"answer": f"use {TOKEN}"}, {"answer": f"use {TOKEN}3"}),
    ],
)
def test_a_refused_answer_shows_its_secrets_in_no_traceback(
    call: tuple[str, dict[str, Any]], one: dict[str, Any], other: dict[str, Any]
) -> None:
    asked = Asked(call)
    answers = [asked.response(**one), asked.response(**other)]
    with pytest.raises(InteractionMismatchError) as caught:
        asked.answer(*answers)

    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = "".join(f"{f.name} {f.locals}" for f in shown.stack if "mbxai" in f.filename)
    assert "accept" in ours
    for secret in ("tok-123456", "tok-654321", TOKEN):
        assert secret not in ours


def test_the_model_reads_which_tools_a_dialogues_credentials_are_for() -> None:
    definitions = human_tools.definitions([JIRA, JIRA.model_copy(update={"allowed_tools": []})])
    described = definitions[-1]["function"]["description"]

    assert "Its handles are only for: fetch." in described
    assert "Its handles are only for: no tool." in described


# --- too late --------------------------------------------------------------------------------------


def test_an_answer_that_comes_too_late_leaves_no_credential_behind() -> None:
    asked = Asked(DIALOG, limits=Limits(deadline=AnswerDeadline(seconds=60)))
    timed = asked.requests()[0].model_copy(update={"expires_at": 1060.0})
    asked.player.snapshot = asked.player.snapshot.model_copy(update={"interactions": (timed,)})
    before = asked.player.snapshot

    with pytest.raises(InteractionExpiredError):
        asked.answer(asked.response(**FITTING[2]), now=1060.0)
    assert asked.player.snapshot == before
    assert asked.vault.handles("agent-1") == []
    asked.answer(asked.response(**FITTING[2]), now=1059.0)
    assert asked.vault.handles("agent-1") == ["secret://jira_auth/auth_token"]
