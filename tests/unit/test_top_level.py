import importlib
import subprocess
import sys

import pytest
from support.scripts import run_script

import mbxai
from mbxai import errors

SEED = [
    "AgentClient",
    "AgentResponse",
    "Question",
    "Result",
    "AnswerList",
    "Answer",
    "Task",
    "TodoList",
    "DialogOption",
    "HumanInLoopRequest",
    "HumanInLoopResponse",
    "HumanInLoopResponseBatch",
    "RequirementAnalysis",
    "ToolAnalysis",
    "GoalEvaluation",
    "AgentState",
    "TaskStatus",
    "HumanInteractionType",
    "TokenUsage",
    "TokenSummary",
    "SessionHandler",
    "InMemorySessionHandler",
    "OpenRouterClient",
    "ToolClient",
    "MCPClient",
    "__version__",
    "OpenRouterModel",
    "OpenRouterAPIError",
    "OpenRouterConnectionError",
]

ADDED = [
    "AsyncOpenRouterClient",
    "AsyncToolClient",
    "AsyncMCPClient",
    "AsyncAgentClient",
    "OpenRouterError",
    "MCPServer",
    "Budget",
    "ToolContext",
    "Secret",
    "tool",
]

HEAVY = {"httpx", "aiohttp", "pydantic", "mcp", "anyio", "ssl", "asyncio", "tenacity", "typer"}

BUDGET_MS = 60


@pytest.mark.parametrize("name", [*SEED, *ADDED])
def test_a_promised_name_can_be_imported_from_the_top(name):
    assert name in mbxai.__all__
    assert getattr(mbxai, name) is not None


@pytest.mark.parametrize("name", mbxai.__all__)
def test_every_listed_name_is_the_one_of_its_package(name):
    value = getattr(mbxai, name)
    home = importlib.import_module(getattr(value, "__module__", "mbxai"))
    assert getattr(home, name) is value


def test_every_error_and_warning_is_at_the_top():
    family = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.MBXAIError | errors.MBXAIWarning)
    }
    assert family <= set(mbxai.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'mbxai' has no attribute 'OpenRuterClient'"):
        getattr(mbxai, "OpenRuterClient")  # noqa: B009 -- a checker would rightly complain


def test_dir_lists_all_names_before_they_are_loaded():
    script = "import mbxai; print(set(mbxai.__all__) <= set(dir(mbxai)))"
    assert run_script(script).check() == "True\n"


def test_a_star_import_brings_every_listed_name():
    script = "import mbxai; from mbxai import *; print(set(mbxai.__all__) <= set(globals()))"
    assert run_script(script).check() == "True\n"


@pytest.mark.parametrize("line", ["import mbxai", "from mbxai import MBXAIError, RateLimitError"])
def test_the_top_and_the_errors_load_nothing_heavy(line):
    loaded = run_script(f"import sys; {line}; print(*sys.modules)").check().split()
    assert set(loaded) & HEAVY == set()


def test_the_top_alone_loads_nothing_else_of_ours():
    loaded = run_script("import sys; import mbxai; print(*sys.modules)").check().split()
    assert [name for name in loaded if name.startswith("mbxai.")] == ["mbxai._version"]


@pytest.mark.alone
def test_importing_costs_little_processor_time():
    bare = min(processor_ms("pass") for _ in range(5))
    ours = min(processor_ms("import mbxai") for _ in range(5))
    assert ours - bare < BUDGET_MS


def processor_ms(statement: str) -> float:
    code = f"import time; {statement}; print(time.process_time() * 1000)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return float(shown.stdout)
