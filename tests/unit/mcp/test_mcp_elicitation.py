"""The application's elicitation handler: how it is called, and what its answers mean."""

import logging
import threading
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from mbxai.mcp._elicitation import elicitor
from mbxai.wire import ToolAnswer, ToolQuestion

FORM = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "default": 30}},
    "required": ["name"],
}
QUESTION = ToolQuestion(message="Who?", schema=FORM, source="shop", state="s-1")
CONFIRM = ToolQuestion(message="Sure?", schema={"type": "object", "properties": {}}, source="shop")
ADDRESS = ToolQuestion(message="Log in", kind="url", url="https://a.example/", source="shop")


class Person(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("question", "given", "action", "content"),
    [
        (QUESTION, {"name": "Bo"}, "accept", {"name": "Bo", "age": 30}),
        (QUESTION, {"name": "Bo", "age": "7"}, "accept", {"name": "Bo", "age": 7}),
        (QUESTION, Person(name="Bo"), "accept", {"name": "Bo", "age": 30}),
        (QUESTION, ToolAnswer(action="accept", content={"name": "Bo"}), "accept", None),
        (QUESTION, {"action": "accept", "content": {"name": "Bo"}}, "accept", None),
        (QUESTION, {"action": "decline"}, "decline", {}),
        (QUESTION, ToolAnswer(action="cancel", content={"x": 1}), "cancel", {}),
        (QUESTION, False, "decline", {}),
        (QUESTION, None, "cancel", {}),
        (CONFIRM, True, "accept", {}),
        (ADDRESS, True, "accept", {}),
        (ADDRESS, False, "decline", {}),
    ],
)
async def test_what_a_handler_returns_becomes_an_answer(
    question: ToolQuestion, given: Any, action: str, content: dict[str, Any] | None
) -> None:
    answer = await elicitor(lambda _question: given)(question)

    wanted = {"name": "Bo", "age": 30} if content is None else content
    assert (answer.action, answer.content, answer.state) == (action, wanted, question.state)


async def test_true_takes_a_form_whose_fields_all_have_defaults() -> None:
    form = {"properties": {"n": {"type": "integer", "default": 3}}, "required": ["n"]}

    answer = await elicitor(lambda _q: True)(ToolQuestion(message="m", schema=form))

    assert (answer.action, answer.content) == ("accept", {"n": 3})


async def test_a_field_called_action_is_a_field() -> None:
    form = {"properties": {"action": {"type": "string"}}}

    answer = await elicitor(lambda _q: {"action": "decline"})(
        ToolQuestion(message="m", schema=form)
    )

    assert (answer.action, answer.content) == ("accept", {"action": "decline"})


async def test_a_blocking_handler_runs_in_a_thread_and_an_async_one_on_the_loop() -> None:
    seen: list[bool] = []

    def blocking(_question: ToolQuestion) -> bool:
        seen.append(threading.current_thread() is threading.main_thread())
        return True

    async def coroutine(_question: ToolQuestion) -> bool:
        seen.append(threading.current_thread() is threading.main_thread())
        await anyio.lowlevel.checkpoint()
        return True

    for handler in (blocking, coroutine, lambda question: coroutine(question)):  # noqa: PLW0108  # not async itself
        assert (await elicitor(handler)(CONFIRM)).action == "accept"
    assert seen == [False, True, True]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "name: is missing"),
        ({"name": 5}, "name: must be text"),
        ({"name": "Bo", "extra": 1}, "extra: is no field"),
        (True, "name: is missing"),
        ("Bo", "not a str"),
        (ValueError("sk-abcdefgh12345678 is mine"), "redacted"),
    ],
)
async def test_a_wrong_answer_and_a_failing_handler_are_cancelled_and_logged_once(
    given: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(_question: ToolQuestion) -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    with caplog.at_level(logging.ERROR, "mbxai"):
        answer = await elicitor(handler)(QUESTION)

    assert answer == ToolAnswer(action="cancel", state="s-1")
    assert len(caplog.records) == 1
    shown = caplog.handler.format(caplog.records[0])
    assert says in shown
    assert "'shop'" in shown
    assert "sk-abcdefgh" not in shown


@pytest.mark.parametrize(
    "question",
    [
        ToolQuestion(message="m", schema={"properties": {"password": {"type": "string"}}}),
        ToolQuestion(message="m", kind="url", url="file:///etc/passwd"),
    ],
)
async def test_nobody_is_asked_for_a_credential_or_sent_off_the_web(
    question: ToolQuestion, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[ToolQuestion] = []

    answer = await elicitor(asked.append)(question)

    assert (answer.action, asked) == ("decline", [])
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_cancelling_the_call_stops_the_handler() -> None:
    ended: list[str] = []

    async def handler(_question: ToolQuestion) -> bool:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("stopped")
        return True

    with anyio.move_on_after(0.05):
        await elicitor(handler)(CONFIRM)

    assert ended == ["stopped"]
