"""What went wrong with a server, in one line that may be shown.

Pure. Nested exception groups become their root cause; keys, passwords and queries are taken out.
"""

import re
import signal
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, cast
from urllib.parse import urlsplit

from mbxai._redaction import redact
from mbxai.mcp.auth._problems import auth_problem

_MAX_CHARS: Final = 300
_CONNECTION_CLOSED: Final = -32000
_MEDIA_TYPES: Final = ("application/json", "text/event-stream")
_CHALLENGE: Final = re.compile(
    r'\b(error|error_description|scope)=(?:"([^"]{1,200})"|([^\s",]{1,200}))'
)
_FEW_RIGHTS: Final = "error insufficient_scope"
_SCOPE: Final = re.compile(r"(?:\A|, )scope ([^,]+)")
_OVER_LIMIT: Final = re.compile(r"exceeded the (\d+) byte limit")
# Whose exceptions tell of a server, of the way to it, or of this machine.
_FOREIGN: Final = frozenset(
    {"anyio", "h11", "h2", "httpcore2", "httpx2", "mbxai", "mcp", "mcp_types", "pydantic_core"}
)
_INVALID_REQUEST: Final = -32600
_FORGOTTEN: Final = re.compile(
    r"(?i)session\b.{0,20}\b(not found|unknown|expired|terminated|invalid)"
    r"|(no valid|invalid|unknown|expired) session"
)
# The words of known servers, each with its code: they are said before any tool is run.
_UNKNOWN_SESSION: Final = frozenset({(_INVALID_REQUEST, "Session not found")})
# What the package says of an answer that is none; the rest of it are words of another library.
_UNREADABLE: Final = re.compile(r"Failed to parse .*: \d+ validation errors? for ")
_QUIET_STATUS: Final = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "no POST"}


def root_cause(error: BaseException) -> BaseException:
    """Return the exception that says most: the first inside nested groups that is no mere echo.

    Args:
        error: Anything; a group is searched, with "connection closed" and cancellation last.
    """
    leaves = list(_leaves(error))
    return min(leaves, key=_echo_rank) if leaves else error


def describe(error: BaseException, *, status: int = 0, media_type: str = "") -> str:
    """Return one line about an exception.

    Args:
        error: The root cause.
        status: HTTP status that the server answered with; 0 if unknown.
        media_type: What kind of content it answered with.
    """
    if status >= 400:
        return f"answered HTTP {status} {_QUIET_STATUS.get(status, '')}".rstrip()
    if status and (media_type not in _MEDIA_TYPES or is_unreadable(error)):
        return f"answered HTTP {status} with {media_type or 'no content'}, which is no MCP"
    if isinstance(error, FileNotFoundError):
        return "no such program or directory"
    if isinstance(error, PermissionError):
        return "not allowed to be started"
    text = said(_without_queries(str(error)[: _MAX_CHARS * 10]))
    kind = type(error).__name__
    if kind == "ValidationError":
        return "gave an answer that the protocol does not allow"
    if not text:
        return kind
    return text if kind == "MCPError" else f"{kind}: {text}"


def is_unreadable(error: BaseException) -> bool:
    """Whether an answer was no message of the protocol at all.

    Args:
        error: The root cause.
    """
    return _UNREADABLE.match(str(error)) is not None


def is_internal(error: BaseException) -> bool:
    """Whether an exception tells of a defect of the client's code, and not of the server.

    Args:
        error: The root cause.
    """
    if not isinstance(error, Exception) or isinstance(
        error, (OSError, EOFError, StopAsyncIteration)
    ):
        return False
    if any(kind.__module__.partition(".")[0] in _FOREIGN for kind in type(error).__mro__):
        return False
    if not isinstance(error, (RuntimeError, ValueError)):
        return True
    # The protocol's package says so that an answer is of no use. From our own code, it is a defect.
    trace, origin = error.__traceback__, ""
    while trace is not None:
        origin, trace = str(trace.tb_frame.f_globals.get("__name__")), trace.tb_next
    return origin.partition(".")[0] == "mbxai"


def too_large(text: str) -> str:
    """Return the limit that an event of the server was above, or an empty text.

    Args:
        text: Message of an error.
    """
    found = _OVER_LIMIT.search(text)
    return found[1] if found else ""


def exit_text(status: int) -> str:
    """Return how a process has ended.

    Args:
        status: Its exit status; negative for a signal.
    """
    if status >= 0:
        return f"with exit status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def auth_failure(error: BaseException) -> str:
    """Return what went wrong in proving who we are, or an empty text for any other failure.

    Args:
        error: The root cause.
    """
    return auth_problem(error) or ""


def challenge_text(header: str) -> str:
    """Return what a `WWW-Authenticate` header says besides where to log in.

    Args:
        header: The header's value.
    """
    found = {key: quoted or bare for key, quoted, bare in _CHALLENGE.findall(header)}
    return ", ".join(f"{key} {value}" for key, value in found.items() if value.isprintable())


def missing_right(challenge: str) -> str:
    """Return what a known user is not allowed, or an empty text for any other refusal.

    Args:
        challenge: What `challenge_text` returned.
    """
    if _FEW_RIGHTS not in challenge:
        return ""
    scope = _SCOPE.search(challenge)
    wanted = f" (scope {scope[1]})" if scope else ""
    return f"the token may not do this{wanted}"


def is_forgotten(status: int, text: str) -> bool:
    """Whether a refusal says that the server does not know the session any more.

    The protocol's word for it is 404; some servers say 400, or 200, and a text.

    Args:
        status: HTTP status of the answer that named the session; 0 if it was no error.
        text: Message of the protocol's error.
    """
    return status in (0, 400, 404) and _FORGOTTEN.search(text) is not None


def is_proven_forgotten(status: int, code: int | None, text: str) -> bool:
    """Whether a refusal proves that nothing was run, since the server does not know the session.

    A tool may speak of sessions too, so that only known words at a status of an error are a proof.

    Args:
        status: HTTP status of the answer that named the session; 0 if it was no error.
        code: Code of the protocol's error.
        text: Message of the protocol's error.
    """
    return status in (400, 404) and (code, text) in _UNKNOWN_SESSION


def said(text: str) -> str:
    """Return a server's own words such that they may be shown: one line, of bounded length.

    Args:
        text: The words; keys, and what no reader would see, are taken out.
    """
    line = " ".join(text[: _MAX_CHARS * 10].split())
    shown = "".join(letter for letter in line if unicodedata.category(letter)[0] != "C")
    shown = redact(shown)
    return shown if len(shown) <= _MAX_CHARS else f"{shown[:_MAX_CHARS]}…"


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
