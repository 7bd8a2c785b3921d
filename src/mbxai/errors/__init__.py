"""Every exception and warning of mbxai, in one tree.

    MBXAIError
      ConfigurationError (also ValueError)      a setting or an argument is missing or impossible
      OpenRouterError
        OpenRouterConfigurationError            ... of an OpenRouter client
        OpenRouterConnectionError               no usable answer arrived
          OpenRouterTimeoutError (also TimeoutError)
        OpenRouterAPIError                      OpenRouter or a provider answered with an error
          BadRequestError 400   AuthenticationError 401   InsufficientCreditsError 402
          PermissionDeniedError 403   NotFoundError 404   RateLimitError 429
          ProviderUnavailableError 5xx
        InvalidResponseError                    the answer is no completion
        StreamError                             holds the partial answer
          StreamInterruptedError   StreamTruncatedError   StreamProtocolError   ProviderStreamError
        OutputError                             typed output could not be had
          OutputValidationError   OutputTruncatedError   ContentFilteredError   RefusalError
      ToolError
        ToolDefinitionError (also TypeError)   ToolArgumentError   ToolRetry
        ToolLoopError                           holds what was said and done
          ToolRoundsExceededError   ToolRepeatError   ToolCallsPendingError   ToolExecutionError
          BudgetExceededError
      MCPError
        MCPConnectionError > MCPAuthError   MCPToolError   MCPProtocolError
      SessionError
        SessionNotFoundError (also ValueError)   SessionConflictError   SessionBusyError
        SessionStoreError   SessionDataError   ToolsChangedError
      AgentError
        AgentFailedError   BudgetExceededError (also ToolLoopError)   TooManyRunsError
        InteractionError
          InteractionNotFoundError   InteractionMismatchError   InteractionExpiredError
      LocalModelError
      BlockingCallError (also RuntimeError)
    MBXAIWarning > RunningLoopWarning

An error carries plain values, survives `pickle`, keeps its cause in `__cause__`, and its text never
holds a key, a header, a prompt or a tool result.
"""

from mbxai.errors._agent import (
    AgentError,
    AgentFailedError,
    BudgetExceededError,
    InteractionError,
    InteractionExpiredError,
    InteractionMismatchError,
    InteractionNotFoundError,
    TooManyRunsError,
)
from mbxai.errors._base import (
    BlockingCallError,
    ConfigurationError,
    LocalModelError,
    MBXAIError,
    MBXAIWarning,
    RunningLoopWarning,
)
from mbxai.errors._mcp import (
    MCPAuthError,
    MCPConnectionError,
    MCPError,
    MCPProtocolError,
    MCPToolError,
)
from mbxai.errors._openrouter import (
    AuthenticationError,
    BadRequestError,
    ContentFilteredError,
    InsufficientCreditsError,
    InvalidResponseError,
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
    RequestOrigin,
    StreamError,
    StreamInterruptedError,
    StreamProtocolError,
    StreamTruncatedError,
)
from mbxai.errors._sessions import (
    SessionBusyError,
    SessionConflictError,
    SessionDataError,
    SessionError,
    SessionNotFoundError,
    SessionStoreError,
    ToolsChangedError,
)
from mbxai.errors._tools import (
    ToolArgumentError,
    ToolCallsPendingError,
    ToolDefinitionError,
    ToolError,
    ToolExecutionError,
    ToolLoopError,
    ToolRepeatError,
    ToolRetry,
    ToolRoundsExceededError,
)

__all__ = [
    "AgentError",
    "AgentFailedError",
    "AuthenticationError",
    "BadRequestError",
    "BlockingCallError",
    "BudgetExceededError",
    "ConfigurationError",
    "ContentFilteredError",
    "InsufficientCreditsError",
    "InteractionError",
    "InteractionExpiredError",
    "InteractionMismatchError",
    "InteractionNotFoundError",
    "InvalidResponseError",
    "LocalModelError",
    "MBXAIError",
    "MBXAIWarning",
    "MCPAuthError",
    "MCPConnectionError",
    "MCPError",
    "MCPProtocolError",
    "MCPToolError",
    "NotFoundError",
    "OpenRouterAPIError",
    "OpenRouterConfigurationError",
    "OpenRouterConnectionError",
    "OpenRouterError",
    "OpenRouterTimeoutError",
    "OutputError",
    "OutputTruncatedError",
    "OutputValidationError",
    "PermissionDeniedError",
    "ProviderStreamError",
    "ProviderUnavailableError",
    "RateLimitError",
    "RefusalError",
    "RequestOrigin",
    "RunningLoopWarning",
    "SessionBusyError",
    "SessionConflictError",
    "SessionDataError",
    "SessionError",
    "SessionNotFoundError",
    "SessionStoreError",
    "StreamError",
    "StreamInterruptedError",
    "StreamProtocolError",
    "StreamTruncatedError",
    "TooManyRunsError",
    "ToolArgumentError",
    "ToolCallsPendingError",
    "ToolDefinitionError",
    "ToolError",
    "ToolExecutionError",
    "ToolLoopError",
    "ToolRepeatError",
    "ToolRetry",
    "ToolRoundsExceededError",
    "ToolsChangedError",
]
