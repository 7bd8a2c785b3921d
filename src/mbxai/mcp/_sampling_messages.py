"""A server's request to our model, as our client's parameters, and its answer back. Pure.

Servers write JSON of the protocol (`sampling/createMessage`), in camelCase.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from mbxai.wire import ChatCompletion, Message

_AUDIO_FORMATS: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "audio/mp4": "m4a",
}
_STOP_REASONS: Final = {
    "stop": "endTurn",
    "length": "maxTokens",
    "tool_calls": "toolUse",
    "content_filter": "contentFilter",
}
_MAX_STOPS: Final = 4  # more are not taken by the wire


class UnusableRequestError(ValueError):
    """A request that says nothing a model could be asked; tells the server why."""


def request_params(params: Mapping[str, Any], *, max_tokens: int) -> dict[str, Any]:  # Any: JSON
    """Return our client's parameters for a server's request.

    `includeContext` and `metadata` are left out: no other server's data is given away, and the
    provider is told nothing that only the server knows the meaning of.

    Args:
        params: Parameters of `sampling/createMessage`.
        max_tokens: Most tokens of an answer; the server may ask for fewer.

    Returns:
        `messages` and what else was said, under the names of `create()`.

    Raises:
        UnusableRequestError: The request is none of the protocol.
    """
    wanted: object = params.get("maxTokens")
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise UnusableRequestError("maxTokens must be a positive whole number")
    request: dict[str, Any] = {
        "messages": _messages(params),
        "max_tokens": min(wanted, max_tokens),
    }
    temperature: object = params.get("temperature")
    if isinstance(temperature, (int, float)):
        request["temperature"] = temperature
    stops = [stop for stop in _list(params.get("stopSequences")) if isinstance(stop, str) and stop]
    if stops:
        request["stop"] = stops[:_MAX_STOPS]
    tools = [_tool(tool) for tool in _list(params.get("tools"))]
    if tools:
        request["tools"] = tools
        mode = _object(params.get("toolChoice")).get("mode")
        if mode in ("auto", "required", "none"):
            request["tool_choice"] = mode
    return request


def chosen_model(params: Mapping[str, Any], models: Sequence[str]) -> str | None:
    """Return which of the allowed models a server's hints mean.

    Args:
        params: Parameters of `sampling/createMessage`.
        models: Models that may be used.

    Returns:
        The first allowed model that holds the first matching hint, as the protocol orders hints;
        without one the first allowed model, and None where nothing is listed. Priorities of cost,
        speed and intelligence do not choose: the list's order does.
    """
    hints = _list(_object(params.get("modelPreferences")).get("hints"))
    for hint in hints:
        name: object = _object(hint).get("name")
        wanted = name.casefold() if isinstance(name, str) else ""
        for model in models if wanted else ():
            if wanted in model.casefold():
                return model
    return models[0] if models else None


def result_of(completion: ChatCompletion, *, model: str, with_tools: bool) -> dict[str, Any]:
    """Return an answer as a server gets it.

    Args:
        completion: Our model's answer.
        model: What to call the model where the answer does not say.
        with_tools: Whether the request offered tools; only then content may be a list.

    Returns:
        A `CreateMessageResult` as JSON. An answer that was cut has `stopReason` "maxTokens".

    Raises:
        UnusableRequestError: The answer holds nothing that the protocol can carry.
    """
    choice = completion.choices[0]
    cut = choice.finish_reason == "length"
    blocks = _blocks(choice.message, cut=cut) if with_tools else _plain_blocks(choice.message)
    called = any(block["type"] == "tool_use" for block in blocks)
    reason = "toolUse" if called and not cut else _STOP_REASONS.get(choice.finish_reason or "stop")
    return {
        "role": "assistant",
        "content": blocks[0] if len(blocks) == 1 else blocks,
        "model": completion.model or model or "unknown",
        "stopReason": reason or str(choice.finish_reason),
    }


# --- requests -------------------------------------------------------------------------------------


def _messages(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    system: object = params.get("systemPrompt")
    if isinstance(system, str) and system:
        messages.append({"role": "system", "content": system})
    given = _list(params.get("messages"))
    for message in given:
        role: object = _object(message).get("role")
        content: object = _object(message).get("content")
        blocks = [_object(block) for block in (_list(content) or [content])]
        if role == "assistant":
            messages.append(_assistant_message(blocks))
        elif role == "user":
            messages.extend(_user_messages(blocks))
        else:
            raise UnusableRequestError("each message needs the role user or assistant")
    if not given:
        raise UnusableRequestError("messages must not be empty")
    return messages


def _user_messages(blocks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    results = [_tool_message(block) for block in blocks if block.get("type") == "tool_result"]
    parts = [_part(block) for block in blocks if block.get("type") != "tool_result"]
    if not parts:
        return results
    only_text = len(parts) == 1 and parts[0]["type"] == "text"
    return [*results, {"role": "user", "content": parts[0]["text"] if only_text else parts}]


def _assistant_message(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    texts = [str(block.get("text") or "") for block in blocks if block.get("type") == "text"]
    calls = [
        {
            "id": str(block.get("id") or ""),
            "type": "function",
            "function": {
                "name": str(block.get("name") or ""),
                "arguments": json.dumps(_object(block.get("input"))),
            },
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    if not texts and not calls:
        raise UnusableRequestError("an assistant's message needs text or a call of a tool")
    message: dict[str, Any] = {"role": "assistant", "content": "\n".join(texts) or None}
    if calls:
        message["tool_calls"] = calls
    return message


def _tool_message(block: Mapping[str, Any]) -> dict[str, Any]:
    texts = [_result_text(_object(part)) for part in _list(block.get("content"))]
    if not texts and block.get("structuredContent") is not None:
        texts = [json.dumps(block["structuredContent"])]
    text = "\n".join(texts)
    if block.get("isError"):
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": str(block.get("toolUseId") or ""), "content": text}


def _result_text(part: Mapping[str, Any]) -> str:
    text: object = part.get("text")
    return text if isinstance(text, str) else f"[{part.get('type') or 'content'}]"


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    kind, data = block.get("type"), block.get("data")
    media_type = str(block.get("mimeType") or "")
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    if kind == "image" and isinstance(data, str) and media_type.startswith("image/"):
        url = f"data:{media_type};base64,{data}"
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "audio" and isinstance(data, str) and media_type in _AUDIO_FORMATS:
        sound = {"data": data, "format": _AUDIO_FORMATS[media_type]}
        return {"type": "input_audio", "input_audio": sound}
    raise UnusableRequestError(f"content of the type {str(kind)[:40]!r} cannot be given to a model")


def _tool(tool: object) -> dict[str, Any]:
    given = _object(tool)
    name: object = given.get("name")
    if not isinstance(name, str) or not name:
        raise UnusableRequestError("each tool needs a name")
    parameters = _object(given.get("inputSchema")) or {"type": "object", "properties": {}}
    function = {
        "name": name,
        "description": str(given.get("description") or ""),
        "parameters": dict(parameters),
    }
    return {"type": "function", "function": function}


# --- answers --------------------------------------------------------------------------------------


def _plain_blocks(message: Message) -> list[dict[str, Any]]:
    """Return the one block that a request without tools is answered with."""
    text = message.content or message.refusal or ""
    pictures = [] if text else _pictures(message)
    return pictures[:1] or [{"type": "text", "text": text}]


def _blocks(message: Message, *, cut: bool) -> list[dict[str, Any]]:
    text = message.content or message.refusal or ""
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    blocks += _pictures(message)
    for call in message.tool_calls or ():
        arguments = _arguments(call.function.arguments)
        if arguments is not None:
            block = {"type": "tool_use", "id": call.id, "name": call.function.name}
            blocks.append({**block, "input": arguments})
        elif not cut:  # half a call of a cut answer is left out, and the cut is said
            raise UnusableRequestError("the model called a tool with arguments that are no object")
    return blocks or [{"type": "text", "text": ""}]


def _pictures(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for image in message.images or ():
        head, comma, data = image.image_url.url.partition(";base64,")
        if comma and head.startswith("data:image/"):
            media_type = head.removeprefix("data:")
            blocks.append({"type": "image", "data": data, "mimeType": media_type})
    return blocks


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        value: object = json.loads(text or "{}")
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, (list, tuple)) else []
