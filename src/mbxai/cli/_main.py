"""The way in: from the command line to an exit code."""

import os
import sys

from mbxai.cli._app import application


def main() -> None:
    """Run the program and leave the interpreter with its exit code.

    Raises:
        SystemExit: Always. 0: done. 1: it failed. 2: the command line or the environment lacks
            something. 3: the run waits for a person. 130: Ctrl-C.
    """
    try:
        program = application()
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich", "click"}:
            raise
        sys.stderr.write("The command line needs more packages: pip install 'mbxai[cli]'\n")
        raise SystemExit(2) from None
    try:
        program(prog_name="mbxai")
    except BrokenPipeError:
        # Whoever read the output left; without this the interpreter complains while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
