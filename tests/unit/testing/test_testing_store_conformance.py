"""The suite for session stores finds what is broken, says so, and is easy to hold."""

import pickle
from functools import cache

import pytest
from support.broken_stores import FAULTS, Fault, LastWriterWins

from mbxai.errors import ConfigurationError
from mbxai.sessions import InMemorySessionStore
from mbxai.testing.store_conformance import (
    CHECKS,
    CheckOutcome,
    Sizes,
    StoreCheckError,
    check_store,
)

BY_NAME = {check.name: check for check in CHECKS}
SMALL = Sizes(workers=4, sessions=10, updates=10, listed=40, check_seconds=0.9)


def opener(kind):
    """A function that gives one store again, since its sessions live in the object."""
    return cache(lambda now=None, ttl_seconds=None: kind(now=now, ttl_seconds=ttl_seconds))


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_broken_store_is_found_and_the_message_says_what_is_wrong(fault: Fault):
    check = BY_NAME[fault.check]
    with pytest.raises(StoreCheckError, match=fault.says) as caught:
        await check.run(opener(fault.store), sizes=SMALL)
    assert caught.value.check == fault.check
    assert caught.value.promise == check.promise
    assert str(caught.value).startswith(f"{fault.check}: {caught.value.reason}")
    assert str(caught.value).endswith(f"The promise: {check.promise}")


@pytest.mark.parametrize("name", sorted({fault.check for fault in FAULTS}))
async def test_the_same_check_passes_for_the_store_without_the_fault(name):
    result = await BY_NAME[name].run(opener(InMemorySessionStore), sizes=SMALL)
    assert (result.name, result.outcome, result.reason) == (name, CheckOutcome.PASSED, "")


async def test_a_report_names_what_failed_and_what_was_not_asked():
    report = await check_store(
        lambda now=None: LastWriterWins(now=now),
        only=["old_record_is_a_conflict", "sweep_removes_what_is_over", "running_lease_is_busy"],
        skip=["running_lease_is_busy"],
    )
    assert [result.name for result in report.results] == [
        "old_record_is_a_conflict",
        "sweep_removes_what_is_over",
    ]
    assert not report.is_conformant()
    assert [result.name for result in report.failed] == ["old_record_is_a_conflict"]
    assert report.not_applicable[0].reason == "open_store takes no ttl_seconds"
    first, *lines = str(report).splitlines()
    assert first == "0 passed, 1 failed, 1 not applicable"
    assert lines[0].startswith("failed: old_record_is_a_conflict: save of an older record:")
    assert lines[1] == f"  The promise: {BY_NAME['old_record_is_a_conflict'].promise}"
    assert lines[2].startswith("not applicable: sweep_removes_what_is_over: open_store takes no")


async def test_a_report_on_a_good_store_is_conformant():
    report = await check_store(opener(InMemorySessionStore), sizes=SMALL)
    assert str(report) == f"{len(CHECKS)} passed, 0 failed, 0 not applicable"
    assert report.is_conformant()


async def test_a_report_on_nothing_is_not_conformant():
    assert not (await check_store(opener(InMemorySessionStore), only=[])).is_conformant()


@pytest.mark.parametrize("names", [{"only": ["no_such"]}, {"skip": ["no_such"]}])
async def test_a_check_that_there_is_not_is_refused(names):
    with pytest.raises(ConfigurationError, match="no check no_such"):
        await check_store(opener(InMemorySessionStore), **names)


def test_checks_have_names_and_promises_of_their_own():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert len({check.promise for check in CHECKS}) == len(CHECKS)
    assert all(check.promise.endswith(".") for check in CHECKS)
    assert [str(check) for check in CHECKS] == [check.name for check in CHECKS]


@pytest.mark.parametrize(
    "numbers",
    [
        {"workers": 1},
        {"sessions": 0},
        {"log_bytes": 10},
        {"check_seconds": 0},
        {"lease_seconds": 0},
    ],
)
def test_sizes_with_which_nothing_is_checked_are_refused(numbers):
    with pytest.raises(ConfigurationError, match=next(iter(numbers))):
        Sizes(**numbers)


def test_the_error_travels_between_processes():
    error = pickle.loads(pickle.dumps(StoreCheckError("name", "It is so.", "it was not")))
    assert str(error) == "name: it was not\n  The promise: It is so."


async def test_what_checks_write_is_removed_again():
    store = InMemorySessionStore()
    left = {}
    for check in CHECKS:
        await check.run(lambda: store, sizes=Sizes(updates=5, sessions=5, lease_seconds=0.05))
        if store._drawers:
            left[check.name] = list(store._drawers)
            store._drawers.clear()
    assert left == {}


async def test_each_store_is_closed_after_the_check():
    opened: list[str] = []

    class Counting(InMemorySessionStore):
        def __init__(self):
            super().__init__()
            opened.append("open")

        async def aclose(self):
            opened.append("closed")

    with pytest.raises(StoreCheckError, match="load by another worker"):
        await BY_NAME["save_is_seen_by_everybody"].run(Counting)
    assert opened == ["open", "open", "closed", "closed"]
