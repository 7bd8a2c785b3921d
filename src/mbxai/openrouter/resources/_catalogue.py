"""What OpenRouter says of models and their endpoints, and a search that sends nothing.

Prices are strings of USD per token on the wire; see the models page of OpenRouter's documentation.
"""

from collections.abc import Collection, Iterable
from decimal import Decimal, InvalidOperation
from typing import Annotated, TypeAlias

from pydantic import Field, Strict

from mbxai.openrouter.resources._arguments import names, number, text, whole
from mbxai.wire import WireModel, WireObject, WireResult

# Strict, since `false` is no price of 0.
Price: TypeAlias = str | Annotated[float, Strict()] | None
"""USD for one unit as the server writes it, usually a string; `-1` where it varies."""

_MILLION = 1_000_000


class PricingOverride(WireModel):
    """Prices that hold under a condition instead of the usual ones; others stay.

    Attributes:
        min_prompt_tokens: Holds for prompts of more tokens than this.
        utc_start: Holds from this time of the day in UTC, as HHMM: 100 is one o'clock.
        utc_end: Holds until just before this time, as HHMM.
        prompt: USD per token of the prompt.
        completion: USD per token of the answer.
    """

    min_prompt_tokens: float | None = None
    utc_start: float | None = None
    utc_end: float | None = None
    prompt: Price = None
    completion: Price = None


class Pricing(WireModel):
    """What a model or an endpoint costs under usual conditions, in USD.

    Attributes:
        prompt: Per token of the prompt.
        completion: Per token of the answer.
        request: Per request.
        image: Per image of the prompt.
        image_output: Per image of the answer.
        audio: Per audio token of the prompt.
        audio_output: Per audio token of the answer.
        web_search: Per web search.
        internal_reasoning: Per reasoning token.
        input_cache_read: Per token of the prompt read from a cache.
        input_cache_write: Per token of the prompt written to a cache.
        input_cache_write_1h: Per token of the prompt written to a cache of one hour.
        discount: Share by which all is cheaper: 0 for none, 1 for free.
        overrides: Prices under conditions; the last one that applies wins.
    """

    prompt: Price = None
    completion: Price = None
    request: Price = None
    image: Price = None
    image_output: Price = None
    audio: Price = None
    audio_output: Price = None
    web_search: Price = None
    internal_reasoning: Price = None
    input_cache_read: Price = None
    input_cache_write: Price = None
    input_cache_write_1h: Price = None
    discount: float | None = None
    overrides: list[PricingOverride] | None = None

    @property
    def prompt_per_million(self) -> Decimal | None:
        """USD per million tokens of the prompt before any discount; None if it is not known."""
        return usd_per_million(self.prompt)

    @property
    def completion_per_million(self) -> Decimal | None:
        """USD per million tokens of the answer before any discount; None if it is not known."""
        return usd_per_million(self.completion)


class Architecture(WireModel):
    """What goes into a model and what comes out.

    Attributes:
        input_modalities: For example `text`, `image`, `file`, `audio`.
        output_modalities: For example `text`, `image`, `audio`, `embeddings`.
        modality: Both in short, for example `text+image->text`.
        tokenizer: Family of the tokenizer, for example `GPT`.
        instruct_type: Prompt format of open models.
    """

    input_modalities: list[str] | None = None
    output_modalities: list[str] | None = None
    modality: str | None = None
    tokenizer: str | None = None
    instruct_type: str | None = None


class TopProvider(WireModel):
    """What the provider offers that is tried first.

    Attributes:
        context_length: Tokens of prompt and answer together.
        max_completion_tokens: Most tokens of an answer.
        is_moderated: Whether it moderates content.
    """

    context_length: int | None = None
    max_completion_tokens: int | None = None
    is_moderated: bool | None = None


class ModelReasoning(WireModel):
    """How a model can be told to reason.

    Attributes:
        mandatory: Whether reasoning cannot be switched off.
        default_enabled: Whether it reasons if nothing is said.
        default_effort: Effort if nothing is said.
        supported_efforts: Words for `reasoning.effort`, the highest first.
        supports_max_tokens: Whether it takes `reasoning.max_tokens`.
    """

    mandatory: bool | None = None
    default_enabled: bool | None = None
    default_effort: str | None = None
    supported_efforts: list[str] | None = None
    supports_max_tokens: bool | None = None


