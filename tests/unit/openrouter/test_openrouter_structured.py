import pytest
from pydantic import BaseModel

from mbxai.errors import (
    ContentFilteredError,
    OutputTruncatedError,
    OutputValidationError,
    RefusalError,
)
from mbxai.openrouter._structured import parsed_value
from mbxai.wire import ChatCompletion


class City(BaseModel):
    name: str
    size: float
    tags: list[int] = []


def answer(content, *, finish="stop", **message):
    return ChatCompletion.model_validate(
        {
            "id": "gen-1",
            "choices": [{"message": {"content": content, **message}, "finish_reason": finish}],
        }
    )


JSON = '{"name": "Paris", "size": 2.1}'


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        f"\n {JSON} \n",
        f"\ufeff{JSON}",
        f"```json\n{JSON}\n```",
        f"```\n{JSON}\n```",
        f"Here it is:\n```JSON\r\n{JSON}\r\n```\nAnything else?",
    ],
)
def test_json_is_read_bare_or_fenced(text):
    assert parsed_value(answer(text), City) == City(name="Paris", size=2.1)


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
        ("[" * 10_000, "value: not JSON"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(text, problem):
    with pytest.raises(OutputValidationError) as caught:
        parsed_value(answer(text), City)
    assert caught.value.problems[0].startswith(problem)
    assert caught.value.completion.id == caught.value.generation_id == "gen-1"


@pytest.mark.parametrize(
    ("completion", "kind"),
    [
        (answer('{"name": "Par', finish="length"), OutputTruncatedError),
        (answer(None, finish="content_filter"), ContentFilteredError),
        (answer(None, refusal="I will not"), RefusalError),
    ],
)
def test_other_ends_have_their_own_errors(completion, kind):
    with pytest.raises(kind) as caught:
        parsed_value(completion, City)
    assert caught.value.completion is completion


def test_unusual_digits_do_not_crash():
    text = '{"name": "x", "size": ' + "9" * 100_000 + "}"
    try:
        value = parsed_value(answer(text), City)
    except OutputValidationError:
        return
    assert value.name == "x"
