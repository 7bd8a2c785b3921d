"""The README's four examples as stories in two processes: one asks, a person answers in another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from support.agent_story_stage import House, Stage, calls, evaluated, final, plan, says, task

KINDS = ("async", "blocking")


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as opened:
        yield opened


def played(
    stage: Stage,
    final_name: str,
    prompt: str,
    rules: list[Any],
    *,
    agent_id: str = "story",
    **answering: Any,
) -> Any:
    """Two processes: one runs until a person is needed and ends, in the other the person answers."""
    order = {"final": final_name, "settings": {"human_in_loop": True}}
    call = {"agent_id": agent_id, "prompt": prompt}
    waiting = stage.run(**order, call=call)
    before = stage.effects.lines()
    answer = {"agent_id": agent_id, "prompt": "Continue with user input"}
    done = stage.run(**order, call=answer, rules=rules, **answering)
    stage.fake.verify()
    return waiting, before, done


def assert_hidden(stage: Stage, *secrets: str) -> None:
    """No model was sent a secret, no log tells it, no session holds it."""
    stored = b"".join(path.read_bytes() for path in stage.folder.glob("sessions*"))
    for secret in secrets:
        assert secret not in str(stage.prompts())
        assert secret not in stage.log()
        assert secret.encode() not in stored


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_jira_story_is_fetched_once_with_the_token_that_a_person_gave_in_another_process(
    house: House, tmp_path: Path, kind: str
) -> None:
    stage = house.stage(tmp_path, "jira", kind=kind)
    stage.fake.script(
        plan(task("jira", tools=["fetch_jira_story"])),
        calls("jira", "open_dialog", dialog_option_id="jira_auth", reason="to read the story"),
        calls(
            "jira",
            "fetch_jira_story",
            story_id="PROJ-123",
            jira_url="https://company.atlassian.net",
            auth_token="secret://jira_auth/auth_token",
        ),
        says("jira", "PROJ-123 is in progress."),
        evaluated(achieved=True),
        final(
            "JiraSummary",
            story_id="PROJ-123",
            title="Implement user authentication",
            status="In Progress",
            summary="OAuth2 is being added.",
        ),
    )
    rule = {"to": "Jira", "additional_context": "auth_token:oauth_token_from_ui"}
    waiting, before, done = played(
        stage, "JiraSummary", "Create a summary of Jira story PROJ-123", [rule], form="one"
    )

    assert waiting["state"] == "waiting_for_human"
    (option,) = waiting["human_interaction_request"]["dialog_options"]
    assert option["id"] == "jira_auth"
    assert option["parameters"]["jira_url"] == "https://company.atlassian.net"
    assert before == []
    assert done["state"] == "completed"
    assert done["final_type"] == "JiraSummary"
    assert done["final_response"]["status"] == "In Progress"
    assert stage.effects.lines() == ["fetched PROJ-123 with oauth_token_from_ui"]
    assert "secret://jira_auth/auth_token" in str(stage.prompts())
    assert "Continue with user input" not in str(stage.prompts())
    assert_hidden(stage, "oauth_token_from_ui")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_shops_orders_are_listed_once_with_name_and_password_from_a_dialogue(
    house: House, tmp_path: Path, kind: str
) -> None:
    stage = house.stage(tmp_path, "shop", kind=kind)
    stage.fake.script(
        plan(task("orders", tools=["list_orders_from_shop"])),
        calls("orders", "open_dialog", dialog_option_id="shop_credentials", reason="to log in"),
        calls(
            "orders",
            "list_orders_from_shop",
            username="secret://shop_credentials/username",
            password="secret://shop_credentials/password",
            shop_url="https://shop.example.com",
        ),
        says("orders", "The last order is ORD-2024-003 of 2024-01-25, id ord_003."),
        evaluated(achieved=True),
        final("OrderInfo", id="ord_003", order_number="ORD-2024-003", date="2024-01-25"),
    )
    credentials = {"username": "demo.user@example.com", "password": "demo-password-123"}
    waiting, before, done = played(
        stage,
        "OrderInfo",
        "Give me my last order from this online shop",
        [{"to": "Shop", "credentials": credentials}],
    )

    assert waiting["state"] == "waiting_for_human"
    assert before == []
    assert done["final_response"]["order_number"] == "ORD-2024-003"
    assert stage.effects.lines() == [
        "listed https://shop.example.com as demo.user@example.com:demo-password-123"
    ]
    assert_hidden(stage, "demo.user@example.com", "demo-password-123")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_flight_is_searched_and_booked_once_as_a_person_answered_and_chose(
    house: House, tmp_path: Path, kind: str
) -> None:
    offers = ["Example Air, $450", "Other Air, $390"]
    stage = house.stage(tmp_path, "flight", kind=kind)
    stage.fake.script(
        plan(
            task("search", tools=["search_flights"]),
            task("book", "search", tools=["book_flight"]),
        ),
        calls("search", "ask_question", prompt="From which city do you leave?"),
        calls(
            "search",
            "search_flights",
            origin="New York",
            destination="Los Angeles",
            date="2026-12-01",
        ),
        says("search", "There are two flights: Example Air for $450, Other Air for $390."),
        calls("book", "request_decision", prompt="Which flight?", options=offers),
        calls("book", "book_flight", name="Other Air"),
        says("book", "Other Air is booked."),
        evaluated(achieved=True),
        final("FlightInfo", flights=offers, recommendation="Other Air"),
    )
    waiting, before, done = played(
        stage,
        "FlightInfo",
        "Find flights to Los Angeles for tomorrow and book one",
        [
            {"to": "Which flight", "decision": "OTHER AIR, $390"},
            {"to": "From which city", "answer": "New York"},
        ],
        form="batch",
    )

    assert waiting["questions"][0]["question"] == "From which city do you leave?"
    assert before == []
    assert len(done["answered"]) == 2
    assert done["final_response"] == {"flights": offers, "recommendation": "Other Air"}
    assert stage.effects.lines() == ["searched New York to Los Angeles", "booked Other Air"]
    (_asked, chosen, _booked) = [str(r.body) for r in stage.task_requests("do-book.")]
    assert "Other Air, $390" in chosen


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_deployment_runs_once_after_a_question_a_decision_a_dialogue_and_an_approval(
    house: House, tmp_path: Path, kind: str
) -> None:
    stage = house.stage(tmp_path, "deployment", kind=kind)
    script_of_the_deployment(stage)
    waiting, before, done = played(
        stage, "ProjectPlan", "Deploy version 2 to production", DEPLOYMENT_ANSWERS, form="one"
    )

    assert_deployed(stage, waiting, before, done)


@pytest.mark.slow
def test_a_deployment_that_waits_in_redis_is_finished_by_another_process(
    house: House, tmp_path: Path, redis_url: str
) -> None:
    stage = house.stage(tmp_path, "deployment", sessions=redis_url)
    script_of_the_deployment(stage)
    agent_id = f"story-{uuid4()}"
    with redis.Redis.from_url(redis_url) as connection:
        try:
            waiting, before, done = played(
                stage,
                "ProjectPlan",
                "Deploy version 2 to production",
                DEPLOYMENT_ANSWERS,
                agent_id=agent_id,
            )
            stored = connection.get(f"agent:{agent_id}")
        finally:
            connection.delete(f"agent:{agent_id}")

    assert_deployed(stage, waiting, before, done)
    assert b"Version 2 is on AWS" in stored
    assert b"CHG-4711-approved" not in stored


DEPLOYMENT_ANSWERS = [
    {"to": "Which cloud", "answer": "Use AWS for deployment"},
    {"to": "is complex", "decision": "proceed"},
    {"to": "Deployment Approval", "credentials": {"ticket": "CHG-4711-approved"}},
    {"to": "deploy", "decision": "approve", "additional_context": "approved_by: J. Doe"},
]


def script_of_the_deployment(stage: Stage) -> None:
    stage.fake.script(
        plan(
            task("choose", title="Choose the cloud"),
            task("release", "choose", tools=["deploy"], complexity=5, title="Release"),
        ),
        calls("choose", "ask_question", prompt="Which cloud should be used?"),
        says("choose", "AWS is used."),
        calls("release", "open_dialog", dialog_option_id="approval_request", reason="production"),
        calls("release", "deploy", version="2", cloud="AWS"),
        says("release", "Version 2 is on AWS."),
        evaluated(achieved=True),
        final("ProjectPlan", project_name="Version 2", environment="production", steps=["deploy"]),
    )


def assert_deployed(stage: Stage, waiting: Any, before: list[str], done: Any) -> None:
    assert waiting["questions"][0]["question"] == "Which cloud should be used?"
    assert before == []
    assert done["state"] == "completed"
    assert len(done["answered"]) == len(set(done["answered"])) == 4
    assert done["final_response"]["environment"] == "production"
    assert stage.effects.lines() == ["deployed 2 to AWS"]
    assert_hidden(stage, "CHG-4711-approved")