class Model(WireModel):
    """One model of the catalogue.

    Attributes:
        id: Slug for requests, for example `openai/gpt-4.1`.
        canonical_slug: Slug that never changes its meaning.
        name: For people.
        created: Seconds since the epoch.
        description: For people.
        context_length: Tokens of prompt and answer together; None if it is not known.
        architecture: What goes in and what comes out.
        pricing: What it costs.
        top_provider: What the provider offers that is tried first.
        supported_parameters: Parameters that at least one endpoint takes.
        default_parameters: Sampling parameters if nothing is said.
        per_request_limits: Most tokens for one request.
        reasoning: How it can be told to reason; None where it does not.
        supported_voices: Voices of a model that speaks.
        hugging_face_id: Name of an open model at Hugging Face.
        knowledge_cutoff: Date up to which it knows the world, YYYY-MM-DD.
        expiration_date: Date after which it may be gone, YYYY-MM-DD.
    """

    id: str = ""
    canonical_slug: str | None = None
    name: str | None = None
    created: int | None = None
    description: str | None = None
    context_length: int | None = None
    architecture: Architecture | None = None
    pricing: Pricing = Field(default_factory=Pricing)
    top_provider: TopProvider | None = None
    supported_parameters: list[str] | None = None
    default_parameters: WireObject | None = None
    per_request_limits: WireObject | None = None
    reasoning: ModelReasoning | None = None
    supported_voices: list[str] | None = None
    hugging_face_id: str | None = None
    knowledge_cutoff: str | None = None
    expiration_date: str | None = None


class Percentiles(WireModel):
    """How a measure is spread over the requests of the last 30 minutes.

    Attributes:
        p50: Half of the requests had this or less.
        p75: Three quarters had this or less.
        p90: Nine tenths had this or less.
        p99: All but one in a hundred had this or less.
    """

    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p99: float | None = None


class Endpoint(WireModel):
    """One provider's offer of one model.

    Attributes:
        model_id: Slug of the model.
        model_name: Name of the model, for people.
        name: Of the endpoint, for people.
        provider_name: For example `OpenAI`.
        tag: Slug of the endpoint, for `provider.order` and `provider.only`.
        context_length: Tokens of prompt and answer together.
        max_prompt_tokens: Most tokens of a prompt.
        max_completion_tokens: Most tokens of an answer.
        pricing: What it costs.
        quantization: For example `fp8`.
        service_tier: `flex`, `priority` or another tier; None for the usual one.
        status: 0 if it works; below 0 the worse the lower.
        supported_parameters: Parameters of requests that it takes.
        supports_implicit_caching: Whether it caches prompts by itself.
        uptime_last_5m: Share of requests that succeeded, in percent; None with too few.
        uptime_last_30m: The same over 30 minutes.
        uptime_last_1d: The same over a day.
        latency_last_30m: Milliseconds to the first token.
        throughput_last_30m: Tokens per second.
    """

    model_id: str | None = None
    model_name: str | None = None
    name: str | None = None
    provider_name: str | None = None
    tag: str | None = None
    context_length: int | None = None
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    pricing: Pricing = Field(default_factory=Pricing)
    quantization: str | None = None
    service_tier: str | None = None
    status: int | str | None = None
    supported_parameters: list[str] | None = None
    supports_implicit_caching: bool | None = None
    uptime_last_5m: float | None = None
    uptime_last_30m: float | None = None
    uptime_last_1d: float | None = None
    latency_last_30m: Percentiles | None = None
    throughput_last_30m: Percentiles | None = None


class ModelEndpoints(WireModel):
    """A model with all its endpoints.

    Attributes:
        id: Slug of the model.
        name: For people.
        created: Seconds since the epoch.
        description: For people.
        architecture: What goes in and what comes out.
        endpoints: One for each provider's offer.
    """

    id: str = ""
    name: str | None = None
    created: int | None = None
    description: str | None = None
    architecture: Architecture | None = None
    endpoints: list[Endpoint] = Field(default_factory=list[Endpoint])


