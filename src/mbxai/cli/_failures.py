"""Messages to the person that are no result: one line each, on standard error."""

import sys

from mbxai.cli._text import printable


def tell(message: str) -> None:
    """Write a message to standard error.

    Args:
        message: One line; what steers a terminal is taken out.
    """
    sys.stdout.flush()
    sys.stderr.write(f"{printable(message)}\n")
    sys.stderr.flush()
