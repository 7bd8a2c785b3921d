"""Asking the person at the terminal, or whoever writes the lines of a pipe."""

import getpass
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from pydantic import SecretStr

from mbxai.agent.models import (
    DialogOption,
    HumanInLoopRequest,
    HumanInLoopResponse,
    HumanInteractionType,
)
from mbxai.cli._text import one_line, printable
from mbxai.wire import form_fields, read_form

if TYPE_CHECKING:
    from rich.console import Console

_ONLY_FIELD: Final = "value"
_CHANGES: Final = "modify"  # the decision that needs words besides


class Reader(Protocol):
    """Where answers come from; both methods raise `EOFError` when nobody answers any more."""

    def line(self, prompt: str) -> str:
        """Return one line, without its end."""
        ...

    def secret(self, prompt: str) -> str:
        """Return one line that nobody sees."""
        ...


class StandardInput:
    """The terminal if there is one, else the lines of standard input."""

    def __init__(self, console: "Console") -> None:
        """Take the place where prompts are written.

        Args:
            console: Also where the questions are written.
        """
        self._console = console
        self._edits = sys.stdin.isatty() and console.is_terminal and not console.stderr
        if self._edits:
            _load_line_editing()

    def line(self, prompt: str) -> str:
        """Return one line, without its end.

        Raises:
            EOFError: The input ended.
        """
        if self._edits:
            return input(prompt)
        self._console.print(prompt, end="", markup=False, highlight=False)
        text = sys.stdin.readline()
        if not sys.stdin.isatty():
            self._console.print()  # nobody pressed Enter here
        if not text:
            raise EOFError
        return text.rstrip("\r\n")

    def secret(self, prompt: str) -> str:
        """Return one line; on a terminal it is not shown while it is typed.

        Raises:
            EOFError: The input ended.
        """
        return getpass.getpass(prompt) if sys.stdin.isatty() else self.line(prompt)


def answers_to(
    requests: Sequence[HumanInLoopRequest], reader: Reader, console: "Console"
) -> list[HumanInLoopResponse]:
    """Ask a person and return the answers.

    Args:
        requests: What the agent asks.
        reader: Where the answers come from.
        console: Where the questions are written.

    Returns:
        One answer a request, in order; fewer if the input ended, none if nobody answers.
    """
    answers: list[HumanInLoopResponse] = []
    typed: dict[
        str, Mapping[str, str | SecretStr]
    ] = {}  # by dialogue: nobody types a password twice
    for request in requests:
        option = request.dialog_options[0].id if request.dialog_options else ""
        try:
            answer = answer_to(request, reader, console, typed=typed.get(option))
        except EOFError:
            break
        typed[option] = answer.credentials
        answers.append(answer)
    if console.is_terminal:
        console.print()
    return answers


def answer_to(
    request: HumanInLoopRequest,
    reader: Reader,
    console: "Console",
    *,
    typed: Mapping[str, str | SecretStr] | None = None,
) -> HumanInLoopResponse:
    """Ask until there is an answer that fits.

    Args:
        request: What the agent asks.
        reader: Where the answer comes from.
        console: Where the question is written.
        typed: What was typed into the same dialogue just now; it is not asked for again.

    Returns:
        The answer. What was typed for a DIALOG_OPTION is in `credentials` only.

    Raises:
        EOFError: The input ended.
    """
    kind = request.interaction_type
    option = request.dialog_options[0] if request.dialog_options else None
    if kind is HumanInteractionType.DIALOG_OPTION and typed:
        return _filled_in(request, option, typed)
    _say(console, f"? {printable(request.prompt)}", "bold yellow")
    if request.context:
        _say(console, f"  {printable(request.context)}", "dim")
    if kind is HumanInteractionType.DECISION:
        return _decision(request, reader, console)
    if kind is HumanInteractionType.QUESTION and request.response_schema is not None:
        return _form(request, request.response_schema, reader, console)
    if kind is HumanInteractionType.QUESTION:
        answer = _text(reader, "> ")
        return HumanInLoopResponse(interaction_id=request.id, response_type=kind, answer=answer)
    credentials = {
        name: SecretStr(_secret(reader, f"{one_line(label)}: "))
        for name, label in dialog_fields(option)
    }
    return _filled_in(request, option, credentials)


