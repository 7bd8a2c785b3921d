"""Images: pictures made from words, whole or as they grow."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Unpack

from pydantic import Field

import mbxai.portal as portal
from mbxai.errors import InvalidResponseError
from mbxai.openrouter._event_stream import (
    AsyncEventStream,
    EventFormat,
    EventStream,
    open_event_stream,
)
from mbxai.openrouter._pages import WHOLE, ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import RequestOptions, path_of
from mbxai.openrouter._stream import AsyncStreamManager
from mbxai.openrouter.models import model_slug
from mbxai.openrouter.resources._arguments import (
    Check,
    mapping,
    mappings,
    split_arguments,
    text,
    whole,
)
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.wire import ServerSentEvent, Usage, WireModel, WireResult
from mbxai.wire._content_parts import ImagePart
from mbxai.wire._routing import TraceParams

__all__ = [
    "MAX_IMAGE_EVENT_BYTES",
    "AsyncImages",
    "GeneratedImage",
    "ImageArchitecture",
    "ImageCapability",
    "ImageEndpoint",
    "ImageEndpoints",
    "ImageEvent",
    "ImageModel",
    "ImageParams",
    "ImagePrice",
    "ImageResponse",
    "Images",
]

# Any in this file: what OpenRouter adds to an object tomorrow passes through.

MAX_IMAGE_EVENT_BYTES: Final = 64 * 1024 * 1024
"""The largest event of a streamed picture; each one holds a whole draft in base64."""


class ImageParams(RequestOptions, total=False):
    """What a request for pictures may say besides prompt and model.

    What a model takes is listed in its `supported_parameters`.

    Attributes:
        n: How many pictures, 1 or more.
        size: For example `1024x1024`.
        aspect_ratio: For example `16:9`.
        resolution: For example `2K`.
        quality: For example `high`.
        background: `auto`, `transparent` or `opaque`.
        output_format: `png`, `jpeg`, `webp` or `svg`.
        output_compression: 0 to 100.
        input_references: Pictures to go by; `image_part` makes them.
        seed: The same number gives the same picture, where the model can.
        provider: Which providers may serve.
        session_id: Groups requests.
        trace: Names for observability.
        user: Who it is for, as an id or a hash.
    """

    n: int
    size: str
    aspect_ratio: str
    resolution: Literal["512", "768", "1K", "1.5K", "2K", "4K"] | str  # noqa: PYI051  # open sets
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max"] | str  # noqa: PYI051
    background: Literal["auto", "transparent", "opaque"] | str  # noqa: PYI051
    output_format: Literal["png", "jpeg", "webp", "svg"] | str  # noqa: PYI051
    output_compression: int
    input_references: Sequence[ImagePart | Mapping[str, Any]]
    seed: int
    provider: Mapping[str, Any]
    session_id: str
    trace: TraceParams | Mapping[str, Any]
    user: str


class GeneratedImage(WireModel):
    """A picture.

    Attributes:
        b64_json: Base64, as it came; `content` gives the bytes.
        media_type: For example `image/png`; None where the provider does not say.
    """

    b64_json: str = ""
    media_type: str | None = None

    @property
    def content(self) -> bytes:
        """The bytes of the picture.

        Raises:
            InvalidResponseError: There are none, or the text is no base64.
        """
        return _decoded(self.b64_json)


class ImageResponse(WireResult):
    """Pictures.

    Attributes:
        created: Seconds since the epoch.
        data: The pictures.
        usage: Tokens and cost.
    """

    created: int | None = None
    data: list[GeneratedImage] = Field(default_factory=list[GeneratedImage])
    usage: Usage | None = None


class ImageEvent(WireModel):
    """What happens while a picture is made.

    Attributes:
        type: `image_generation.partial_image`, `image_generation.text_chunk`,
            `image_generation.completed` or a newer word.
        b64_json: Base64 of the picture so far, or of the whole one; `content` gives the bytes.
        partial_image_index: Which draft, from 0.
        media_type: For example `image/png`; None where the provider does not say.
        text: What the model writes meanwhile.
        phase: Of a text: `content`, `reasoning` or `draft`.
        created: Seconds since the epoch; of a whole picture.
        usage: Tokens and cost; of a whole picture.
    """

    type: str = ""
    b64_json: str = ""
    partial_image_index: int | None = None
    media_type: str | None = None
    text: str | None = None
    phase: str | None = None
    created: int | None = None
    usage: Usage | None = None

    @property
    def content(self) -> bytes:
        """The bytes of the picture.

        Raises:
            InvalidResponseError: There are none, or the text is no base64.
        """
        return _decoded(self.b64_json)

    def is_completed(self) -> bool:
        """Whether this is the whole picture."""
        return self.type == "image_generation.completed"


class ImageCapability(WireModel):
    """Which values a parameter may have.

    Attributes:
        type: `enum`, `range` or `boolean`.
        values: Of an `enum`.
        min: Smallest of a `range`.
        max: Largest of a `range`.
    """

    type: str = ""
    values: list[str] | None = None
    min: float | None = None
    max: float | None = None


class ImageArchitecture(WireModel):
    """What goes in and what comes out."""

    input_modalities: list[str] = Field(default_factory=list[str])
    output_modalities: list[str] = Field(default_factory=list[str])


class ImageModel(WireModel):
    """A model that makes pictures.

    Attributes:
        id: Slug to ask for.
        created: Seconds since the epoch.
        supported_parameters: By name; what any of its endpoints takes.
        supports_streaming: Whether any of its endpoints can be streamed.
    """

    id: str = ""
    name: str | None = None
    description: str | None = None
    created: int | None = None
    architecture: ImageArchitecture | None = None
    supported_parameters: dict[str, ImageCapability] = Field(
        default_factory=dict[str, ImageCapability]
    )
    supports_streaming: bool | None = None


class ImagePrice(WireModel):
    """What one thing costs.

    Attributes:
        billable: What is billed, for example `output_image`.
        unit: `request`, `image`, `megapixel` or `token`.
        cost_usd: USD for one.
        variant: For which size or quality, where that matters.
    """

    billable: str = ""
    unit: str = ""
    cost_usd: float | None = None
    variant: str | None = None


class ImageEndpoint(WireModel):
    """A provider that serves a model.

    Attributes:
        allowed_passthrough_parameters: What it takes under `provider.options`.
        provider_slug: For `provider.only` and the like.
    """

    provider_name: str | None = None
    provider_slug: str | None = None
    provider_tag: str | None = None
    pricing: list[ImagePrice] = Field(default_factory=list[ImagePrice])
    supported_parameters: dict[str, ImageCapability] = Field(
        default_factory=dict[str, ImageCapability]
    )
    allowed_passthrough_parameters: list[str] = Field(default_factory=list[str])
    supports_streaming: bool | None = None


class ImageEndpoints(WireResult):
    """The providers that serve a model."""

    id: str = ""
    endpoints: list[ImageEndpoint] = Field(default_factory=list[ImageEndpoint])


_CHECKS: Final[dict[str, Check]] = {
    "n": whole(1),
    "size": text,
    "aspect_ratio": text,
    "resolution": text,
    "quality": text,
    "background": text,
    "output_format": text,
    "output_compression": whole(0, 100),
    "input_references": mappings,
    "seed": whole(-(2**63)),
    "provider": mapping,
    "session_id": text,
    "trace": mapping,
    "user": text,
}


class AsyncImages(AsyncResource):
    """Makes pictures."""

    async def generate(
        self, prompt: str, model: str, **params: Unpack[ImageParams]
    ) -> ImageResponse:
        """Return pictures of what a prompt says; all of them are billed, or none.

        Args:
            prompt: What is to be seen.
            model: Slug, for example `bytedance-seed/seedream-4.5`.
            **params: See `ImageParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        body, options = _request(prompt, model, params)
        return await self._json(
            "POST",
            "images",
            ImageResponse,
            body=body,
            options=options,
            max_bytes=MAX_IMAGE_EVENT_BYTES,
        )

    def stream(
        self, prompt: str, model: str, **params: Unpack[ImageParams]
    ) -> AsyncStreamManager[AsyncEventStream[ImageEvent]]:
        """Return the stream of a picture as it is made: drafts, then the whole one.

        Args:
            prompt: What is to be seen.
            model: Slug of a model whose `supports_streaming` is true.
            **params: See `ImageParams`.

        Returns:
            Iterates over events; close it, or use it as a context manager.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """

        async def open_stream() -> AsyncEventStream[ImageEvent]:
            body, options = _request(prompt, model, params)
            # One whole picture is the end; with several only `[DONE]` says which is the last.
            ends = EventFormat[ImageEvent](
                decode=_event, is_end=None if (body.get("n") or 1) > 1 else ImageEvent.is_completed
            )
            return await open_event_stream(
                self._requester,
                "images",
                lambda reader: AsyncEventStream(reader, ends),
                body={**body, "stream": True},
                options=options,
                max_event_bytes=MAX_IMAGE_EVENT_BYTES,
            )

        return AsyncStreamManager(open_stream)

    def models(self, **options: Unpack[RequestOptions]) -> PageRequest[ImageModel]:
        """List the models that make pictures.

        Args:
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return self._list("images/models", ListAnswer[ImageModel], style=WHOLE, options=options)

    async def endpoints(self, model: str, **options: Unpack[RequestOptions]) -> ImageEndpoints:
        """Return who serves a model, with prices and parameters.

        Args:
            model: Slug, for example `bytedance-seed/seedream-4.5`.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        author, _, slug = model_slug(model).partition("/")
        path = path_of("images", "models", author, slug, "endpoints")
        return await self._json("GET", path, ImageEndpoints, options=options)


class Images(Resource[AsyncImages]):
    """Makes pictures."""

    def generate(self, prompt: str, model: str, **params: Unpack[ImageParams]) -> ImageResponse:
        """Return pictures of what a prompt says; all of them are billed, or none.

        Args:
            prompt: What is to be seen.
            model: Slug, for example `bytedance-seed/seedream-4.5`.
            **params: See `ImageParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.generate, prompt, model, **params)

    def stream(
        self, prompt: str, model: str, **params: Unpack[ImageParams]
    ) -> EventStream[ImageEvent]:
        """Return the stream of a picture as it is made: drafts, then the whole one.

        Args:
            prompt: What is to be seen.
            model: Slug of a model whose `supports_streaming` is true.
            **params: See `ImageParams`.

        Returns:
            Iterates over events; close it, or use it as a context manager.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return EventStream(
            portal.StreamPump(lambda: self._async_client.stream(prompt, model, **params))
        )

    def models(self, **options: Unpack[RequestOptions]) -> Page[ImageModel]:
        """List the models that make pictures.

        Args:
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[ImageModel].first_of(self._async_client.models(**options))

    def endpoints(self, model: str, **options: Unpack[RequestOptions]) -> ImageEndpoints:
        """Return who serves a model, with prices and parameters.

        Args:
            model: Slug, for example `bytedance-seed/seedream-4.5`.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.endpoints, model, **options)


def _request(prompt: str, model: str, params: ImageParams) -> tuple[dict[str, Any], RequestOptions]:
    fields, options = split_arguments(params, _CHECKS)
    return {"prompt": text("prompt", prompt), "model": model_slug(model), **fields}, options


def _event(event: ServerSentEvent) -> ImageEvent:
    return ImageEvent.from_wire(event.data)


def _decoded(encoded: str) -> bytes:
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidResponseError("A picture came that is no base64.") from error
    if not content:
        raise InvalidResponseError("There is no picture here.")
    return content
