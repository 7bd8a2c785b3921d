"""An agent on a real llama.cpp: every step's JSON is held to its schema by the engine's grammar."""

from pathlib import Path

import pytest
from pydantic import BaseModel, Field
from support.tiny_model import make_tiny_model

from mbxai import AgentState, AsyncAgentClient, AsyncToolClient, TaskStatus
from mbxai.local import LocalModel


class Report(BaseModel):
    title: str
    grade: int = Field(ge=1, le=6)
    sources: list[str]


@pytest.mark.slow
async def test_a_run_with_a_tool_ends_in_a_valid_final_response(tmp_path: Path) -> None:
    seen: list[str] = []

    def look_up(topic: str) -> str:
        """Look a topic up."""
        seen.append(topic)
        return f"{topic} is well known"

    async with (
        LocalModel(make_tiny_model(tmp_path)) as model,
        AsyncToolClient(model.client()) as tools,
    ):
        tools.register_tool("look_up", "Look a topic up", look_up)
        response = await AsyncAgentClient(tools).agent("Report on paper clips", Report)

    assert response.state is AgentState.COMPLETED
    assert isinstance(response.final_response, Report)
    assert Report.model_validate(response.final_response.model_dump()) == response.final_response
    assert seen
    assert {task.status for task in response.todo_list.tasks} == {TaskStatus.COMPLETED}
    assert response.token_summary.total_tokens > 0
