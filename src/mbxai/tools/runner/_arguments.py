"""The model's arguments: check them against a schema, say what is wrong with them.

Messages name arguments and rules, never the values that were sent: those may be secret or huge.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from mbxai._redaction import get_logger
from mbxai.errors import ToolArgumentError
from mbxai.tools.runner._argument_text import json_container, read_object

logger = get_logger(__name__)

__all__ = ["SchemaChecker", "argument_problems", "read_object", "with_decoded"]

_MAX_PROBLEMS: Final = 10
_MAX_RULE_CHARS: Final = 200
_CONTAINER_WANTED: Final = frozenset(
    {
        "dataclass_type",
        "dict_type",
        "frozen_set_type",
        "iterable_type",
        "list_type",
        "mapping_type",
        "model_attributes_type",
        "model_type",
        "named_tuple_type",
        "set_type",
        "tuple_type",
    }
)
"""Errors of pydantic that say that an object or an array was wanted."""


def with_decoded(
    values: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:  # Any: JSON of the wire
    """Return arguments with strings read as JSON where an object or an array was wanted.

    Models often encode an inner object twice. Validate the result again: it may still not fit.

    Args:
        values: The arguments; they are not changed.
        errors: What `ValidationError.errors()` gives for them, with aliases in `loc`.

    Returns:
        A new dict; None if no string that was complained of holds an object or an array.
    """
    copies: dict[int, tuple[Any, Any]] = {}
    decoded = dict(values)
    found = [
        _decode_at(decoded, error["loc"], copies)
        for error in errors
        if error["type"] in _CONTAINER_WANTED
    ]
    return decoded if any(found) else None


def _copied(value: Any, copies: dict[int, tuple[Any, Any]]) -> Any:
    """A copy of an object or array, made once: there may be as many errors as items in it."""
    if id(value) not in copies:
        copy = value.copy()
        # With the value itself: of one that is gone, another might get the id.
        copies[id(value)] = copies[id(copy)] = (value, copy)
    return copies[id(value)][1]


def _decode_at(decoded: Any, path: Sequence[str | int], copies: dict[int, tuple[Any, Any]]) -> bool:
    """Read one string; steps that name a member of a union lead nowhere."""
    inside: Any = decoded
    for step in path:
        try:
            value: Any = inside[step]
        except (LookupError, TypeError):
            continue
        if isinstance(value, str):
            read = json_container(value)
            inside[step] = value if read is None else read
            return read is not None
        if not isinstance(value, (dict, list)):
            return False
        inside[step] = _copied(value, copies)
        inside = inside[step]
    return False


def argument_problems(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return pydantic's errors as one line a problem.

    Args:
        errors: What `ValidationError.errors()` gives.
    """
    lines: list[str] = []
    for error in errors[:_MAX_PROBLEMS]:
        path = ".".join(str(step) for step in error["loc"]) or "arguments"
        reason = "no such argument" if error["type"] == "extra_forbidden" else error["msg"]
        lines.append(f"{path}: {str(reason)[:_MAX_RULE_CHARS]}.")
    return _joined(lines, len(errors))


class SchemaChecker:
    """Checks arguments against a JSON Schema that was given, not made from a function."""

    def __init__(self, schema: Mapping[str, Any], label: str) -> None:
        """Prepare the check; jsonschema is loaded at the first one.

        Args:
            schema: The schema as it was given; references outside of it are not followed.
            label: The tool's name, for the log.
        """
        self._schema = schema
        self._label = label
        self._validator: Any = None

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Check one call's arguments.

        A schema that is itself broken checks nothing: whoever runs the tool has the last word.

        Raises:
            ToolArgumentError: The arguments break a rule of the schema.
        """
        try:
            errors = list(self._errors(arguments))
        except Exception as error:  # noqa: BLE001  # a foreign schema can break in any way
            logger.warning(
                "The schema of tool %s cannot be used (%s)", self._label, type(error).__name__
            )
            return
        if errors:
            lines = [_schema_problem(error) for error in errors[:_MAX_PROBLEMS]]
            raise ToolArgumentError(_joined(lines, len(errors)))

    def fitted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check one call's arguments, with strings read as JSON where that makes them fit.

        Returns:
            The arguments themselves, or new ones; see `with_decoded`.

        Raises:
            ToolArgumentError: The arguments break a rule of the schema.
        """
        try:
            self.check(arguments)
        except ToolArgumentError:
            wrong = [place for error in self._errors(arguments) for place in _containers(error)]
            decoded = with_decoded(arguments, wrong)
            if decoded is None:
                raise
            self.check(decoded)
            return decoded
        return arguments

    def _errors(self, arguments: Mapping[str, Any]) -> list[Any]:
        if self._validator is None:
            # Slow to import, and only needed for schemas that pydantic did not make.
            from jsonschema.validators import Draft202012Validator, validator_for
            from referencing import Registry  # noqa: PLC0415

            kind: Any = validator_for(cast("Any", self._schema), default=Draft202012Validator)
            # The empty registry fetches nothing: a schema must not make this program open a URL.
            nothing_known: Registry[Any] = Registry()
            self._validator = kind(self._schema, registry=nothing_known)
        found: list[Any] = []
        for error in self._validator.iter_errors(arguments):
            found.append(error)
            if len(found) > _MAX_PROBLEMS:
                break
        return found


def _containers(error: Any) -> list[dict[str, Any]]:
    """Where a schema wants an object or an array, in the form of pydantic's errors."""
    inner = [place for context in error.context or () for place in _containers(context)]
    wanted = error.validator_value if error.validator == "type" else ()
    if {"array", "object"} & set([wanted] if isinstance(wanted, str) else wanted):
        inner.append({"type": "dict_type", "loc": tuple(error.absolute_path)})
    return inner


def _schema_problem(error: Any) -> str:
    path = ".".join(str(step) for step in error.absolute_path) or "arguments"
    rule, wanted = str(error.validator), error.validator_value
    if rule == "required":
        missing = [name for name in wanted if name not in error.instance]
        return f"{path}: {', '.join(map(str, missing))} is required."
    if rule == "additionalProperties":
        known = error.schema.get("properties", {})
        extra = [name for name in error.instance if name not in known]
        return f"{path}: no such argument: {', '.join(map(str, extra))[:_MAX_RULE_CHARS]}."
    if rule == "type":
        kinds: list[Any] = [wanted] if isinstance(wanted, str) else list(wanted)
        return f"{path}: must be of type {' or '.join(map(str, kinds))}."
    if rule == "enum":
        return f"{path}: must be one of {str(wanted)[:_MAX_RULE_CHARS]}."
    return f"{path}: must satisfy {rule} {str(wanted)[:_MAX_RULE_CHARS]}."


def _joined(lines: list[str], total: int) -> str:
    if total > len(lines):
        lines = [*lines, f"And {total - len(lines)} more."]
    return "\n".join(lines)
