"""Batches: many requests at once, answered within a day and cheaper."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypedDict, Unpack

from pydantic import Field

import mbxai.portal as portal
from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._pages import AFTER_LAST, ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import RequestOptions, path_of
from mbxai.openrouter.models import model_slug
from mbxai.openrouter.resources._arguments import (
    Check,
    mapping,
    mappings,
    moment,
    split_arguments,
    text,
    whole,
    words,
)
from mbxai.openrouter.resources._jobs import PollOptions, job_error, wait_until_over
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.wire import ChatCompletion, Usage, WireModel, WireObject, WireResult

__all__ = [
    "AsyncBatches",
    "Batch",
    "BatchAnswer",
    "BatchCounts",
    "BatchDeletion",
    "BatchError",
    "BatchFilters",
    "BatchParams",
    "BatchRequest",
    "BatchResult",
    "Batches",
    "DeletedBatch",
    "PollOptions",
]

# Any in this file: bodies of requests and answers are open JSON.

# SDK of 2026-10-27, `BatchObject.status`.
_OVER: Final = frozenset({"completed", "failed", "expired", "cancelled"})


_MAX_RESULT_BYTES: Final = 512 * 1024 * 1024  # results come inside the answer


class BatchRequest(TypedDict):
    """One request of a batch.

    Attributes:
        custom_id: To find its result by; each differs from all others.
        body: What the endpoint takes, text only, without `stream`.
    """

    custom_id: str
    body: Mapping[str, Any]


class BatchParams(RequestOptions, total=False):
    """What a batch may say besides its requests, model and endpoint.

    Attributes:
        callback_url: Told when the batch is over.
        completion_window: `24h`.
        provider: Which providers may serve: `only` and `allow_fallbacks`.
    """

    callback_url: str
    completion_window: Literal["24h"]
    provider: Mapping[str, Any]


class BatchFilters(RequestOptions, total=False):
    """Which batches to list; the options of every call besides.

    Attributes:
        limit: Most batches of a page.
        after: Id to begin after.
        status: For example `completed`, or several such words.
        created_after: A time; a text or a whole number goes through.
        created_before: A time; a text or a whole number goes through.
    """

    limit: int
    after: str
    status: str | Sequence[str]
    created_after: datetime | str | int
    created_before: datetime | str | int


class BatchError(WireModel):
    """Why a batch or one of its requests failed.

    Attributes:
        type: For example `invalid_request_error`.
        error_type: OpenRouter's own word, for example `rate_limit_exceeded`.
        param: Which field was wrong.
    """

    message: str = ""
    type: str | None = None
    param: str | None = None
    error_type: str | None = None


class BatchAnswer(WireModel):
    """The answer to one request of a batch.

    Attributes:
        status_code: HTTP status that it would have had.
        body: As the endpoint answers.
    """

    status_code: int = 0
    request_id: str | None = None
    body: WireObject = Field(default_factory=dict[str, Any])


class BatchResult(WireModel):
    """What became of one request of a batch: an answer or an error.

    Attributes:
        custom_id: Of the request.
        response: None where it failed before it was answered.
        error: None where it did not fail.
    """

    id: str = ""
    custom_id: str = ""
    response: BatchAnswer | None = None
    error: BatchError | None = None

    @property
    def completion(self) -> ChatCompletion | None:
        """The answer as a chat completion; None where it is none."""
        body = self.response.body if self.response is not None else {}
        return ChatCompletion.from_object(body) if body.get("choices") else None


class BatchCounts(WireModel):
    """How many requests are where."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Batch(WireResult):
    """Many requests, and in the end their results.

    Attributes:
        id: To ask for it by.
        status: `validating`, `in_progress`, `finalizing`, `completed`, `failed`, `expired`,
            `cancelling`, `cancelled` or a newer word.
        created_at: Seconds since the epoch.
        expires_at: Seconds since the epoch.
        finalized_at: Seconds since the epoch.
        results: None until it is over, and in lists; kept for 30 days.
        usage: Tokens and cost of all requests.
        error: Why the whole of it failed.
    """

    id: str = ""
    status: str = ""
    endpoint: str | None = None
    model: str | None = None
    provider: str | None = None
    completion_window: str | None = None
    created_at: int | None = None
    expires_at: int | None = None
    finalized_at: int | None = None
    request_counts: BatchCounts = Field(default_factory=BatchCounts)
    results: list[BatchResult] | None = None
    usage: Usage | None = None
    error: BatchError | None = None

    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in _OVER


class BatchDeletion(WireModel):
    """Where a batch was deleted.

    Attributes:
        openrouter: `deleted`.
        upstream: At the provider: its name and what it did.
    """

    openrouter: str | None = None
    upstream: WireObject | None = None


class DeletedBatch(WireResult):
    """That a batch is gone."""

    id: str = ""
    deletion: BatchDeletion | None = None


