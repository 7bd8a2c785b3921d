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
        ToolDefinitionError (also TypeError)   ToolArgumentError   ToolRoundsExceededError
        ToolRetry
      MCPError
        MCPConnectionError   MCPToolError   MCPProtocolError
      SessionError
        SessionNotFoundError (also ValueError)   SessionConflictError   SessionBusyError
        SessionStoreError   SessionDataError
      AgentError
        AgentFailedError   BudgetExceededError   InteractionError
          InteractionNotFoundError   InteractionMismatchError
      LocalModelError
      BlockingCallError (also RuntimeError)
    MBXAIWarning > RunningLoopWarning

An error carries plain values, survives `pickle`, keeps its cause in `__cause__`, and never holds a
key, a header, a prompt or a tool result.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from mbxai._types import JSONValue

if TYPE_CHECKING:  # pydantic models, which `import mbxai` must not load
    from mbxai.agent._result_models import AgentResponse
    from mbxai.wire._completion import ChatCompletion, Usage
    from mbxai.wire._result import Attempt


def _rebuild(cls: type["MBXAIError"], message: str, state: dict[str, object]) -> "MBXAIError":
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class MBXAIError(Exception):
    """Root of every error that mbxai raises.

    Attributes:
        message: What happened.
        hint: What to do about it; empty when there is nothing to add.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message and the advice.

        Args:
            message: What happened, without a secret.
            hint: What the caller can do.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """What happened, then what to do."""
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by message and attributes, so that keyword-only arguments survive."""
        return _rebuild, (type(self), self.message, dict(self.__dict__))


class ConfigurationError(MBXAIError, ValueError):
    """A setting or an argument is missing, unknown or impossible."""


class BlockingCallError(MBXAIError, RuntimeError):
    """A blocking call was made on the thread that would have to answer it."""


class LocalModelError(MBXAIError):
    """The local model could not be started or stopped answering."""


# --- OpenRouter -----------------------------------------------------------------------------------


class RequestOrigin(TypedDict, total=False):
    """What every OpenRouter error may say of its request; the attributes of `OpenRouterError`."""

    hint: str
    request_id: str | None
    generation_id: str | None
    attempts: int


class OpenRouterError(MBXAIError):
    """Something went wrong between this program and OpenRouter.

    Attributes:
        request_id: The edge's id of the request, if one came back.
        generation_id: OpenRouter's id of the generation (`X-Generation-Id`), if one came back.
        attempts: How many times the request was sent.
        history: Every attempt with its outcome and the wait after it.
        completions: Answers of the same call that came before it failed, and were paid for.
    """

    history: "tuple[Attempt, ...]" = ()
    completions: "tuple[ChatCompletion, ...]" = ()

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        request_id: str | None = None,
        generation_id: str | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(message, hint=hint)
        self.request_id = request_id
        self.generation_id = generation_id
        self.attempts = attempts


class OpenRouterConfigurationError(OpenRouterError, ConfigurationError):
    """An OpenRouter client was given a key, address, header or model that cannot work."""


class OpenRouterConnectionError(OpenRouterError):
    """No usable answer arrived: refused, reset, unresolved, TLS failure."""


class OpenRouterTimeoutError(OpenRouterConnectionError, TimeoutError):
    """The time given to a call was up; `partial` is what a stream had given until then."""

    partial: "ChatCompletion | None" = None


class OpenRouterAPIError(OpenRouterError):
    """OpenRouter, or the provider behind it, answered with an error.

    Attributes:
        status: HTTP status, or the code inside a 200 body; None where neither is a number.
        code: The error's own `code`: a number, a word or None.
        provider: Name of the provider that failed, if OpenRouter said so.
        retry_after: Seconds that the server asked to wait, if it did.
        body: The parsed error object, size-capped and without secrets.
        is_account_limit: Whether a 429 is OpenRouter's own limit and not the provider's.
    """

    is_account_limit: bool = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | str | None = None,
        provider: str | None = None,
        retry_after: float | None = None,
        body: Mapping[str, JSONValue] | None = None,
        **origin: Unpack[RequestOrigin],
    ) -> None:
        """Keep what the server said."""
        super().__init__(message, **origin)
        self.status = status
        self.code = code
        self.provider = provider
        self.retry_after = retry_after
        self.body: dict[str, JSONValue] | None = dict(body) if body else None


