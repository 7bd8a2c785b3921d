"""The machine under inputs in any order, twice, too late and lost: what must always hold."""

from random import Random
from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.agent_chance import Scene
from support.agent_chance_run import MOST_STEPS, ChanceRun

from mbxai.agent._human_models import AnswerDeadline
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._inputs import Input
from mbxai.agent.machine._snapshot import Limits, ModelStep

LIMITS = st.builds(
    Limits,
    max_task_iterations=st.integers(1, 6),
    max_replans=st.integers(0, 2),
    max_parallel_tasks=st.integers(1, 4),
    max_tool_rounds=st.integers(1, 3),
    max_answer_attempts=st.integers(1, 3),
    approve_complexity=st.sampled_from([None, 4]),
    planning=st.sampled_from(["stepwise", "merged"]),
    quality_iterations=st.integers(0, 2),
    max_repeats=st.integers(1, 3),
    max_context_tokens=st.sampled_from([None, 100, 400]),
    unplanned_tools=st.sampled_from(["ask", "allow"]),
    deadline=st.none()
    | st.builds(
        AnswerDeadline,
        seconds=st.sampled_from([10.0, 60.0]),
        complexity=st.sampled_from(["proceed", "skip", "abort"]),
        approval=st.sampled_from(["approve", "decline"]),
        ask=st.sampled_from(["tell", "abort"]),
        goal=st.sampled_from(["accept", "fail"]),
    ),
)
RESTS = (AgentState.COMPLETED, AgentState.FAILED)
INPUTS = {kind.__name__ for kind in get_args(Input)}
COURSES = st.integers(0, 2**32)

quickly = settings(
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    complexities = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    number = st.integers(0, len(complexities) - 1)
    return Scene(
        edges=draw(st.lists(st.tuples(number, number), max_size=6)),
        complexities=complexities,
        limits=draw(LIMITS),
        human_in_loop=draw(st.booleans()),
    )


@quickly
@given(scene=scenes(), course=COURSES)
def test_whatever_happens_in_whatever_order_every_state_keeps_its_promises(
    scene: Scene, course: int
) -> None:
    run = ChanceRun(scene, Random(course)).play(60)
    run.to_rest()

    assert run.snapshot.state in RESTS


@quickly
@given(scene=scenes(), course=COURSES)
def test_lost_outcomes_repeat_no_call_that_must_run_once_and_hold_up_no_run(
    scene: Scene, course: int
) -> None:
    run = ChanceRun(scene, Random(course), crash_percent=40, repeat_percent=0).play(60)
    run.to_rest()

    assert run.snapshot.state in RESTS


@quickly
@given(scene=scenes(), course=COURSES)
def test_what_comes_twice_changes_nothing(scene: Scene, course: int) -> None:
    run = ChanceRun(scene, Random(course), crash_percent=0, repeat_percent=90).play(40)
    run.to_rest()

    assert run.snapshot.state in RESTS


@quickly
@given(scene=scenes(), course=COURSES)
def test_later_turns_keep_the_promises_too(scene: Scene, course: int) -> None:
    run = ChanceRun(scene, Random(course))
    for turn in range(1, 4):
        run.play(15)
        run.to_rest()
        assert run.snapshot.turn == turn
        assert run.snapshot.state in RESTS
        if turn < 3:
            run.again()

    prompts = [m for m in run.snapshot.conversation_history if m["role"] == "user"]
    assert prompts[-1]["content"] == "reach goal 3"


@quickly
@given(scene=scenes(), course=COURSES)
def test_where_calls_come_back_and_people_answer_a_run_rests_soon(
    scene: Scene, course: int
) -> None:
    run = ChanceRun(scene, Random(course))
    inputs = run.to_rest()

    assert inputs < MOST_STEPS
    assert run.snapshot.state in RESTS
    assert run.crashes == 0


def test_the_courses_reach_all_that_can_happen() -> None:
    """A guard against tests that pass because nothing happens in them."""
    seen: set[str] = set()
    purposes: set[str] = set()
    refused = repeated = crashes = 0
    for course in range(60):
        limits = Limits(
            planning="merged" if course % 2 else "stepwise",
            quality_iterations=2,
            max_context_tokens=200 if course % 3 else None,
            deadline=AnswerDeadline(seconds=30.0) if course % 4 == 0 else None,
        )
        scene = Scene(edges=[(0, 1), (0, 2), (1, 3)], complexities=(1, 4, 1, 2), limits=limits)
        run = ChanceRun(scene, Random(course), crash_percent=25).play(60)
        run.to_rest()
        purposes |= {i.purpose for i in run.snapshot.interactions if i.answer is not None}
        seen |= {call.step for call in run.snapshot.ledger} | run.inputs() | {run.snapshot.state}
        refused, repeated, crashes = (
            refused + run.refused,
            repeated + run.repeated,
            crashes + run.crashes,
        )

    assert seen >= {*ModelStep, *INPUTS, *RESTS}
    assert purposes >= {"approval", "ask", "complexity", "elicitation", "recovery"}
    assert refused
    assert repeated
    assert crashes
