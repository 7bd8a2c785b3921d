"""What a chat request says, read leniently."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mbxai.testing._json_views import Json, as_list, as_object, as_text, is_object

ANSWERED: Final = " answered: "
"""Stands before a tool result that the fake model quotes, so that it finds it again later."""

_HANDLE: Final = re.compile(r"""secret://[^\s"'\\,}]+""")
_LISTED: Final = re.compile(r"^- ([a-zA-Z0-9_-]+): ", re.MULTILINE)
_MARKED: Final = re.compile(
    r"<(?P<tag>data-[0-9a-f]+) [^>]*>\n(?P<inner>.*)\n</(?P=tag)>", re.DOTALL
)
_QUOTED: Final = re.compile(re.escape(ANSWERED))
_ESCAPED: Final = re.compile(r"\\(.)")
_MOST_ESCAPES: Final = 4
_TASK_KEY: Final = re.compile(r"""['"`[]t(\d{1,6})\b""")


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool of the request.

    Attributes:
        name: Its name.
        parameters: JSON Schema of its arguments.
    """

    name: str
    parameters: Json


class Conversation:
    """Questions to one request body."""

    def __init__(self, body: Json) -> None:
        """Keep the body of a `/chat/completions` request."""
        self.body = body
        self.messages = [as_object(message) for message in as_list(body.get("messages"))]

    @property
    def schema_name(self) -> str | None:
        """Name of the JSON Schema that the answer must fit; None if none is wanted."""
        wanted = as_object(self.body.get("response_format"))
        return as_text(as_object(wanted.get("json_schema")).get("name")) or None

    @property
    def schema(self) -> object | None:
        """The JSON Schema that the answer must fit; None if none is wanted."""
        wanted = as_object(self.body.get("response_format"))
        if wanted.get("type") != "json_schema":
            return None
        return as_object(wanted.get("json_schema")).get("schema", {})

    @property
    def wants_json(self) -> bool:
        """Whether any JSON object will do (`json_object`)."""
        return as_object(self.body.get("response_format")).get("type") == "json_object"

    @property
    def wants_stream(self) -> bool:
        """Whether the answer is to be streamed."""
        return self.body.get("stream") is True

    def tools(self) -> list[OfferedTool]:
        """Return the functions that may be called."""
        functions = [
            as_object(as_object(t).get("function")) for t in as_list(self.body.get("tools"))
        ]
        return [
            OfferedTool(as_text(function.get("name")), as_object(function.get("parameters")))
            for function in functions
            if as_text(function.get("name"))
        ]

    def tool_choice(self) -> str:
        """Return `auto`, `none`, `required`, or `=` and the name of the tool to call."""
        choice = self.body.get("tool_choice")
        if is_object(choice):
            return "=" + as_text(as_object(choice.get("function")).get("name"))
        return as_text(choice) or "auto"

    def last_user_text(self) -> str:
        """Return the text of the last user message; empty if there is none."""
        users = [message for message in self.messages if message.get("role") == "user"]
        return text_of(users[-1]) if users else ""

    def turn(self) -> list[Json]:
        """Return the messages after the last user message."""
        for at in range(len(self.messages) - 1, -1, -1):
            if self.messages[at].get("role") == "user":
                return self.messages[at + 1 :]
        return self.messages

    def texts(self) -> list[str]:
        """Return everything that was said, the arguments of tool calls included."""
        said: list[str] = []
        for message in self.messages:
            said.append(text_of(message))
            said.extend(
                as_text(as_object(as_object(call).get("function")).get("arguments"))
                for call in as_list(message.get("tool_calls"))
            )
        return said

    def contains(self, text: str) -> bool:
        """Return whether the text stands in one of the messages."""
        return any(text in said for said in self.texts())

    def handles(self) -> dict[str, str]:
        """Return the `secret://` handles by their last segment; later ones win."""
        found: dict[str, str] = {}
        for text in self.texts():
            for match in _HANDLE.findall(text):
                handle: str = match.rstrip(".;:!?)]>`*")
                found[handle.rsplit("/", 1)[-1]] = handle
        return found

    def results(self) -> list[tuple[str, str]]:
        """Return (tool, result text) of the turn's answered calls, in their order."""
        names = dict(_calls(self.turn()))
        return [
            (names.get(as_text(message.get("tool_call_id")), "tool"), _unmarked(text_of(message)))
            for message in self.turn()
            if message.get("role") == "tool"
        ]

    def called(self, *, anywhere: bool = False) -> set[str]:
        """Return the names of the tools that were called in this turn, or at any time."""
        return {name for _, name in _calls(self.messages if anywhere else self.turn())}

    def last_task_key(self) -> int:
        """Return the highest number of the task keys (`"t1"`) that were named; 0 if none was."""
        return max(
            (int(key) for text in self.texts() for key in _TASK_KEY.findall(text)), default=0
        )

    def _described_tools(self) -> list[str]:
        """The tools that an agent lists in words when it plans; all of them are relevant."""
        _, heading, listed = self.last_user_text().partition("# Available tools\n")
        return _LISTED.findall(listed.split("\n\n")[0]) if heading else []

    def facts(self) -> dict[str, object]:
        """Return what the tools told, by key; of lists the last object counts, later ones win."""
        quoted: Json = {"relevant_tools": names} if (names := self._described_tools()) else {}
        told: Json = {}
        for message in self.messages:
            text = _unmarked(text_of(message))
            if message.get("role") == "tool":
                told |= _object_in(_parsed(text))
            for match in _QUOTED.finditer(text):
                quoted |= _object_in(_leading_json(text[match.end() :]))
        return quoted | told


def text_of(message: Json) -> str:
    """Return the text of a message, whose content may be a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(as_text(as_object(part).get("text")) for part in as_list(content))


def _unmarked(text: str) -> str:
    """Return a tool's result without the marks by which an agent shows it as data."""
    found = _MARKED.fullmatch(text)
    return found["inner"] if found else text


def _calls(messages: list[Json]) -> Iterator[tuple[str, str]]:
    for message in messages:
        for call in map(as_object, as_list(message.get("tool_calls"))):
            yield as_text(call.get("id")), as_text(as_object(call.get("function")).get("name"))


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        starts = (text.find(mark) for mark in "[{")
        found = (_leading_json(text[at:]) for at in sorted(starts) if at >= 0)
        return next((value for value in found if value is not None), None)


def _leading_json(text: str) -> object:
    # A quoted result may stand in a JSON string in a JSON string, each escaping it once more.
    for _ in range(_MOST_ESCAPES):
        with contextlib.suppress(ValueError, RecursionError):
            return json.JSONDecoder().raw_decode(text)[0]
        text = _ESCAPED.sub(r"\1", text)
    return None


def _object_in(value: object) -> Json:
    objects = [one for one in as_list(value) if is_object(one)]
    return as_object(objects[-1] if objects else value)
