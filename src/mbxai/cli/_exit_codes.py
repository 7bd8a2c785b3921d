"""How the program ends, as other programs see it."""

from typing import Final

DONE: Final = 0
"""The goal is reached, or the conversation is over."""

FAILED: Final = 1
"""It was tried and did not work; the reason is on standard error."""

USAGE: Final = 2
"""The command line or the environment lacks something; nothing was tried."""

WAITS_FOR_PERSON: Final = 3
"""The run needs an answer that nobody gave."""

INTERRUPTED: Final = 130
"""Ctrl-C."""
