"""What a tool returned, as the model is shown it: text, JSON, pictures, files; cleaned and cut."""

import asyncio
import base64
import collections
import datetime as dt
import decimal
import enum
import gc
import json
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, field_serializer
from support.tool_calls import call_of, run

from mbxai.openrouter import audio_part, file_part, image_part, text_part, video_part
from mbxai.tools import Secret, ToolContext
from mbxai.tools.runner._result_text import is_small, result_text, text_of
from mbxai.tools.runner._results import tool_result
from mbxai.wire import ToolResult

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 40
CALL = call_of("look")


def shown(value: object, max_bytes: int = 1_000, clean: Any = str) -> ToolResult:
    return tool_result(CALL, value, max_bytes, clean)


def url_of(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(data: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url_of(kind, data)}}


# --- text -----------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    YES = "yes"


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    at: dt.datetime


class Failing(BaseModel):
    x: int

    @field_serializer("x")
    def no(self, value: int) -> int:
        raise RuntimeError("serializer")


@dataclass
class Node:
    name: str
    inner: Any = None


class Named(NamedTuple):
    a: int
    b: int


class NoRepr:
    def __repr__(self) -> str:
        raise ValueError


class NoJson(dict[Any, Any]):
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), '"2026-01-02T03:04:00Z"'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        (decimal.Decimal("1.50"), '"1.50"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Path("/tmp/a"), '"/tmp/a"'),
        (Colour.RED, '"red"'),
        (Word.YES, "yes"),
        ({3}, "[3]"),
        (frozenset(), "[]"),
        ((1, "a"), '[1,"a"]'),
        (Named(1, 2), "[1,2]"),
        (collections.OrderedDict(a=1), '{"a":1}'),
        (
            Model(at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC), more=1),
            '{"at":"2026-01-02T00:00:00Z","more":1}',
        ),
        (Node("a", Node("b")), '{"name":"a","inner":{"name":"b","inner":null}}'),
        ({"a": b"\x00\xff"}, '{"a":"AP8="}'),
        (float("inf"), '"Infinity"'),
        ([Secret("hunter22")], '["••••••"]'),
        ("caf\udce9.txt", "caf?.txt"),
        ([NoRepr()], '["<NoRepr>"]'),
        (bytearray(b"ab"), "[2 bytes of binary data, base64: YWI=]"),
        (memoryview(b"ab"), "[2 bytes of binary data, base64: YWI=]"),
        (memoryview(b"abcd")[::2], "[2 bytes of binary data, base64: YWM=]"),
        (b"", "[0 bytes of binary data, base64: ]"),
    ],
)
async def test_values_become_what_json_has_for_them(value: Any, text: str) -> None:
    assert result_text(value) == shown(value).content == text

    async def give() -> Any:
        return value

    result = await run(give)
    assert (result.content, result.is_error, result.is_cut) == (text, False, False)
    assert result.value is value


def test_what_json_cannot_say_is_described() -> None:
    itself: list[Any] = [1]
    itself.append(itself)
    assert result_text(itself) == "[1, [...]]"
    assert result_text({(1, 2): 3}) in ('{"1,2":3}', "{(1, 2): 3}")
    assert "Failing(x=1)" in result_text(Failing(x=1))
    broken = NoJson()
    broken["me"] = broken
    assert result_text(broken) == "<NoJson>"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep).content
    node = Node("a")
    node.inner = node
    assert "Node(" in result_text(node)
    assert shown(Node("x" * 100_000, itself)).content


def test_an_unawaited_coroutine_inside_a_result_is_named_and_closed() -> None:
    async def fetch() -> None: ...

    assert result_text([fetch()]) == '["<coroutine fetch, never awaited>"]'
    gc.collect()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=30,
)


@settings(max_examples=80, deadline=None)
@given(JSON, st.integers(0, 200))
def test_a_large_value_is_written_as_a_small_one_would_be(value: Any, padding: int) -> None:
    large = {
        "value": value,
        "filler": ["x" * 200] * (100 + padding),
        7: (value,),
        "s": "y" * 20_000,
    }
    assert not is_small(large)
    text, length = text_of(large, 10_000_000)
    assert text == result_text(large)
    assert length == len(text)
    head, length = text_of(large, 500)
    assert result_text(large).startswith(head[:500])
    assert (len(head) >= 500, length) == (True, None)


def test_a_large_structure_that_holds_itself_is_described() -> None:
    itself: dict[str, Any] = {"filler": ["x" * 100] * 1_000}
    itself["me"] = {"again": [itself]}
    content = shown(itself, 50).content
    assert content.startswith("{'filler': ['xxx")
    assert "[cut: 50 of" in content


