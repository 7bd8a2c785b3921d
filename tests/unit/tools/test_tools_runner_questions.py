"""Tools that wait for a person, that fail with a result of their own, and that keep their time."""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from support.tool_calls import call_of, registry_of, run, run_round

from mbxai.errors import ToolExecutionError
from mbxai.tools import Tool, ToolContext
from mbxai.tools.loop._loop import _context_of
from mbxai.tools.runner._failures import FailedRunError
from mbxai.tools.runner._runner import ToolRunner
from mbxai.wire import ToolAnswer, ToolQuestion, ToolResult

QUESTION = ToolQuestion(message="Who is s3cret?", schema={"type": "object"}, state="s" * 200_000)
PAUSING = ToolContext[Any](can_pause=True)


class Asking:
    """A tool that asks, and notes how often it ran."""

    def __init__(self) -> None:
        self.seen: list[ToolContext[Any]] = []

    async def ask(self, context: ToolContext[Any]) -> ToolResult:
        """Ask."""
        self.seen.append(context)
        if context.answer is not None:
            return ToolResult(call_id="", name="", content=str(context.answer.content))
        return ToolResult(call_id="", name="", content="w" * 9_000, question=QUESTION)


async def test_a_question_comes_through_whole_and_is_asked_once() -> None:
    asking = Asking()
    options: dict[str, Any] = {"effect": "read", "retries": 3, "max_result_bytes": 10}
    result = await run(asking.ask, context=PAUSING, **options)
    assert result.question == QUESTION
    assert (result.call_id, result.name, result.is_error) == ("call_1", "ask", False)
    assert result.content == "w" * 9_000
    assert not result.is_cut
    assert result.attempts == 1
    assert len(asking.seen) == 1


async def test_the_answer_reaches_the_tool() -> None:
    asking = Asking()
    answer = ToolAnswer(action="accept", content={"name": "Bo"}, state="s")
    result = await run(asking.ask, context=ToolContext(can_pause=True, answer=answer))
    assert result.question is None
    assert result.content == "{'name': 'Bo'}"


async def test_credentials_are_taken_out_of_a_question() -> None:
    def clean(text: str) -> str:
        return text.replace("s3cret", "…")

    result = await run(Asking().ask, context=PAUSING, scrub=clean)
    assert result.question is not None
    assert result.question.message == "Who is …?"
    assert result.question.state == QUESTION.state


async def test_a_hook_sees_the_question_and_may_let_it_be() -> None:
    seen: list[ToolResult] = []

    def look(call: object, result: ToolResult, context: object) -> None:
        seen.append(result)

    result = await run(Asking().ask, context=PAUSING, hooks={"after_call": look})
    assert seen == [result]
    assert result.question == QUESTION


async def test_a_hook_that_fails_withholds_the_question_too() -> None:
    def fail(call: object, result: ToolResult, context: object) -> None:
        raise ValueError

    result = await run(Asking().ask, context=PAUSING, hooks={"after_call": fail})
    assert result.is_error
    assert result.question is None


def test_a_conversation_never_pauses_in_the_middle_of_a_call() -> None:
    answer = ToolAnswer(action="cancel")
    context = _context_of({"context": ToolContext(deps=1, can_pause=True, answer=answer)})
    assert (context.deps, context.can_pause, context.answer) == (1, False, None)


class Failing:
    """A tool that says how it failed."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def work(self) -> str:
        """Work."""
        self.failures -= 1
        if self.failures < 0:
            return "done"
        told = ToolResult(call_id="", name="", content="x" * 500, is_error=True, raw={"a": 1})
        raise FailedRunError(told) from ConnectionError("refused")


async def test_a_failure_with_a_result_is_repeated_like_any_other() -> None:
    result = await run(Failing(1).work, effect="read", retries=2)
    assert (result.content, result.attempts, result.is_error) == ("done", 2, False)


async def test_a_failure_with_a_result_is_told_as_it_says() -> None:
    result = await run(Failing(9).work, effect="read", retries=1, max_result_bytes=100)
    assert result.is_error
    assert result.content.startswith("x" * 100 + "\n[cut:")
    assert (result.attempts, result.raw) == (2, {"a": 1})


async def test_a_failure_with_a_result_may_end_the_conversation() -> None:
    with pytest.raises(ToolExecutionError, match="ConnectionError") as caught:
        await run_round(Failing(9).work, on_error="raise")
    assert isinstance(caught.value.__cause__, ConnectionError)


@dataclass(frozen=True)
class _Patient(Tool):
    keeps_own_time: ClassVar[bool] = True


async def test_a_tool_that_keeps_its_own_time_is_not_hurried() -> None:
    begun = asyncio.Event()

    async def wait() -> str:
        """Wait."""
        begun.set()
        await asyncio.sleep(0.05)
        return "done"

    registry = registry_of(_Patient("wait", "", wait, timeout=0.001))
    result = await ToolRunner(registry, tool_timeout=0.001).run(call_of("wait"))
    assert (result.content, begun.is_set()) == ("done", True)


async def test_a_context_may_stand_beside_an_argument_of_its_name() -> None:
    async def say(context: ToolContext[Any], /, **given: Any) -> str:
        """Say."""
        return f"{context.call_id} {given}"

    schema = {"type": "object", "properties": {"context": {"type": "integer"}}}
    tool = Tool("say", "", say, schema)
    result = await run(tool, {"context": 3, "given": 4})
    assert result.content == "call_1 {'context': 3, 'given': 4}"
