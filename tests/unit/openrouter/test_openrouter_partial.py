import datetime as dt
import itertools
import json
import time
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._outline import Outline
from mbxai.openrouter._partial import PartialParser
from mbxai.wire._output_type import output_type_of


class Item(BaseModel):
    name: str
    count: int = 0


class Report(BaseModel):
    title: str
    items: list[Item] = []
    note: str = ""
    score: int = 0


def parser(kind) -> PartialParser[Any]:
    return PartialParser(output_type_of(kind))


def prefixes(text, step=1):
    return [text[:end] for end in range(0, len(text) + step, step)]


def fed(kind, text, step=1):
    made = parser(kind)
    return [value for part in prefixes(text, step) if (value := made.feed(part)) is not None]


REPORT = Report(
    title='A "quoted" \\ tëxt 🎉',
    items=[Item(name="a", count=12), Item(name="b")],
    note="the end",
    score=17,
)


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("step", [1, 3, 7])
def test_values_grow_until_the_whole_is_there(ascii_only, indent, step):
    text = json.dumps(REPORT.model_dump(), ensure_ascii=ascii_only, indent=indent)
    values = fed(Report, text, step)
    assert values[-1] == REPORT
    assert len(values) > 5
    for earlier, later in itertools.pairwise(values):
        assert earlier != later
        assert later.title.startswith(earlier.title)
        assert later.note.startswith(earlier.note)
        assert later.items[: len(earlier.items)] == earlier.items
    for value in values:
        assert REPORT.title.startswith(value.title)
        assert value.items == REPORT.items[: len(value.items)]
        assert value.score in (0, 17)


def test_a_required_field_is_waited_for_and_a_default_is_not():
    made = parser(Report)
    assert made.feed('{"score": 5, ') is None
    assert made.feed('{"score": 5, "tit') is None
    assert made.feed('{"score": 5, "title": "x", "no') == Report(score=5, title="x")


def test_an_item_that_is_not_whole_is_left_out_though_it_would_be_valid():
    made = parser(Report)
    assert made.feed('{"title": "x", "items": [{"name": "a"') == Report(title="x")
    assert made.feed('{"title": "x", "items": [{"name": "a"}').items == [Item(name="a")]


def test_a_number_counts_when_something_stands_behind_it():
    made = parser(Report)
    assert made.feed('{"title": "x", "score": 1').score == 0
    assert made.feed('{"title": "x", "score": 12') is None
    assert made.feed('{"title": "x", "score": 12\n').score == 12


def test_the_same_value_is_given_once():
    made = parser(Report)
    assert made.feed('{"title": "x"') is not None
    assert made.feed('{"title": "x"') is None
    assert made.feed('{"title": "x"  ') is None
    assert made.feed('{"title": "x"}') is None


class Choosy(BaseModel):
    kind: Literal["a", "ab"] | None = None
    day: dt.datetime | None = None
    code: Annotated[str, Field(pattern="^x+$")] = "x"
    number: int = 0
    text: str = ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"kind": "ab"}', Choosy(kind="ab")),
        (
            '{"day": "2026-11-22T10:00:59"}',
            Choosy(day=dt.datetime(2026, 11, 22, 10, 0, 59)),  # noqa: DTZ001
        ),
        ('{"code": "xxx"}', Choosy(code="xxx")),
        ('{"number": "123"}', Choosy(number=123)),
    ],
)
def test_part_of_a_text_is_not_shown_where_it_could_mean_something_else(text, value):
    assert fed(Choosy, text) == [Choosy(), value]


def test_a_free_text_is_shown_while_it_grows():
    texts = [value.text for value in fed(Choosy, '{"text": "abc"}')]
    assert texts == ["", "a", "ab", "abc"]


class Outer(BaseModel):
    name: str = ""
    inner: Item | None = None