def dialog_fields(option: DialogOption | None) -> list[tuple[str, str]]:
    """Return the fields of a dialogue as pairs of name and label.

    Args:
        option: The dialogue. `parameters["fields"]` may be a list of names, a list of objects with
            `name` and `label`, or an object of labels by name.

    Returns:
        At least one pair; without such fields there is one of the name `value`.
    """
    given: object = option.parameters.get("fields") if option else None
    fields: list[tuple[str, str]] = []
    if isinstance(given, Mapping):
        labels = cast("Mapping[object, object]", given)
        fields = [(str(name), _label(label, name)) for name, label in labels.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        for entry in cast("Sequence[object]", given):
            if isinstance(entry, Mapping):
                values = cast("Mapping[str, object]", entry)
                name = values.get("name", _ONLY_FIELD)
                fields.append((str(name), _label(values.get("label"), name)))
            else:
                fields.append((str(entry), str(entry)))
    return fields or [(_ONLY_FIELD, option.title if option else _ONLY_FIELD)]


def _filled_in(
    request: HumanInLoopRequest,
    option: DialogOption | None,
    credentials: Mapping[str, str | SecretStr],
) -> HumanInLoopResponse:
    return HumanInLoopResponse(
        interaction_id=request.id,
        response_type=request.interaction_type,
        dialog_option_id=option.id if option else None,
        credentials=credentials,
    )


def _label(given: object, name: object) -> str:
    return given if isinstance(given, str) and given else str(name)


def _decision(
    request: HumanInLoopRequest, reader: Reader, console: "Console"
) -> HumanInLoopResponse:
    for number, option in enumerate(request.options, start=1):
        _say(console, f"  {number}  {one_line(option)}")
    spelled = {option.casefold().strip(): option for option in request.options}
    by_number = {str(n): option for n, option in enumerate(request.options, start=1)}
    choice: str | None = None
    while choice is None:
        typed = reader.line(f"1-{len(request.options)}> ").casefold().strip()
        choice = by_number.get(typed, spelled.get(typed))
        if choice is None:
            _say(console, "  Type one of the numbers.", "dim")
    remark = ""
    if choice.casefold() == _CHANGES:
        _say(console, "  What should be different?", "dim")
        remark = _text(reader, "> ")
    return HumanInLoopResponse(
        interaction_id=request.id,
        response_type=request.interaction_type,
        decision=choice,
        additional_context=remark,
    )


def _form(
    request: HumanInLoopRequest,
    schema: Mapping[str, Any],  # Any: JSON Schema
    reader: Reader,
    console: "Console",
) -> HumanInLoopResponse:
    """Ask what a tool wants to know; the request says which fields there are."""
    names = [field.name for field in form_fields(schema)]
    is_object = len(names) > 1
    asked = f"Type a JSON object of {', '.join(names)}; an" if is_object else "An"
    _say(console, f"  {one_line(asked)} empty line declines.", "dim")
    fields: dict[str, Any] = {
        "interaction_id": request.id,
        "response_type": request.interaction_type,
    }
    while typed := reader.line("> ").strip():
        if not is_object:
            return HumanInLoopResponse(**fields, answer=typed)
        try:
            return HumanInLoopResponse(**fields, content=read_form(schema, _object(typed)))
        except ValueError as error:  # of JSON, or of the form
            _say(console, f"  {one_line(str(error))}", "dim")
    return HumanInLoopResponse(**fields, decision="decline")


def _object(text: str) -> Mapping[str, Any]:  # Any: JSON
    value: Any = None
    with suppress(ValueError):
        value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("That is no JSON object.")  # noqa: TRY004  # of what was typed
    return cast("Mapping[str, Any]", value)


def _text(reader: Reader, prompt: str) -> str:
    while True:
        if text := reader.line(prompt).strip():
            return text


def _secret(reader: Reader, prompt: str) -> str:
    while True:
        if text := reader.secret(prompt):
            return text


def _say(console: "Console", text: str, style: str = "") -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _load_line_editing() -> None:
    """Give `input` its arrow keys, where Python was built with them."""
    with suppress(ImportError):
        import_module("readline")
