"""What the small worlds behind scripted tools have in common: operations, and a note of every run.

A world is written twice: once as real Python state behind tools, and once as a plain function over
dictionaries that says what an operation does. Neither knows the other.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, Protocol

import pydantic_core

from mbxai.errors import ToolRetry
from mbxai.tools import AsyncToolClient

EVERYTHING = "*"
"""Among what an operation reads or writes: all there is."""


class RefusedError(Exception):
    """The world's own rules forbid an operation; nothing has changed."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operation that the model intends.

    Attributes:
        tool: Name of the tool.
        arguments: JSON values by name; optional ones may be left out.
        writes: Names of what it changes.
        reads: Names of what its result, or its being allowed, depends on besides.
    """

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)
    writes: AbstractSet[str] = frozenset()
    reads: AbstractSet[str] = frozenset()

    def disturbs(self, other: "Op") -> bool:
        """Whether it matters which of the two comes first."""
        touched = self.reads | self.writes
        return _meet(self.writes, other.reads | other.writes) or _meet(other.writes, touched)


def _meet(one: AbstractSet[str], other: AbstractSet[str]) -> bool:
    if EVERYTHING in one or EVERYTHING in other:
        return bool(one and other)
    return not one.isdisjoint(other)


def run_key(tool: str, arguments: Mapping[str, Any]) -> str:
    """Return what tells runs with other arguments apart."""
    plain = pydantic_core.to_jsonable_python(dict(arguments))
    return f"{tool} {json.dumps(plain, sort_keys=True)}"


class Trap(NamedTuple):
    """How a run fails before it has had an effect."""

    kind: type[BaseException]
    text: str


class Runs:
    """Every run of every tool of one world, and the runs that are to fail."""

    def __init__(self, traps: Mapping[tuple[str, int], Trap] | None = None) -> None:
        """Start with none.

        Args:
            traps: By run key and number (0 for the first run with these arguments).
        """
        self.seen: list[str] = []
        self._traps = dict(traps or {})
        self._lock = threading.RLock()  # guards `seen` and the world's state

    @contextmanager
    def of(self, tool: str, /, **arguments: Any) -> Iterator[None]:
        """Note a run; inside the block no other run changes anything."""
        with self._lock:
            key = run_key(tool, arguments)
            number = self.seen.count(key)
            self.seen.append(key)
            trap = self._traps.get((key, number))
            if trap is not None:
                raise trap.kind(trap.text)
            yield


class World(Protocol):
    """The live world: state that only its tools change."""

    def register(self, client: AsyncToolClient, **options: Any) -> None:
        """Offer all its tools, each with these options."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the state as plain JSON."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldKind:
    """A kind of world.

    Attributes:
        name: Its name.
        start: The state in the beginning, as plain JSON.
        live: Makes the live world from a state.
        after: The reference: changes a plain state as an operation does and returns what the model
            is told; raises RefusedError.
        propose: An operation that makes sense in a state.
        defaults: By tool, the arguments that may be left out and what they are then.
        choices: By tool, an argument that takes only certain words.
        nested: By argument, what may be left out of the object, or of the objects in the list, that
            it takes, and what it is then.
    """

    name: str
    start: dict[str, Any]
    live: Callable[[dict[str, Any], Runs], World]
    after: Callable[[dict[str, Any], str, dict[str, Any]], Any]
    propose: Callable[[Random, dict[str, Any]], Op]
    defaults: dict[str, dict[str, Any]]
    choices: dict[str, str]
    nested: dict[str, dict[str, Any]] = field(default_factory=dict)

    def full_arguments(self, op: Op) -> dict[str, Any]:
        """Return the arguments with the defaults of those that were left out."""
        given = {**self.defaults[op.tool], **op.arguments}
        return {name: self._filled(name, value) for name, value in given.items()}

    def _filled(self, name: str, value: Any) -> Any:
        left_out = self.nested.get(name)
        if left_out is None or value is None:
            return value
        if isinstance(value, list):
            return [{**left_out, **item} for item in value]
        return {**left_out, **value}

    def required(self, op: Op) -> list[str]:
        """Return the arguments that may not be left out."""
        return [name for name in op.arguments if name not in self.defaults[op.tool]]


def some(rng: Random, **optional: Any) -> dict[str, Any]:
    """Return a choice of optional arguments: a model leaves out what it does not care about."""
    return {name: value for name, value in optional.items() if rng.random() < 0.5}


TRAPS: dict[str, type[BaseException]] = {
    "raises": RuntimeError,
    "raises_key_error": KeyError,
    "exits": SystemExit,
    "asks_to_retry": ToolRetry,
}
"""The ways in which a run may fail, by the name of the fault."""
