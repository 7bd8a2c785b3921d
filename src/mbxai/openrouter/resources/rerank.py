"""Rerank: documents in the order of how well they answer a query."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict, Unpack, cast

from pydantic import Field

import mbxai.portal as portal
from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._requester import RequestOptions
from mbxai.openrouter.models import model_slug
from mbxai.openrouter.resources._arguments import Check, mapping, split_arguments, text, whole
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.wire import WireModel, WireResult
from mbxai.wire._routing import ProviderPreferences, TraceParams

__all__ = [
    "AsyncRerank",
    "Rerank",
    "RerankDocument",
    "RerankDocumentParam",
    "RerankParams",
    "RerankResponse",
    "RerankResult",
    "RerankUsage",
]


class RerankDocumentParam(TypedDict, total=False):
    """A document with a picture.

    Attributes:
        text: What it says.
        image: An `https:` URL or a `data:` URL.
    """

    text: str
    image: str


# Any in this file: what OpenRouter adds to an object tomorrow passes through.
class RerankParams(RequestOptions, total=False):
    """What a request to rerank may say besides query, documents and model.

    Attributes:
        top_n: How many of the best documents to return, 1 or more; all where it is not given.
        provider: Which providers may serve.
        session_id: Groups requests.
        trace: Names for observability.
        user: Who it is for, as an id or a hash.
    """

    top_n: int
    provider: ProviderPreferences | Mapping[str, Any] | None
    session_id: str
    trace: TraceParams | Mapping[str, Any]
    user: str


class RerankDocument(WireModel):
    """A document as it was sent."""

    text: str | None = None
    image: str | None = None


class RerankResult(WireModel):
    """How well one document answers the query.

    Attributes:
        index: Its place in `documents`, from 0.
        relevance_score: Higher is better; the scale is the model's.
        document: The document, where the provider gives it back.
    """

    index: int = 0
    relevance_score: float = 0.0
    document: RerankDocument | None = None


class RerankUsage(WireModel):
    """What a request to rerank used.

    Attributes:
        search_units: What some providers bill.
        total_tokens: Tokens of query and documents.
        cost: USD that OpenRouter charged; None where the server does not say.
    """

    search_units: int | None = None
    total_tokens: int | None = None
    cost: float | None = None


class RerankResponse(WireResult):
    """The documents, best first.

    Attributes:
        results: Best first.
        model: Which model ranked them.
        provider: Who served it.
        usage: Tokens, search units and cost.
    """

    id: str | None = None
    model: str = ""
    provider: str | None = None
    results: list[RerankResult] = Field(default_factory=list[RerankResult])
    usage: RerankUsage | None = None


_CHECKS: Final[dict[str, Check]] = {
    "top_n": whole(1),
    "provider": mapping,
    "session_id": text,
    "trace": mapping,
    "user": text,
}


class AsyncRerank(AsyncResource):
    """Ranks documents."""

    async def create(
        self,
        query: str,
        documents: Sequence[str | RerankDocumentParam | Mapping[str, str]],
        model: str,
        **params: Unpack[RerankParams],
    ) -> RerankResponse:
        """Return documents in the order of how well they answer a query.

        Args:
            query: What is asked.
            documents: Texts, or objects with text, picture or both; at least one.
            model: Slug, for example `cohere/rerank-v3.5`.
            **params: See `RerankParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        fields, options = split_arguments(params, _CHECKS)
        body = {
            "query": text("query", query),
            "documents": _checked_documents(documents),
            "model": model_slug(model),
            **fields,
        }
        return await self._json("POST", "rerank", RerankResponse, body=body, options=options)


class Rerank(Resource[AsyncRerank]):
    """Ranks documents."""

    def create(
        self,
        query: str,
        documents: Sequence[str | RerankDocumentParam | Mapping[str, str]],
        model: str,
        **params: Unpack[RerankParams],
    ) -> RerankResponse:
        """Return documents in the order of how well they answer a query.

        Args:
            query: What is asked.
            documents: Texts, or objects with text, picture or both; at least one.
            model: Slug, for example `cohere/rerank-v3.5`.
            **params: See `RerankParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create, query, documents, model, **params)


def _checked_documents(documents: object) -> list[object]:
    if isinstance(documents, str | bytes | Mapping) or not isinstance(documents, Sequence):
        raise OpenRouterConfigurationError(
            "documents must be a list of texts or of objects with text or image."
        )
    items = list(cast("Sequence[object]", documents))
    if not items:
        raise OpenRouterConfigurationError("documents is empty.")
    for number, item in enumerate(items):
        if not isinstance(item, str) and not _has_content(item):
            raise OpenRouterConfigurationError(
                f"documents[{number}] must be text, or an object with text or image."
            )
    return items


def _has_content(item: object) -> bool:
    if not isinstance(item, Mapping):
        return False
    fields = cast("Mapping[str, object]", item)
    return bool(fields.get("text") or fields.get("image"))
