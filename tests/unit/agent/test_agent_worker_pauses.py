"""How long a worker leaves a session alone that broke, or that another worker has."""

from mbxai.agent._worker_pauses import LONGEST_SECONDS, Pauses
from mbxai.sessions import DueSession

LAMP = DueSession(agent_id="lamp", scope="")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_pauses_double_up_to_the_longest_and_a_rest_ends_them() -> None:
    clock = Clock()
    pauses = Pauses(first_seconds=1, now=clock)
    lengths = []
    for _ in range(40):
        lengths.append(pauses.longer(LAMP))
        assert LAMP in pauses
        clock.now += lengths[-1]
        assert LAMP not in pauses
    assert lengths[:4] == [1, 2, 4, 8]
    assert max(lengths) == lengths[-1] == LONGEST_SECONDS
    pauses.forget(LAMP)
    assert len(pauses) == 0
    assert pauses.longer(LAMP) == 1


def test_a_session_that_another_worker_has_is_left_alone_briefly_and_not_for_longer_each_time() -> (
    None
):
    clock = Clock()
    pauses = Pauses(first_seconds=1, now=clock)
    for _ in range(3):
        pauses.once(LAMP)
        assert LAMP in pauses
        clock.now += 1
        assert LAMP not in pauses
    assert pauses.longer(LAMP) == 1


def test_a_session_of_another_scope_is_another_one() -> None:
    pauses = Pauses(first_seconds=1)
    pauses.once(LAMP)
    assert DueSession(agent_id="lamp", scope="other") not in pauses


def test_sessions_that_never_come_back_are_forgotten_in_time() -> None:
    clock = Clock()
    pauses = Pauses(first_seconds=1, now=clock)
    for n in range(500):
        pauses.longer(DueSession(agent_id=f"gone-{n}", scope=""))
    clock.now += 2
    pauses.once(LAMP)
    assert len(pauses) == 501  # they broke, and may come back
    clock.now += 4000
    pauses.once(LAMP)
    assert len(pauses) == 1
