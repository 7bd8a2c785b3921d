import json
import pickle
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from mbxai.errors import (
    ContentFilteredError,
    OutputTruncatedError,
    OutputValidationError,
    RefusalError,
)
from mbxai.openrouter._json_text import ambiguity_of
from mbxai.openrouter._structured import Misfit, parsed_value, read_text
from mbxai.wire import ChatCompletion
from mbxai.wire._output_type import output_type_of


class City(BaseModel):
    name: str
    size: float
    tags: list[int] = []


CITY = output_type_of(City)
PARIS = City(name="Paris", size=2.1)
JSON = '{"name": "Paris", "size": 2.1}'


def answer(content, *, finish="stop", **message):
    return ChatCompletion.model_validate(
        {
            "id": "gen-1",
            "choices": [{"message": {"content": content, **message}, "finish_reason": finish}],
        }
    )


def calling(arguments, *, name="final_answer", content=None):
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return answer(content, finish="tool_calls", tool_calls=[call])


@pytest.mark.parametrize("text", [JSON, f"\n {JSON} \n", json.dumps(json.loads(JSON), indent=2)])
def test_clean_json_is_read_as_it_is(text):
    assert parsed_value(answer(text), CITY) == (PARIS, False)


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{JSON}\n```",
        f"```\n{JSON}\n```",
        f"Here it is:\n```JSON\r\n{JSON}\r\n```\nAnything else?",
        f"```json\n{JSON}\n```\nand once more\n```json\n{JSON}\n```",
    ],
)
def test_c3_fenced_json_is_accepted_and_flagged(text):
    assert parsed_value(answer(text), CITY) == (PARIS, True)


@pytest.mark.parametrize(
    "text",
    [
        f"Here you are: {JSON}",
        f"{JSON} Is there more that I can do?",
        f"As [1] and {{this}} say: {JSON} [2]",
        f"{JSON}}}",
        f'A "quoted" word, {JSON}',
        f"[ and then {JSON}",
    ],
)
def test_c3_json_among_words_is_accepted_and_flagged(text):
    assert parsed_value(answer(text), CITY) == (PARIS, True)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Paris", "size": 2.1,}',
        '{"name": "Paris", "size": 2.1, "tags": [ ,], }'.replace(" ,]", "]"),
        '```json\n{"name": "Paris",\n "size": 2.1\n ,\n}\n```',
    ],
)
def test_c3_trailing_commas_are_accepted_and_flagged(text):
    assert parsed_value(answer(text), CITY) == (PARIS, True)


def test_c3_commas_and_brackets_inside_texts_stay():
    text = 'So: {"name": "a,] b,} \\",} {", "size": 1,}'
    assert parsed_value(answer(text), CITY) == (City(name='a,] b,} ",} {', size=1), True)


def test_c3_a_byte_order_mark_is_accepted_and_flagged():
    assert parsed_value(answer(f"\ufeff{JSON}"), CITY) == (PARIS, True)


def test_c3_a_bare_value_is_accepted_where_an_object_was_asked_for():
    for kind, text, value in [
        (list[int], "[1, 2]", [1, 2]),
        (list[int], "So: [1, 2].", [1, 2]),
        (Literal["yes", "no"], '"yes"', "yes"),
        (City | int, JSON, PARIS),
    ]:
        assert parsed_value(answer(text), output_type_of(kind)) == (value, True)


@pytest.mark.parametrize("text", ['["x"]', '{"values": [1]}', "7"])
def test_what_fits_neither_bare_nor_wrapped_is_told_of_the_wrapper(text):
    reading = read_text(text, output_type_of(list[int]))
    assert isinstance(reading, Misfit)
    assert reading.problems[0].startswith("value: ")


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_what_is_no_json_at_all_has_no_one_meaning(text):
    assert ambiguity_of(text) == "not JSON"


def test_several_values_that_fit_are_not_guessed_between():
    text = f'{JSON} or {{"name": "Rome", "size": 2}}'
    reading = read_text(text, CITY)
    assert reading == Misfit(("value: the text holds several values that fit",))


def test_a_fence_says_which_of_several_values_is_meant():
    text = f'Like {{"name": "Rome", "size": 2}}, it is\n```json\n{JSON}\n```'
    assert parsed_value(answer(text), CITY) == (PARIS, True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "value: no text"),
        (None, "value: no text"),
        ("Paris", "value: not JSON"),
        ('{"name": "Paris"', "value: not JSON"),
        ('{"name": "Paris", "size": NaN}', "value: not JSON"),
        ("[]", "value: "),
        ('{"name": "Paris", "size": "big"}', "size: "),
        ('{"name": "Paris", "size": 1, "tags": [1, "x"]}', "tags.1: "),
        ('Here: {"name": "Paris"} as wished', "size: "),
        ('See [1] and {"name": "Paris"}', "size: "),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(text, problem):
    with pytest.raises(OutputValidationError) as caught:
        parsed_value(answer(text), CITY)
    assert caught.value.problems[0].startswith(problem)
    assert caught.value.completion.id == caught.value.generation_id == "gen-1"
    assert [completion.id for completion in caught.value.completions] == ["gen-1"]
    assert "no valid City" in caught.value.message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"name": "a", "size": NaN}', "value: not JSON (NaN is no JSON number)"),
        ('{"name": "a", "size": -Infinity}', "value: not JSON (-Infinity is no JSON number)"),
        ('{"name": "a", "size": 1e999}', "value: a number is too large"),
        (
            '{"name": "a", "size": 1, "name": "b"}',
            "value: the key 'name' stands twice in one object",
        ),
        (
            '```json\n{"name": "a", "size": 1, "na\\u006de": "b"}\n```',
            "value: the key 'name' stands twice in one object",
        ),
    ],
)
def test_c5_what_has_no_one_meaning_is_no_value(text, problem):
    with pytest.raises(OutputValidationError) as caught:
        parsed_value(answer(text), CITY)
    assert caught.value.problems == (problem,)


def test_words_that_json_has_not_are_fine_inside_texts():
    text = '{"name": "NaN, Infinity and 1e999", "size": 1}'
    assert parsed_value(answer(text), CITY) == (City(name="NaN, Infinity and 1e999", size=1), False)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "[" * 10_000 + "]" * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        "Look: " + "[{" * 10_000,
        '{"name": "x", "size": 1, "tags": ' + "[" * 10_000 + "]" * 10_000 + "}",
    ],
)
@pytest.mark.parametrize("kind", [City, Any, list[Any]])
def test_c5_deep_nesting_is_a_problem_and_no_crash(text, kind):
    with pytest.raises(OutputValidationError) as caught:
        parsed_value(answer(text), output_type_of(kind))
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("digits", [5_000, 1_000_000])
@pytest.mark.parametrize("kind", [City, Any, dict[str, Any], int])
def test_c5_a_number_of_a_million_digits_is_a_problem_and_no_crash(digits, kind):
    text = '{"name": "x", "size": ' + "9" * digits + "}"
    with pytest.raises(OutputValidationError) as caught:
        parsed_value(answer(text), output_type_of(kind))
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    "text", ['{"name": "\ud800", "size": 1}', '{"name": "\\ud800", "size": 1}']
)
def test_half_a_character_is_a_problem_and_no_crash(text):
    assert isinstance(read_text(text, CITY), Misfit)


@pytest.mark.parametrize(
    ("completion", "kind"),
    [
        (answer('{"name": "Par', finish="length"), OutputTruncatedError),
        (answer(JSON, finish="length"), OutputTruncatedError),
        (answer(None, finish="content_filter"), ContentFilteredError),
        (answer(None, refusal="I will not"), RefusalError),
        (answer(JSON, refusal="I will not"), RefusalError),
    ],
)
def test_c2_other_ends_have_their_own_errors_and_are_never_repaired(completion, kind):
    with pytest.raises(kind) as caught:
        parsed_value(completion, CITY)
    assert caught.value.completion is completion


def test_arguments_of_the_answer_tool_are_the_answer():
    assert parsed_value(calling(JSON), CITY, answer_tool="final_answer") == (PARIS, False)


def test_text_is_taken_where_the_model_ignored_the_answer_tool():
    assert parsed_value(answer(JSON), CITY, answer_tool="final_answer") == (PARIS, False)


@pytest.mark.parametrize(
    ("completion", "tool"),
    [
        (calling(JSON, name="other"), "final_answer"),
        (calling(JSON), None),
    ],
)
def test_calls_of_other_tools_are_no_answer(completion, tool):
    with pytest.raises(OutputValidationError, match="no text"):
        parsed_value(completion, CITY, answer_tool=tool)


def test_a_model_that_wrote_words_is_told_from_one_that_tried():
    assert read_text("It is Paris.", CITY).is_prose
    assert read_text("It is Paris [1].", CITY).is_prose
    for text in ("", '{"name"', "```\n{\n```", "{}", 'Here: {"name": "x"}'):
        assert not read_text(text, CITY).is_prose


def test_problems_are_few_and_short():
    text = json.dumps({"name": 1, "size": 1, "tags": ["x" * 1000] * 1000})
    with pytest.raises(OutputValidationError) as caught:
        parsed_value(answer(text), CITY)
    assert len(caught.value.problems) == 20
    assert max(map(len, caught.value.problems)) <= 300


def test_the_error_goes_through_pickle():
    with pytest.raises(OutputValidationError) as caught:
        parsed_value(answer("Paris"), CITY)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.problems == caught.value.problems
    assert copy.completions[0].id == "gen-1"
