"""The catalogue of models."""

# Words that are known stand beside `str`, since the server's lists grow.
# ruff: noqa: PYI051

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, Literal, TypeAlias, Unpack

import mbxai.portal as portal
from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._pages import ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import RequestOptions, path_of
from mbxai.openrouter.models import model_slug
from mbxai.openrouter.resources._arguments import (
    Check,
    checked,
    flag,
    number,
    one_of,
    split_arguments,
    text,
    whole,
    words,
)
from mbxai.openrouter.resources._catalogue import (
    Architecture,
    Endpoint,
    Model,
    ModelEndpoints,
    ModelEndpointsResponse,
    ModelReasoning,
    ModelResponse,
    ModelsCount,
    ModelsCountResponse,
    Percentiles,
    Pricing,
    PricingOverride,
    TopProvider,
    find_models,
    usd_per_million,
)
from mbxai.openrouter.resources._resource import PAGE_CHECKS, AsyncResource, Resource

__all__ = [
    "Architecture",
    "AsyncModels",
    "Endpoint",
    "Model",
    "ModelEndpoints",
    "ModelEndpointsResponse",
    "ModelFilters",
    "ModelReasoning",
    "ModelResponse",
    "ModelSort",
    "Models",
    "ModelsCount",
    "ModelsCountResponse",
    "Percentiles",
    "Pricing",
    "PricingOverride",
    "TopProvider",
    "find_models",
    "usd_per_million",
]

ModelSort: TypeAlias = (
    Literal[
        "most-popular",
        "newest",
        "top-weekly",
        "pricing-low-to-high",
        "pricing-high-to-low",
        "context-high-to-low",
        "throughput-high-to-low",
        "latency-low-to-high",
        "intelligence-high-to-low",
        "coding-high-to-low",
        "agentic-high-to-low",
        "design-arena-elo-high-to-low",
    ]
    | str
)
"""Orders of the catalogue that are known; the server may take others."""


class ModelFilters(RequestOptions, total=False):
    """Which models to list, by OpenRouter's names; None is as good as not given.

    Several words of one filter may be a list, or one text with commas.

    Attributes:
        category: Use case, for example `programming`.
        supported_parameters: Parameters that must be taken, for example `tools`.
        input_modalities: What must go in: text, image, audio, file.
        output_modalities: What must come out; `all` for everything, only text if not given.
        sort: Order of the answer.
        q: Part of the name or the slug.
        context: Fewest tokens of prompt and answer together.
        min_price: Least USD per million tokens of the prompt.
        max_price: Most USD per million tokens of the prompt.
        min_output_price: Least USD per million tokens of the answer.
        max_output_price: Most USD per million tokens of the answer.
        arch: Family, for example `Llama`.
        model_authors: Slugs of the organisations that made the model.
        providers: Names of the providers that serve it.
        distillable: Whether its answers may train other models.
        zdr: True for models with endpoints that keep no data; False is as good as not given.
        region: Where it must be served, `eu` or `us`.
        min_age_days: Fewest days since it came out.
        max_age_days: Most days since it came out.
        min_intelligence_index: Of Artificial Analysis, 0 to 100.
        max_intelligence_index: Of Artificial Analysis, 0 to 100.
        min_coding_index: Of Artificial Analysis, 0 to 100.
        max_coding_index: Of Artificial Analysis, 0 to 100.
        min_agentic_index: Of Artificial Analysis, 0 to 100.
        max_agentic_index: Of Artificial Analysis, 0 to 100.
        min_tool_success_rate: Share of requests that end with tool calls, 0 to 1.
        max_tool_success_rate: Share of requests that end with tool calls, 0 to 1.
    """

    category: str | None
    supported_parameters: str | Sequence[str] | None
    input_modalities: str | Sequence[str] | None
    output_modalities: str | Sequence[str] | None
    sort: ModelSort | None
    q: str | None
    context: int | None
    min_price: float | None
    max_price: float | None
    min_output_price: float | None
    max_output_price: float | None
    arch: str | None
    model_authors: str | Sequence[str] | None
    providers: str | Sequence[str] | None
    distillable: bool | None
    zdr: bool | None
    region: Literal["eu", "us"] | None
    min_age_days: int | None
    max_age_days: int | None
    min_intelligence_index: float | None
    max_intelligence_index: float | None
    min_coding_index: float | None
    max_coding_index: float | None
    min_agentic_index: float | None
    max_agentic_index: float | None
    min_tool_success_rate: float | None
    max_tool_success_rate: float | None


# OpenRouter's OpenAPI document, GET /models: at most 1000 models a page, rates are shares.
_PAGE_CHECKS: Final[Mapping[str, Check]] = {**PAGE_CHECKS, "limit": whole(1, 1000)}
_CHECKS: Final[Mapping[str, Check]] = {
    **_PAGE_CHECKS,
    **dict.fromkeys(("category", "sort", "q", "arch"), text),
    **dict.fromkeys(
        (
            "supported_parameters",
            "input_modalities",
            "output_modalities",
            "model_authors",
            "providers",
        ),
        words,
    ),
    **dict.fromkeys(("distillable", "zdr"), flag),
    "region": one_of("eu", "us"),
    "context": whole(1),
    **{
        f"{end}_{name}": check
        for name, check in {
            "price": number(0),
            "output_price": number(0),
            "age_days": whole(0),
            "intelligence_index": number(0),
            "coding_index": number(0),
            "agentic_index": number(0),
            "tool_success_rate": number(0, 1),
        }.items()
        for end in ("min", "max")
    },
}


