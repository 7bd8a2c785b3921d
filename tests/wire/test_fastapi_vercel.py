"""Runs as the AI SDK's UI message stream, over a socket; `tests/frontends` has the npm client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.agent_http import SECRET, agent_of, asking_at_once, served
from support.agent_worker_shop import plan

from mbxai.testing import Failure, FakeOpenRouter

CHAT = "/agent/vercel/chat"


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as server:
        yield server


@pytest.fixture(scope="module")
def asking() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan(estimated_complexity=5)) as server:
        yield server


def body(text: str = "Ship the lamp", *, number: int = 1, **more: Any) -> dict[str, Any]:
    message = {"id": f"m{number}", "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": "chat", "trigger": "submit-message", "messages": [message], **more}


def chunks(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    lines = [line for line in answer.text.splitlines() if line.startswith("data:")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [chunk["type"] for chunk in found]


def of(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [chunk for chunk in found if chunk["type"] == kind]


def test_a_run_is_steps_tools_data_and_text(fake: FakeOpenRouter, tmp_path: Path) -> None:
    with served(agent_of(fake, tmp_path)) as service:
        found = chunks(service.post(CHAT, json=body()))
        assert found[0]["type"] == "start"
        assert kinds(found).count("start-step") == kinds(found).count("finish-step") == 5
        (called,) = of(found, "tool-input-available")
        (ended,) = of(found, "tool-output-available")
        assert (called["toolName"], called["input"]) == ("ship", {})
        assert ended["output"] == "shipped"
        assert called["toolCallId"] == ended["toolCallId"]
        assert of(found, "data-plan")[-1]["data"]["tasks"][0]["status"] == "completed"
        (delta,) = of(found, "text-delta")
        assert delta["delta"] == of(found, "data-result")[0]["data"]["summary"]
        assert found[-1]["finishReason"] == "stop"
        metadata = found[-1]["messageMetadata"]
        assert metadata["state"] == "completed"
        assert metadata["totalTokens"] > 0

        # The same message again is no new turn; another one is.
        again = chunks(service.post(CHAT, json=body()))
        assert not of(again, "start-step")
        assert of(again, "data-result") == of(found, "data-result")
        assert of(chunks(service.post(CHAT, json=body(number=2))), "start-step")
        meant = body(trigger="regenerate-message")
        assert of(chunks(service.post(CHAT, json=meant)), "start-step")


def test_a_question_ends_the_message_and_its_answer_begins_the_next(
    asking: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(asking, tmp_path, people=True)) as service:
        found = chunks(service.post(CHAT, json=body()))
        (asked,) = of(found, "data-interaction")
        assert asked["data"]["answerSchema"]["properties"]["decision"]["enum"][0] == "proceed"
        assert found[-1]["finishReason"] == "other"
        assert not of(found, "text-delta")
        assert service.get(f"{CHAT}/chat/stream").status_code == 204

        wrong = [{"interruptId": "other", "status": "resolved", "payload": {}}]
        assert service.post(CHAT, json=body(resume=wrong)).status_code == 404
        unfit = [{"interruptId": asked["id"], "status": "resolved", "payload": {"decision": 7}}]
        refused = service.post(CHAT, json=body(resume=unfit))
        assert refused.status_code == 422
        assert refused.json()["code"] == "answer_mismatch"

        payload = {"decision": "proceed"}
        resume = [{"interruptId": asked["id"], "status": "resolved", "payload": payload}]
        found = chunks(service.post(CHAT, json=body(resume=resume)))
        assert found[-1]["finishReason"] == "stop"
        assert of(found, "tool-output-available")


def test_a_question_and_a_log_in_are_answered_at_once_and_the_secret_is_in_no_stream() -> None:
    with FakeOpenRouter() as model, served(asking_at_once(model)) as service:
        first = service.post(CHAT, json=body())
        asked = {
            part["data"]["request"]["interaction_type"]: part["id"]
            for part in of(chunks(first), "data-interaction")
        }
        login = {"dialog_option_id": "login", "credentials": {"pin": SECRET}}
        payloads = {"question": {"answer": "the small one"}, "dialog_option": login}
        entries = [
            {"interruptId": asked[kind], "status": "resolved", "payload": payload}
            for kind, payload in payloads.items()
        ]
        second = service.post(CHAT, json=body(resume=entries))
        assert chunks(second)[-1]["finishReason"] == "stop"
        assert SECRET not in first.text + second.text
        assert SECRET not in str([request.body for request in model.requests()])


def test_an_answer_that_is_none_cancels_the_run(asking: FakeOpenRouter, tmp_path: Path) -> None:
    with served(agent_of(asking, tmp_path, people=True)) as service:
        (asked,) = of(chunks(service.post(CHAT, json=body())), "data-interaction")
        resume = [{"interruptId": asked["id"], "status": "cancelled"}]
        found = chunks(service.post(CHAT, json=body(resume=resume)))
        assert found[-1]["type"] == "abort"


def test_a_run_that_fails_says_so(tmp_path: Path) -> None:
    with FakeOpenRouter() as broken:
        broken.script(*[Failure(status=401)] * 2)
        with served(agent_of(broken, tmp_path)) as service:
            found = chunks(service.post(CHAT, json=body()))
    assert kinds(found)[-2:] == ["error", "finish"]
    assert found[-2]["errorText"]
    assert found[-1]["finishReason"] == "error"


def test_who_comes_back_while_it_runs_sees_the_rest(fake: FakeOpenRouter, tmp_path: Path) -> None:
    with served(agent_of(fake, tmp_path, seconds=1.0)) as service:
        with service.stream("POST", CHAT, json=body()) as first:
            for line in first.iter_lines():
                if '"tool-input-available"' in line:
                    break
        found = chunks(service.get(f"{CHAT}/chat/stream"))
        assert of(found, "data-plan")[0]["data"]["tasks"][0]["status"] == "in_progress"
        assert found[-1]["finishReason"] == "stop"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (body(text=" "), 422),
        (body() | {"messages": []}, 422),
        (body() | {"id": ""}, 422),
        (body() | {"trigger": "other"}, 422),
        ({"messages": []}, 422),
    ],
)
def test_what_cannot_be_run_is_refused(
    fake: FakeOpenRouter, tmp_path: Path, given: dict[str, Any], status: int
) -> None:
    with served(agent_of(fake, tmp_path)) as service:
        answer = service.post(CHAT, json=given)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_chats_of_others_are_ones_own(fake: FakeOpenRouter, tmp_path: Path) -> None:
    with served(agent_of(fake, tmp_path)) as service:
        chunks(service.post(CHAT, json=body()))
        bob = {"X-User": "bob"}
        assert service.get(f"{CHAT}/chat/stream", headers=bob).status_code == 204
        found = chunks(service.post(CHAT, json=body(), headers=bob))
        assert not of(found[:2], "data-plan")
