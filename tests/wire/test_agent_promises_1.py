"""Promises of the agent, rows 1 to 6: importing, tools, coming to rest, failing, evaluating."""

import importlib.metadata
import json
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.agent_promises import Story, answer, bodies, offered, results, said, schema_names
from support.agent_story_stage import calls, evaluated, plan, says, task
from support.services import require

from mbxai import (
    AgentFailedError,
    AgentState,
    AsyncAgentClient,
    AsyncToolClient,
    Budget,
    BudgetExceededError,
    DialogOption,
    HumanInteractionType,
    TaskStatus,
)
from mbxai.testing import Auto, Failure, FakeOpenRouter, Match

ROOT = Path(__file__).resolve().parents[2]
JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in to Jira")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the contents of the wheel are: installed, or from a wheel that is built now."""
    folder = tmp_path_factory.mktemp("wheel")
    distribution = importlib.metadata.distribution("mbxai")
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return Path(str(distribution.locate_file("")))
    require(find_spec("hatchling"), "hatchling, which builds wheels,")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_row_01_the_package_imports_from_the_built_wheel(site: Path, tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(site)!r})
import mbxai
print(mbxai.__file__)
assert [name for name in mbxai.__all__ if not hasattr(mbxai, name)] == []
"""
    command = [sys.executable, "-I", "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == site / "mbxai" / "__init__.py"


@pytest.mark.slow
def test_row_01_every_file_of_the_wheel_is_python(site: Path) -> None:
    files = list((site / "mbxai").rglob("*.py"))
    compiled = [compile(path.read_bytes(), path, "exec") for path in files]

    assert len(compiled) > 100
    assert site / "mbxai" / "agent" / "client.py" in files


# --- row 2 ----------------------------------------------------------------------------------------


async def test_row_02_the_agent_sees_offers_and_runs_the_clients_tools(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    places: list[str] = []

    def look(place: str) -> str:
        """Look at a place."""
        places.append(place)
        return "a blue door"

    client.register_tool("look", "Look at a place", look)
    fake.script(
        plan(task("a", tools=["look"])),
        calls("a", "look", place="the hall"),
        says("a", "There is a blue door."),
        Auto(times=None),
    )
    response = await AsyncAgentClient(client).agent("What is in the hall?", Story)

    assert response.is_complete()
    assert places == ["the hall"]
    [analysis] = bodies(fake, "ToolAnalysis")
    assert "look: Look at a place" in said(analysis)
    first, second = bodies(fake)
    assert offered(first) == ["look"]
    assert "a blue door" in results(second)[0]
    assert response.todo_list.tasks[0].tools_needed == ["look"]
    assert response.todo_list.tasks[0].result == "There is a blue door."


# --- row 3 ----------------------------------------------------------------------------------------


async def test_row_03_tools_by_name_limit_the_analysis_and_the_execution(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    ran: list[str] = []
    client.register_tool("look", "Look at a place", lambda: ran.append("look"))
    client.register_tool("delete", "Delete a place", lambda: ran.append("delete"))
    fake.script(
        plan(task("a", tools=["look", "delete"])),
        calls("a", "delete"),
        says("a", "It cannot be deleted."),
        Auto(times=None),
    )
    response = await AsyncAgentClient(client).agent("Tidy up", Story, tools=["look"])

    assert response.is_complete()
    [analysis] = bodies(fake, "ToolAnalysis")
    assert "look: Look at a place" in said(analysis)
    assert "delete" not in said(analysis)
    first, second = bodies(fake)
    assert offered(first) == offered(second) == ["look"]
    assert "delete" in results(second)[0]
    assert "error" in results(second)[0]
    assert ran == []
    assert response.todo_list.tasks[0].tools_needed == ["look"]


async def test_row_03_an_unknown_name_of_a_tool_is_a_value_error(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    client.register_tool("look", "Look at a place", lambda: "nothing")
    with pytest.raises(ValueError, match=r"'glance'.*look"):
        await AsyncAgentClient(client).agent("Look", Story, tools=["look", "glance"])

    assert fake.requests() == []


# --- row 4 ----------------------------------------------------------------------------------------


async def test_row_04_one_call_leads_to_the_final_response(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    response = await AsyncAgentClient(client).agent("Summarise the story", Story)

    assert response.state is AgentState.COMPLETED
    assert response.is_complete()
    assert isinstance(response.final_response, Story)
    assert schema_names(fake)[-1] == "Story"


async def test_row_04_one_call_leads_to_a_person_to_a_failure_or_to_the_end_of_the_budget(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    agent = AsyncAgentClient(client)
    waiting = await agent.agent("Summarise", Story, dialog_options=[JIRA], human_in_loop=True)
    fake.script(Failure(500, when=Match(schema="TodoList")), Auto(times=None))
    failed = await agent.agent("Summarise", Story, raise_on_failure=False)
    with pytest.raises(BudgetExceededError, match="max_requests") as caught:
        await agent.agent("Summarise", Story, budget=Budget(max_requests=3))
    paused = caught.value.response

    assert waiting.is_waiting_for_human()
    assert waiting.needs_human_interaction()
    assert failed.state is AgentState.FAILED
    assert paused.todo_list is not None
    assert paused.final_response is None
    more = Budget(max_requests=30)
    resumed = await agent.agent("", Story, agent_id=paused.agent_id, budget=more)
    assert resumed.state is AgentState.COMPLETED


# --- row 5 ----------------------------------------------------------------------------------------


async def test_row_05_the_loop_of_the_readme_ends(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(task("a", complexity=5), task("b")),
        calls("b", "ask_question", prompt="Which cloud?"),
        Auto(times=None),
    )
    agent = AsyncAgentClient(client, human_in_loop=True, dialog_options=[JIRA])
    response = await agent.agent("Summarise PROJ-123", final_response_structure=Story)
    asked: list[HumanInteractionType] = []
    while not response.is_complete():
        assert response.needs_human_interaction(), "the body of the loop would do nothing"
        request = response.human_interaction_request
        asked.append(request.interaction_type)
        fields = {
            HumanInteractionType.DECISION: {"decision": "proceed"},
            HumanInteractionType.QUESTION: {"answer": "Use AWS for deployment"},
            HumanInteractionType.DIALOG_OPTION: {
                "dialog_option_id": "jira_auth",
                "additional_context": "auth_token:oauth_token_from_ui",
            },
        }[request.interaction_type]
        response = await agent.agent(
            "Continue with user input",
            final_response_structure=Story,
            agent_id=response.agent_id,
            human_response=answer(request, **fields),
        )

    assert isinstance(response.final_response, Story)
    assert set(asked) == set(HumanInteractionType)


async def test_row_05_a_failed_run_raises_with_its_response_or_returns_it_if_so_wanted(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(plan(task("a")), *[evaluated(achieved=False, missing=["proof"])] * 2)
    fake.script(Auto(times=None))
    agent = AsyncAgentClient(client, max_replans=0)
    with pytest.raises(AgentFailedError, match="proof") as caught:
        await agent.agent("Prove it", Story)
    returned = await agent.agent("Prove it", Story, raise_on_failure=False)

    for response in (caught.value.response, returned):
        assert response.state is AgentState.FAILED
        assert not response.is_complete()
        assert not response.needs_human_interaction()
        assert response.error.type == "GoalNotReached"


# --- row 6 ----------------------------------------------------------------------------------------


async def test_row_06_a_goal_that_is_not_reached_is_planned_anew_and_done_work_is_kept(
    fake: FakeOpenRouter, client: AsyncToolClient
) -> None:
    fake.script(
        plan(task("a")),
        says("a", "The hall has a blue door."),
        evaluated(achieved=False, missing=["the cellar"]),
        plan(task("b", "a")),
        says("b", "The cellar has a red door."),
        evaluated(achieved=True),
        Auto(times=None),
    )
    response = await AsyncAgentClient(client).agent("Which doors are there?", Story)

    assert response.is_complete()
    assert [t.result for t in response.todo_list.tasks] == [
        "The hall has a blue door.",
        "The cellar has a red door.",
    ]
    second_plan = said(bodies(fake, "TodoList")[1])
    assert "the cellar" in second_plan
    assert "The hall has a blue door." in second_plan
    assert len(bodies(fake)) == 2, "finished work was done again"
    assert response.goal_evaluation.goal_achieved


@pytest.mark.parametrize("max_replans", [0, 1, 2])
async def test_row_06_a_goal_out_of_reach_fails_after_the_last_round_and_says_how_far_it_came(
    fake: FakeOpenRouter, client: AsyncToolClient, max_replans: int
) -> None:
    for number in range(max_replans + 1):
        fake.script(plan(task(f"n{number}")), evaluated(achieved=False, missing=["the cellar"]))
    fake.script(Auto(times=None))
    response = await AsyncAgentClient(client, max_replans=max_replans).agent(
        "Which doors are there?", Story, raise_on_failure=False
    )

    assert response.state is AgentState.FAILED
    assert response.error.type == "GoalNotReached"
    assert response.final_response is None
    assert response.goal_evaluation.completion_percentage == 40
    assert response.goal_evaluation.remaining_criteria == ["the cellar"]
    assert [t.status for t in response.todo_list.tasks] == [TaskStatus.COMPLETED] * (
        max_replans + 1
    )
    assert "Story" not in schema_names(fake)
