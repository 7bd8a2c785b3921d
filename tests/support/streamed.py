"""Answers of every kind, whole and as one of the many streams that say the same."""

from typing import Any

from hypothesis import strategies as st

Drawn = Any

TEXT = st.text(max_size=12)
WORD = st.sampled_from(["a", "b", "c_d"])
TOKEN = st.fixed_dictionaries({"token": TEXT, "logprob": st.floats(-5, 0), "bytes": st.none()})
ATTACHMENTS = {
    "images": st.builds(
        lambda data: {"type": "image_url", "image_url": {"url": f"data:image/png,{data}"}}, WORD
    ),
    "annotations": st.one_of(
        st.builds(
            lambda title: {"type": "url_citation", "url_citation": {"url": "x:y", "title": title}},
            TEXT,
        ),
        st.builds(lambda name: {"type": "file", "file": {"hash": "h", "name": name}}, TEXT),
    ),
}
USAGES = st.builds(
    lambda count, cost: {
        "prompt_tokens": count,
        "completion_tokens": count,
        "total_tokens": 2 * count,
        "cost": cost,
        "prompt_tokens_details": {"cached_tokens": count},
        "server_tool_use": {"web_search_requests": 1},
    },
    st.integers(0, 9),
    st.floats(0, 1),
)


@st.composite
def messages(draw: Drawn) -> dict[str, Any]:
    """An assistant message."""
    message: dict[str, Any] = {"role": "assistant"}
    for name in ("content", "reasoning", "refusal"):
        if draw(st.booleans()):
            message[name] = draw(TEXT)
    if draw(st.booleans()):
        message["reasoning_details"] = [
            draw(_detail(index)) for index in range(draw(st.integers(0, 3)))
        ]
    if calls := draw(st.integers(0, 3)):
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": draw(WORD), "arguments": draw(TEXT)},
            }
            for number in range(calls)
        ]
    for name, kind in ATTACHMENTS.items():
        if items := draw(st.lists(kind, max_size=2)):
            message[name] = items
    if draw(st.booleans()):
        message["audio"] = {
            "id": "au",
            "data": draw(TEXT),
            "transcript": draw(TEXT),
            "expires_at": 9,
        }
    if draw(st.booleans()):
        message["new_field"] = {"deep": [draw(TEXT)]}
    return message


@st.composite
def completions(draw: Drawn) -> dict[str, Any]:
    """A whole answer, as a server gives it."""
    choices: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 2))):
        choice = {
            "index": index,
            "message": draw(messages()),
            "finish_reason": draw(st.sampled_from(["stop", "length", "tool_calls", "new"])),
            "native_finish_reason": draw(st.sampled_from(["STOP", "end_turn"])),
        }
        if draw(st.booleans()):
            choice["logprobs"] = {"content": draw(st.lists(TOKEN, min_size=1, max_size=3))}
        choices.append(choice)
    return {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 7,
        "model": "a/b",
        "provider": "P",
        "service_tier": "default",
        "system_fingerprint": "fp",
        "choices": choices,
        "usage": draw(USAGES),
    }


@st.composite
def chunks_of(draw: Drawn, whole: dict[str, Any]) -> list[dict[str, Any]]:
    """One of the streams that say the same as a whole answer."""
    head = {key: whole[key] for key in ("id", "created", "model", "provider")}
    tracks = [_choice_pieces(draw, choice) for choice in whole["choices"]]
    rare = {key: whole[key] for key in ("service_tier", "system_fingerprint")}
    chunks = [{**head, "object": "chat.completion.chunk", "choices": [], **rare}]
    for piece in _merged(draw, tracks):
        if len(chunks) > 1 and draw(st.booleans()) and _is_of_another(piece, chunks[-1]):
            chunks[-1]["choices"].append(piece)  # one chunk may speak of several answers
        else:
            chunks.append({**head, "choices": [piece]})
    return [*chunks, {**head, "choices": [], "usage": whole["usage"]}]


def _is_of_another(piece: dict[str, Any], chunk: dict[str, Any]) -> bool:
    return all(piece["index"] != choice["index"] for choice in chunk["choices"])