class BadRequestError(OpenRouterAPIError):
    """400 and other refusals of the request itself."""


class AuthenticationError(OpenRouterAPIError):
    """401: the key is missing, wrong, disabled or expired."""


class InsufficientCreditsError(OpenRouterAPIError):
    """402: the account or the key is out of credits."""


class PermissionDeniedError(OpenRouterAPIError):
    """403: permission, guardrail, moderation or region."""


class NotFoundError(OpenRouterAPIError):
    """404: no such model, or no endpoint serves the request."""


class RateLimitError(OpenRouterAPIError):
    """429: OpenRouter's own limit, or the provider's."""


class ProviderUnavailableError(OpenRouterAPIError):
    """5xx: OpenRouter or the provider could not answer."""


class InvalidResponseError(OpenRouterError):
    """An answer came, but it is no completion: not JSON, empty, or without choices."""


class StreamError(OpenRouterError):
    """A stream ended before its answer was whole.

    Attributes:
        partial: What had arrived, assembled; None if nothing had. Streams of `client.responses` and
            `client.messages` give a `Response` or a `MessageResult`.
    """

    def __init__(
        self,
        message: str,
        *,
        partial: "ChatCompletion | None" = None,
        **origin: Unpack[RequestOrigin],
    ) -> None:
        """Keep the partial answer."""
        super().__init__(message, **origin)
        self.partial = partial


class StreamInterruptedError(StreamError):
    """The connection broke in the middle of the answer."""


class StreamTruncatedError(StreamError):
    """The stream ended without a finish reason and without `[DONE]`."""


class StreamProtocolError(StreamError):
    """The stream held something that is no chunk."""


class ProviderStreamError(StreamError):
    """The provider reported an error in the middle of the answer.

    Attributes:
        code: The provider's code: a number, a word or None.
        provider: Name of the provider, if known.
    """

    def __init__(
        self,
        message: str,
        *,
        partial: "ChatCompletion | None" = None,
        code: int | str | None = None,
        provider: str | None = None,
        **origin: Unpack[RequestOrigin],
    ) -> None:
        """Keep what the provider said."""
        super().__init__(message, partial=partial, **origin)
        self.code = code
        self.provider = provider


class OutputError(OpenRouterError):
    """A completion came, but no value of the wanted type.

    Attributes:
        completion: The last completion as it came; its usage was billed.
        completions: Every completion of the call, oldest first, those that did not fit included.
        total_usage: Tokens and cost of all of them; None where no completion came.
    """

    def __init__(
        self,
        message: str,
        *,
        completion: "ChatCompletion | None" = None,
        completions: "tuple[ChatCompletion, ...]" = (),
        total_usage: "Usage | None" = None,
        **origin: Unpack[RequestOrigin],
    ) -> None:
        super().__init__(message, **origin)
        self.completion = completion
        self.completions: tuple[ChatCompletion, ...] = completions or (
            (completion,) if completion else ()
        )
        self.total_usage = total_usage


class OutputValidationError(OutputError):
    """The answer is not JSON or does not fit the schema.

    Attributes:
        problems: One line a problem, `path: reason`, fit to be shown to the model.
    """

    def __init__(
        self,
        message: str,
        *,
        completion: "ChatCompletion | None" = None,
        completions: "tuple[ChatCompletion, ...]" = (),
        total_usage: "Usage | None" = None,
        problems: tuple[str, ...] = (),
        **origin: Unpack[RequestOrigin],
    ) -> None:
        super().__init__(
            message,
            completion=completion,
            completions=completions,
            total_usage=total_usage,
            **origin,
        )
        self.problems = problems


class OutputTruncatedError(OutputError):
    """The answer was cut at the token limit (finish reason `length`)."""


class ContentFilteredError(OutputError):
    """The provider's filter withheld the answer (finish reason `content_filter`)."""


class RefusalError(OutputError):
    """The model refused to answer."""


# --- tools ----------------------------------------------------------------------------------------


