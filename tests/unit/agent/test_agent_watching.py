"""A callback beside a run, the text of a final response in pieces, and what is left of a budget."""

import asyncio
import json
import threading

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbxai.agent._result_models import AgentState, TokenSummary, TokenUsage
from mbxai.agent.events import StateChanged
from mbxai.agent.machine._snapshot import AgentSnapshot
from mbxai.agent.running._response_text import ResponseText
from mbxai.agent.running._spending import Spending
from mbxai.agent.running._watching import both, watched
from mbxai.wire import Budget

EVENT = StateChanged(state=AgentState.COMPLETED)


# --- callbacks ------------------------------------------------------------------------------------


async def test_a_callback_that_hangs_does_not_hold_the_run_for_ever(caplog):
    entered, leave = threading.Event(), threading.Event()

    def hang(event):
        entered.set()
        leave.wait(5)

    async def run(observe):
        observe(EVENT)
        while not entered.is_set():
            await anyio.sleep(0.001)
        return "done"

    try:
        with anyio.fail_after(5):
            assert await watched(hang, run, last_seconds=0.01) == "done"
    finally:
        leave.set()
    assert "misses the last events" in caplog.text


async def test_what_the_run_raises_is_raised_after_the_last_event():
    seen = []

    async def run(observe):
        observe(EVENT)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await watched(seen.append, run)
    assert seen == [EVENT]


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
async def test_an_exit_in_a_callback_ends_neither_the_run_nor_the_loop(caplog, is_async):
    def leave(event):
        raise SystemExit(3)

    async def leave_later(event):
        leave(event)

    async def run(observe):
        observe(EVENT)
        return "done"

    assert await watched(leave_later if is_async else leave, run) == "done"
    assert "SystemExit" in caplog.text


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
async def test_what_is_cancelled_within_a_callback_does_not_cancel_the_run(caplog, is_async):
    seen = []

    def raise_it(event):
        seen.append(event)
        raise asyncio.CancelledError

    async def await_something_cancelled(event):
        seen.append(event)
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def run(observe):
        observe(EVENT)
        await anyio.sleep(0.05)
        observe(EVENT)
        return "done"

    with anyio.fail_after(4):  # less than the last events are waited for
        assert await watched(await_something_cancelled if is_async else raise_it, run) == "done"
    assert seen == [EVENT, EVENT]
    assert "CancelledError" in caplog.text


def test_two_observers_are_told_in_their_order():
    seen = []
    both(lambda event: seen.append("first"), lambda event: seen.append("second"))(EVENT)
    both(None, seen.append)(EVENT)
    assert seen == ["first", "second", EVENT]


# --- the final response's text --------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)


def pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@given(value=OBJECTS, size=st.integers(1, 9), is_fenced=st.booleans())
def test_the_outermost_object_is_found_between_other_words(value, size, is_fenced):
    text = json.dumps(value)
    reader = ResponseText()
    given_text = f'Here is the "answer":\n```json\n{text}\n``` It is "it".' if is_fenced else text
    assert "".join(map(reader.feed, pieces(given_text, size))) == text


@given(value=OBJECTS, before=JSON, after=JSON, size=st.integers(1, 9))
def test_a_member_is_found_among_others(value, before, after, size):
    text = json.dumps({"before": before, "final_response": value, "after": after}, indent=1)
    reader = ResponseText("final_response")
    found = "".join(map(reader.feed, pieces(text, size)))
    assert json.loads(found) == value


@given(other=JSON)
def test_a_member_that_is_no_object_gives_no_text(other):
    if not isinstance(other, dict):
        text = json.dumps({"final_response": other, "more": {"final_response": {"a": 1}}})
        assert ResponseText("final_response").feed(text) == ""


# --- budgets --------------------------------------------------------------------------------------


def spent(requests: int, tokens: int) -> AgentSnapshot:
    usage = TokenUsage(total_tokens=tokens)
    return AgentSnapshot(
        agent_id="s", model_calls=requests, token_summary=TokenSummary(final_response=usage)
    )


def test_the_session_and_the_run_are_bounded_each_by_its_own():
    spending = Spending(spent(5, 500), Budget(max_requests=10), Budget(max_tokens=100))
    assert spending.reached(spent(5, 500), "model", 4) is None
    whole = spending.reached(spent(5, 500), "model", 5)
    assert whole is not None
    assert (whole.limit, whole.is_of_run) == ("max_requests", False)
    own = spending.reached(spent(6, 600), "model", 0)
    assert own is not None
    assert (own.limit, own.is_of_run) == ("max_tokens", True)
    assert spending.reached(spent(6, 600), "tool", 0) is None
