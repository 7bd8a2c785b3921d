"""What a model is told of a call that failed; pure. Never a traceback, never a credential."""

import re
from typing import Final, cast

from mbxai._redaction import MASK, redact
from mbxai.errors import ToolRetry
from mbxai.tools._call import ToolCall
from mbxai.tools.runner._cleaning import Scrubber
from mbxai.wire import ToolResult

_MAX_ERROR_CHARS: Final = 1_000
_MAX_ADVICE_CHARS: Final = 4_000
_MAX_READ_CHARS: Final = 100_000
_MAX_LEAVES: Final = 3
# Clients of databases and the like tell the whole address that they could not reach.
_USER_INFO: Final = re.compile(r"(://[^\s/?#:@]*):[^\s/?#]*@")


class FailedRunError(Exception):
    """Raised by a tool of this library that failed and has a result that tells of it.

    It is a failure like any other: repeated where the tool may be, and what ends a conversation
    with `on_error="raise"`; there, the cause counts, if there is one.

    Attributes:
        result: What the model is told after the last run.
    """

    def __init__(self, result: ToolResult) -> None:
        """Keep the result."""
        super().__init__("the tool said that it failed")
        self.result = result


def failure(call: ToolCall, content: str) -> ToolResult:
    """Return a result that tells of a failure.

    Args:
        call: The call that failed.
        content: What the model is told; secrets that this process knows are taken out.
    """
    return ToolResult(call_id=call.id, name=call.name, content=_hidden(content), is_error=True)


def failure_text(name: str, error: BaseException, clean: Scrubber = str) -> str:
    """Return what a model should know of an exception: what failed, without a traceback.

    Args:
        name: The tool's name.
        error: What its function raised.
        clean: Takes credentials out of the message, before it is cut to size.
    """
    leaves = leaves_of(error)
    shown = "; ".join(_described(leaf) for leaf in leaves[:_MAX_LEAVES])
    more = f"; and {len(leaves) - _MAX_LEAVES} more" if len(leaves) > _MAX_LEAVES else ""
    # First cleaned, then cut: half a secret at the cut would not be recognised.
    return cut(_hidden(clean(f"{name} failed: {shown}{more}")[:_MAX_READ_CHARS]), _MAX_ERROR_CHARS)


def advice_text(advice: ToolRetry, clean: Scrubber) -> str:
    """Return what a tool tells the model to do better.

    Args:
        advice: What its function raised.
        clean: Takes credentials out of it.
    """
    return cut(_hidden(clean(str(advice))[:_MAX_READ_CHARS]), _MAX_ADVICE_CHARS)


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return the exceptions inside groups of exceptions: a tool with a task group raises those.

    Args:
        error: What was raised; without a group, it is the only leaf.
    """
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group = cast("BaseExceptionGroup[BaseException]", error)
    return [leaf for inner in group.exceptions for leaf in leaves_of(inner)]


def cut(text: str, max_chars: int) -> str:
    """Return text of at most so many characters, with an ellipsis where it was cut."""
    return text if len(text) <= max_chars else f"{text[:max_chars]}…"


def _hidden(text: str) -> str:
    return _USER_INFO.sub(rf"\1:{MASK}@", redact(text))


def _described(error: BaseException) -> str:
    try:
        message = str(error).strip()
    except Exception:  # noqa: BLE001  # a foreign __str__
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