class ToolError(MBXAIError):
    """Something went wrong with a tool."""


class ToolDefinitionError(ToolError, TypeError):
    """A function cannot become a tool: its name, a parameter or an annotation does not allow it."""


class ToolArgumentError(ToolError):
    """The arguments do not fit the tool's schema."""


class ToolRoundsExceededError(ToolError):
    """The model was still calling tools when the round limit was reached."""


class ToolRetry(ToolError):  # noqa: N818  # a request to the model, raised as one
    """Raised by a tool to send advice back to the model, which may call it again."""


# --- MCP ------------------------------------------------------------------------------------------


class MCPError(MBXAIError):
    """Something went wrong with a Model Context Protocol server.

    Attributes:
        server: The name under which the server was registered.
    """

    def __init__(self, message: str, *, hint: str = "", server: str = "") -> None:
        """Keep the server's name."""
        super().__init__(message, hint=hint)
        self.server = server


class MCPConnectionError(MCPError):
    """The server could not be reached, or went away during a call."""


class MCPProtocolError(MCPError):
    """The server answered something that the protocol does not allow."""


class MCPToolError(MCPError):
    """The server refused a call, or its outcome is unknown."""


# --- sessions -------------------------------------------------------------------------------------


class SessionError(MBXAIError):
    """Something went wrong with a stored session.

    Attributes:
        agent_id: Which session; empty where it is not one session's problem.
    """

    def __init__(self, message: str, *, hint: str = "", agent_id: str = "") -> None:
        """Keep the session's id."""
        super().__init__(message, hint=hint)
        self.agent_id = agent_id


class SessionNotFoundError(SessionError, ValueError):
    """No session has this id."""


class SessionConflictError(SessionError):
    """Another writer saved the session first; nothing of ours was written."""


class SessionBusyError(SessionError):
    """Another worker is running the session now.

    Attributes:
        until: When its lease ends at the latest, in seconds since the epoch; 0 if unknown.
    """

    def __init__(
        self, message: str, *, hint: str = "", agent_id: str = "", until: float = 0.0
    ) -> None:
        """Keep the end of the lease."""
        super().__init__(message, hint=hint, agent_id=agent_id)
        self.until = until


class SessionStoreError(SessionError):
    """The store cannot be read or written."""


class SessionDataError(SessionError):
    """The store holds something that is no session, or one of a newer mbxai."""


# --- agent ----------------------------------------------------------------------------------------


class AgentError(MBXAIError):
    """Something went wrong with an agent run."""


class AgentFailedError(AgentError):
    """The run rests in FAILED.

    Attributes:
        response: The whole state of the run; its session is kept and can be continued.
    """

    def __init__(self, message: str, *, hint: str = "", response: "AgentResponse") -> None:
        """Keep the response."""
        super().__init__(message, hint=hint)
        self.response: Final = response


class BudgetExceededError(AgentError):
    """A budget is used up; the session rests and can be continued with a larger one.

    Attributes:
        limit: Which limit, for example `max_cost_usd`.
        response: The whole state of the run.
    """

    def __init__(
        self, message: str, *, hint: str = "", limit: str, response: "AgentResponse"
    ) -> None:
        """Keep the limit and the response."""
        super().__init__(message, hint=hint)
        self.limit: Final = limit
        self.response: Final = response


class InteractionError(AgentError):
    """An answer of a person cannot be applied; the session is unchanged.

    Attributes:
        interaction_id: Which request the answer named.
    """

    def __init__(self, message: str, *, hint: str = "", interaction_id: str = "") -> None:
        """Keep the request's id."""
        super().__init__(message, hint=hint)
        self.interaction_id = interaction_id


class InteractionNotFoundError(InteractionError, LookupError):
    """The session has no request of that id."""


class InteractionMismatchError(InteractionError, ValueError):
    """The answer does not fit the request: other type, no such option, or answered otherwise."""


# --- warnings -------------------------------------------------------------------------------------


class MBXAIWarning(UserWarning):
    """Root of the warnings of mbxai."""


class RunningLoopWarning(MBXAIWarning):
    """A blocking call was made where an event loop runs; it blocks that loop."""