class AsyncModels(AsyncResource):
    """The catalogue of models: `client.models`."""

    def list(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **filters: Unpack[ModelFilters],
    ) -> PageRequest[Model]:
        """List the models that fit; without `offset` and `limit` all come in one answer.

        Args:
            offset: How many to skip.
            limit: Most models of one page, 1 to 1000; 500 if only `offset` is given.
            **filters: Which models; the options of every call besides.

        Returns:
            Iterates over the models of all pages.

        Raises:
            OpenRouterConfigurationError: A filter is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        given, options = split_arguments({"offset": offset, "limit": limit, **filters}, _CHECKS)
        # The API knows zdr only as true.
        given["zdr"] = given.get("zdr") or None
        return self._list("models", ListAnswer[Model], query=given, options=options)

    async def get(self, model: str, **options: Unpack[RequestOptions]) -> ModelResponse:
        """Return what is known of one model.

        Args:
            model: Slug, suffixes such as `:free` and families such as `~author/name` included, an
                `OpenRouterModel` or a registered name.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such model.
            OpenRouterError: As for any call.
        """
        path = path_of("model", *_author_and_name(model))
        return await self._json("GET", path, ModelResponse, options=options)

    async def endpoints(
        self, model: str, **options: Unpack[RequestOptions]
    ) -> ModelEndpointsResponse:
        """Return the endpoints of a model: providers, prices, limits, uptime.

        Args:
            model: As for `get`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such model.
            OpenRouterError: As for any call.
        """
        path = path_of("models", *_author_and_name(model), "endpoints")
        return await self._json("GET", path, ModelEndpointsResponse, options=options)

    async def count(
        self,
        *,
        output_modalities: str | Sequence[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> ModelsCountResponse:
        """Return how many models are available.

        Args:
            output_modalities: What must come out; `all` for everything, only text if not given.
            **options: The options of every call.

        Raises:
            OpenRouterError: As for any call.
        """
        query = checked({"output_modalities": output_modalities}, _CHECKS)
        return await self._json(
            "GET", "models/count", ModelsCountResponse, query=query, options=options
        )

    def user(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        output_modalities: str | Sequence[str] | None = None,
        sort: ModelSort | None = None,
        **options: Unpack[RequestOptions],
    ) -> PageRequest[Model]:
        """List the models that this key may use: by providers, privacy settings and guardrails.

        Args:
            offset: How many to skip.
            limit: Most models of one page, 1 to 1000.
            output_modalities: What must come out; `all` for everything, only text if not given.
            sort: Order of the answer.
            **options: The options of every call.

        Returns:
            Iterates over the models of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        given = {
            "offset": offset,
            "limit": limit,
            "output_modalities": output_modalities,
            "sort": sort,
        }
        query = checked(given, _CHECKS)
        return self._list("models/user", ListAnswer[Model], query=query, options=options)

    find: ClassVar[Callable[..., Sequence[Model]]] = staticmethod(find_models)


class Models(Resource[AsyncModels]):
    """The catalogue of models: `client.models`."""

    def list(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        **filters: Unpack[ModelFilters],
    ) -> Page[Model]:
        """List the models that fit; without `offset` and `limit` all come in one answer.

        Args:
            offset: How many to skip.
            limit: Most models of one page, 1 to 1000; 500 if only `offset` is given.
            **filters: Which models; the options of every call besides.

        Returns:
            Iterates over the models of all pages.

        Raises:
            OpenRouterConfigurationError: A filter is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[Model].first_of(self._async_client.list(offset=offset, limit=limit, **filters))

    def get(self, model: str, **options: Unpack[RequestOptions]) -> ModelResponse:
        """Return what is known of one model.

        Args:
            model: Slug, suffixes such as `:free` and families such as `~author/name` included, an
                `OpenRouterModel` or a registered name.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such model.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, model, **options)

    def endpoints(self, model: str, **options: Unpack[RequestOptions]) -> ModelEndpointsResponse:
        """Return the endpoints of a model: providers, prices, limits, uptime.

        Args:
            model: As for `get`.
            **options: The options of every call.

        Raises:
            NotFoundError: There is no such model.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.endpoints, model, **options)

    def count(
        self,
        *,
        output_modalities: str | Sequence[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> ModelsCountResponse:
        """Return how many models are available.

        Args:
            output_modalities: What must come out; `all` for everything, only text if not given.
            **options: The options of every call.

        Raises:
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.count, output_modalities=output_modalities, **options)

    def user(
        self,
        *,
        offset: int | None = None,
        limit: int | None = None,
        output_modalities: str | Sequence[str] | None = None,
        sort: ModelSort | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[Model]:
        """List the models that this key may use: by providers, privacy settings and guardrails.

        Args:
            offset: How many to skip.
            limit: Most models of one page, 1 to 1000.
            output_modalities: What must come out; `all` for everything, only text if not given.
            sort: Order of the answer.
            **options: The options of every call.

        Returns:
            Iterates over the models of all pages.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[Model].first_of(
            self._async_client.user(
                offset=offset,
                limit=limit,
                output_modalities=output_modalities,
                sort=sort,
                **options,
            )
        )

    find: ClassVar[Callable[..., Sequence[Model]]] = staticmethod(find_models)


def _author_and_name(model: str) -> tuple[str, str]:
    slug = model_slug(model)
    author, _, name = slug.partition("/")
    if not author.strip() or not name.strip():
        raise OpenRouterConfigurationError(
            f"model {slug!r} has no author or no name.", hint="Use a slug such as 'openai/gpt-4.1'."
        )
    return author, name
