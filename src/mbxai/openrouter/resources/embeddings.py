"""Embeddings: texts, tokens, pictures and sound become vectors."""

import base64
import binascii
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, Unpack, cast

from pydantic import Field

import mbxai.portal as portal
from mbxai.errors import InvalidResponseError, OpenRouterConfigurationError
from mbxai.openrouter._pages import ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import RequestOptions
from mbxai.openrouter.models import model_slug
from mbxai.openrouter.resources._arguments import (
    Check,
    checked,
    mapping,
    one_of,
    split_arguments,
    text,
    whole,
)
from mbxai.openrouter.resources._catalogue import Model
from mbxai.openrouter.resources._resource import PAGE_CHECKS, AsyncResource, Resource
from mbxai.wire import CostDetails, WireModel, WireResult
from mbxai.wire._routing import ProviderPreferences, TraceParams

__all__ = [
    "AsyncEmbeddings",
    "Embedding",
    "EmbeddingInput",
    "EmbeddingParams",
    "EmbeddingResponse",
    "EmbeddingTokensDetails",
    "EmbeddingUsage",
    "Embeddings",
]

# Any in this file: what OpenRouter adds to an object tomorrow passes through.
EmbeddingInput: TypeAlias = (
    str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | Sequence[Mapping[str, Any]]
)
"""One text, texts, the tokens of one text, the tokens of several, or objects with parts.

An object with parts gives one vector, for example `{"content": [{"type": "text", "text": "a dog"},
{"type": "image_url", "image_url": {"url": "https://..."}}]}`.
"""


class EmbeddingParams(RequestOptions, total=False):
    """What a request for embeddings may say besides input and model.

    Attributes:
        dimensions: How many numbers each vector shall have, 1 or more, where the model can choose.
        encoding_format: `base64` is the smaller answer; `vectors` reads both.
        input_type: What the input is for, in the model's words, for example `search_query`.
        provider: Which providers may serve.
        session_id: Groups requests.
        trace: Names for observability.
        user: Who it is for, as an id or a hash.
    """

    dimensions: int
    encoding_format: Literal["float", "base64"]
    input_type: str
    provider: ProviderPreferences | Mapping[str, Any] | None
    session_id: str
    trace: TraceParams | Mapping[str, Any]
    user: str


class EmbeddingTokensDetails(WireModel):
    """How the tokens of the input divide."""

    text_tokens: int | None = None
    image_tokens: int | None = None
    audio_tokens: int | None = None
    video_tokens: int | None = None
    file_tokens: int | None = None


class EmbeddingUsage(WireModel):
    """What a request for embeddings used.

    Attributes:
        prompt_tokens: Tokens of the input.
        total_tokens: The same.
        cost: USD that OpenRouter charged; None where the server does not say.
        is_byok: Whether a provider key of your own was used.
    """

    prompt_tokens: int = 0
    total_tokens: int = 0
    cost: float | None = None
    cost_details: CostDetails | None = None
    is_byok: bool | None = None
    prompt_tokens_details: EmbeddingTokensDetails | None = None


class Embedding(WireModel):
    """The vector of one input.

    Attributes:
        index: Which input, from 0; None where the server does not say.
        embedding: Numbers, or base64 of 32-bit floats, as it came; `vector` reads both.
    """

    object: str = "embedding"
    index: int | None = None
    embedding: list[float] | str | None = None

    def vector(self) -> list[float]:
        """Return the numbers, decoded where they came as base64.

        Raises:
            InvalidResponseError: There are none, or the text is no base64 of 32-bit floats.
        """
        if isinstance(self.embedding, str):
            return _decoded(self.embedding)
        if not self.embedding:
            raise InvalidResponseError("An embedding came without its vector.")
        return self.embedding


class EmbeddingResponse(WireResult):
    """Vectors, one for each input.

    Attributes:
        data: In the order of arrival; see `vectors`.
        model: Which model made them.
        usage: Tokens and cost.
    """

    id: str | None = None
    object: str = "list"
    data: list[Embedding] = Field(default_factory=list[Embedding])
    model: str = ""
    usage: EmbeddingUsage | None = None

    def vectors(self) -> list[list[float]]:
        """Return the vectors in the order of the input, decoded where they came as base64.

        Raises:
            InvalidResponseError: One of them is missing or cannot be read.
        """
        places = [item.index for item in self.data]
        if all(place is not None for place in places):
            ordered = sorted(self.data, key=lambda item: item.index or 0)
        else:
            ordered = self.data
        return [item.vector() for item in ordered]


