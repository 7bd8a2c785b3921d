"""Runs over AG-UI 1.0, each stream judged by the protocol's own validator."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ag_ui.core import RunAgentInput
from support.agent_http import SECRET, agent_of, asking_at_once, served
from support.agent_worker_shop import plan

from mbxai.testing import Failure, FakeOpenRouter

PROMPT = [{"id": "1", "role": "user", "content": "Ship the lamp"}]


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan()) as server:
        yield server


@pytest.fixture(scope="module")
def asking() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides=plan(estimated_complexity=5)) as server:
        yield server


class Front:
    """A front end; every stream that it gets is kept and validated."""

    def __init__(self, service: httpx.Client, folder: Path) -> None:
        self.service = service
        self.folder = folder
        self.runs = 0

    def run(self, **more: Any) -> list[dict[str, Any]]:
        self.runs += 1
        asked = {"thread_id": "t", "run_id": f"r{self.runs}", "messages": PROMPT} | more
        body = RunAgentInput(**asked).model_dump(mode="json", by_alias=True)
        answer = self.service.post("/agent/ag-ui", json=body)
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
        capture = self.folder / f"{self.runs}.sse"
        capture.write_text(answer.text)
        command = [str(Path(sys.executable).with_name("ag-ui-validate")), str(capture), "--json"]
        judged = subprocess.run(command, capture_output=True, text=True)
        assert judged.returncode == 0, judged.stdout + judged.stderr
        lines = [line for line in answer.text.splitlines() if line]
        return [json.loads(line.removeprefix("data: ")) for line in lines]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def state_after(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Apply the patches, as a front end does."""
    state: Any = None
    for event in events:
        if event["type"] == "STATE_SNAPSHOT":
            state = event["snapshot"]
        for patch in event["delta"] if event["type"] == "STATE_DELTA" else []:
            *way, last = patch["path"].split("/")[1:]
            place = state
            for step in way:
                place = place[int(step) if isinstance(place, list) else step]
            place[int(last) if isinstance(place, list) else last] = patch["value"]
    return state


def test_a_run_shows_its_phases_its_plan_its_tools_and_its_answer(
    fake: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(fake, tmp_path)) as service:
        front = Front(service, tmp_path)
        events = front.run()
        assert kinds(events)[:2] == ["RUN_STARTED", "STATE_SNAPSHOT"]
        steps = [event["stepName"] for event in events if event["type"] == "STEP_STARTED"]
        assert steps[0] == "analyzing_requirement"
        assert {"executing_tasks", "evaluating_goal"} <= set(steps)
        assert {"TOOL_CALL_START", "TOOL_CALL_RESULT", "TEXT_MESSAGE_CONTENT"} <= set(kinds(events))
        (told,) = (event for event in events if event["type"] == "TOOL_CALL_RESULT")
        assert told["content"] == "shipped"
        assert events[-1]["outcome"] == {"type": "success"}
        state = state_after(events)
        assert state["state"] == "completed"
        assert [task["status"] for task in state["todo_list"]["tasks"]] == ["completed"]
        assert events[-1]["result"] == state["final_response"]
        assert state["final_response"]["summary"]

        again = front.run(messages=[*PROMPT, {"id": "2", "role": "user", "content": "Another"}])
        assert again[-1]["outcome"] == {"type": "success"}
        assert again[1]["snapshot"]["state"] == "completed"


def test_an_interrupt_ends_a_run_and_the_next_one_resumes(
    asking: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(asking, tmp_path, people=True)) as service:
        front = Front(service, tmp_path)
        [interrupt] = front.run()[-1]["outcome"]["interrupts"]
        options = interrupt["responseSchema"]["properties"]["decision"]["enum"]

        busy = front.run()
        assert (busy[-1]["type"], busy[-1]["code"]) == ("RUN_ERROR", "run_in_progress")
        unknown = front.run(resume=[{"interrupt_id": "x", "status": "resolved", "payload": {}}])
        assert unknown[-1]["code"] == "interaction_not_found"
        entry = {"interrupt_id": interrupt["id"], "status": "resolved"}
        odd = front.run(resume=[entry | {"payload": {"decision": "perhaps"}}])
        assert odd[-1]["code"] == "answer_mismatch"

        resumed = front.run(resume=[entry | {"payload": {"decision": options[0]}}])
        assert resumed[-1]["outcome"] == {"type": "success"}


def test_a_question_and_a_log_in_are_two_interrupts_and_the_secret_is_in_no_stream(
    tmp_path: Path,
) -> None:
    with FakeOpenRouter() as model, served(asking_at_once(model)) as service:
        front = Front(service, tmp_path)
        asked = {i["reason"]: i for i in front.run()[-1]["outcome"]["interrupts"]}
        assert set(asked) == {"question", "dialog_option"}
        secret = asked["dialog_option"]["responseSchema"]["properties"]["credentials"]
        assert secret["writeOnly"]
        login = {"dialog_option_id": "login", "credentials": {"pin": SECRET}}
        payloads = {"question": {"answer": "the small one"}, "dialog_option": login}
        entries = [
            {"interrupt_id": asked[kind]["id"], "status": "resolved", "payload": payload}
            for kind, payload in payloads.items()
        ]
        # One of two is taken, and the other one still asked for.
        [left] = front.run(resume=entries[:1])[-1]["outcome"]["interrupts"]
        assert left["reason"] == "dialog_option"
        assert front.run(resume=entries[1:])[-1]["outcome"] == {"type": "success"}
        streams = "".join(path.read_text() for path in tmp_path.glob("*.sse"))
        assert SECRET not in streams
        assert SECRET not in str([request.body for request in model.requests()])


def test_an_interrupt_that_is_cancelled_ends_the_turn(
    asking: FakeOpenRouter, tmp_path: Path
) -> None:
    with served(agent_of(asking, tmp_path, people=True)) as service:
        front = Front(service, tmp_path)
        [interrupt] = front.run()[-1]["outcome"]["interrupts"]
        ended = front.run(resume=[{"interrupt_id": interrupt["id"], "status": "cancelled"}])
        assert ended[-1]["outcome"] == {"type": "cancelled"}


def test_a_run_that_fails_is_an_error_and_no_success(tmp_path: Path) -> None:
    with FakeOpenRouter() as broken, served(agent_of(broken, tmp_path)) as service:
        broken.script(Failure(400))
        events = Front(service, tmp_path).run()
        assert events[-1]["type"] == "RUN_ERROR"
        assert "STEP_FINISHED" in kinds(events)


def test_threads_are_those_of_their_user(fake: FakeOpenRouter, tmp_path: Path) -> None:
    with served(agent_of(fake, tmp_path)) as service:
        front = Front(service, tmp_path)
        front.run()
        service.headers["X-User"] = "ben"
        other = front.run()
        assert other[1]["snapshot"]["todo_list"] is None  # a thread of his own


@pytest.mark.parametrize("messages", [[], [{"id": "1", "role": "user", "content": " "}]])
def test_without_words_nothing_runs(
    fake: FakeOpenRouter, tmp_path: Path, messages: list[dict[str, str]]
) -> None:
    with served(agent_of(fake, tmp_path)) as service:
        events = Front(service, tmp_path).run(messages=messages)
        assert events[-1]["code"] == "invalid_request"
