"""What code written for mbxai 2.3 relies on: names, positions, fields, defaults, enum values."""

import importlib
import inspect

import pytest
from pydantic import BaseModel, ValidationError

import mbxai
from mbxai.agent import models

ENUMS = {
    "TaskStatus": "pending in_progress completed failed skipped",
    "HumanInteractionType": "decision question dialog_option",
    "AgentState": "analyzing_requirement analyzing_tools generating_todo executing_tasks "
    "waiting_for_human evaluating_goal completed failed",
}

# Fields of 2.3, those without a default marked by `!`.
FIELDS = {
    "Question": "question! key! required",
    "QuestionList": "questions",
    "Answer": "key! answer!",
    "AnswerList": "answers",
    "Result": "result!",
    "QualityCheck": "is_good! feedback",
    "TokenUsage": "prompt_tokens completion_tokens total_tokens",
    "TokenSummary": "requirement_analysis tool_analysis todo_generation task_execution "
    "dialog_interactions goal_evaluation final_response",
    "Task": "id title! description! status dependencies tools_needed estimated_complexity result "
    "error_message",
    "TodoList": "tasks estimated_total_time",
    "DialogOption": "id! title! description! function parameters",
    "HumanInLoopRequest": "id interaction_type! prompt! options dialog_options context required",
    "HumanInLoopResponse": "interaction_id! response_type! decision answer dialog_option_id "
    "additional_context",
    "HumanInLoopResponseBatch": "responses!",
    "RequirementAnalysis": "goal! sub_goals success_criteria! constraints complexity_estimate!",
    "ToolAnalysis": "relevant_tools tool_mapping missing_capabilities",
    "GoalEvaluation": "goal_achieved! completion_percentage! completed_criteria "
    "remaining_criteria feedback next_steps",
    "AgentResponse": "agent_id state! questions requirement_analysis tool_analysis todo_list "
    "current_task human_interaction_request goal_evaluation final_response token_summary",
}


@pytest.mark.parametrize("name", ENUMS)
def test_enum_values_are_those_of_2_3(name: str) -> None:
    enum = getattr(models, name)

    assert [member.value for member in enum] == ENUMS[name].split()
    assert [member.name for member in enum] == ENUMS[name].upper().split()
    assert all(isinstance(member, str) for member in enum)


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_2_3_are_there_and_additions_are_optional(name: str) -> None:
    model: type[BaseModel] = getattr(models, name)
    expected = {field.rstrip("!"): field.endswith("!") for field in FIELDS[name].split()}

    assert set(expected) <= set(model.model_fields)
    required = {n for n, field in model.model_fields.items() if field.is_required()}
    assert required == {n for n, needed in expected.items() if needed}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (
            "mbxai.openrouter",
            "OpenRouterClient OpenRouterConfig OpenRouterModel OpenRouterModelRegistry",
        ),
        (
            "mbxai.openrouter.client",
            (
                "OpenRouterClient OpenRouterError OpenRouterConnectionError "
                "OpenRouterAPIError OpenRouterModel with_retry"
            ),
        ),
        ("mbxai.tools", "ToolClient Tool ToolCall convert_to_strict_schema"),
        ("mbxai.tools.types", "Tool ToolCall convert_to_strict_schema"),
        ("mbxai.tools.client", "ToolClient"),
        ("mbxai.mcp", "MCPClient MCPServer Tool"),
        ("mbxai.mcp.client", "MCPClient MCPTool"),
        ("mbxai.agent", "AgentClient QuestionList QualityCheck TokenSummary SessionHandler"),
        ("mbxai.agent.client", "AgentClient"),
        (
            "mbxai.agent.models",
            " ".join([*ENUMS, *FIELDS, "SessionHandler", "InMemorySessionHandler"]),
        ),
    ],
)
def test_import_paths_of_2_3_lead_to_their_names(path: str, names: str) -> None:
    module = importlib.import_module(path)

    assert [name for name in names.split() if not hasattr(module, name)] == []


def parameters(function: object) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_positions_of_arguments_are_those_of_2_3() -> None:
    client = mbxai.AgentClient
    assert parameters(client)[:5] == [
        "ai_client",
        "human_in_loop",
        "dialog_options",
        "max_task_iterations",
        "session_handler",
    ]
    assert parameters(client.agent)[:7] == [
        "prompt",
        "final_response_structure",
        "tools",
        "dialog_options",
        "human_in_loop",
        "agent_id",
        "human_response",
    ]
    assert parameters(client.register_tool)[:4] == ["name", "description", "function", "schema"]
    assert parameters(client.register_mcp_server)[:2] == ["name", "base_url"]
    assert parameters(mbxai.OpenRouterClient)[:7] == [
        "token",
        "model",
        "base_url",
        "default_headers",
        "max_retries",
        "retry_initial_delay",
        "retry_max_delay",
    ]
    assert parameters(mbxai.OpenRouterClient.create)[0] == "messages"
    assert parameters(mbxai.OpenRouterClient.parse)[:2] == ["messages", "response_format"]
    assert parameters(mbxai.ToolClient.register_tool)[:4] == parameters(client.register_tool)[:4]
    assert parameters(mbxai.ToolClient.parse)[:2] == ["messages", "response_format"]
    assert parameters(mbxai.MCPClient.register_mcp_server)[:2] == ["name", "base_url"]


def test_a_question_key_becomes_an_identifier() -> None:
    assert models.Question(question="?", key="1st name").key == "key_1st_name"
    assert models.Question(question="?", key="first-name!").key == "first_name"


def test_the_next_task_is_one_whose_dependencies_have_ended() -> None:
    done = models.Task(id="a", title="A", description="", status="completed")
    todo = models.TodoList(
        tasks=[
            done,
            models.Task(id="c", title="C", description="", dependencies=["b"]),
            models.Task(id="b", title="B", description="", dependencies=["a"]),
        ]
    )

    assert todo.get_next_task() is todo.tasks[2]
    assert todo.get_task_by_id("a") is done
    assert todo.get_task_by_id("z") is None


def test_a_batch_finds_its_answers_by_request() -> None:
    answer = models.HumanInLoopResponse(interaction_id="r1", response_type="question", answer="x")
    batch = models.HumanInLoopResponseBatch(responses=[answer])

    assert batch.get_response_by_id("r1") is answer
    assert batch.get_response_by_id("r2") is None


def test_credentials_never_show_in_an_answer() -> None:
    answer = models.HumanInLoopResponse(
        interaction_id="r1",
        response_type="dialog_option",
        dialog_option_id="login",
        additional_context="token:tok-123456",
        credentials={"password": "pw-123456"},
    )

    assert "123456" not in repr(answer)
    with pytest.raises(ValidationError) as caught:
        answer.credentials = {"password": {"nested": "pw-123456"}}
    assert "123456" not in str(caught.value)


def test_a_dialogues_function_is_not_part_of_its_json() -> None:
    option = models.DialogOption(id="a", title="A", description="", function=print)

    assert "function" not in option.model_dump(mode="json")


def test_an_answer_travels_with_its_credentials_only_where_that_is_asked_for() -> None:
    answer = models.HumanInLoopResponse(
        interaction_id="r1",
        response_type="dialog_option",
        dialog_option_id="login",
        credentials={"password": "pw-123456"},
    )

    revealed = answer.model_dump_json(context={"reveal_credentials": True})
    assert models.HumanInLoopResponse.model_validate_json(revealed) == answer
    masked = answer.model_dump_json()
    assert "123456" not in masked
    with pytest.raises(ValidationError, match="reveal_credentials"):
        models.HumanInLoopResponse.model_validate_json(masked)