_CHECKS: Final[dict[str, Check]] = {
    "dimensions": whole(1),
    "encoding_format": one_of("float", "base64"),
    "input_type": text,
    "provider": mapping,
    "session_id": text,
    "trace": mapping,
    "user": text,
}


class AsyncEmbeddings(AsyncResource):
    """Makes embeddings."""

    async def create(
        self,
        input: EmbeddingInput,  # noqa: A002  # the name of the field
        model: str,
        **params: Unpack[EmbeddingParams],
    ) -> EmbeddingResponse:
        """Return the vectors of one or several inputs; `vectors()` of the answer gives the numbers.

        Args:
            input: Text, list of texts, tokens, or objects with parts; see `EmbeddingInput`.
            model: Slug, for example `openai/text-embedding-3-small`.
            **params: See `EmbeddingParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        fields, options = split_arguments(params, _CHECKS)
        body = {"input": _checked_input(input), "model": model_slug(model), **fields}
        return await self._json("POST", "embeddings", EmbeddingResponse, body=body, options=options)

    def models(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[Model]:
        """List the models that make embeddings.

        Args:
            offset: How many to skip.
            limit: Most models of a page, 1 to 1000; without offset and limit all come at once.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        query = checked({"offset": offset, "limit": limit}, PAGE_CHECKS)
        return self._list("embeddings/models", ListAnswer[Model], query=query, options=options)


class Embeddings(Resource[AsyncEmbeddings]):
    """Makes embeddings."""

    def create(
        self,
        input: EmbeddingInput,  # noqa: A002  # the name of the field
        model: str,
        **params: Unpack[EmbeddingParams],
    ) -> EmbeddingResponse:
        """Return the vectors of one or several inputs; `vectors()` of the answer gives the numbers.

        Args:
            input: Text, list of texts, tokens, or objects with parts; see `EmbeddingInput`.
            model: Slug, for example `openai/text-embedding-3-small`.
            **params: See `EmbeddingParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create, input, model, **params)

    def models(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[Model]:
        """List the models that make embeddings.

        Args:
            offset: How many to skip.
            limit: Most models of a page, 1 to 1000; without offset and limit all come at once.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[Model].first_of(
            self._async_client.models(offset=offset, limit=limit, **options)
        )


def _checked_input(value: object) -> object:
    if isinstance(value, str):
        return text("input", value)
    if isinstance(value, bytes | bytearray | Mapping) or not isinstance(value, Sequence):
        kind = type(cast("object", value)).__name__
        raise OpenRouterConfigurationError(
            f"input must be text or a list, not of type {kind}.",
            hint="Pass a text, a list of texts, tokens, or objects with content.",
        )
    items = list(cast("Sequence[object]", value))
    if not items:
        raise OpenRouterConfigurationError("input is empty.")
    if all(_is_token(item) for item in items):
        return items
    kinds = {_kind_of(item) for item in items}
    if len(kinds) > 1:
        raise OpenRouterConfigurationError("input mixes kinds of items.", hint="Ask for each kind.")
    return [_checked_item(f"input[{number}]", item) for number, item in enumerate(items)]


def _kind_of(item: object) -> str:
    if isinstance(item, str):
        return "text"
    return "object" if isinstance(item, Mapping) else "tokens"


def _checked_item(name: str, item: object) -> object:
    if isinstance(item, str):
        return text(name, item)
    if isinstance(item, Mapping):
        fields = cast("Mapping[str, object]", item)
        if not fields.get("content"):
            raise OpenRouterConfigurationError(
                f"{name} needs content, a list of parts that is not empty."
            )
        return dict(fields)
    if isinstance(item, Sequence) and not isinstance(item, bytes | bytearray):
        tokens = list(cast("Sequence[object]", item))
        if tokens and all(_is_token(token) for token in tokens):
            return tokens
    raise OpenRouterConfigurationError(
        f"{name} must be text, a list of tokens (whole numbers, 0 or more) or an object."
    )


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _decoded(encoded: str) -> list[float]:
    numbers = array("f")
    try:
        numbers.frombytes(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidResponseError(
            f"An embedding of {len(encoded)} characters is no base64 of 32-bit floats."
        ) from error
    if not numbers:
        raise InvalidResponseError("An embedding came without its vector.")
    if sys.byteorder == "big":  # the wire is little endian
        numbers.byteswap()
    return numbers.tolist()
