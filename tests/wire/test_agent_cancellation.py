"""X1, X2: a run that is stopped at any point can be resumed, and nothing happens twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.agent_safety_run import OVERRIDES
from support.agent_safety_trials import (
    STORES,
    Trials,
    Way,
    by_scope,
    by_scope_in_timeout,
    by_timeout,
    by_timeout_in_scope,
)

from mbxai.testing import FakeOpenRouter

SLICES = 20
POINTS = 160
"""How many points of a run are tried with each store, at most."""

# The ends of the runs differ by a few steps, as threads do.
ROOM = 2


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=OVERRIDES) as fake:
        yield fake


@pytest.fixture(scope="module", params=sorted(STORES))
def store(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def steps(server: FakeOpenRouter, store: str, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many steps a run takes that nobody stops."""
    trials = Trials(server, store, tmp_path_factory.mktemp("whole"))
    trials.at(0, 0)  # the first run also imports, which later ones do not
    assert trials.stopped == 0
    return trials.steps


@pytest.mark.parametrize("number", range(SLICES))
def test_x1_a_run_that_is_cancelled_at_any_step_goes_on_without_doubled_effects(
    server: FakeOpenRouter, store: str, steps: int, number: int, tmp_path: Path
) -> None:
    points = sorted({1 + point * steps // POINTS for point in range(POINTS)})
    trials = Trials(server, store, tmp_path)

    trials.at(*points[number::SLICES])

    assert len(points) >= min(150, steps)
    assert trials.stopped >= len(points[number::SLICES]) - ROOM


@pytest.mark.parametrize("way", [by_scope, by_timeout, by_scope_in_timeout, by_timeout_in_scope])
def test_x2_a_run_that_a_deadline_of_asyncio_or_anyio_ends_goes_on_without_doubled_effects(
    server: FakeOpenRouter, store: str, steps: int, way: Way, tmp_path: Path
) -> None:
    points = range(1, steps, max(1, steps // 8))
    trials = Trials(server, store, tmp_path, way)

    trials.at(*points)

    assert trials.stopped >= len(points) - ROOM
