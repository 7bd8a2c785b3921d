"""Two hundred scripted conversations with tools: the world ends as it was meant to.

Whatever goes wrong on the way is made good by the scripted model or by the client. What must be at
the end is said by a reference that knows nothing of the tools.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.tool_world import TRAPS
from support.tool_world_author import make_plan
from support.tool_world_bank import Bank, Cents
from support.tool_world_faults import MENDED, TROUBLES, WRONG
from support.tool_world_judge import judge
from support.tool_world_kinds import WORLDS
from support.tool_world_plan import expected_outcome, plain
from support.tool_world_player import ChattyFake, Record, play

from mbxai.testing import FakeOpenRouter
from mbxai.tools import tool

CONVERSATIONS = 200
PER_TEST = 10
# A conversation with a bank in which money is paid in and nothing goes wrong.
PLAIN_BANK = 42


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with ChattyFake() as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, CONVERSATIONS, PER_TEST))
async def test_the_world_ends_as_the_conversation_meant_it(
    first: int, fake: FakeOpenRouter
) -> None:
    for number in range(first, first + PER_TEST):
        plan = make_plan(number)
        record = await play(plan, fake)
        judge(plan, record)
        assert plain(record.state) == expected_outcome(plan).state


def test_the_conversations_have_every_shape_and_every_fault() -> None:
    plans = [make_plan(number) for number in range(CONVERSATIONS)]
    turns = [turn for plan in plans for turn in plan.turns]
    calls = [len(answer.calls) for turn in turns for answer in turn.rounds]
    faults = sum((plan.faults for plan in plans), Counter())
    assert len(plans) == 200
    assert {plan.kind.name for plan in plans} == {kind.name for kind in WORLDS}
    assert sum(plan.is_streamed for plan in plans) == 100
    assert sum(plan.is_ordered for plan in plans) == 40
    assert {len(plan.turns) for plan in plans} == {1, 2, 3, 4}
    assert set(calls) == {1, 2, 3, 4, 5, 6}
    assert sum(turn.wants_data for turn in turns) > 50
    called = {(plan.kind.name, call.tool) for plan in plans for _, call in plan.calls()}
    assert {(kind.name, name) for kind in WORLDS for name in kind.defaults} <= called
    expected = {*MENDED, *WRONG, *TRAPS, *TROUBLES, "length", "content_filter", "stuck"}
    expected |= {"empty_ids", "equal_ids", "counted_ids", "empty_answer", "same_call_twice"}
    expected |= {"reasoning_details", "text_beside_calls", "forced_choice", "typed_answer"}
    assert {fault for fault in expected if faults[fault] < 10} == set()


# --- the comparison can fail ----------------------------------------------------------------------


class PaysTwice(Bank):
    """Has an effect twice in one run."""

    @tool
    def deposit(self, account: str, cents: Cents) -> int:
        told = super().deposit(account, cents)
        self._accounts[account].cents += cents
        return told


class RunsTwice(Bank):
    """Is called twice where once was meant, and hides it from the state."""

    @tool
    def deposit(self, account: str, cents: Cents) -> int:
        told = super().deposit(account, cents)
        super().deposit(account, cents)
        self._accounts[account].cents -= cents
        return told


class TellsNonsense(Bank):
    """Does what it should, and says something else."""

    @tool
    def deposit(self, account: str, cents: Cents) -> int:
        return super().deposit(account, cents) + 1


@pytest.mark.parametrize(
    ("bank", "finding"),
    [
        (PaysTwice, "another final state"),
        (RunsTwice, "other runs than were meant"),
        (TellsNonsense, "was told"),
    ],
)
async def test_a_tool_that_does_something_else_is_found(
    bank: type[Bank], finding: str, fake: FakeOpenRouter
) -> None:
    plan = make_plan(PLAIN_BANK)
    judge(plan, await play(plan, fake))
    with pytest.raises(AssertionError, match=finding):
        judge(plan, await play(plan, fake, bank))


def forget_a_run(record: Record) -> None:
    record.runs.pop()


def change_the_past(record: Record) -> None:
    record.turns[-1].bodies[-1]["messages"][1]["content"] = "another question"


def ask_once_more(record: Record) -> None:
    record.turns[-1].bodies.append(record.turns[-1].bodies[-1])


def change_the_list_of_the_caller(record: Record) -> None:
    record.turns[0].kept.append({"role": "user", "content": "more"})


def swap_ids(record: Record) -> None:
    results = [message for message in _messages(record) if message["role"] == "tool"]
    results[0]["tool_call_id"], results[1]["tool_call_id"] = "b", "a"


def lose_a_result(record: Record) -> None:
    results = [message for message in _messages(record) if message["role"] == "tool"]
    results[-1]["content"] = "?"


def change_arguments(record: Record) -> None:
    asking = next(message for message in _messages(record) if message.get("tool_calls"))
    asking["tool_calls"][0]["function"]["arguments"] += " "


def drop_reasoning(record: Record) -> None:
    thinking = next(message for message in _messages(record) if "reasoning_details" in message)
    del thinking["reasoning_details"]


def count_less(record: Record) -> None:
    usage = record.turns[0].usage
    assert usage is not None
    usage.prompt_tokens -= 1


def _messages(record: Record) -> list[Any]:
    """The messages of all turns, as the turns have added them."""
    return [message for turn in record.turns for message in turn.new]


@pytest.mark.parametrize(
    "spoil",
    [
        forget_a_run,
        change_the_past,
        ask_once_more,
        change_the_list_of_the_caller,
        swap_ids,
        lose_a_result,
        change_arguments,
        drop_reasoning,
        count_less,
    ],
)
async def test_a_conversation_that_went_another_way_is_found(
    spoil: Callable[[Record], None], fake: FakeOpenRouter
) -> None:
    plan = make_plan(PLAIN_BANK)
    record = await play(plan, fake)
    spoil(record)
    with pytest.raises(AssertionError):
        judge(plan, record)
