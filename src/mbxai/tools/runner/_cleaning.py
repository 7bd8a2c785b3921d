"""Takes credentials out of what a model, a listener or a log will see of a call."""

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias
from urllib.parse import quote, quote_plus

from mbxai._redaction import get_logger
from mbxai.tools._context import DOTS, Secret

logger = get_logger(__name__)

Scrubber: TypeAlias = Callable[[str], str]
"""Takes credentials out of a text that a model will see."""

WITHHELD: Final = "[withheld: it could not be checked for credentials]"
"""Stands where a text could not be cleaned."""

_MIN_SCRUBBED_CHARS: Final = 4


class Cleaner:
    """Cleans the texts of one call; called like a function.

    Attributes:
        secrets: What the calls of the conversation were given; added to as it becomes known.
    """

    __slots__ = ("_name", "_scrub", "secrets")

    def __init__(
        self, name: str, scrub: Scrubber | None = None, secrets: list[Secret] | None = None
    ) -> None:
        """Start with the secrets of the conversation.

        Args:
            name: The tool's name, for the log.
            scrub: The caller's own; if it fails, the text is withheld.
            secrets: What is known so far; added to as more becomes known.
        """
        self._name = name
        self._scrub = scrub
        self.secrets: list[Secret] = [] if secrets is None else secrets

    @property
    def is_idle(self) -> bool:
        """Whether no secret is known, so that texts stay as they are."""
        return not self.secrets and self._scrub is None

    def __call__(self, text: str) -> str:
        """Return the text without credentials.

        Args:
            text: Any text.
        """
        text = scrubbed(text, self.secrets)
        if self._scrub is None:
            return text
        try:
            clean: Any = self._scrub(text)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  # the application's own function
            # Without a traceback: its message may quote what it could not clean.
            logger.error(  # noqa: TRY400
                "scrub= failed for tool %.64s (%s)", self._name, type(error).__name__
            )
            return WITHHELD
        if isinstance(clean, str):
            return clean
        logger.error("scrub= must return text, not %s", type(clean).__name__)
        return WITHHELD


def scrubbed(text: str, secrets: Iterable[Secret]) -> str:
    """Return text with these secrets replaced by dots, also as JSON, Python or a URL spell them.

    Args:
        text: Text of a result or an error.
        secrets: What the call was given; values shorter than 4 characters are left alone, since
            they would be found in ordinary words.
    """
    for secret in secrets:
        value = secret.reveal()
        if len(value) >= _MIN_SCRUBBED_CHARS:
            for spelling in _spellings(value):
                text = text.replace(spelling, DOTS)
    return text


def _spellings(value: str) -> list[str]:
    """A value as it stands in texts; longest first, since one may hold another."""
    found = {value, repr(value)[1:-1], json.dumps(value)[1:-1], quote(value, errors="replace")}
    found |= {quote(value, safe="", errors="replace"), quote_plus(value, errors="replace")}
    found.add(base64.b64encode(value.encode(errors="replace")).decode())
    # A result that is JSON spells each of them once more.
    found |= {json.dumps(spelling, ensure_ascii=False)[1:-1] for spelling in found}
    found |= {json.dumps(spelling, ensure_ascii=False)[1:-1] for spelling in found}
    return sorted(found, key=len, reverse=True)