async def test_a_hundred_megabytes_are_cut_and_never_written_out() -> None:
    big = {"rows": [{"text": "x" * 100_000} for _ in range(1_000)], "last": "end"}
    written: list[int] = []

    async def give() -> Any:
        return big

    def scrub(text: str) -> str:
        written.append(len(text))
        return text

    result = await run(give, scrub=scrub)
    assert result.value is big
    assert result.is_cut
    assert result.content.endswith("\n[cut: 65536 characters of a longer result are shown]")
    assert max(written) < 2_000_000


async def test_l3_the_loop_goes_on_while_a_huge_result_is_read() -> None:
    """Whoever reads it runs beside the loop, and in pieces: the loop takes turns meanwhile."""
    reading, beaten = threading.Event(), threading.Event()

    class Row(dict[str, str]):
        def items(self) -> Any:
            reading.set()
            assert beaten.wait(5)  # never, if the loop itself were reading
            return super().items()

    rows = [Row(text="x" * 20_000) for _ in range(60)]

    async def give() -> Any:
        return rows

    async def beat() -> None:
        while not reading.is_set():
            await asyncio.sleep(0)
        beaten.set()

    beating = asyncio.create_task(beat())
    result = await run(give)
    assert (result.is_error, result.is_cut) == (False, True)
    await beating


@pytest.mark.parametrize(
    ("text", "max_bytes", "content"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc\n[cut: 3 of 4 characters are shown]"),
        ("üü", 4, "üü"),
        ("üü", 3, "ü\n[cut: 1 of 2 characters are shown]"),
        ("😀", 3, "\n[cut: 0 of 1 characters are shown]"),
    ],
)
def test_the_limit_counts_bytes_and_cuts_no_character(
    text: str, max_bytes: int, content: str
) -> None:
    result = shown(text, max_bytes)
    assert (result.content, result.is_cut) == (content, text != content)
    assert result.value == text


@settings(max_examples=60, deadline=None)
@given(st.text(), st.integers(1, 40))
def test_no_text_is_longer_than_its_limit_and_its_note(text: str, max_bytes: int) -> None:
    result = shown(text, max_bytes)
    body = result.content.split("\n[cut:")[0] if result.is_cut else result.content
    assert len(body.encode()) <= max_bytes
    assert result.is_cut is (len(text.encode(errors="replace")) > max_bytes)


