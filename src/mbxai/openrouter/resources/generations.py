"""What became of single requests: cost, tokens, times, stored content, feedback."""

# Words that are known stand beside `str`, since the server's lists grow.
# ruff: noqa: PYI051

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias, Unpack

import anyio
from pydantic import Field

import mbxai.portal as portal
from mbxai.errors import NotFoundError
from mbxai.openrouter._requester import Requester, RequestOptions
from mbxai.openrouter.resources._arguments import checked, number, text
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.wire import Attempt, ResponseInfo, WireModel, WireResult

__all__ = [
    "AsyncGenerations",
    "FeedbackCategory",
    "FeedbackResponse",
    "FeedbackResult",
    "Generation",
    "GenerationContent",
    "GenerationContentError",
    "GenerationContentOutput",
    "GenerationContentResponse",
    "GenerationResponse",
    "Generations",
    "ProviderResponse",
]

FeedbackCategory: TypeAlias = (
    Literal[
        "latency",
        "incoherence",
        "incorrect_response",
        "formatting",
        "billing",
        "api_error",
        "other",
    ]
    | str
)
"""Kinds of feedback that are known; the server may take others."""

_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 2.0


class ProviderResponse(WireModel):
    """One attempt of OpenRouter at a provider.

    Attributes:
        provider_name: Whom it asked.
        status: HTTP status that came back.
        latency: Milliseconds until the answer.
        endpoint_id: Of the endpoint.
        model_permaslug: Slug of the model that never changes its meaning.
        is_byok: Whether a key of yours was used.
        routed_service_tier: Tier that it was sent to.
    """

    provider_name: str | None = None
    status: int | None = None
    latency: float | None = None
    endpoint_id: str | None = None
    model_permaslug: str | None = None
    is_byok: bool | None = None
    routed_service_tier: str | None = None


class Generation(WireModel):
    """One request as OpenRouter billed it.

    Attributes:
        id: Of the generation.
        model: Slug of the model that answered.
        provider_name: Who served it.
        created_at: ISO 8601.
        total_cost: USD charged.
        usage: USD of credits used.
        upstream_inference_cost: USD that the provider charges a key of yours.
        cache_discount: USD saved by caching; below 0 where writing the cache cost more.
        tokens_prompt: Tokens of the prompt by OpenRouter's count.
        tokens_completion: Tokens of the answer by OpenRouter's count.
        native_tokens_prompt: Tokens of the prompt by the provider's count, which is billed.
        native_tokens_completion: Tokens of the answer by the provider's count.
        native_tokens_reasoning: Tokens of reasoning by the provider's count.
        native_tokens_cached: Tokens of the prompt that came from a cache.
        latency: Milliseconds until the first token.
        generation_time: Milliseconds of the generation.
        moderation_latency: Milliseconds of moderation.
        finish_reason: Why it ended, in OpenRouter's words.
        native_finish_reason: The same in the provider's words.
        streamed: Whether it was a stream.
        cancelled: Whether the client left.
        is_byok: Whether a key of yours was used.
        api_type: For example `completions` or `embeddings`.
        service_tier: Tier that served it.
        router: Router that chose the model.
        upstream_id: The provider's own id.
        request_id: Of the HTTP request.
        session_id: As the request said.
        external_user: As the request said.
        provider_responses: Every attempt of OpenRouter.
    """

    id: str = ""
    model: str | None = None
    provider_name: str | None = None
    created_at: str | None = None
    total_cost: float | None = None
    usage: float | None = None
    upstream_inference_cost: float | None = None
    cache_discount: float | None = None
    tokens_prompt: int | None = None
    tokens_completion: int | None = None
    native_tokens_prompt: int | None = None
    native_tokens_completion: int | None = None
    native_tokens_reasoning: int | None = None
    native_tokens_cached: int | None = None
    latency: float | None = None
    generation_time: float | None = None
    moderation_latency: float | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    streamed: bool | None = None
    cancelled: bool | None = None
    is_byok: bool | None = None
    api_type: str | None = None
    service_tier: str | None = None
    router: str | None = None
    upstream_id: str | None = None
    request_id: str | None = None
    session_id: str | None = None
    external_user: str | None = None
    provider_responses: list[ProviderResponse] | None = None


class GenerationResponse(WireResult):
    """The answer about one generation.

    Attributes:
        data: The generation.
    """

    data: Generation = Field(default_factory=Generation)


class GenerationContentOutput(WireModel):
    """What a model said.

    Attributes:
        completion: Text of the answer.
        reasoning: Text of the reasoning.
    """

    completion: str | None = None
    reasoning: str | None = None


class GenerationContentError(WireModel):
    """Why a generation failed.

    Attributes:
        message: In words.
        status: HTTP status of the provider.
        provider_name: Who failed.
        raw: What the provider sent.
    """

    message: str | None = None
    status: int | None = None
    provider_name: str | None = None
    raw: str | None = None


class GenerationContent(WireModel):
    """What went in and what came out, where the account stores it.

    Attributes:
        input: A prompt or messages, as they were sent.
        output: What the model said.
        error: Why it failed; None if it did not.
    """

    input: Any = None  # Any: open JSON, as the request had it
    output: GenerationContentOutput = Field(default_factory=GenerationContentOutput)
    error: GenerationContentError | None = None


class GenerationContentResponse(WireResult):
    """The answer about the content of one generation.

    Attributes:
        data: The content.
    """

    data: GenerationContent = Field(default_factory=GenerationContent)


