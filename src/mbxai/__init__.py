"""Async-first SDK for OpenRouter: completions, tools, MCP servers and a six-step agent.

Every client comes twice: `AsyncX` is awaited, `X` blocks. A name is imported from its package on
first use, so that `import mbxai` itself loads neither the network stack nor pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from mbxai._version import __version__

if TYPE_CHECKING:
    from mbxai.agent import (
        AgentClient,
        AsyncAgentClient,
        Budget,
    )
    from mbxai.agent.models import (
        AgentResponse,
        AgentState,
        Answer,
        AnswerList,
        DialogOption,
        GoalEvaluation,
        HumanInLoopRequest,
        HumanInLoopResponse,
        HumanInLoopResponseBatch,
        HumanInteractionType,
        Question,
        RequirementAnalysis,
        Result,
        Task,
        TaskStatus,
        TodoList,
        TokenSummary,
        TokenUsage,
        ToolAnalysis,
    )
    from mbxai.errors import (
        AgentError,
        AgentFailedError,
        AuthenticationError,
        BadRequestError,
        BlockingCallError,
        BudgetExceededError,
        ConfigurationError,
        ContentFilteredError,
        InsufficientCreditsError,
        InteractionError,
        InteractionMismatchError,
        InteractionNotFoundError,
        InvalidResponseError,
        LocalModelError,
        MBXAIError,
        MBXAIWarning,
        MCPConnectionError,
        MCPError,
        MCPProtocolError,
        MCPToolError,
        NotFoundError,
        OpenRouterAPIError,
        OpenRouterConfigurationError,
        OpenRouterConnectionError,
        OpenRouterError,
        OpenRouterTimeoutError,
        OutputError,
        OutputTruncatedError,
        OutputValidationError,
        PermissionDeniedError,
        ProviderStreamError,
        ProviderUnavailableError,
        RateLimitError,
        RefusalError,
        RunningLoopWarning,
        SessionBusyError,
        SessionConflictError,
        SessionDataError,
        SessionError,
        SessionNotFoundError,
        SessionStoreError,
        StreamError,
        StreamInterruptedError,
        StreamProtocolError,
        StreamTruncatedError,
        ToolArgumentError,
        ToolDefinitionError,
        ToolError,
        ToolRetry,
        ToolRoundsExceededError,
    )
    from mbxai.mcp import (
        AsyncMCPClient,
        MCPClient,
        MCPServer,
    )
    from mbxai.openrouter import (
        AsyncOpenRouterClient,
        OpenRouterClient,
        OpenRouterModel,
    )
    from mbxai.sessions import (
        InMemorySessionHandler,
        SessionHandler,
    )
    from mbxai.tools import (
        AsyncToolClient,
        Secret,
        ToolClient,
        ToolContext,
        tool,
    )

__all__ = [
    "AgentClient",
    "AgentError",
    "AgentFailedError",
    "AgentResponse",
    "AgentState",
    "Answer",
    "AnswerList",
    "AsyncAgentClient",
    "AsyncMCPClient",
    "AsyncOpenRouterClient",
    "AsyncToolClient",
    "AuthenticationError",
    "BadRequestError",
    "BlockingCallError",
    "Budget",
    "BudgetExceededError",
    "ConfigurationError",
    "ContentFilteredError",
    "DialogOption",
    "GoalEvaluation",
    "HumanInLoopRequest",
    "HumanInLoopResponse",
    "HumanInLoopResponseBatch",
    "HumanInteractionType",
    "InMemorySessionHandler",
    "InsufficientCreditsError",
    "InteractionError",
    "InteractionMismatchError",
    "InteractionNotFoundError",
    "InvalidResponseError",
    "LocalModelError",
    "MBXAIError",
    "MBXAIWarning",
    "MCPClient",
    "MCPConnectionError",
    "MCPError",
    "MCPProtocolError",
    "MCPServer",
    "MCPToolError",
    "NotFoundError",
    "OpenRouterAPIError",
    "OpenRouterClient",
    "OpenRouterConfigurationError",
    "OpenRouterConnectionError",
    "OpenRouterError",
    "OpenRouterModel",
    "OpenRouterTimeoutError",
    "OutputError",
    "OutputTruncatedError",
    "OutputValidationError",
    "PermissionDeniedError",
    "ProviderStreamError",
    "ProviderUnavailableError",
    "Question",
    "RateLimitError",
    "RefusalError",
    "RequirementAnalysis",
    "Result",
    "RunningLoopWarning",
    "Secret",
    "SessionBusyError",
    "SessionConflictError",
    "SessionDataError",
    "SessionError",
    "SessionHandler",
    "SessionNotFoundError",
    "SessionStoreError",
    "StreamError",
    "StreamInterruptedError",
    "StreamProtocolError",
    "StreamTruncatedError",
    "Task",
    "TaskStatus",
    "TodoList",
    "TokenSummary",
    "TokenUsage",
    "ToolAnalysis",
    "ToolArgumentError",
    "ToolClient",
    "ToolContext",
    "ToolDefinitionError",
    "ToolError",
    "ToolRetry",
    "ToolRoundsExceededError",
    "__version__",
    "tool",
]

# What is not named here is an error or a warning.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "mbxai.agent": (
        "AgentClient",
        "AsyncAgentClient",
        "Budget",
    ),
    "mbxai.agent.models": (
        "AgentResponse",
        "AgentState",
        "Answer",
        "AnswerList",
        "DialogOption",
        "GoalEvaluation",
        "HumanInLoopRequest",
        "HumanInLoopResponse",
        "HumanInLoopResponseBatch",
        "HumanInteractionType",
        "Question",
        "RequirementAnalysis",
        "Result",
        "Task",
        "TaskStatus",
        "TodoList",
        "TokenSummary",
        "TokenUsage",
        "ToolAnalysis",
    ),
    "mbxai.mcp": (
        "AsyncMCPClient",
        "MCPClient",
        "MCPServer",
    ),
    "mbxai.openrouter": (
        "AsyncOpenRouterClient",
        "OpenRouterClient",
        "OpenRouterModel",
    ),
    "mbxai.sessions": (
        "InMemorySessionHandler",
        "SessionHandler",
    ),
    "mbxai.tools": (
        "AsyncToolClient",
        "Secret",
        "ToolClient",
        "ToolContext",
        "tool",
    ),
}
_HOMES: Final = {name: module for module, names in _NAMES.items() for name in names}


if not TYPE_CHECKING:  # a checker knows the names above, and should report others

    def __getattr__(name: str) -> object:
        """Import a public name on its first use."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(_HOMES.get(name, "mbxai.errors"))
        value = globals()[name] = getattr(home, name)
        return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
