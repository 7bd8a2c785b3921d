"""What must never be read in a log or an error text, and how it is taken out.

Two nets: exact values that this process knows to be secret, and shapes that secrets usually have.
"""

import logging
import os
import re
import threading
from collections import Counter, deque
from typing import Final

MASK: Final = "[redacted]"
"""Stands where a secret stood."""

# A shorter value would also be found inside ordinary words.
_MIN_SECRET_CHARS = 6

_SHAPES: Final = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
        MASK,
    ),
    # With what the first net has masked inside it.
    (re.compile(r"\bsk-[A-Za-z0-9_\[\]-]{8,}"), MASK),
    (re.compile(r"(?i)\b(bearer)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    # With a digit or a sign in it, since "basic subscription" is no credential.
    (re.compile(r"(?i)\b(basic)\s+(?=\S*[0-9=+/])[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*"), MASK),
    # GitHub, GitLab, Slack, AWS, Google, Hugging Face, npm, PyPI.
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,})"), MASK),
    (re.compile(r"\b(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}\b)"), MASK),
    (re.compile(r"\b(?:AIza[\w-]{35}|hf_[A-Za-z0-9]{30,}|npm_\w{36}|pypi-[\w-]{50,})"), MASK),
    (
        re.compile(
            r"(?i)([?&](?:api[_-]?key|key|token|access_token|secret|password)=)[^&\s\"'<>]+"
        ),
        rf"\1{MASK}",
    ),
)


class _KnownSecrets:
    """The exact values, compiled into one pattern."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the three below; facades register from many threads
        self._values: Counter[str] = Counter()
        self._pattern: re.Pattern[str] | None = None
        self._stale = False
        self._removed: deque[str] = deque()

    def add(self, value: str) -> None:
        with self._lock:
            self._values[value] += 1
            self._stale = True
            self._take_out_removed()

    def remove(self, value: str) -> None:
        # Finalizers come here, in the middle of anything that allocates, so also inside `_compile`:
        # whoever waits for the lock here could wait for itself.
        self._removed.append(value)
        self._stale = True

    def mask(self, text: str) -> str:
        if self._stale:
            self._compile()
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MASK, text)

    def _compile(self) -> None:
        with self._lock:
            self._take_out_removed()
            # Longest first, so that a secret inside another does not leave the rest standing.
            ordered = sorted(self._values, key=len, reverse=True)
            texts = "|".join(re.escape(known) for known in ordered)
            self._pattern = re.compile(texts) if texts else None
            self._stale = bool(self._removed)

    def _take_out_removed(self) -> None:
        while self._removed:
            value = self._removed.popleft()
            self._values[value] -= 1
            if self._values[value] <= 0:
                del self._values[value]

    def renew_lock(self) -> None:
        """Replace the lock in a fork child, where another thread may have held it for ever."""
        self._lock = threading.Lock()


_known = _KnownSecrets()

if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_known.renew_lock)


def register_secret(value: str) -> None:
    """Make `redact` take out this exact value from now on.

    Args:
        value: A key, password or token; ignored if shorter than 6 characters.
    """
    if len(value) >= _MIN_SECRET_CHARS:
        _known.add(value)


def forget_secret(value: str) -> None:
    """Take back one `register_secret` of this value; the last one ends its redaction.

    Args:
        value: A value that was registered.
    """
    if len(value) >= _MIN_SECRET_CHARS:
        _known.remove(value)


def redact(text: str) -> str:
    """Return the text with known secrets and what looks like one replaced by `[redacted]`.

    Args:
        text: Anything that is about to be shown: an error body, a log line.
    """
    return redact_shapes(_known.mask(text))


def redact_shapes(text: str) -> str:
    """Return the text with what looks like a secret replaced by `[redacted]`.

    Unlike `redact` it does not look for values that this process knows, which may be those of
    somebody else.

    Args:
        text: Anything that is about to be stored or sent.
    """
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def shaped_secrets(text: str) -> list[str]:
    """Return what in a text looks like a secret, without the words that announce it.

    Args:
        text: Anything that a person wrote.

    Returns:
        Pieces of the text, each once; a piece may be part of another.
    """
    found: dict[str, None] = {}
    for shape, _replacement in _SHAPES:
        for hit in shape.finditer(text):
            found.setdefault(text[hit.end(1) if shape.groups else hit.start() : hit.end()].strip())
    return list(found)


class RedactingFilter(logging.Filter):
    """Takes secrets out of a log record before any handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the message and the traceback; let every record pass."""
        message = record.getMessage()
        masked = redact(message)
        if masked != message:
            record.msg, record.args = masked, ()
        if record.exc_info:
            # Handlers print exc_text as it is; left with exc_info they would format the live
            # exception themselves, secrets and all.
            text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_info, record.exc_text = None, redact(text)
        return True


_filter = RedactingFilter()


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module, with secrets taken out of what it says.

    A filter acts only on the logger it is attached to, not on the loggers below it; so each module
    asks here for its own.

    Args:
        name: `__name__` of the module.
    """
    logger = logging.getLogger(name)
    logger.addFilter(_filter)  # adding the same filter twice is a no-op
    return logger