# --- pictures, files, sound -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (bytearray(PNG), "image/png"),
        (memoryview(JPEG), "image/jpeg"),
        (b"GIF89a" + b"\x00" * 9, "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_bytes_of_a_picture_are_shown_as_one(data: Any, kind: str) -> None:
    result = shown(data)
    assert result.parts == (picture(bytes(data), kind),)
    assert result.content == f"[{kind}, {len(url_of(kind, data)) * 3 // 4} bytes]"
    assert result.value is data
    assert result.to_message()["content"][1] == picture(bytes(data), kind)


class Plot:
    """Shows itself in notebooks, as pictures of Pillow and figures do."""

    def __init__(self, drawn: Any) -> None:
        self.drawn = drawn

    def _repr_png_(self) -> Any:
        if isinstance(self.drawn, Exception):
            raise self.drawn
        return self.drawn

    def __str__(self) -> str:
        return "a plot"


@pytest.mark.parametrize("drawn", [PNG, base64.b64encode(PNG).decode(), (PNG, {"width": 3})])
async def test_an_object_that_shows_itself_as_a_picture_is_one(drawn: Any) -> None:
    def draw() -> Plot:
        return Plot(drawn)

    result = await run(draw)
    assert result.parts == (picture(PNG),)


@pytest.mark.parametrize("drawn", [None, ValueError("no"), "no base64", b"no picture", (), 7])
def test_an_object_that_cannot_show_itself_is_text(drawn: Any) -> None:
    result = shown(Plot(drawn))
    assert (result.content, result.parts) == ('"a plot"', ())


@pytest.mark.parametrize(
    "part",
    [
        image_part("https://example.com/a.png", detail="low"),
        image_part(PNG),
        file_part(b"%PDF-1.7 ", filename="a.pdf"),
        audio_part(b"RIFF\x00\x00\x00\x00WAVEfmt "),
        video_part("https://example.com/a.mp4"),
        {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": None, "n": [1]}},
    ],
)
async def test_content_parts_are_passed_on(part: Any) -> None:
    async def give() -> Any:
        return part

    result = await run(give)
    assert result.parts == (part,)
    assert result.content.startswith("[")
    assert not result.is_cut
    json.dumps(result.to_message())


def test_texts_and_parts_keep_their_order() -> None:
    result = shown(
        ["One:", text_part("Two:"), image_part(PNG), "Three:", JPEG, {"x": 1}, Plot(PNG)]
    )
    assert result.content == "One:\nTwo:"
    assert result.parts == (
        picture(PNG),
        {"type": "text", "text": "Three:"},
        picture(JPEG, "image/jpeg"),
        {"type": "text", "text": '{"x":1}'},
        picture(PNG),
    )
    assert shown([text_part("a"), "b"]).content == "a\nb"
    assert shown(text_part("a")).content == "a"


@pytest.mark.parametrize(
    "value",
    [
        {"type": "file", "size": 3},
        {"type": "file", "file": "a.txt"},
        {"type": "file", "file": {"size": 3}},
        {"type": "text", "text": 3},
        {"type": "text", "text": "a", "author": "b"},
        {"type": "image_url", "image_url": {"address": "x"}},
        {"type": ["text"], "text": "a"},
        {"type": "note", "note": {"url": "x"}},
        ["a", "b"],
        [],
    ],
)
def test_data_that_only_looks_like_a_part_stays_data(value: Any) -> None:
    result = shown(value)
    assert (json.loads(result.content), result.parts) == (value, ())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (PNG + b"\x00" * 7_000_000, "image/png of 6.7 MiB, too large"),
        ({"type": "file", "file": {"file_data": "data:," + "x" * 9_000_000}}, "file of 6.4 MiB"),
        (
            {"type": "input_audio", "input_audio": {"data": "A" * 9_000_000, "format": "wav"}},
            "audio of",
        ),
        ({"type": "image_url", "image_url": {"url": "data:," + "x" * 9_000_000}}, "image of"),
    ],
)
def test_a_part_that_is_too_large_is_a_note(value: Any, words: str) -> None:
    result = shown(value)
    said = result.content + json.dumps(result.parts)
    assert words in said
    assert len(said) < 500
    assert result.value is value


def test_texts_among_parts_share_the_limit() -> None:
    result = shown(["abcd", PNG, "efgh", PNG, "ijkl"], 6)
    assert result.content == "abcd"
    texts = [part["text"] for part in result.parts if part["type"] == "text"]
    assert texts[0].startswith("ef\n[cut: 2 of 4")
    assert texts[1].startswith("\n[cut: 0 of 4")
    assert result.is_cut


async def test_secrets_are_taken_out_of_every_text_and_address() -> None:
    def look(token: Secret) -> Any:
        value = token.reveal()
        return [
            f"first {value}",
            image_part(f"https://example.com/{value}.png"),
            text_part(f"then {value}"),
            {"type": "file", "file": {"filename": f"{value}.pdf", "file_data": "data:,x"}},
            "and hunter3333",
        ]

    context = ToolContext[Any](secrets={"token": "tok-12345"})
    result = await run(look, {}, context, scrub=lambda text: text.replace("hunter3333", "[key]"))
    said = result.content + json.dumps(result.parts)
    assert "tok-12345" not in said
    assert "hunter3333" not in said
    assert "[key]" in said
    assert "data:,x" in said


@pytest.mark.parametrize("filler", [0, 1_179_000, 1_179_640, 1_310_700, 3_000_000])
def test_a_secret_where_a_huge_text_is_no_longer_read_is_not_shown_in_half(filler: int) -> None:
    key = "~" * 5_000

    def clean(text: str) -> str:
        return text.replace("x" * 1_000, "").replace(key, "[key]")

    result = shown("x" * filler + key * 300, 65_536, clean)
    assert "~~" not in result.content


# --- whole results --------------------------------------------------------------------------------


async def test_a_whole_result_keeps_what_it_says_and_gets_the_calls_ids() -> None:
    given = ToolResult(
        call_id="x",
        name="y",
        content="abcdef",
        is_error=True,
        value=[1],
        parts=[image_part(PNG), {"type": "text", "text": "zz"}],
        is_cut=True,
    )

    async def give() -> ToolResult:
        return given

    result = await run(give, max_result_bytes=7)
    assert (result.call_id, result.name, result.value) == ("call_1", "give", [1])
    assert (result.is_error, result.is_cut, result.content) == (True, True, "abcdef")
    assert result.parts[0] == picture(PNG)
    assert str(result.parts[1]["text"]).startswith("z\n[cut: 1 of 2")