def _time(name: str, value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return whole(0)(name, value) if is_number else moment(name, value)


_PARAMS: Final[dict[str, Check]] = {
    "callback_url": text,
    "completion_window": text,
    "provider": mapping,
}
_FILTERS: Final[dict[str, Check]] = {
    "limit": whole(1),
    "after": text,
    "status": words,
    "created_after": _time,
    "created_before": _time,
}


class AsyncBatches(AsyncResource):
    """Runs many requests at once."""

    async def create(
        self,
        requests: Sequence[BatchRequest | Mapping[str, Any]],
        model: str,
        *,
        endpoint: str = "/v1/chat/completions",
        **params: Unpack[BatchParams],
    ) -> Batch:
        """Hand in requests, and return the batch; see `wait`.

        Args:
            requests: At least one; each with a `custom_id` of its own and a `body`.
            model: Slug, for all of them.
            endpoint: `/v1/chat/completions`, `/v1/responses`, `/v1/messages` or `/v1/embeddings`;
                the `/v1` may be left out.
            **params: See `BatchParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        fields, options = split_arguments(params, _PARAMS)
        route = text("endpoint", endpoint).strip("/").removeprefix("v1/")
        # Read as a stream: requests before these two are refused (documentation,
        # batch-quickstart).
        body = {
            "endpoint": f"/v1/{route}",
            "model": model_slug(model),
            **fields,
            "requests": _checked_requests(requests),
        }
        return await self._json("POST", "batches", Batch, body=body, options=options)

    def list(self, **filters: Unpack[BatchFilters]) -> PageRequest[Batch]:
        """List batches, without their results.

        Args:
            **filters: See `BatchFilters`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query, options = split_arguments(filters, _FILTERS)
        return self._list(
            "batches", ListAnswer[Batch], style=AFTER_LAST, query=query, options=options
        )

    async def get(self, batch_id: str, **options: Unpack[RequestOptions]) -> Batch:
        """Return a batch as it is now, with its results when it is over.

        Args:
            batch_id: Which batch.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return await self._json(
            "GET",
            path_of("batches", batch_id),
            Batch,
            options=options,
            max_bytes=_MAX_RESULT_BYTES,
        )

    async def delete(self, batch_id: str, **options: Unpack[RequestOptions]) -> DeletedBatch:
        """Delete a batch and its results; one that runs cannot be deleted.

        Args:
            batch_id: Which batch.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        path = path_of("batches", batch_id)
        return await self._json("DELETE", path, DeletedBatch, options=options)

    async def wait(
        self,
        batch_id: str,
        *,
        poll_interval: float = 30.0,
        timeout: float | None = None,  # noqa: ASYNC109  # the house's word, of many calls
        **options: Unpack[PollOptions],
    ) -> Batch:
        """Ask for a batch until it is over, and return it with its results.

        A batch that expired or was cancelled is returned as well: it holds what was done.

        Args:
            batch_id: Which batch.
            poll_interval: Seconds between two questions.
            timeout: Seconds for all of it; None waits until the batch is over, at most a day.
            **options: See `PollOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterAPIError: The batch failed.
            OpenRouterTimeoutError: The time was up. The batch goes on.
            OpenRouterError: As for any call.
        """
        batch = await wait_until_over(
            lambda: self.get(batch_id, **options),
            Batch.is_over,
            poll_interval=poll_interval,
            timeout=timeout,
        )
        if batch.status == "failed":
            told = batch.error.message if batch.error else None
            raise job_error(batch, status=batch.status, told=told)
        return batch


class Batches(Resource[AsyncBatches]):
    """Runs many requests at once."""

    def create(
        self,
        requests: Sequence[BatchRequest | Mapping[str, Any]],
        model: str,
        *,
        endpoint: str = "/v1/chat/completions",
        **params: Unpack[BatchParams],
    ) -> Batch:
        """Hand in requests, and return the batch; see `wait`.

        Args:
            requests: At least one; each with a `custom_id` of its own and a `body`.
            model: Slug, for all of them.
            endpoint: `/v1/chat/completions`, `/v1/responses`, `/v1/messages` or `/v1/embeddings`;
                the `/v1` may be left out.
            **params: See `BatchParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create, requests, model, endpoint=endpoint, **params)

    def list(self, **filters: Unpack[BatchFilters]) -> Page[Batch]:
        """List batches, without their results.

        Args:
            **filters: See `BatchFilters`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[Batch].first_of(self._async_client.list(**filters))

    def get(self, batch_id: str, **options: Unpack[RequestOptions]) -> Batch:
        """Return a batch as it is now, with its results when it is over.

        Args:
            batch_id: Which batch.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, batch_id, **options)

    def delete(self, batch_id: str, **options: Unpack[RequestOptions]) -> DeletedBatch:
        """Delete a batch and its results; one that runs cannot be deleted.

        Args:
            batch_id: Which batch.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.delete, batch_id, **options)

    def wait(
        self,
        batch_id: str,
        *,
        poll_interval: float = 30.0,
        timeout: float | None = None,
        **options: Unpack[PollOptions],
    ) -> Batch:
        """Ask for a batch until it is over, and return it with its results.

        A batch that expired or was cancelled is returned as well: it holds what was done.

        Args:
            batch_id: Which batch.
            poll_interval: Seconds between two questions.
            timeout: Seconds for all of it; None waits until the batch is over, at most a day.
            **options: See `PollOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterAPIError: The batch failed.
            OpenRouterTimeoutError: The time was up. The batch goes on.
            OpenRouterError: As for any call.
        """
        return portal.run(
            self._async_client.wait,
            batch_id,
            poll_interval=poll_interval,
            timeout=timeout,
            **options,
        )


def _checked_requests(requests: object) -> list[dict[str, Any]]:
    items = mappings("requests", requests)
    if not items:
        raise OpenRouterConfigurationError("requests is empty.")
    seen: set[str] = set()
    for number, item in enumerate(items):
        name = f"requests[{number}]"
        known = text(f"{name}.custom_id", item.get("custom_id"))
        if known in seen:
            raise OpenRouterConfigurationError(
                f"requests holds the custom_id {known[:100]!r} twice.",
                hint="Give each request an id of its own.",
            )
        seen.add(known)
        mapping(f"{name}.body", item.get("body"))
    return items