def _choice_pieces(draw: Drawn, choice: dict[str, Any]) -> list[dict[str, Any]]:
    index, message = choice["index"], choice["message"]
    tracks = [
        [{name: piece} for piece in _cut(draw, message[name])]
        for name in ("content", "reasoning", "refusal")
        if name in message
    ]
    tracks += [
        [{name: [item]} for item in message[name]] for name in ATTACHMENTS if name in message
    ]
    if "reasoning_details" in message:
        pieces = [piece for part in message["reasoning_details"] for piece in _cut_part(draw, part)]
        tracks.append([{"reasoning_details": []}, *({"reasoning_details": [p]} for p in pieces)])
    if "tool_calls" in message:
        tracks.append(_cut_calls(draw, message["tool_calls"]))
    if "audio" in message:
        audio = message["audio"]
        parts = [{"id": audio["id"]}, {"expires_at": audio["expires_at"]}]
        parts += [
            {key: piece} for key in ("data", "transcript") for piece in _cut(draw, audio[key])
        ]
        tracks.append([{"audio": part} for part in parts])
    if "new_field" in message:
        tracks.append([{"new_field": message["new_field"]}])
    deltas = [{"role": "assistant"}, *_merged(draw, tracks)]
    pieces = [{"index": index, "delta": delta, "finish_reason": None} for delta in deltas]
    tokens = choice.get("logprobs", {}).get("content", [])
    more = [{"index": index, "delta": {}, "logprobs": {"content": [token]}} for token in tokens]
    ends = {key: choice[key] for key in ("finish_reason", "native_finish_reason")}
    return [*_merged(draw, [pieces, more]), {"index": index, "delta": {}, **ends}]


@st.composite
def _detail(draw: Drawn, index: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(["text", "summary", "encrypted", "server_tool_call"]))
    part = {"type": f"reasoning.{kind}", "index": index, "format": "f-v1", "id": f"rs_{index}"}
    if kind == "text":
        signed = {"signature": "sig"} if draw(st.booleans()) else {}
        return {**part, "text": draw(TEXT), **signed}
    if kind == "summary":
        return {**part, "summary": draw(TEXT)}
    return {**part, "data": draw(TEXT)}


def _cut_part(draw: Drawn, part: dict[str, Any]) -> list[dict[str, Any]]:
    key = {"reasoning.text": "text", "reasoning.summary": "summary"}.get(part["type"])
    if key is None:
        return [part]
    common = {"type": part["type"], "index": part["index"]}
    pieces = [{**common, key: piece} for piece in _cut(draw, part[key])]
    pieces[0] |= {"format": part["format"], "id": part["id"]}
    if "signature" in part:
        last = pieces[-1] if draw(st.booleans()) else {**common}
        if last is not pieces[-1]:
            pieces.append(last)
        last["signature"] = part["signature"]
    return pieces


def _cut_calls(draw: Drawn, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pieces of calls that begin in order and then grow side by side."""
    waiting = list(enumerate(calls))
    growing: list[list[dict[str, Any]]] = []
    pieces: list[dict[str, Any]] = []
    while waiting or growing:
        if waiting and (not growing or draw(st.booleans())):
            number, call = waiting.pop(0)
            first, *rest = _cut(draw, call["function"]["arguments"])
            function = {**call["function"], "arguments": first}
            pieces.append({**call, "index": number, "function": function})
            growing.append([{"index": number, "function": {"arguments": piece}} for piece in rest])
        else:
            track = draw(st.sampled_from(growing))
            if track:
                pieces.append(track.pop(0))
            growing = [track for track in growing if track]
    return [{"tool_calls": [piece]} for piece in pieces]


def _cut(draw: Drawn, text: str) -> list[str]:
    """The text in one or more pieces, some of them empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def _merged(draw: Drawn, tracks: list[list[Any]]) -> list[Any]:
    """All items of the tracks, each track in its own order."""
    left = [list(track) for track in tracks if track]
    merged: list[Any] = []
    while left:
        track = draw(st.sampled_from(left))
        merged.append(track.pop(0))
        left = [track for track in left if track]
    return merged


def plain(payload: Any) -> Any:
    """What a stream can say: not that a field is null, nor that it is no stream."""
    if isinstance(payload, dict):
        return {
            key: plain(value)
            for key, value in payload.items()
            if value is not None and key != "object"
        }
    return [plain(item) for item in payload] if isinstance(payload, list) else payload
