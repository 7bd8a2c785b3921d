"""What went wrong with a server, in one line that may be shown.

Pure. Nested exception groups become their root cause; keys, passwords and queries are taken out.
"""

from collections.abc import Iterator, Sequence
from typing import Final, cast
from urllib.parse import urlsplit

from mbxai._redaction import redact

_MAX_CHARS: Final = 300
_CONNECTION_CLOSED: Final = -32000
_QUIET_STATUS: Final = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "no POST"}


def root_cause(error: BaseException) -> BaseException:
    """Return the exception that says most: the first inside nested groups that is no mere echo.

    Args:
        error: Anything; a group is searched, with "connection closed" and cancellation last.
    """
    leaves = list(_leaves(error))
    return min(leaves, key=_echo_rank) if leaves else error


def describe(error: BaseException, *, status: int = 0) -> str:
    """Return one line about an exception.

    Args:
        error: The root cause.
        status: HTTP status that the server answered with; 0 if unknown.
    """
    if status:
        return f"answered HTTP {status} {_QUIET_STATUS.get(status, '')}".rstrip()
    if isinstance(error, FileNotFoundError):
        return "no such program or directory"
    if isinstance(error, PermissionError):
        return "not allowed to be started"
    text = " ".join(redact(_without_queries(str(error))).split())
    kind = type(error).__name__
    if not text:
        return kind
    if len(text) > _MAX_CHARS:
        text = f"{text[:_MAX_CHARS]}…"
    return text if kind == "MCPError" else f"{kind}: {text}"


def summary(tried: Sequence[tuple[str, str]]) -> str:
    """Return what was tried and what each way answered, as one line.

    Args:
        tried: Pairs of a way and its answer.
    """
    return "; ".join(f"{label}: {answer}" for label, answer in tried)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
        yield from _leaves(inner)


def _echo_rank(error: BaseException) -> int:
    if not isinstance(error, Exception):
        return 2
    return 1 if getattr(error, "code", None) == _CONNECTION_CLOSED else 0


def _without_queries(text: str) -> str:
    """Take query and password out of every URL; a redirect may have put a key there."""
    words = text.split(" ")
    for index, word in enumerate(words):
        if "://" not in word:
            continue
        try:
            parts = urlsplit(word)
        except ValueError:
            words[index] = "[address]"
            continue
        words[index] = parts._replace(
            netloc=parts.netloc.rpartition("@")[2], query="", fragment=""
        ).geturl()
    return " ".join(words)
