"""Questions at the prompt and what becomes of the answers."""

import io

import pytest
from rich.console import Console

from mbxai.agent.models import DialogOption, HumanInLoopRequest, HumanInteractionType
from mbxai.cli._people import answer_to, answers_to, dialog_fields


class Typist:
    """Types lines that were prepared; remembers which prompts were for secrets."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.secrets: list[str] = []

    def line(self, prompt: str) -> str:
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)

    def secret(self, prompt: str) -> str:
        self.secrets.append(prompt)
        return self.line(prompt)


class Board:
    """A console whose text can be read."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.console = Console(file=self.out, width=80)

    @property
    def text(self) -> str:
        return self.out.getvalue()


LOGIN = DialogOption(
    id="login",
    title="Shop login",
    description="Log in",
    parameters={"fields": ["user", {"name": "password", "label": "Your password"}]},
)


def decision(*options: str) -> HumanInLoopRequest:
    return HumanInLoopRequest(
        id="d",
        interaction_type=HumanInteractionType.DECISION,
        prompt="Go on?",
        context="It costs [bold]much[/bold].",
        options=list(options),
    )


def question(prompt: str = "Which colour?") -> HumanInLoopRequest:
    return HumanInLoopRequest(id="q", interaction_type=HumanInteractionType.QUESTION, prompt=prompt)


def dialog(key: str = "o", option: DialogOption = LOGIN) -> HumanInLoopRequest:
    return HumanInLoopRequest(
        id=key,
        interaction_type=HumanInteractionType.DIALOG_OPTION,
        prompt="Shop login: Log in",
        dialog_options=[option],
    )


@pytest.mark.parametrize("typed", ["2", "skip", " SKIP "])
def test_a_decision_is_taken_by_number_or_by_name(typed):
    board = Board()
    answer = answer_to(decision("proceed", "skip"), Typist(typed), board.console)
    assert (answer.interaction_id, answer.decision) == ("d", "skip")
    assert "  1  proceed\n  2  skip\n" in board.text
    assert "It costs [bold]much[/bold]." in board.text


def test_a_decision_is_asked_again_until_it_is_one_of_the_choices():
    board = Board()
    answer = answer_to(decision("yes", "no"), Typist("", "3", "0", "1"), board.console)
    assert answer.decision == "yes"
    assert board.text.count("Type one of the numbers.") == 3


def test_an_option_that_is_a_number_itself_means_the_place_in_the_list():
    assert answer_to(decision("2", "1"), Typist("1"), Board().console).decision == "2"


def test_modify_asks_what_should_be_different():
    request = decision("proceed", "skip", "modify", "abort")
    answer = answer_to(request, Typist("3", "", "make it green"), Board().console)
    assert (answer.decision, answer.additional_context) == ("modify", "make it green")


def test_a_question_wants_some_text():
    answer = answer_to(question(), Typist("", "  ", " blue "), Board().console)
    assert (answer.interaction_id, answer.answer) == ("q", "blue")


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
    "required": ["name"],
}


def form(schema):
    return question().model_copy(update={"response_schema": schema})


def test_a_form_of_several_fields_is_typed_as_json_and_asked_again_until_it_fits():
    board = Board()
    typist = Typist("Bo", "[1]", '{"age": 30}', '{"name": "Bo", "age": 30}')
    answer = answer_to(form(PERSON), typist, board.console)
    assert answer.content == {"name": "Bo", "age": 30}
    assert "Type a JSON object of name, age; an empty line declines." in board.text
    assert board.text.count("That is no JSON object.") == 2


@pytest.mark.parametrize("fields", [["name"], ["name", "age"]])
def test_an_empty_line_declines_a_form(fields):
    board = Board()
    schema = {**PERSON, "properties": {name: PERSON["properties"][name] for name in fields}}
    answer = answer_to(form(schema), Typist(" "), board.console)
    assert (answer.decision, answer.answer, answer.content) == ("decline", None, None)
    assert "empty line declines" in board.text
    assert answer_to(form(schema), Typist("{}", ""), Board().console) is not None


def test_a_question_cannot_steer_the_terminal():
    board = Board()
    answer_to(question("\x1b[2JWhich?"), Typist("x"), board.console)
    assert "\x1b" not in board.text


def test_the_fields_of_a_dialogue_are_typed_unseen_and_become_credentials():
    typist, board = Typist("ann", "hunter22"), Board()
    answer = answer_to(dialog(), typist, board.console)
    assert typist.secrets == ["user: ", "Your password: "]
    assert answer.dialog_option_id == "login"
    values = {name: value.get_secret_value() for name, value in answer.credentials.items()}
    assert values == {"user": "ann", "password": "hunter22"}
    assert "hunter22" not in board.text + repr(answer)


def test_the_same_dialogue_for_two_tasks_is_filled_in_once():
    typist = Typist("ann", "hunter22")
    answers = answers_to([dialog("o1"), dialog("o2")], typist, Board().console)
    assert [answer.interaction_id for answer in answers] == ["o1", "o2"]
    assert answers[0].credentials == answers[1].credentials
    assert len(typist.secrets) == 2


def test_two_different_dialogues_are_both_filled_in():
    other = DialogOption(id="token", title="Token", description="A token")
    answers = answers_to([dialog(), dialog("p", other)], Typist("a", "b", "c"), Board().console)
    assert answers[1].credentials["value"].get_secret_value() == "c"


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        ({}, [("value", "Title")]),
        ({"fields": []}, [("value", "Title")]),
        ({"fields": "user"}, [("value", "Title")]),
        ({"fields": ["user", "pin"]}, [("user", "user"), ("pin", "pin")]),
        ({"fields": {"user": "User name", "pin": 4}}, [("user", "User name"), ("pin", "pin")]),
        ({"fields": [{"name": "pin"}]}, [("pin", "pin")]),
    ],
)
def test_fields_may_be_given_as_names_objects_or_labels(parameters, fields):
    option = DialogOption(id="o", title="Title", description="d", parameters=parameters)
    assert dialog_fields(option) == fields


def test_when_the_input_ends_the_answers_so_far_are_kept():
    answers = answers_to([question(), decision("yes", "no")], Typist("blue"), Board().console)
    assert [answer.answer for answer in answers] == ["blue"]
    assert answers_to([question()], Typist(), Board().console) == []