class ModelResponse(WireResult):
    """The answer about one model.

    Attributes:
        data: The model.
    """

    data: Model = Field(default_factory=Model)


class ModelEndpointsResponse(WireResult):
    """The answer about the endpoints of one model.

    Attributes:
        data: The model with its endpoints.
    """

    data: ModelEndpoints = Field(default_factory=ModelEndpoints)


class ModelsCount(WireModel):
    """How many models there are.

    Attributes:
        count: Models that are available now.
    """

    count: int = 0


class ModelsCountResponse(WireResult):
    """The answer about the number of models.

    Attributes:
        data: The number.
    """

    data: ModelsCount = Field(default_factory=ModelsCount)


def usd_per_million(price: Price) -> Decimal | None:
    """Return USD per million units of a price for one.

    Args:
        price: USD for one unit; see `Price`.

    Returns:
        0 or more; None where the price is missing, varies (`-1`) or is no number.
    """
    if price is None:
        return None
    try:
        usd = Decimal(str(price).strip())
    except InvalidOperation:
        return None
    return usd * _MILLION if usd.is_finite() and usd >= 0 else None


def find_models(
    models: Iterable[Model],
    *,
    query: str | None = None,
    max_prompt_price: float | Decimal | None = None,
    max_completion_price: float | Decimal | None = None,
    min_context_length: int | None = None,
    supported_parameters: Collection[str] = (),
    input_modalities: Collection[str] = (),
    output_modalities: Collection[str] = (),
) -> list[Model]:
    """Return the models that fit, in the order that they came in; nothing is sent.

    What is not known of a model never fits: a price that varies is above every limit.

    Args:
        models: For example a page of `models.list()`.
        query: Part of the slug or the name, whatever its case.
        max_prompt_price: Most USD per million tokens of the prompt, before any discount; 0 finds
            those whose prompts are free.
        max_completion_price: Most USD per million tokens of the answer, before any discount.
        min_context_length: Fewest tokens of prompt and answer together.
        supported_parameters: Parameters that must all be taken, for example `tools`.
        input_modalities: All that must go in, for example `image`.
        output_modalities: All that must come out.

    Raises:
        OpenRouterConfigurationError: A limit is impossible; nothing was searched.
    """
    prompt_limit = _limit("max_prompt_price", max_prompt_price)
    completion_limit = _limit("max_completion_price", max_completion_price)
    parameters = _wanted("supported_parameters", supported_parameters)
    inputs = _wanted("input_modalities", input_modalities)
    outputs = _wanted("output_modalities", output_modalities)
    if min_context_length is not None:
        whole(0)("min_context_length", min_context_length)
    part = "" if query is None else text("query", query).casefold()

    def fits(model: Model) -> bool:
        architecture = model.architecture or Architecture()
        return (
            part in f"{model.id}\n{model.name or ''}".casefold()
            and _is_within(model.pricing.prompt_per_million, prompt_limit)
            and _is_within(model.pricing.completion_per_million, completion_limit)
            and (min_context_length is None or (model.context_length or -1) >= min_context_length)
            and parameters.issubset(model.supported_parameters or ())
            and inputs.issubset(architecture.input_modalities or ())
            and outputs.issubset(architecture.output_modalities or ())
        )

    return [model for model in models if fits(model)]


def _is_within(price: Decimal | None, limit: Decimal | None) -> bool:
    return limit is None or (price is not None and price <= limit)


def _limit(name: str, value: float | Decimal | None) -> Decimal | None:
    if value is None:
        return None
    if isinstance(value, Decimal) and value.is_finite() and value >= 0:
        return value
    # By its shortest text, since 0.1 as a float is a little more than 0.1.
    return Decimal(str(number(0)(name, value)))


def _wanted(name: str, value: Collection[str]) -> frozenset[str]:
    # In order, so that the message names the same item each time.
    given: object = sorted(value, key=str) if isinstance(value, set | frozenset) else value
    return frozenset(names(name, given)) if given not in ([], ()) else frozenset()