def test_an_object_that_lacks_a_required_field_is_left_out_until_it_has_come():
    text = '{"name": "o", "inner": {"count": 3, "name": "in"}}'
    values = fed(Outer, text)
    assert next(value.inner for value in values if value.name == "o") is None
    assert values[-1].inner == Item(name="in", count=3)
    assert all(value.inner is None or value.inner.count == 3 for value in values)


class Crowd(BaseModel):
    title: str
    members: Annotated[list[Item], Field(min_length=2)] = [Item(name="x"), Item(name="y")]
    pair: tuple[int, str] = (0, "")


def test_what_is_not_valid_yet_is_left_out_with_its_field():
    made = parser(Crowd)
    default = Crowd(title="t")
    assert made.feed('{"title": "t", "members": [{"name": "a"}, ') == default
    text = '{"title": "t", "members": [{"name": "a"}, {"name": "b"}]'
    assert [member.name for member in made.feed(text).members] == ["a", "b"]
    assert made.feed(text + ', "pair": [1') is None
    assert made.feed(text + ', "pair": [1, "z"], ').pair == (1, "z")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: dt.date
    more: list[int] = []


def test_strict_models_read_json_as_json():
    assert fed(Strict, '{"day": "2026-11-22", "more": [1, 2]}')[-1].more == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"value": [{"name": "a"}, {"name": "b"}]}\n```',
        '{"value": [{"name": "a"}, {"name": "b"}]}',
        '[{"name": "a"}, {"name": "b"}]',
        '\ufeff```\n[{"name": "a"}, {"name": "b"}]\n```\nDone [really].',
        'Here: {"value": [{"name": "a"}, {"name": "b"}]} and so on }}',
    ],
)
def test_a_list_is_read_wrapped_bare_fenced_and_among_words(text):
    values = fed(list[Item], text)
    assert values == [[], [Item(name="a")], [Item(name="a"), Item(name="b")]]


def test_new_items_gives_each_whole_item_once():
    text = json.dumps({"value": [{"name": f"n{i}", "count": i} for i in range(20)]})
    made: PartialParser[list[Item]] = PartialParser(output_type_of(list[Item]))
    batches = [made.new_items(part) for part in prefixes(text)]
    assert max(len(batch) for batch in batches) == 1
    items = [item for batch in batches for item in batch]
    assert items == [Item(name=f"n{i}", count=i) for i in range(20)]
    assert made.new_items(text) == []


@pytest.mark.parametrize("kind", [tuple[Item, ...], RootModel[list[Item]], list[Item]])
def test_new_items_takes_what_is_like_a_list(kind):
    made = parser(kind)
    assert made.new_items('{"value": [{"name": "a"}, {"na') == [Item(name="a")]
    assert made.new_items('{"value": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}') == [
        Item(name="b"),
        Item(name="c"),
    ]


@pytest.mark.parametrize("kind", [Report, dict[str, int], set[int], str])
def test_what_is_no_list_has_no_items(kind):
    with pytest.raises(OpenRouterConfigurationError, match="response_format must be a list"):
        parser(kind).new_items("{}")


def test_a_text_that_starts_anew_is_read_anew():
    made: PartialParser[list[Item]] = PartialParser(output_type_of(list[Item]))
    assert made.new_items('{"value": [{"name": "a"}, {"name": "b"},') == [
        Item(name="a"),
        Item(name="b"),
    ]
    assert made.new_items('{"value": [{"name": "c"},') == [Item(name="c")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris",
        "```json\n",
        '{"title": 5}',
        '{"title": nonsense}',
        "}{",
        '{"a":' * 5000 + "1",
        '{]"title": "x"',
    ],
)
def test_what_is_no_value_gives_none_and_does_not_raise(text):
    made = parser(Report)
    assert [made.feed(part) for part in prefixes(text, 7)] == [None] * len(prefixes(text, 7))


@pytest.mark.parametrize("escape", ["\\ud800", "\\udc00", "\\uZZZZ", "\\q"])
def test_an_escape_that_is_no_character_ends_what_is_shown(escape):
    titles = [value.title for value in fed(Report, f'{{"title": "ab{escape} and more"}}')]
    assert titles == ["", "a", "ab"]


