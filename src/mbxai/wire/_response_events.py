"""The events of a streamed response, and what they add up to.

Source: OpenRouter's published `StreamEvents`. The event that ends a stream carries the whole
response; the builder keeps what came before it, for a stream that breaks off.
"""

from typing import Any, Final

from mbxai.wire._lenient import WireModel, WireObject
from mbxai.wire._responses import OutputContent, OutputItem, Response

# Any in this file: parts of items are open JSON of the wire.

_ENDS: Final = frozenset({"response.completed", "response.incomplete"})
# Where the text of a delta event belongs in its item: the list, the type of its parts, the field.
_PART_DELTAS: Final = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
_FIELD_DELTAS: Final = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}


class ResponseEvent(WireModel):
    """Something that happened while a response was written.

    Attributes:
        type: `response.output_text.delta`, `response.completed` or another word.
        sequence_number: Counts the events of a stream from 0.
        response: The response so far, or the whole one in the event that ends the stream.
        item: An output item that begins or is whole.
        item_id: Which item it is about.
        output_index: That item's place in the output.
        part: A part of an item that begins or is whole.
        content_index: The part's place in the item's content.
        summary_index: The part's place in the item's summary.
        delta: What was added; its `type` says to what.
        text: A text that is whole.
        arguments: Arguments of a function, whole, byte for byte as they came.
        name: That function.
        partial_image_b64: A picture so far, base64.
        code: Code of an interpreter, or of an error.
        message: Of an error.
    """

    type: str = ""
    sequence_number: int | None = None
    response: Response | None = None
    item: OutputItem | None = None
    item_id: str | None = None
    output_index: int | None = None
    part: OutputContent | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    text: str | None = None
    arguments: str | None = None
    name: str | None = None
    partial_image_b64: str | None = None
    code: str | int | None = None
    message: str | None = None

    @property
    def is_end(self) -> bool:
        """Whether the response is whole with this event, or was cut at a limit."""
        return self.type in _ENDS

    @property
    def output_text_delta(self) -> str:
        """What this event adds to the text of the answer; empty where it adds none."""
        return (self.delta or "") if self.type == "response.output_text.delta" else ""


class ResponseBuilder:
    """Adds up the events of a response.

    Attributes:
        is_whole: Whether the event that ends the response has come.
    """

    def __init__(self) -> None:
        """Start before the first event."""
        self._response: Response | None = None
        self._items: dict[int, WireObject] = {}
        self._deltas: dict[tuple[int, str, int], list[str]] = {}
        self.is_whole: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come."""
        return self._response is None and not self._items

    @property
    def id(self) -> str:
        """The id of the response; empty as long as it is unknown."""
        return self._response.id if self._response else ""

    def add(self, event: ResponseEvent) -> None:
        """Take the next event."""
        self.is_whole = self.is_whole or event.is_end
        if event.response is not None:
            # Of the object as it came: an odd field is kept by the outermost model only.
            self._response = Response.from_object(event.to_dict()["response"])
        index = event.output_index or 0
        if event.type in _PART_DELTAS:
            place = event.summary_index if "summary" in event.type else event.content_index
            self._deltas.setdefault((index, event.type, place or 0), []).append(event.delta or "")
        elif event.type in _FIELD_DELTAS:
            self._deltas.setdefault((index, event.type, 0), []).append(event.delta or "")
        elif event.item is not None:
            self._items[index] = event.item.to_dict()
            if event.type == "response.output_item.done":
                self._deltas = {key: text for key, text in self._deltas.items() if key[0] != index}
        elif event.type == "response.function_call_arguments.done" and event.arguments is not None:
            self._deltas[index, "response.function_call_arguments.delta", 0] = [event.arguments]

    def build(self) -> Response:
        """Return the response as far as it has come; the one that the last event told, if it did.

        A last event that leaves the output out, as some do that follow a tool, gets the items that
        came before it.
        """
        if self._response is not None and (self._response.output or not self._items):
            return self._response
        told = self._response.to_dict() if self._response else {}
        return Response.from_object({**told, "output": self._output()})

    def _output(self) -> list[WireObject]:
        places = {*self._items, *(index for index, _, _ in self._deltas)}
        items: dict[int, WireObject] = {place: dict(self._items.get(place, {})) for place in places}
        for (index, kind, place), pieces in sorted(self._deltas.items()):
            _add_text(items[index], kind, place, "".join(pieces))
        return [items[place] for place in sorted(items)]


def _add_text(item: WireObject, kind: str, place: int, text: str) -> None:
    if kind in _FIELD_DELTAS:
        item[_FIELD_DELTAS[kind]] = text
        return
    name, part_type, field = _PART_DELTAS[kind]
    if "type" not in item:
        item["type"] = "message" if part_type in {"output_text", "refusal"} else "reasoning"
    parts: list[Any] = list(item.get(name) or [])
    # Places may be skipped, so this counts parts and does not trust the number.
    old: Any = parts[place] if place < len(parts) else {"type": part_type}
    parts[place : place + 1] = [{**old, field: text}]
    item[name] = parts
