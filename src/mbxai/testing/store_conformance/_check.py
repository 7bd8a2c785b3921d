"""One check of the suite, what comes out of it, and what all of them say together."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, cast

import anyio

from mbxai.testing.store_conformance._expect import NotApplicable, Unmet, shown
from mbxai.testing.store_conformance._trial import OpenStore, Sizes, Trial

DEFAULT_SIZES: Final = Sizes()


class StoreCheckError(AssertionError):
    """A store does not keep a promise.

    Attributes:
        check: The name of the check that failed.
        promise: What every store promises.
        reason: What was expected of this one, and what came.
    """

    def __init__(self, check: str, promise: str, reason: str) -> None:
        """Keep the three and make one message of them."""
        super().__init__(check, promise, reason)
        self.check = check
        self.promise = promise
        self.reason = reason

    def __str__(self) -> str:
        """Return the reason, and the promise that is broken."""
        return f"{self.check}: {self.reason}\n  The promise: {self.promise}"


class CheckOutcome(StrEnum):
    """What came out of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check found.

    Attributes:
        name: The check's name.
        promise: What every store promises, in a sentence.
        outcome: Whether this store keeps it.
        reason: Why it failed, or why it was not made; empty if it passed.
    """

    name: str
    promise: str
    outcome: CheckOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise of the protocol and the way to put a store to the test.

    Attributes:
        name: A sentence as an identifier, such as "running_lease_is_busy".
        promise: What every store promises, in a sentence.
    """

    name: str
    promise: str
    _body: Callable[[Trial], Awaitable[None]] = field(repr=False)

    async def run(self, open_store: OpenStore, *, sizes: Sizes = DEFAULT_SIZES) -> CheckResult:
        """Put a store to the test. What the check writes it removes again.

        Args:
            open_store: Makes a store; see `OpenStore`.
            sizes: How much is written at once, and how long it may take.

        Returns:
            The result: passed or not applicable, never failed.

        Raises:
            StoreCheckError: The store does not keep the promise; an exception of the store's own
                is the cause.
        """
        async with Trial(open_store, sizes) as trial:
            with anyio.move_on_after(sizes.check_seconds) as deadline:
                try:
                    await self._body(trial)
                except NotApplicable as reason:
                    return self._result(CheckOutcome.NOT_APPLICABLE, str(reason))
                except Exception as raised:  # noqa: BLE001  # a store is foreign code
                    error = _innermost(raised)
                    if isinstance(error, Unmet):
                        raise self._error(str(error)) from error.__cause__
                    raise self._error(f"nothing was to be raised, got {shown(error)}") from error
            if deadline.cancelled_caught:
                raise self._error(f"it had not ended after {sizes.check_seconds:g} s")
        return self._result(CheckOutcome.PASSED)

    def __str__(self) -> str:
        """Return the name: what `ids=str` of pytest shows."""
        return self.name

    def _result(self, outcome: CheckOutcome, reason: str = "") -> CheckResult:
        return CheckResult(name=self.name, promise=self.promise, outcome=outcome, reason=reason)

    def _error(self, reason: str) -> StoreCheckError:
        return StoreCheckError(self.name, self.promise, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What all checks found, in the order in which they ran.

    Attributes:
        results: One a check.
    """

    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> tuple[CheckResult, ...]:
        """The promises that the store keeps."""
        return self._with(CheckOutcome.PASSED)

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The promises that the store breaks, with reasons."""
        return self._with(CheckOutcome.FAILED)

    @property
    def not_applicable(self) -> tuple[CheckResult, ...]:
        """The checks that were not made, with reasons."""
        return self._with(CheckOutcome.NOT_APPLICABLE)

    def is_conformant(self) -> bool:
        """Tell whether at least one check passed and none failed."""
        return bool(self.passed) and not self.failed

    def __str__(self) -> str:
        """Return a line for the whole, and two for each check that did not pass."""
        groups = (self.passed, self.failed, self.not_applicable)
        lines = ["{} passed, {} failed, {} not applicable".format(*map(len, groups))]
        for result in (*self.failed, *self.not_applicable):
            lines.append(f"{result.outcome}: {result.name}: {result.reason}")
            lines.append(f"  The promise: {result.promise}")
        return "\n".join(lines)

    def _with(self, outcome: CheckOutcome) -> tuple[CheckResult, ...]:
        return tuple(result for result in self.results if result.outcome is outcome)


def _innermost(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):  # as a task group gives the error of a task
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return error


def check(promise: str) -> Callable[[Callable[[Trial], Awaitable[None]]], Check]:
    """Make a check of a function; its name becomes the check's.

    Args:
        promise: What every store promises, in a sentence.

    Returns:
        What to decorate the function with.
    """

    def decorate(body: Callable[[Trial], Awaitable[None]]) -> Check:
        return Check(name=body.__name__, promise=promise, _body=body)

    return decorate
