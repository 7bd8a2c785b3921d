"""What a check expects of a store, and how it says that something else came."""

from collections.abc import Awaitable
from typing import Final, TypeVar

E = TypeVar("E", bound=Exception)

NO_DATA: Final[dict[str, object]] = {}
"""The data of a session that was never saved."""

_MAX_SHOWN: Final = 300


class Unmet(Exception):  # noqa: N818  # never leaves the suite: a StoreCheckError says it
    """A store did not do what was expected; the message says what, and what it did."""


class NotApplicable(Exception):  # noqa: N818  # never leaves the suite: a CheckResult says it
    """A check says nothing about this store; the message says why."""


def shown(value: object) -> str:
    """Write a value for a message: an exception with its kind, and nothing at great length.

    Args:
        value: Anything.

    Returns:
        Some 300 characters at most.
    """
    is_error = isinstance(value, Exception)
    text = f"{type(value).__name__}: {value}" if is_error else repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}... ({len(text)} characters)"


def expect(condition: object, what: str) -> None:
    """Go on only if something is true.

    Args:
        condition: What must be true.
        what: What was expected, and what came instead.

    Raises:
        Unmet: It is not.
    """
    if not condition:
        raise Unmet(what)


def expect_equal(what: str, got: object, wanted: object) -> None:
    """Go on only if a store gave what was expected.

    Args:
        what: What the store was asked for.
        got: What it gave.
        wanted: What it had to give.

    Raises:
        Unmet: It gave something else.
    """
    if got != wanted:
        raise Unmet(f"{what}: expected {shown(wanted)}, got {shown(got)}")


async def expect_error(kind: type[E], what: str, call: Awaitable[object]) -> E:
    """Go on only if a call is refused as the protocol says.

    Args:
        kind: The exception that the protocol names.
        what: What the store was asked for.
        call: The call, not yet awaited.

    Returns:
        The exception.

    Raises:
        Unmet: The call raised nothing, or something else.
    """
    try:
        result = await call
    except kind as error:
        return error
    except Exception as error:  # a store is foreign code
        raise Unmet(f"{what}: expected {kind.__name__}, got {shown(error)}") from error
    raise Unmet(f"{what}: expected {kind.__name__}, got {shown(result)}")
