"""One goal on a real llama.cpp with a person in the loop; `nox -s goals` pursues ten of them."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.agent_story_goals import GOALS, MOST_ANSWERS, RESTS, Goal, problem_of, pursued
from support.tiny_model import make_tiny_model

from mbxai.local import LocalModel


def goal(name: str) -> Goal:
    return next(one for one in GOALS if name in one.name)


@pytest.mark.slow
async def test_a_goal_rests_with_data_that_fits_though_the_model_has_no_wits_at_all(
    tmp_path: Path,
) -> None:
    # One turn and one round: each call makes the engine read a prompt anew, letter by letter.
    once = replace(goal("approval"), later="", settings={"max_replans": 0})
    async with LocalModel(make_tiny_model(tmp_path)) as model:
        rested = await pursued(once, model)

    assert rested.response.state in RESTS, rested.response.error
    assert problem_of(rested.goal, rested.response) == ""
    assert 1 <= rested.answered <= MOST_ANSWERS


def test_there_are_ten_goals_with_and_without_tools_and_people() -> None:
    assert len({one.name for one in GOALS}) == 10
    assert {bool(one.tools or one.approved) for one in GOALS} == {True, False}
    assert {one.asks for one in GOALS} == {True, False}
    assert not all(one.answers for one in GOALS)
