"""The suite that every session store must pass: mbxai's own, and those of users.

A store of one's own is put to the test by a function that makes one. Each store that it makes leads
to the same place, so that two of them are two workers:

    from functools import partial
    from mbxai.testing.store_conformance import check_store

    report = await check_store(partial(MyStore, "my://address"))
    print(report)
    assert report.is_conformant()

`check_store_sync` is the same call without an event loop. With pytest each promise is a test of its
own:

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    async def test_my_store(check):
        await check.run(partial(MyStore, "my://address"))

Where the function takes `now` and `ttl_seconds`, the suite gives it a clock and times to live; see
`OpenStore`. A slow store may be given lower `Sizes`.
"""

from mbxai.testing.store_conformance._check import (
    Check,
    CheckOutcome,
    CheckResult,
    StoreCheckError,
    StoreReport,
)
from mbxai.testing.store_conformance._suite import CHECKS, check_store, check_store_sync
from mbxai.testing.store_conformance._trial import OpenStore, Sizes

__all__ = [
    "CHECKS",
    "Check",
    "CheckOutcome",
    "CheckResult",
    "OpenStore",
    "Sizes",
    "StoreCheckError",
    "StoreReport",
    "check_store",
    "check_store_sync",
]