class FeedbackResult(WireModel):
    """What became of feedback.

    Attributes:
        success: Whether it was recorded.
    """

    success: bool = False


class FeedbackResponse(WireResult):
    """The answer to feedback.

    Attributes:
        data: What became of it.
    """

    data: FeedbackResult = Field(default_factory=FeedbackResult)


class AsyncGenerations(AsyncResource):
    """What became of single requests: `client.generations`."""

    def __init__(
        self,
        requester: Requester,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Keep what makes requests and what waits; the client's property does this."""
        super().__init__(requester)
        self._sleep = sleep

    async def get(
        self, generation_id: str, *, wait: float = 0.0, **options: Unpack[RequestOptions]
    ) -> GenerationResponse:
        """Return what a generation cost, in tokens, USD and time.

        Args:
            generation_id: `generation_id` of an answer, stream or error.
            wait: Seconds during which a 404 is asked again: OpenRouter writes the record shortly
                after the answer. The time of the requests themselves is not counted.
            **options: The options of every call; `timeout` is for each question.

        Returns:
            The record; `attempts` and `history` count every question.

        Raises:
            NotFoundError: There is no record of it, or none yet.
            OpenRouterError: As for any call.
        """
        query = checked({"id": generation_id}, {"id": _check_id})
        left = float(number(0)("wait", wait))
        pause, past = _FIRST_WAIT, tuple[Attempt, ...]()
        while True:
            try:
                result = await self._json(
                    "GET", "generation", GenerationResponse, query=query, options=options
                )
            except NotFoundError as error:
                past = _joined(past, error.history)
                if left <= 0:
                    error.history, error.attempts = past, len(past)
                    raise
            else:
                if past:
                    result.set_response(_after(past, result.response))
                return result
            pause = min(pause, left)
            await self._sleep(pause)
            left, pause = left - pause, min(pause * 2, _LONGEST_WAIT)

    async def content(
        self, generation_id: str, **options: Unpack[RequestOptions]
    ) -> GenerationContentResponse:
        """Return the stored prompt and answer of a generation.

        Args:
            generation_id: `generation_id` of an answer, stream or error.
            **options: The options of every call.

        Raises:
            NotFoundError: The account stores no content, or not of this generation.
            OpenRouterError: As for any call.
        """
        query = checked({"id": generation_id}, {"id": _check_id})
        return await self._json(
            "GET", "generation/content", GenerationContentResponse, query=query, options=options
        )

    async def feedback(
        self,
        generation_id: str,
        *,
        category: FeedbackCategory,
        comment: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> FeedbackResponse:
        """Tell OpenRouter what was wrong with a generation; needs a management key.

        Args:
            generation_id: `generation_id` of an answer, stream or error.
            category: What kind of fault.
            comment: More about it.
            **options: The options of every call.

        Raises:
            OpenRouterAPIError: 409: there is feedback on it already.
            OpenRouterError: As for any call.
        """
        checks = {"generation_id": text, "category": text, "comment": text}
        body = checked({"generation_id": generation_id, "category": category}, checks)
        if comment is not None:
            body |= checked({"comment": comment}, checks)
        return await self._json(
            "POST", "generation/feedback", FeedbackResponse, body=body, options=options
        )


class Generations(Resource[AsyncGenerations]):
    """What became of single requests: `client.generations`."""

    def get(
        self, generation_id: str, *, wait: float = 0.0, **options: Unpack[RequestOptions]
    ) -> GenerationResponse:
        """Return what a generation cost, in tokens, USD and time.

        Args:
            generation_id: `generation_id` of an answer, stream or error.
            wait: Seconds during which a 404 is asked again: OpenRouter writes the record shortly
                after the answer. The time of the requests themselves is not counted.
            **options: The options of every call; `timeout` is for each question.

        Returns:
            The record; `attempts` and `history` count every question.

        Raises:
            NotFoundError: There is no record of it, or none yet.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, generation_id, wait=wait, **options)

    def content(
        self, generation_id: str, **options: Unpack[RequestOptions]
    ) -> GenerationContentResponse:
        """Return the stored prompt and answer of a generation.

        Args:
            generation_id: `generation_id` of an answer, stream or error.
            **options: The options of every call.

        Raises:
            NotFoundError: The account stores no content, or not of this generation.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.content, generation_id, **options)

    def feedback(
        self,
        generation_id: str,
        *,
        category: FeedbackCategory,
        comment: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> FeedbackResponse:
        """Tell OpenRouter what was wrong with a generation; needs a management key.

        Args:
            generation_id: `generation_id` of an answer, stream or error.
            category: What kind of fault.
            comment: More about it.
            **options: The options of every call.

        Raises:
            OpenRouterAPIError: 409: there is feedback on it already.
            OpenRouterError: As for any call.
        """
        return portal.run(
            self._async_client.feedback,
            generation_id,
            category=category,
            comment=comment,
            **options,
        )


def _check_id(_: str, value: object) -> str:
    return text("generation_id", value)


def _joined(past: tuple[Attempt, ...], more: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    return past + tuple(
        replace(attempt, number=len(past) + place) for place, attempt in enumerate(more, 1)
    )


def _after(past: tuple[Attempt, ...], response: ResponseInfo) -> ResponseInfo:
    return replace(response, history=_joined(past, response.history))
