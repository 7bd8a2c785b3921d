"""Messages to the person that are no result: one line each, on standard error."""

import sys
from collections.abc import Callable

from mbxai.cli._exit_codes import FAILED, INTERRUPTED
from mbxai.cli._text import printable
from mbxai.errors import MBXAIError


def tell(message: str) -> None:
    """Write a message to standard error.

    Args:
        message: One line; what steers a terminal is taken out.
    """
    sys.stdout.flush()
    sys.stderr.write(f"{printable(message)}\n")
    sys.stderr.flush()


def outcome_of(command: Callable[[], int]) -> int:
    """Run a command; every failure that we know is one line.

    Args:
        command: What returns an exit code.

    Returns:
        The exit code.
    """
    try:
        return command()
    except MBXAIError as error:
        tell(" ".join(str(error).split()))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
