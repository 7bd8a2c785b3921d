"""What the end of a run means for its workflow, and how workflows are called."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mbxai.agent import AgentFailure, AgentResponse, AgentState, HumanInLoopRequest
from mbxai.durable._names import attempt_of, checked_name, turn_prefix
from mbxai.durable._rest import MAX_FAILURES, Rest, error_of, rest_after, rest_of
from mbxai.errors import (
    AgentError,
    BudgetExceededError,
    ConfigurationError,
    MBXAIError,
    SessionBusyError,
    SessionConflictError,
    SessionDataError,
    SessionNotFoundError,
    SessionStoreError,
)

NOW = 1_000_000.0


def response_of(state: AgentState, **fields: Any) -> AgentResponse:
    return AgentResponse(agent_id="s", state=state, **fields)


def asking(*deadlines: float | None) -> AgentResponse:
    requests = [
        HumanInLoopRequest(
            interaction_type="question",
            prompt="Which?",
            expires_at=datetime.fromtimestamp(NOW + seconds, UTC) if seconds is not None else None,
        )
        for seconds in deadlines
    ]
    return response_of(
        AgentState.WAITING_FOR_HUMAN,
        human_interaction_request=requests[0],
        human_interaction_requests=requests,
    )


def failed(*, retryable: bool) -> AgentResponse:
    failure = AgentFailure(type="Some", message="It broke", retryable=retryable)
    return response_of(AgentState.FAILED, error=failure)


def test_a_completed_session_is_over() -> None:
    done = response_of(AgentState.COMPLETED, final_response={"a": 1})
    assert rest_of(done, None, NOW)["kind"] == "over"


def test_a_session_that_waits_is_looked_at_again_ever_more_rarely_and_at_its_deadline() -> None:
    rest: Rest | None = None
    pauses = []
    for _ in range(9):
        rest = rest_of(asking(None), rest, NOW)
        assert rest["kind"] == "people"
        pauses.append(rest["seconds"])
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert rest_of(asking(None, 50.0, 20.0), None, NOW)["seconds"] == pytest.approx(20.0)
    assert rest_of(asking(-5.0), None, NOW)["seconds"] > 0


def test_a_passing_failure_is_tried_again_and_not_for_ever() -> None:
    rest: Rest | None = None
    kinds = []
    for _ in range(MAX_FAILURES + 1):
        rest = rest_of(failed(retryable=True), rest, NOW)
        kinds.append((rest["kind"], rest["seconds"]))
    expected = [("failed", 30.0 * 2**n) for n in range(MAX_FAILURES)]
    assert kinds == [*expected, ("over", 0.0)]
    assert rest_of(failed(retryable=False), None, NOW)["kind"] == "over"


def test_failures_count_only_in_a_row() -> None:
    first = rest_of(failed(retryable=True), None, NOW)
    waiting = rest_of(asking(None), first, NOW)
    assert (waiting["tries"], rest_of(failed(retryable=True), waiting, NOW)["tries"]) == (1, 1)


def test_a_session_of_somebody_else_is_waited_for() -> None:
    busy = SessionBusyError("Busy", agent_id="s", until=NOW + 3)
    assert rest_after(busy, None, NOW)["seconds"] == pytest.approx(3.0)
    for until in (NOW + 1000, 0.0):
        rest = rest_after(SessionBusyError("Busy", agent_id="s", until=until), None, NOW)
        assert (rest["kind"], rest["seconds"]) == ("busy", 15.0)
    assert rest_after(SessionBusyError("Busy", until=NOW - 9), None, NOW)["seconds"] > 0


@pytest.mark.parametrize("kind", [SessionStoreError, SessionConflictError])
def test_a_store_that_is_away_is_waited_for_as_long_as_it_takes(kind: type[MBXAIError]) -> None:
    rest: Rest | None = None
    for _ in range(50):
        rest = rest_after(kind("Away"), rest, NOW)
        assert rest["kind"] == "away"
        assert 0 < rest["seconds"] <= 72
    assert rest is not None
    assert rest["tries"] == 50


def test_a_session_that_was_deleted_is_over() -> None:
    assert rest_after(SessionNotFoundError("Gone"), None, NOW)["kind"] == "over"


@pytest.mark.parametrize(
    "error",
    [
        SessionDataError("No session", hint="Delete it.", agent_id="s"),
        BudgetExceededError("Too dear", hint="Pay.", limit="max_cost_usd"),
        ConfigurationError("No such tool", hint="Register it."),
    ],
)
def test_an_error_that_stays_stops_the_workflow_and_comes_back_from_json(error: MBXAIError) -> None:
    rest: Rest = json.loads(json.dumps(rest_after(error, None, NOW)))
    assert rest["kind"] == "stopped"
    assert rest["failure"] is not None
    back = error_of(rest["failure"], "s", asking(None))
    assert isinstance(back, AgentError | SessionDataError)
    assert (back.message, back.hint) == (error.message, error.hint)
    if isinstance(error, BudgetExceededError):
        assert isinstance(back, BudgetExceededError)
        assert back.limit == "max_cost_usd"


def test_what_foreign_code_says_is_not_kept() -> None:
    rest = rest_after(RuntimeError("password is hunter2"), None, NOW)
    assert rest["kind"] == "stopped"
    assert "hunter2" not in json.dumps(rest)
    assert "RuntimeError" in json.dumps(rest)


def test_workflows_of_different_sessions_have_different_ids() -> None:
    sessions = [("", "a:1"), (":a", "1"), ("a", "1"), ("", "a"), ("a", ""), ("", "🦉" * 256)]
    prefixes = {turn_prefix("name", *session, turn) for session in sessions for turn in (1, 11)}
    assert len(prefixes) == 2 * len(sessions)
    assert max(map(len, prefixes)) < 80
    assert attempt_of(f"{turn_prefix('name', 'a', 'b', 1)}12") == 12


@pytest.mark.parametrize(
    "name", ["", "ab", "Upper", "with space", "a" * 65, "-abc", "a.b", "ä" * 5]
)
def test_a_name_that_the_engine_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        checked_name(name)
