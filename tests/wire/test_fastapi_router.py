"""`agent_router` over a real socket: sessions begun, followed, answered, cancelled, by whom they are."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from support.agent_http import agent_of, served
from support.agent_worker_shop import Receipt, plan

from mbxai import (
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    ConfigurationError,
    DialogOption,
)
from mbxai.fastapi import agent_router, anonymous
from mbxai.sessions import SQLiteSessionStore
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

START = {"prompt": "Ship the lamp"}


class Other(BaseModel):
    words: str


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as server:
        yield server


@pytest.fixture(scope="module")
def asking() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan(estimated_complexity=5)) as server:
        yield server


@pytest.fixture
def service(fake: FakeOpenRouter, tmp_path: Path) -> Iterator[httpx.Client]:
    with served(agent_of(fake, tmp_path)) as client:
        yield client


def begun(service: httpx.Client, **more: Any) -> str:
    answer = service.post("/agent/sessions", json=START, **more)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/agent/sessions/{answer.json()['agent_id']}"
    return answer.json()["agent_id"]


def rested(service: httpx.Client, agent_id: str) -> dict[str, Any]:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        state = service.get(f"/agent/sessions/{agent_id}").json()
        if not state["is_running"]:
            return state
        time.sleep(0.02)
    raise AssertionError(state)


def events(service: httpx.Client, agent_id: str, after: str = "") -> list[dict[str, Any]]:
    headers = {"Last-Event-ID": after} if after else {}
    found: list[dict[str, Any]] = []
    url = f"/agent/sessions/{agent_id}/events"
    with service.stream("GET", url, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, Any] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name in ("event", "id", "data"):
                event[name] = value
            elif not line and event:
                found.append(event)
                event = {}
    return found


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, answer.json()["code"]


def test_a_session_is_begun_followed_and_read(service: httpx.Client) -> None:
    agent_id = begun(service)
    seen = events(service, agent_id)
    numbers = [int(event["id"]) for event in seen if "id" in event]
    assert numbers == list(range(1, len(numbers) + 1))
    assert seen[-1]["event"] == "done"
    assert "response_delta" in {event["event"] for event in seen}
    assert {"state_changed", "plan_changed", "tool_called"} <= {event["event"] for event in seen}

    state = rested(service, agent_id)
    assert (state["state"], state["error"]) == ("completed", None)
    assert state["prompt"] == START["prompt"]
    assert Receipt.model_validate(state["final_response"])
    assert state["token_summary"]["final_response"]["total_tokens"] > 0

    middle = numbers[len(numbers) // 2]
    again = [int(event["id"]) for event in events(service, agent_id, str(middle)) if "id" in event]
    assert again == list(range(middle + 1, len(numbers) + 1))
    assert [event["event"] for event in events(service, agent_id, str(numbers[-1]))] == ["done"]
    assert events(service, agent_id, "no number")[0]["id"] == "1"


def test_who_has_the_state_already_gets_nothing(service: httpx.Client) -> None:
    agent_id = begun(service)
    rested(service, agent_id)
    first = service.get(f"/agent/sessions/{agent_id}")
    tag = first.headers["etag"]
    same = service.get(f"/agent/sessions/{agent_id}", headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    other = service.get(f"/agent/sessions/{agent_id}", headers={"If-None-Match": '"1"'})
    assert other.status_code == 200


def test_a_tag_that_was_weakened_on_the_way_still_fits(service: httpx.Client) -> None:
    agent_id = begun(service)
    rested(service, agent_id)
    tag = service.get(f"/agent/sessions/{agent_id}").headers["etag"]
    for given in (f"W/{tag}", f'"0-0", {tag}', "*"):
        headers = {"If-None-Match": given}
        assert service.get(f"/agent/sessions/{agent_id}", headers=headers).status_code == 304


def test_sessions_stand_where_the_service_puts_them(fake: FakeOpenRouter, tmp_path: Path) -> None:
    with served(agent_of(fake, tmp_path), prefix="/sessions/runs") as service:
        started = service.post("/sessions/runs/sessions", json=START)
        place = started.headers["location"]
        assert place == f"/sessions/runs/sessions/{started.json()['agent_id']}"
        while service.get(place).json()["is_running"]:
            time.sleep(0.02)
        assert service.post(f"{place}/runs", json=START).headers["location"] == place


def test_the_same_request_twice_begins_one_session(service: httpx.Client) -> None:
    key = {"Idempotency-Key": "k-1"}
    agent_id = begun(service, headers=key)
    assert begun(service, headers=key) == agent_id
    rested(service, agent_id)
    assert begun(service, headers=key) == agent_id
    sessions = service.get("/agent/sessions").json()["sessions"]
    assert [found["agent_id"] for found in sessions] == [agent_id]
    assert service.get(f"/agent/sessions/{agent_id}/export").json()["turn"] == 1


def test_a_session_goes_on_with_a_further_prompt_once_its_turn_is_over(
    asking: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(asking, tmp_path, people=True)) as service:
        agent_id = begun(service)
        rested(service, agent_id)
        runs = f"/agent/sessions/{agent_id}/runs"
        assert problem(service.post(runs, json=START)) == (409, "run_in_progress")
        assert service.post(f"/agent/sessions/{agent_id}/cancel").status_code == 202
        assert rested(service, agent_id)["error"]["type"] == "Cancelled"
        assert service.post(runs, json=START).status_code == 202
        assert service.get(f"/agent/sessions/{agent_id}/export").json()["turn"] == 2


def test_people_get_a_form_answer_it_once_and_the_run_goes_on(
    asking: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(asking, tmp_path, people=True)) as service:
        agent_id = begun(service)
        [asked] = rested(service, agent_id)["interactions"]
        path = f"/agent/sessions/{agent_id}"
        form = service.get(f"{path}/interactions/{asked['id']}").json()["answer_schema"]
        assert form["properties"]["decision"]["enum"] == asked["options"]
        answer = {key: rule["const"] for key, rule in form["properties"].items() if "const" in rule}

        wrong = service.post(f"{path}/responses", json=answer | {"decision": "perhaps"})
        assert problem(wrong) == (422, "answer_mismatch")
        unknown = service.post(f"{path}/responses", json=answer | {"interaction_id": "x"})
        assert problem(unknown) == (404, "interaction_not_found")

        answer["decision"] = asked["options"][0]
        given = service.post(f"{path}/responses", json={"responses": [answer]})
        assert given.status_code == 202
        assert rested(service, agent_id)["state"] == "completed"
        late = service.post(f"{path}/responses", json=answer)
        assert problem(late) == (409, "interaction_closed")
        gone = service.get(f"{path}/interactions/{asked['id']}")
        assert problem(gone) == (404, "interaction_not_found")


def test_nobody_sees_or_changes_the_sessions_of_others(service: httpx.Client) -> None:
    agent_id = begun(service)
    rested(service, agent_id)
    ben = {"X-User": "ben"}
    path = f"/agent/sessions/{agent_id}"
    for method, url, body in (
        ("GET", path, None),
        ("GET", f"{path}/export", None),
        ("GET", f"{path}/events", None),
        ("GET", f"{path}/interactions/x", None),
        ("POST", f"{path}/cancel", None),
        ("POST", f"{path}/runs", START),
        ("POST", f"{path}/responses", {"responses": []}),
    ):
        answer = service.request(method, url, json=body, headers=ben)
        assert problem(answer) == (404, "session_not_found"), url
    assert service.delete(path, headers=ben).status_code == 204  # whatever there is or is not
    assert service.get("/agent/sessions", headers=ben).json()["sessions"] == []
    assert service.get(path).status_code == 200
    assert service.get(path, headers={"X-User": "stranger"}).status_code == 403
    assert service.delete(path).status_code == 204
    assert problem(service.get(path)) == (404, "session_not_found")


def test_a_list_comes_in_parts(service: httpx.Client) -> None:
    ids = [begun(service) for _ in range(5)]
    for agent_id in ids:
        rested(service, agent_id)
    first = service.get("/agent/sessions", params={"limit": 3}).json()
    rest = service.get("/agent/sessions", params={"cursor": first["next_cursor"]}).json()
    found = [item["agent_id"] for page in (first, rest) for item in page["sessions"]]
    assert sorted(found) == sorted(ids)
    assert service.get("/agent/sessions", params={"status": "failed"}).json()["sessions"] == []
    assert problem(service.get("/agent/sessions", params={"cursor": "x"}))[0] == 422


SECRET = "sk-or-hunter2"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"prompt": "' + SECRET.encode(), 422),
        (json.dumps({"prompt": "", "x": SECRET}).encode(), 422),
        (json.dumps({"prompt": ["x"], SECRET: 1}).encode(), 422),
        (json.dumps({"prompt": "x", "response_schema": SECRET}).encode(), 422),
        (b"[" * 100_000, 422),
        (b"\xff\xfe" + SECRET.encode(), 422),
        (json.dumps({"prompt": "x" * 70_000}).encode(), 413),
        (b"", 422),
    ],
)
def test_f4_bad_bodies_are_refused_and_never_echoed(
    fake: FakeOpenRouter, tmp_path: Path, body: bytes, status: int
) -> None:
    with served(agent_of(fake, tmp_path), max_body_bytes=65_536 if status == 413 else 300_000) as s:
        answer = s.post(
            "/agent/sessions", content=body, headers={"Content-Type": "application/json"}
        )
        assert problem(answer)[0] == status
        assert SECRET not in answer.text
        assert s.get("/agent/sessions").json()["sessions"] == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json; charset=utf-8", 202),
        ("application/ld+json", 202),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
def test_f4_a_body_must_say_that_it_is_json(service: httpx.Client, kind: str, status: int) -> None:
    body = json.dumps(START).encode()
    answer = service.post("/agent/sessions", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    if status == 415:
        assert problem(answer) == (415, "unsupported_media_type")


def test_f4_a_body_without_a_length_is_bounded_too(fake: FakeOpenRouter, tmp_path: Path) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 1000

    with served(agent_of(fake, tmp_path), max_body_bytes=10_000) as service:
        try:
            answer = service.post("/agent/sessions", content=endless())
        except httpx.WriteError:
            return  # the service hung up while more was sent
        assert problem(answer) == (413, "body_too_large")


def test_beyond_the_bound_no_more_runs_are_begun(fake: FakeOpenRouter, tmp_path: Path) -> None:
    with served(agent_of(fake, tmp_path), max_waiting=2, works=False) as service:
        begun(service)
        begun(service)
        refused = service.post("/agent/sessions", json=START)
        assert problem(refused) == (429, "too_many_runs")
        assert int(refused.headers["retry-after"]) > 0


def test_a_run_goes_on_whoever_leaves_and_its_end_is_seen_by_all(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(fake, tmp_path, seconds=0.5)) as service:
        agent_id = begun(service)
        with service.stream("GET", f"/agent/sessions/{agent_id}/events") as left:
            next(left.iter_lines())
        seen: list[list[str]] = []
        threads = [
            threading.Thread(
                target=lambda: seen.append([e["event"] for e in events(service, agent_id)])
            )
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [names[-1] for names in seen] == ["done"] * 5
        counted = [[name for name in names if name != "response_delta"] for names in seen]
        assert all(names == counted[0] for names in counted)


def test_the_document_names_the_final_responses(fake: FakeOpenRouter, tmp_path: Path) -> None:
    with served(agent_of(fake, tmp_path), responses=[Receipt, Other]) as service:
        document = service.get("/openapi.json").json()
        assert {"Receipt", "Other"} <= document["components"]["schemas"].keys()
        paths = document["paths"]
        assert paths["/agent/sessions"]["post"]["responses"].keys() >= {"202", "422", "429"}
        assert "text/event-stream" in str(paths["/agent/sessions/{agent_id}/events"]["get"])
        unnamed = service.post("/agent/sessions", json=START)
        assert problem(unnamed) == (422, "invalid_request")
        assert "Receipt, Other" in unnamed.json()["detail"]
        named = service.post("/agent/sessions", json=START | {"response_schema": "Other"})
        assert rested(service, named.json()["agent_id"])["final_response"].keys() == {"words"}


def test_a_session_outlives_the_service(fake: FakeOpenRouter, tmp_path: Path) -> None:
    def agent() -> AsyncAgentClient:
        return agent_of(fake, tmp_path, store=SQLiteSessionStore(tmp_path / "sessions.db"))

    with served(agent(), works=False) as service:
        agent_id = begun(service)
    with served(agent()) as service:
        assert rested(service, agent_id)["state"] == "completed"


@pytest.mark.parametrize(
    "options",
    [{"responses": []}, {"responses": [Receipt, type("Receipt", (BaseModel,), {})]}],
)
def test_a_router_that_cannot_work_is_refused(
    fake: FakeOpenRouter, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        agent_router(agent_of(fake, tmp_path), scope=anonymous, **options)
    with pytest.raises(TypeError, match="scope"):
        agent_router(agent_of(fake, tmp_path), responses=[Receipt])


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://other.example.com"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://SHOP.example.com"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://any.example"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({}, False),
    ],
)
def test_a_page_of_a_foreign_origin_changes_nothing(
    fake: FakeOpenRouter, tmp_path: Path, headers: dict[str, str], is_refused: bool
) -> None:
    agent = agent_of(fake, tmp_path)
    with served(agent, trusted_origins=["https://shop.example.com/"]) as service:
        answer = service.post("/agent/sessions", json=START, headers=headers)
        assert (answer.status_code == 403) is is_refused
        if is_refused:
            assert problem(answer) == (403, "foreign_origin")
            assert service.get("/agent/sessions", headers=headers).json()["sessions"] == []


def test_a_page_of_the_services_own_origin_may_change_something(service: httpx.Client) -> None:
    own = {"Origin": str(service.base_url).rstrip("/")}
    assert service.post("/agent/sessions", json=START, headers=own).status_code == 202


def test_dialogues_and_final_responses_are_told(fake: FakeOpenRouter, tmp_path: Path) -> None:
    login = DialogOption(id="login", title="Log in", description="To the shop", function=print)
    client = AsyncOpenRouterClient("sk-or-v1-fake", "fake/model", fake.base_url)
    agent = AsyncAgentClient(client, True, [login])
    with served(agent) as service:
        (told,) = service.get("/agent/dialog-options").json()
        assert told["id"] == "login"
        assert "function" not in told
        schemas = service.get("/agent/response-schemas").json()
        assert schemas == {"Receipt": Receipt.model_json_schema()}


def test_an_answer_may_depend_on_what_its_giver_has_seen(
    asking: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(asking, tmp_path, people=True)) as service:
        path = f"/agent/sessions/{begun(service)}"
        (asked,) = rested(service, path.rpartition("/")[2])["interactions"]
        answer = {"interaction_id": asked["id"], "response_type": "decision"}
        answer["decision"] = "proceed"
        stale = {"If-Match": '"1-0"'}
        refused = service.post(f"{path}/responses", json=answer, headers=stale)
        assert problem(refused) == (412, "session_changed")
        seen = {"If-Match": service.get(path).headers["etag"]}
        assert service.post(f"{path}/responses", json=answer, headers=seen).status_code == 202


def test_events_of_some_types_only(service: httpx.Client) -> None:
    agent_id = begun(service)
    with service.stream("GET", f"/agent/sessions/{agent_id}/events?types=plan_changed") as told:
        names = {line for line in told.iter_lines() if line.startswith("event:")}
    assert names == {"event: plan_changed", "event: done"}


def test_a_scope_that_names_nobody_is_the_services_fault(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(fake, tmp_path), scope=lambda: "x" * 300) as service:
        assert problem(service.get("/agent/sessions")) == (500, "internal_error")


@pytest.mark.alone
def test_a_foreign_id_takes_as_long_as_one_that_never_was(service: httpx.Client) -> None:
    foreign = f"/agent/sessions/{begun(service)}"
    rested(service, foreign.rpartition("/")[2])
    never = "/agent/sessions/agt_0000000000000000000000000000000000000000"
    taken: dict[str, list[float]] = {foreign: [], never: []}
    for _ in range(150):
        for path, seconds in taken.items():
            began = time.perf_counter()
            answer = service.get(path, headers={"X-User": "bob"})
            seconds.append(time.perf_counter() - began)
            assert problem(answer) == (404, "session_not_found")
    ratio = median(taken[foreign]) / median(taken[never])
    assert 0.8 < ratio < 1.25, ratio


def test_a_credential_is_taken_where_sessions_do_not_outlive_the_process(
    fake: FakeOpenRouter,
) -> None:
    login = DialogOption(id="login", title="Log in", description="To the shop")
    secret = "pw-in-memory-1b7e"
    ask = {"name": "open_dialog", "arguments": {"dialog_option_id": "login", "reason": "it"}}
    with FakeOpenRouter() as model:
        model.script(
            Reply(when=Match(schema="TodoList"), json=plan()["TodoList"]),
            Reply(tool_calls=[ask], when=Match(tool="open_dialog")),
            Auto(times=None),
        )
        client = AsyncOpenRouterClient("sk-or-v1-fake", "fake/model", model.base_url)
        tools = AsyncToolClient(client)
        tools.register_tool("ship", "Ship something", lambda: "shipped")
        with served(AsyncAgentClient(tools, True, [login])) as service:
            path = f"/agent/sessions/{begun(service)}"
            (asked,) = rested(service, path.rpartition("/")[2])["interactions"]
            answer = {"interaction_id": asked["id"], "response_type": "dialog_option"}
            answer |= {"dialog_option_id": "login", "credentials": {"password": secret}}
            taken = service.post(f"{path}/responses", json=answer)
            assert taken.status_code == 202, taken.text
            state = rested(service, path.rpartition("/")[2])
            assert state["interactions"] == []
            assert secret not in service.get(f"{path}/export").text
            assert secret not in str([request.body for request in model.requests()])


def test_the_inspector_is_only_there_if_it_is_asked_for(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(fake, tmp_path)) as plain:
        assert plain.get("/agent/inspector").status_code == 404
    with served(agent_of(fake, tmp_path), inspector=True) as service:
        page = service.get("/agent/inspector")
        assert page.status_code == 200
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert service.get("/agent/inspector", headers={"X-User": "stranger"}).status_code == 403
        assert "/agent/inspector" not in service.get("/openapi.json").json()["paths"]
