"""Bytes become models even where a field is not as expected.

A provider's odd field must not cost the answer. What a field cannot hold (mostly a `null` where
there is nothing to say) counts as absent; the object as it came stays available in `to_dict`.
"""

import copy
import json
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError
from pydantic_core import from_json, to_json

WireObject: TypeAlias = dict[str, Any]  # Any: an open JSON object that is passed on unread
"""A JSON object that goes through unchanged, whatever it holds."""

_MAX_REPAIRS = 4
_IDENTIFIERS = frozenset({"id", "name"})


class WireModel(BaseModel):
    """Base of all that arrives: unknown fields are kept, input never shows in an error."""

    # A cost that is no number would pass every budget, since nothing is greater than it.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        defer_build=True,
        protected_namespaces=(),
    )

    @classmethod
    def from_wire(cls, data: bytes) -> Self:
        """Return the object in a JSON text.

        Args:
            data: JSON of an object, UTF-8.

        Raises:
            ValidationError: The text is no JSON, or no object.
        """
        try:
            return cast("Self", cls.__pydantic_validator__.validate_json(data))
        except (
            ValidationError,
            AttributeError,
            TypeError,
        ):  # a deferred class is built at its first use
            return _from_odd_wire(cls, data)

    @classmethod
    def from_object(cls, payload: object) -> Self:
        """Return the object that a parsed JSON text holds.

        Args:
            payload: A JSON object; it is not changed.

        Raises:
            ValidationError: It is no object.
        """
        try:
            return cls.model_validate(payload)
        except ValidationError as error:
            return _repaired(cls, payload, error)

    def to_dict(self) -> WireObject:
        """Return the JSON object as it came, fields that nobody knows included."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


W = TypeVar("W", bound=WireModel)


class KeepsRaw(WireModel):
    """A model that can hold on to the object that it was made from."""

    _raw: WireObject | None = PrivateAttr(default=None)

    def to_dict(self) -> WireObject:
        """Return the JSON object as it came, fields that nobody knows included."""
        return super().to_dict() if self._raw is None else dict(self._raw)

    def keep_raw(self, raw: WireObject) -> None:
        """Note the object as it came, where the fields could not hold all of it."""
        self._raw = raw


def _from_odd_wire(cls: type[W], data: bytes) -> W:
    try:
        return cls.model_validate_json(data)
    except ValidationError as error:
        return _repaired(cls, _loads(data), error)


def _repaired(cls: type[W], raw: object, problem: ValidationError) -> W:
    payload = copy.deepcopy(raw)
    for _ in range(_MAX_REPAIRS):
        if not isinstance(payload, dict):
            break
        try:
            model = _raw_class(cls).model_validate(payload)
        except ValidationError as error:
            problem = error
        else:
            cast("KeepsRaw", model).keep_raw(cast("WireObject", raw))
            return model
        _repair(cast("WireObject", payload), problem)
    raise problem


def _loads(data: bytes) -> object:
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError:
        pass
    try:
        # Half of a surrogate pair is no text, and NaN is no JSON, but neither is a reason to lose
        # the rest of an answer.
        value = json.loads(data, parse_constant=_nothing, parse_float=_finite)
        loose = json.dumps(value, ensure_ascii=False)
        return from_json(loose.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    except (ValueError, RecursionError):
        return None


def _nothing(_word: str) -> None:
    return None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


_raw_classes: dict[type[WireModel], type[WireModel]] = {}


def _raw_class(cls: type[W]) -> type[W]:
    """The class itself if it can hold the raw object, else a child of it that can.

    Private attributes cost at every instance, so classes made by the thousand have none.
    """
    if issubclass(cls, KeepsRaw):
        return cls
    made = _raw_classes.get(cls)
    if made is None:
        namespace = {"__module__": __name__, "__reduce__": _reducer(cls)}
        made = _raw_classes[cls] = type(cls.__name__, (KeepsRaw, cls), namespace)
    return cast("type[W]", made)


def _reducer(cls: type[WireModel]) -> Callable[[WireModel], tuple[object, ...]]:
    # Nothing can be imported under the name of a class that is made here.
    def reduce(model: WireModel) -> tuple[object, ...]:
        return _empty, (cls,), model.__getstate__()

    return reduce


def _empty(cls: type[W]) -> W:
    made = _raw_class(cls)
    return made.__new__(made)


def _repair(payload: object, problem: ValidationError) -> None:
    """Take out, in place, what does not fit, unless its meaning is plain."""
    errors = problem.errors(include_url=False, include_context=False)
    # All places first: a union names the same place once for each of its branches.
    places: dict[tuple[int, Any], tuple[Any, Any, str]] = {}
    for error in errors:
        if (place := _place(payload, error["loc"])) is not None:
            parent, key = place
            places.setdefault((id(parent), key), (parent, key, error["type"]))
    for parent, key, problem_type in places.values():
        if isinstance(parent, list):
            parent[key] = {}
            continue
        wants_text = problem_type == "string_type"
        text = _text_of(key, parent.get(key)) if wants_text else None
        if text is None:
            parent.pop(key, None)
        else:
            parent[key] = text


def _place(payload: object, location: tuple[int | str, ...]) -> "tuple[Any, Any] | None":
    """The container and the key of the value that did not fit."""
    place: tuple[Any, Any] | None = None
    node: Any = payload
    for step in location:
        if isinstance(node, str):
            break
        try:
            place, node = (node, step), node[step]
        except (KeyError, IndexError, TypeError):
            break  # what follows names a branch of a union, or what is missing
    return place


def _text_of(key: object, value: object) -> str | None:
    """The text that a value of another type stands for; None where that is not plain."""
    if key == "content":
        return _joined_text(value)
    if key == "arguments" and value is not None:
        # Without them a tool would run with arguments that nobody wrote.
        return _json_text(value)
    if key in _IDENTIFIERS and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def _json_text(value: object) -> str:
    try:
        return to_json(value).decode()
    except ValueError:  # half of a surrogate pair has no UTF-8
        return json.dumps(value)


def _joined_text(value: object) -> str | None:
    """Text of a content that came as a list of parts."""
    if not isinstance(value, list):
        return None
    parts = cast("list[object]", value)
    texts = (cast("WireObject", part).get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))
