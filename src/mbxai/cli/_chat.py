"""`mbxai chat`: a conversation in the terminal, answers as they are written."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from mbxai.cli._clients import opened_client
from mbxai.cli._exit_codes import DONE
from mbxai.cli._failures import tell
from mbxai.cli._people import Reader, StandardInput
from mbxai.cli._text import printable
from mbxai.errors import MBXAIError
from mbxai.openrouter import OpenRouterClient

if TYPE_CHECKING:
    from rich.console import Console

_LEAVE: Final = frozenset({"/quit", "/exit"})
_PROMPT: Final = "> "


def chat(*, model: str | None, local: bool) -> int:
    """Talk until the person leaves or the input ends.

    On a terminal a failed answer is told and the conversation goes on; in a pipe it ends there.
    Ctrl-C stops an answer that is being written; at the prompt it leaves.

    Args:
        model: As for `opened_client`.
        local: As for `opened_client`.

    Returns:
        The exit code.

    Raises:
        MBXAIError: The client could not be made, or an answer failed in a pipe.
    """
    from rich.console import Console

    console = Console()
    is_terminal = sys.stdin.isatty() and console.is_terminal

    def busy(doing: str) -> AbstractContextManager[object]:
        shown = is_terminal and not console.is_dumb_terminal
        return console.status(f"{doing} ...") if shown else nullcontext()

    with opened_client(model, local=local, busy=busy) as client:
        if not is_terminal:
            return _piped(client)
        _greet(console, client.model)
        return _talk(client, StandardInput(console), console)


def _piped(client: OpenRouterClient) -> int:
    messages: list[dict[str, Any]] = []  # Any: JSON of the wire
    for line in sys.stdin:
        text = line.strip()
        if text in _LEAVE:
            break
        if text:
            _answer(client, messages, text)
    return DONE


def _talk(client: OpenRouterClient, reader: Reader, console: "Console") -> int:
    messages: list[dict[str, Any]] = []  # Any: JSON of the wire
    while True:
        try:
            text = reader.line(_PROMPT).strip()
        except EOFError:
            console.print()
            return DONE
        if text in _LEAVE:
            return DONE
        if not text:
            continue
        try:
            console.print()
            _answer(client, messages, text)
        except KeyboardInterrupt:
            console.print("\n[stopped]", style="dim", markup=False)
        except MBXAIError as error:
            tell(str(error))
        console.print()


def _answer(client: OpenRouterClient, messages: list[dict[str, Any]], text: str) -> None:
    """Write an answer while it comes; only a whole one becomes part of the conversation."""
    question = {"role": "user", "content": text}
    with client.create([*messages, question], stream=True) as stream:
        for chunk in stream:
            piece = chunk.choices[0].delta.content if chunk.choices else None
            if piece:
                sys.stdout.write(printable(piece))
                sys.stdout.flush()
        answer = stream.completion.choices[0].message.content or ""
    sys.stdout.write("\n")
    sys.stdout.flush()
    messages += [question, {"role": "assistant", "content": answer}]


def _greet(console: "Console", model: str) -> None:
    console.print(f"{printable(model)}  /quit or Ctrl-D leaves", style="dim", markup=False)
    console.print()
