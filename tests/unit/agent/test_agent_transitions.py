"""The table of changes of state: each is reached by some run, and runs make no others."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from support.agent_player import Player, calling, task

from mbxai.agent._result_models import AgentState
from mbxai.agent.machine import _transitions as transitions
from mbxai.agent.machine._inputs import Continued, ModelFailed
from mbxai.agent.machine._snapshot import Limits, ModelStep
from mbxai.errors import AgentError, MBXAIError

ASK = calling(("c", "ask_question", '{"prompt": "Which region?"}'))


def changes(player: Player) -> list[tuple[AgentState, AgentState]]:
    """The changes of state that a player saw; the first is that of its first prompt."""
    seen = [AgentState.ANALYZING_REQUIREMENT]
    seen += [event.state for event in player.events if event.type == "state_changed"]
    return list(pairwise(seen))


def to_step(step: ModelStep, *plans: list, **options: object) -> Player:
    """A run that stands before its first call for a step."""
    player = Player(*(plans or ([task("a")],)), **options).start()
    while player.snapshot.calls[0].step is not step:
        player.give(player.outcome(player.snapshot.calls[0]))
    return player


def failed_and_tried_again(step: ModelStep) -> Player:
    player = to_step(step)
    call = player.snapshot.calls[0]
    player.give(ModelFailed(call_id=call.id, error_type="RateLimitError", message="busy"))
    player.give(Continued())
    return player.run()


def completed_twice() -> Player:
    return Player([task("a")]).start().run().start("and now this").run()


def failed_for_good_and_asked_anew() -> Player:
    player = Player([task("a")], evaluations=[False], limits=Limits(max_replans=0)).start().run()
    return player.start("try something else").run()


def answered() -> Player:
    player = Player([task("a")], messages={"a": [ASK]}, human_in_loop=True).start().run()
    player.answer(answer="eu-west")
    return player.run()


def decided(decision: str) -> Player:
    """A complex task is all there is to do, and a person decides what becomes of it."""
    player = Player([task("a", complexity=5)], human_in_loop=True).start().run()
    player.answer(decision=decision)
    return player.run()


def replanned() -> Player:
    return Player([task("a")], [task("b")], evaluations=[False]).start().run()


def gone_on_with_what_was_planned() -> Player:
    limits = Limits(max_task_iterations=1)
    plan = [task("a"), task("b")]
    return Player(plan, evaluations=[False], limits=limits).start().run()


def unreached(decision: str) -> Player:
    """No round of the plan is left, and a person decides what becomes of the goal."""
    limits = Limits(max_replans=0)
    player = Player(
        [task("a")], [task("b")], evaluations=[False], human_in_loop=True, limits=limits
    )
    player.start().run()
    player.answer(decision=decision)
    return player.run()


SCENARIOS: dict[str, Callable[[], Player]] = {
    "completed twice": completed_twice,
    "failed for good and asked anew": failed_for_good_and_asked_anew,
    "answered": answered,
    "replanned": replanned,
    "gone on with what was planned": gone_on_with_what_was_planned,
    "skipped by a person": lambda: decided("skip"),
    "aborted by a person": lambda: decided("abort"),
    "accepted by a person": lambda: unreached("accept"),
    "given one more round by a person": lambda: unreached("try_again"),
    **{
        f"failed in {step.value} and tried again": lambda step=step: failed_and_tried_again(step)
        for step in (
            ModelStep.REQUIREMENT,
            ModelStep.TOOLS,
            ModelStep.PLAN,
            ModelStep.TASK,
            ModelStep.EVALUATION,
            ModelStep.FINAL,
        )
    },
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_makes_only_changes_of_the_table(name: str) -> None:
    made = changes(SCENARIOS[name]())

    assert made
    assert set(made) <= {(change.source, change.target) for change in transitions.TRANSITIONS}


def test_every_change_of_the_table_is_made_by_some_run() -> None:
    made = {change for scenario in SCENARIOS.values() for change in changes(scenario())}

    assert {(c.source, c.target) for c in transitions.TRANSITIONS} - made == set()


def test_the_table_gives_each_change_once_and_says_why_it_happens() -> None:
    pairs = [(change.source, change.target) for change in transitions.TRANSITIONS]

    assert len(pairs) == len(set(pairs))
    assert all(change.reason for change in transitions.TRANSITIONS)
    assert {state for pair in pairs for state in pair} == set(AgentState)


@pytest.mark.parametrize("source", AgentState)
def test_no_run_leaves_the_table(source: AgentState) -> None:
    allowed = {c.target for c in transitions.TRANSITIONS if c.source is source}
    for target in set(AgentState) - allowed:
        with pytest.raises(AgentError, match=f"from {source} to {target}") as caught:
            transitions.check(source, target)
        assert isinstance(caught.value, MBXAIError)


def test_a_prompt_in_the_middle_of_a_turn_is_no_change_that_there_is() -> None:
    player = to_step(ModelStep.TASK)
    before = player.snapshot

    with pytest.raises(AgentError, match="executing_tasks"):
        player.start("something else")
    assert player.snapshot == before
