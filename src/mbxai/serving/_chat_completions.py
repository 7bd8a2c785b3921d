"""A tool client's answers in the shape of OpenAI's chat completions. Pure.

Source of the shapes: OpenAI's API reference, chat completions; the service's own tools are run by
it, so a caller sees the final answer and never a tool call.
"""

import json
import math
from typing import Any, Final, TypeAlias

from mbxai.errors import (
    BadRequestError,
    BudgetExceededError,
    ConfigurationError,
    MBXAIError,
    OpenRouterConfigurationError,
    OpenRouterError,
    OpenRouterTimeoutError,
    RateLimitError,
    ToolLoopError,
)
from mbxai.serving._problems import Problem
from mbxai.wire import ChatCompletion, ChatCompletionChunk, Usage

Wire: TypeAlias = dict[str, Any]  # Any: JSON of the wire

CHAT_DONE: Final = b"data: [DONE]\n\n"
"""The end of a stream that is whole."""

NEEDS_APPROVAL: Final = Problem(
    403, "approval_required", "A tool wants the approval of a person, who cannot be asked here."
)

_UPSTREAM = Problem(502, "upstream_error", "The model cannot be reached at the moment.")
_TIMEOUT = Problem(504, "upstream_timeout", "The model did not answer in time.")
_LOOP = Problem(500, "tool_loop", "The model did not come to an end with its tools.")
_BUDGET = Problem(403, "budget_exceeded", "The budget of this service is used up.")
_UNKNOWN = Problem(500, "internal_error", "Something went wrong in the service.")
_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def completion_of(completion: ChatCompletion, model: str) -> Wire:
    """Return a whole answer.

    Args:
        completion: What the client gave.
        model: The name under which the caller asked.
    """
    choices: list[Wire] = []
    for index, choice in enumerate(completion.choices):
        message: Wire = {"role": "assistant", "content": choice.message.content}
        message["refusal"] = choice.message.refusal
        if choice.message.reasoning:
            message["reasoning"] = choice.message.reasoning
        known = {"index": index, "message": message, "logprobs": None}
        choices.append(known | {"finish_reason": choice.finish_reason or "stop"})
    return {
        "id": completion.id,
        "object": "chat.completion",
        "created": completion.created or 0,
        "model": model,
        "choices": choices,
        "usage": _usage(completion.usage),
    }


class ChatChunks:
    """The chunks of one streamed answer."""

    def __init__(self, model: str) -> None:
        """Start before the first chunk.

        Args:
            model: The name under which the caller asked.
        """
        self._model = model
        self._id = ""
        self._created = 0

    def add(self, chunk: ChatCompletionChunk) -> Wire | None:
        """Return what a chunk is for the caller; None where it adds nothing to see.

        Args:
            chunk: What the client gave.
        """
        is_first = not self._id
        self._id = self._id or chunk.id or "chatcmpl"
        self._created = self._created or chunk.created or 0
        choice = chunk.choices[0] if chunk.choices else None
        if choice is None:
            return None
        fields = {"content": choice.delta.content, "refusal": choice.delta.refusal}
        fields["reasoning"] = choice.delta.reasoning
        delta: Wire = {name: value for name, value in fields.items() if value}
        if is_first:
            delta = {"role": "assistant", "content": ""} | delta
        if not delta and choice.finish_reason is None:
            return None
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": choice.finish_reason}])

    def usage(self, usage: Usage | None) -> Wire:
        """Return the chunk that says what the answer took.

        Args:
            usage: The sum of all rounds.
        """
        return self._chunk([]) | {"usage": _usage(usage)}

    def _chunk(self, choices: list[Wire]) -> Wire:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }


def encode_chat(value: Wire) -> bytes:
    """Return a chunk or an error as a server-sent event.

    Args:
        value: The JSON object.
    """
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode(errors="replace")


def chat_error(problem: Problem, param: str | None = None) -> Wire:
    """Return a problem as OpenAI's error object.

    Args:
        problem: What went wrong.
        param: The field of the request that it is about.
    """
    usual = "invalid_request_error" if problem.status < 500 else "server_error"
    return {
        "error": {
            "message": problem.message,
            "type": _TYPES.get(problem.status, usual),
            "param": param,
            "code": problem.code,
        }
    }


def chat_problem_of(error: MBXAIError) -> Problem:
    """Return what a caller is told of an error; how the service reaches its model is its own.

    Args:
        error: What was raised.
    """
    if isinstance(error, RateLimitError):
        retry = error.retry_after
        after = 1 if retry is None else math.ceil(retry)
        return Problem(429, "rate_limit_exceeded", "The model is asked too often.", "", after)
    if isinstance(error, BadRequestError):
        return Problem(400, "invalid_request", "The model's provider refused it.", str(error))
    if isinstance(error, OpenRouterConfigurationError):
        return _UNKNOWN
    if isinstance(error, ConfigurationError):
        return Problem(400, "invalid_request", "The request cannot be carried out.", str(error))
    if isinstance(error, BudgetExceededError):
        return _BUDGET
    if isinstance(error, OpenRouterTimeoutError):
        return _TIMEOUT
    if isinstance(error, ToolLoopError):
        return _LOOP
    return _UPSTREAM if isinstance(error, OpenRouterError) else _UNKNOWN


def _usage(usage: Usage | None) -> Wire:
    found = usage or Usage()
    prompt, completion = found.prompt_tokens or 0, found.completion_tokens or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": found.total_tokens or prompt + completion,
    }
