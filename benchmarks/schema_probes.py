"""Arguments for a tool: right ones with the values they stand for, and wrong ones."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator, FormatChecker

SAMPLES = 12

_OTHERS: tuple[Any, ...] = ("text", "7", "true", 7, 1.5, True, None, [], ["text"], {}, {"k": "v"})
"""Put in the place of each argument in turn; where the schema takes one, the call should too."""

_FORMATS = FormatChecker(formats=())
for _name, _pattern in {
    "date": r"\d{4}-\d\d-\d\d",
    "date-time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*",
    "time": r"\d\d:\d\d.*",
    "duration": r"-?P.+",
    "uuid": r"[0-9a-fA-F-]{36}",
    "uri": r"[a-z]+:.+",
    "ipv4": r"\d+(\.\d+){3}",
}.items():
    # Bound to its pattern as a default, since the loop goes on.
    _FORMATS.checks(_name)(
        lambda value, pattern=_pattern: (
            not isinstance(value, str) or re.fullmatch(pattern, value) is not None
        )
    )


def fits(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether a schema takes arguments, by the word of `jsonschema`, formats included."""
    return Draft202012Validator(schema, format_checker=_FORMATS).is_valid(arguments)


def samples(case: Any) -> list[dict[str, Any]]:
    """Values by parameter name, the same at each run."""
    if case.values is None:
        return [{}]
    found: list[dict[str, Any]] = []

    @settings(
        max_examples=SAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case.values())
    def collect(values: dict[str, Any]) -> None:
        found.append(values)

    collect()
    return found


def arguments_for(case: Any, values: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that say these values in the way a schema asks for them.

    The way the case says, or with a single model under its parameter's name, or with further
    keywords in an object of their own; the first way if none fits.
    """
    as_said = case.arguments_of(values)
    plain = {name: _written(case, name, value) for name, value in values.items()}
    ways = [as_said, plain]
    for name, parameter in inspect.signature(case.function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            known = set(inspect.signature(case.function).parameters)
            rest = {key: value for key, value in plain.items() if key not in known}
            ways.append({k: v for k, v in plain.items() if k in known} | {name: rest})
    return next((way for way in ways if fits(schema, way)), as_said)


def wrong(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Arguments with one changed, missing or unknown, each once."""
    seen: set[str] = set()
    for changed in _changed(arguments):
        text = json.dumps(changed, sort_keys=True)
        if text not in seen:
            seen.add(text)
            yield changed


def _changed(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in arguments:
        yield {key: value for key, value in arguments.items() if key != name}
        for value in _OTHERS:
            yield {**arguments, name: value}
    yield {**arguments, "not_a_parameter": "text"}


def _written(case: Any, name: str, value: Any) -> Any:
    # The case's own writing of one value, which does not depend on the other ones.
    if case.is_whole:
        return case.arguments_of({name: value})
    return next(iter(case.arguments_of({name: value}).values()))
