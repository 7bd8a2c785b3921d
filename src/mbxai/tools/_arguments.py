"""The model's argument text: read it, check it against a schema, say what is wrong with it.

Messages name arguments and rules, never the values that were sent: those may be secret or huge.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import pydantic_core

from mbxai.errors import ToolArgumentError

logger = logging.getLogger(__name__)

_MAX_PROBLEMS: Final = 10
_MAX_RULE_CHARS: Final = 200


def read_object(arguments: str) -> dict[str, Any]:
    """Read the arguments of a call.

    Args:
        arguments: JSON text as the model wrote it; blank text and `null` mean no arguments.

    Raises:
        ToolArgumentError: The text is not JSON, or not an object.
    """
    if not arguments.strip():
        return {}
    try:
        value: object = pydantic_core.from_json(arguments)
    except ValueError as cause:
        reason = str(cause).splitlines()[0][:_MAX_RULE_CHARS]
        raise ToolArgumentError(f"The arguments are not valid JSON ({reason}).") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToolArgumentError("The arguments must be one JSON object.")
    return cast("dict[str, Any]", value)


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
