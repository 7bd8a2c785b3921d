"""The text of a configuration file: JSON as people write it, and variables in its values; pure."""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from mbxai._redaction import register_secret
from mbxai.errors import ConfigurationError

# A text stays whole, whatever it holds; a comment goes.
_COMMENT: Final = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_LAST_COMMA: Final = re.compile(r'("(?:[^"\\\n]|\\.)*")|,(?=\s*[}\]])')
_VARIABLE: Final = re.compile(r"(\$?)\$\{([^{}]*)\}")
_NAME: Final = re.compile(r"(?:env:)?([A-Za-z_]\w*)(?::-(.*))?", re.DOTALL)
_SECRET_NAMES: Final = re.compile(r"(?i)auth|cookie|token|secret|key|passw|credential")


def parse_jsonc(text: str, where: str) -> object:
    """Return what a JSON text holds that may have comments and commas after the last item.

    Args:
        text: The text.
        where: What errors call it.

    Raises:
        ConfigurationError: It is no JSON, or an object in it has a key twice.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        fields: dict[str, object] = {}
        for key, value in pairs:
            if key in fields:
                raise ConfigurationError(f"{where}: {key!r} stands twice in the same object.")
            fields[key] = value
        return fields

    plain = _COMMENT.sub(_blank, text)
    plain = _LAST_COMMA.sub(lambda found: found[1] or " ", plain)
    try:
        return json.loads(plain, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        # The text may hold credentials, so none of it is quoted.
        raise ConfigurationError(
            f"{where}: no JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except ConfigurationError:
        raise
    except (ValueError, RecursionError):  # ValueError: a number of thousands of digits
        raise ConfigurationError(
            f"{where}: no configuration, it is nested too deep or has a number too long."
        ) from None


def _blank(found: re.Match[str]) -> str:
    """A text as it stands; in place of a comment its line breaks, so that errors name the line."""
    return found[1] or " " + "\n" * found[0].count("\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigInput:
    """What a VS Code file asks its user for.

    Attributes:
        id: By what the file refers to it, as `${input:id}`.
        description: What is asked for, for a person.
        is_secret: Whether it must not be shown while it is typed.
        default: The answer if none is given; None for none.
        options: What may be chosen from; empty for free text.
    """

    id: str
    description: str = ""
    is_secret: bool = False
    default: str | None = field(default=None, repr=False)
    options: tuple[str, ...] = ()


InputSource = Mapping[str, str] | Callable[[ConfigInput], str]
"""Answers to a file's inputs: by id, or a blocking function that asks for one."""


class Variables:
    """What `${...}` stands for in one file; each input is asked for once."""

    def __init__(
        self,
        variables: Mapping[str, str],
        *,
        inputs: Mapping[str, ConfigInput],
        answers: InputSource | None,
        folder: Path | None,
    ) -> None:
        """Keep where values come from; nothing is asked yet.

        Args:
            variables: Usually the environment.
            inputs: The inputs that the file declares, by id.
            answers: Who answers them.
            folder: What `${workspaceFolder}` stands for; None where there is no file.
        """
        self._variables = variables
        self._inputs = inputs
        self._source = answers
        self._folder = folder
        self._answers: dict[str, str] = {}

    def expand(self, text: str, where: str, *, key: str = "") -> str:
        """Return a text with its variables replaced.

        Args:
            text: With `${NAME}`, `${NAME:-default}`, `${env:NAME}`, `${input:id}` or one of VS
                Code's words; `$${` stands for `${`.
            where: What errors call the place.
            key: Name of the value; one that sounds like a credential makes all values in it secret.

        Raises:
            ConfigurationError: A variable is not known; the message names it, and no value.
        """

        def replace(found: re.Match[str]) -> str:
            if found[1]:
                return found[0][1:]
            return self._value(found[2], where, is_secret=bool(_SECRET_NAMES.search(key)))

        return _VARIABLE.sub(replace, text)

    def _value(self, word: str, where: str, *, is_secret: bool) -> str:
        if word.startswith("input:"):
            return self._answer(word.removeprefix("input:"), where, is_secret=is_secret)
        named = _NAME.fullmatch(word)
        if named is None or named[1] not in self._variables:
            place = self._place(word)
            if place is not None:
                return place
        if named is None:
            raise ConfigurationError(
                f"{where}: '${{{word[:80]}}}' is not understood.",
                hint="Known are ${NAME}, ${NAME:-default}, ${env:NAME} and ${input:id};"
                " $${ stands for ${ itself.",
            )
        value = self._variables.get(named[1])
        if named[2] is not None and not value:  # as in a shell: also where it is empty
            return named[2]
        if value is None:
            raise ConfigurationError(
                f"{where}: the variable {named[1]} is not set.",
                hint=f"Set it, pass it in variables, or write ${{{named[1]}:-a default}}.",
            )
        # A directory in, say, KEY_FILE is no credential, and stands in many messages.
        if _SECRET_NAMES.search(named[1]) or (is_secret and not value.startswith(("/", "~", "."))):
            register_secret(value)
        return value

    def _place(self, word: str) -> str | None:
        """What editors know: folders, and what is between their names."""
        if word == "userHome":
            return str(Path.home())
        if word in ("pathSeparator", "/"):
            return os.sep
        if self._folder is None:
            return None
        places = {
            "workspaceFolder": str(self._folder),
            "workspaceFolderBasename": self._folder.name,
        }
        return places.get(word)

    def _answer(self, name: str, where: str, *, is_secret: bool) -> str:
        known = self._answers.get(name)
        if known is not None:
            return known
        asked = self._inputs.get(name) or ConfigInput(id=name)
        answer: object = None
        if callable(self._source):
            answer = self._source(asked)
        elif self._source is not None:
            answer = self._source.get(name)
        if answer is None:
            answer = asked.default
        if not isinstance(answer, str):
            about = f" ({asked.description[:200]})" if asked.description else ""
            raise ConfigurationError(
                f"{where}: there is no answer to the input {name!r}{about}.",
                hint=f"Give inputs={{{name!r}: ...}}, or a function that asks for it.",
            )
        if is_secret or asked.is_secret or _SECRET_NAMES.search(name):
            register_secret(answer)
        self._answers[name] = answer
        return answer


def read_inputs(given: object, where: str) -> dict[str, ConfigInput]:
    """Return the inputs that a VS Code file declares, by id.

    Args:
        given: The value of `inputs`.
        where: What errors call the file.

    Raises:
        ConfigurationError: It is no list of objects with an id.
    """
    inputs: dict[str, ConfigInput] = {}
    for item in cast("list[object]", given) if isinstance(given, list) else [given]:
        fields = cast("dict[str, object]", item) if isinstance(item, dict) else {}
        name, default, options = fields.get("id"), fields.get("default"), fields.get("options")
        if not isinstance(name, str):
            raise ConfigurationError(f'{where}: "inputs" must be a list of objects with an "id".')
        inputs[name] = ConfigInput(
            id=name,
            description=str(fields.get("description") or ""),
            is_secret=fields.get("password") is True,
            default=default if isinstance(default, str) else None,
            options=tuple(map(str, cast("list[object]", options)))
            if isinstance(options, list)
            else (),
        )
    return inputs