def test_an_escape_is_never_cut_in_two():
    text = json.dumps({"title": 'a"\\ü🎉b'})
    titles = [value.title for value in fed(Report, text)]
    assert titles == ["", "a", 'a"', 'a"\\', 'a"\\ü', 'a"\\ü🎉', 'a"\\ü🎉b']


def test_what_stands_behind_the_whole_value_is_not_read():
    made = parser(Report)
    assert made.feed('{"title": "x"} {"title": "y"}') == Report(title="x")
    assert made.feed('{"title": "x"} {"title": "y"} "') is None


@pytest.mark.parametrize("text", ['{"a": 1', '{"a', '{"a": ["b', '{"a": "b"'])
def test_only_the_text_of_a_field_is_an_open_string(text):
    outline = Outline(0)
    outline.advance(text)
    assert outline.with_open_string(text) is None


def test_a_scalar_is_read_out_of_its_wrapper():
    assert fed(str, '{"value": "abc"}') == ["", "a", "ab", "abc"]
    assert fed(int, '{"value": 123}') == [123]


def long_list(number):
    items = [Item(name=f"name {i}", count=i) for i in range(number)]
    return items, json.dumps({"value": [item.model_dump() for item in items]})


def test_items_that_were_given_are_not_validated_again():
    counted: list[str] = []

    class Counted(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def count(cls, name: str) -> str:
            counted.append(name)
            return name

    names = [f"n{i}" for i in range(50)]
    text = json.dumps({"value": [{"name": name} for name in names]})
    made = parser(list[Counted])
    given = [item.name for part in prefixes(text) for item in made.new_items(part)]
    assert given == counted == names


class Tree(BaseModel):
    name: str
    below: "list[Tree]" = []


@pytest.mark.parametrize("wrap", ['{"value": %s}', "%s", ' {\n"value" :\n%s}', "```json\n%s\n```"])
@pytest.mark.parametrize("step", [1, 5, 400])
def test_items_of_a_type_that_holds_itself_come_one_by_one(wrap, step):
    trees = [Tree(name=f"], {i}", below=[Tree(name="[")]) for i in range(5)]
    text = wrap % json.dumps([tree.model_dump() for tree in trees], indent=1)
    made = parser(list[Tree])
    assert [item for part in prefixes(text, step) for item in made.new_items(part)] == trees


@pytest.mark.parametrize(
    "kind", [Annotated[list[int], Field(max_length=9)], tuple[int, ...], RootModel[list[int]]]
)
def test_items_of_a_list_with_rules_come_one_by_one(kind):
    made = parser(kind)
    text = '{"value": [1, 2, 3]}'
    assert [item for part in prefixes(text) for item in made.new_items(part)] == [1, 2, 3]


@pytest.mark.parametrize("tail", [" 3", ",, 3", ', "x"', ", ]"])
def test_after_what_is_no_item_there_are_no_more(tail):
    made = parser(list[int])
    text = '{"value": [1, 2' + tail + ", 4, 5]}"
    assert [item for part in prefixes(text) for item in made.new_items(part)] == [1, 2]


def test_items_that_were_not_taken_stay():
    made: PartialParser[list[int]] = parser(list[int])
    text = '{"value": [1, 2, 3]}'
    assert next(made.take_items(text)) == 1
    assert list(made.take_items(text)) == [2, 3]
    assert list(made.take_items(text)) == []


def test_a_long_text_is_not_read_again_for_each_piece_and_the_last_value_is_whole():
    items, text = long_list(2000)
    made = parser(list[Item])
    begin = time.process_time()
    values = [value for part in prefixes(text, 8) if (value := made.feed(part)) is not None]
    spent = time.process_time() - begin
    assert values[-1] == items
    assert len(values) > 150
    assert all(value == items[: len(value)] for value in values)
    assert spent < 4  # it was 10 s and more
