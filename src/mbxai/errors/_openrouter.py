"""What goes wrong between this program and OpenRouter."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict, Unpack

from mbxai._types import JSONValue
from mbxai.errors._base import ConfigurationError, MBXAIError

if TYPE_CHECKING:  # pydantic models, which `import mbxai` must not load
    from mbxai.tools.loop._run import ToolRun
    from mbxai.wire._completion import ChatCompletion, Usage
    from mbxai.wire._result import Attempt


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
        run: What a tool client's conversation had said and done when it failed; its `messages` can
            be given to the next call. None outside of one.
    """

    history: "tuple[Attempt, ...]" = ()
    completions: "tuple[ChatCompletion, ...]" = ()
    run: "ToolRun | None" = None

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
