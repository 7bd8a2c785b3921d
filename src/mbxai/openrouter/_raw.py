"""Answers with their bytes, status, headers and attempts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, Unpack

import mbxai.portal as portal
from mbxai.openrouter._core import ClientCore
from mbxai.wire import Attempt, ChatCompletion, CompletionParams, Messages, ResponseInfo

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class RawResponse(Generic[T_co]):
    """A successful HTTP response with what it means.

    Attributes:
        content: The body as it came, decompressed.
        parsed: What the call without `with_raw_response` would have returned.
        response: Status, headers and every attempt.
    """

    content: bytes = field(repr=False)
    parsed: T_co
    response: ResponseInfo = field(repr=False)

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers, names in lower case."""
        return self.response.headers

    @property
    def request_id(self) -> str | None:
        """The edge's id of the request, if it sent one."""
        return self.response.request_id

    @property
    def history(self) -> tuple[Attempt, ...]:
        """Every attempt, the successful one last."""
        return self.response.history

    @property
    def elapsed(self) -> float:
        """Seconds over all attempts and the waits between them."""
        return self.response.elapsed

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")


class AsyncRawCalls:
    """Calls whose answers come as `RawResponse`; streams have `response` themselves."""

    def __init__(self, core: ClientCore) -> None:
        """Use the client's own core; `AsyncOpenRouterClient.with_raw_response` does this."""
        self._core = core

    async def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        **params: Unpack[CompletionParams],
    ) -> RawResponse[ChatCompletion]:
        """Return the model's answer to a conversation with the response that it came with.

        Args:
            messages: The conversation, oldest message first.
            model: Model of this call; None takes the client's.
            **params: As for `create` of the client.

        Raises:
            OpenRouterError: As for `create` of the client.
        """
        given: Mapping[str, Any] = params
        received = await self._core.complete_raw(messages, model, given)
        content, completion = received.value
        return RawResponse(content, completion, received.response)


class RawCalls:
    """Calls whose answers come as `RawResponse`; streams have `response` themselves."""

    def __init__(self, async_client: AsyncRawCalls) -> None:
        """Stand on the asynchronous one; `OpenRouterClient.with_raw_response` does this."""
        self._async_client = async_client

    @property
    def async_client(self) -> AsyncRawCalls:
        """The client that does the work."""
        return self._async_client

    def create(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        **params: Unpack[CompletionParams],
    ) -> RawResponse[ChatCompletion]:
        """Return the model's answer to a conversation with the response that it came with.

        Args:
            messages: The conversation, oldest message first.
            model: Model of this call; None takes the client's.
            **params: As for `create` of the client.

        Raises:
            OpenRouterError: As for `create` of the client.
        """
        return portal.run(self._async_client.create, messages, model=model, **params)
