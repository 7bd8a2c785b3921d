"""The whole suite: every check, and one call that makes them all."""

from collections.abc import Sequence
from typing import Final

import mbxai.portal as portal
from mbxai.errors import ConfigurationError
from mbxai.testing.store_conformance._check import (
    DEFAULT_SIZES,
    Check,
    CheckOutcome,
    CheckResult,
    StoreCheckError,
    StoreReport,
)
from mbxai.testing.store_conformance._claims import CHECKS as CLAIMS
from mbxai.testing.store_conformance._data import CHECKS as DATA
from mbxai.testing.store_conformance._inbox import CHECKS as INBOX
from mbxai.testing.store_conformance._life import CHECKS as LIFE
from mbxai.testing.store_conformance._lists import CHECKS as LISTS
from mbxai.testing.store_conformance._races import CHECKS as RACES
from mbxai.testing.store_conformance._saves import CHECKS as SAVES
from mbxai.testing.store_conformance._scopes import CHECKS as SCOPES
from mbxai.testing.store_conformance._trial import OpenStore, Sizes

CHECKS: Final[tuple[Check, ...]] = (
    *DATA,
    *SCOPES,
    *CLAIMS,
    *SAVES,
    *INBOX,
    *LISTS,
    *RACES,
    *LIFE,
)
"""Every promise of `SessionStore`, in the order in which one reads them."""


async def check_store(
    open_store: OpenStore,
    *,
    only: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    sizes: Sizes = DEFAULT_SIZES,
) -> StoreReport:
    """Put a store to every test, one after the other.

    Args:
        open_store: Makes a store; see `OpenStore`. The place should be one for tests: `due` and
            `sweep` reach every session there.
        only: Names of the checks to make; None: all.
        skip: Names of checks to leave out.
        sizes: How much is written at once, and how long a check may take.

    Returns:
        What every check found; nothing is raised for a store that fails.

    Raises:
        ConfigurationError: There is no check of one of the names.
    """
    unknown = {*(only or ()), *skip} - {check.name for check in CHECKS}
    if unknown:
        raise ConfigurationError(
            f"There is no check {', '.join(sorted(unknown))}.", hint="CHECKS has their names."
        )
    results: list[CheckResult] = []
    for check in CHECKS:
        if check.name in skip or (only is not None and check.name not in only):
            continue
        try:
            results.append(await check.run(open_store, sizes=sizes))
        except StoreCheckError as error:
            results.append(
                CheckResult(
                    name=check.name,
                    promise=check.promise,
                    outcome=CheckOutcome.FAILED,
                    reason=error.reason,
                )
            )
    return StoreReport(results=tuple(results))


def check_store_sync(
    open_store: OpenStore,
    *,
    only: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    sizes: Sizes = DEFAULT_SIZES,
) -> StoreReport:
    """Put a store to every test, one after the other.

    Args:
        open_store: Makes a store; see `OpenStore`. The place should be one for tests: `due` and
            `sweep` reach every session there.
        only: Names of the checks to make; None: all.
        skip: Names of checks to leave out.
        sizes: How much is written at once, and how long a check may take.

    Returns:
        What every check found; nothing is raised for a store that fails.

    Raises:
        ConfigurationError: There is no check of one of the names.
    """
    return portal.run(check_store, open_store, only=only, skip=skip, sizes=sizes)
