"""Videos: jobs that make films, and the films."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Unpack

from pydantic import Field

import mbxai.portal as portal
from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._pages import WHOLE, ListAnswer, Page, PageRequest
from mbxai.openrouter._requester import BinaryContent, RequestOptions, path_of
from mbxai.openrouter.models import model_slug
from mbxai.openrouter.resources._arguments import (
    Check,
    check_options,
    flag,
    mapping,
    mappings,
    number,
    split_arguments,
    text,
    whole,
)
from mbxai.openrouter.resources._jobs import PollOptions, job_error, wait_until_over
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.wire import WireModel, WireObject, WireResult
from mbxai.wire._routing import TraceParams

__all__ = [
    "MAX_VIDEO_BYTES",
    "AsyncVideos",
    "PollOptions",
    "VideoJob",
    "VideoModel",
    "VideoParams",
    "VideoUsage",
    "Videos",
]

# Any in this file: what OpenRouter adds to an object tomorrow passes through.

MAX_VIDEO_BYTES: Final = 512 * 1024 * 1024
"""The largest film that `content` takes unless told otherwise."""

# OpenRouter's documentation (video-generation) and the published schema.
_OVER: Final = frozenset({"completed", "failed", "cancelled", "expired"})


class VideoParams(RequestOptions, total=False):
    """What a request for a film may say besides prompt and model.

    Attributes:
        duration: Seconds, whole and 1 or more.
        aspect_ratio: For example `16:9`.
        resolution: For example `1080p`.
        size: For example `1280x720`.
        frame_images: First and last frame: parts with `type`, `image_url` and `frame_type`.
        input_references: Pictures, sound and films to go by, as parts with an address.
        generate_audio: Whether there shall be sound.
        previous_job_id: A job whose film this one goes on with.
        creativity: How freely a model that scales films up may draw.
        upscale_factor: How much larger it shall become, above 0.
        seed: The same number gives the same film, where the model can.
        callback_url: Told when the job is over.
        provider: Options of single providers.
        session_id: Groups requests.
        trace: Names for observability.
        user: Who it is for, as an id or a hash.
    """

    duration: int
    aspect_ratio: str
    resolution: Literal["360p", "480p", "720p", "768p", "1080p", "1K", "2K", "4K"] | str  # noqa: PYI051  # an open set
    size: str
    frame_images: Sequence[Mapping[str, Any]]
    input_references: Sequence[Mapping[str, Any]]
    generate_audio: bool
    previous_job_id: str
    creativity: int
    upscale_factor: float
    seed: int
    callback_url: str
    provider: Mapping[str, Any]
    session_id: str
    trace: TraceParams | Mapping[str, Any]
    user: str


class VideoUsage(WireModel):
    """What a film cost.

    Attributes:
        cost: USD that OpenRouter charged; None where the server does not say.
        is_byok: Whether a provider key of your own was used.
    """

    cost: float | None = None
    is_byok: bool | None = None


class VideoJob(WireResult):
    """A job that makes a film.

    Attributes:
        id: To ask for it by.
        status: `pending`, `in_progress`, `completed`, `failed`, `cancelled`, `expired` or a newer
            word.
        polling_url: Where OpenRouter says that it can be asked for; `get` does the same.
        error: Why it failed.
        expires_at: Seconds since the epoch until which the film is kept.
        unsigned_urls: Addresses of the films; they want the key. `content` gives the bytes.
        usage: What it cost.
    """

    id: str = ""
    status: str = ""
    polling_url: str | None = None
    error: str | WireObject | None = None
    expires_at: int | None = None
    unsigned_urls: list[str] = Field(default_factory=list[str])
    urls: list[str] = Field(default_factory=list[str])
    usage: VideoUsage | None = None

    @property
    def generation_id(self) -> str | None:
        """OpenRouter's id for `GET /generation`, which is not the job's."""
        own: object = (self.model_extra or {}).get("generation_id")
        return own if isinstance(own, str) and own else self.response.generation_id

    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in _OVER


class VideoModel(WireModel):
    """A model that makes films; a list is None where the model has no such choice.

    Attributes:
        id: Slug to ask for.
        created: Seconds since the epoch.
        supported_durations: Seconds.
        pricing_skus: USD as text, by what is billed.
    """

    id: str = ""
    canonical_slug: str | None = None
    name: str | None = None
    description: str | None = None
    created: int | None = None
    supported_aspect_ratios: list[str] | None = None
    supported_durations: list[int] | None = None
    supported_frame_images: list[str] | None = None
    supported_resolutions: list[str] | None = None
    supported_sizes: list[str] | None = None
    generate_audio: bool | None = None
    seed: bool | None = None
    allowed_passthrough_parameters: list[str] = Field(default_factory=list[str])
    pricing_skus: dict[str, str] | None = None


def _above_zero(name: str, value: object) -> float:
    given: float = number(0)(name, value)
    if given == 0:
        raise OpenRouterConfigurationError(f"{name} must be a number above 0.")
    return given


_CHECKS: Final[dict[str, Check]] = {
    "duration": whole(1),
    "aspect_ratio": text,
    "resolution": text,
    "size": text,
    "frame_images": mappings,
    "input_references": mappings,
    "generate_audio": flag,
    "previous_job_id": text,
    "creativity": whole(0),
    "upscale_factor": _above_zero,
    "seed": whole(-(2**63)),
    "callback_url": text,
    "provider": mapping,
    "session_id": text,
    "trace": mapping,
    "user": text,
}
_SOURCES: Final = ("frame_images", "input_references", "previous_job_id")


class AsyncVideos(AsyncResource):
    """Makes films."""

    async def create(
        self, prompt: str | None, model: str, **params: Unpack[VideoParams]
    ) -> VideoJob:
        """Begin to make a film, and return the job; see `wait`.

        Args:
            prompt: What is to be seen; None where pictures or films say it.
            model: Slug, for example `google/veo-3.1`.
            **params: See `VideoParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        fields, options = split_arguments(params, _CHECKS)
        body: dict[str, Any] = {"model": model_slug(model)}
        if prompt is not None:
            body["prompt"] = text("prompt", prompt)
        elif not any(fields.get(name) for name in _SOURCES):
            raise OpenRouterConfigurationError(
                "prompt is not given.", hint=f"Give it, or one of {', '.join(_SOURCES)}."
            )
        body.update(fields)
        return await self._json("POST", "videos", VideoJob, body=body, options=options)

    async def get(self, job_id: str, **options: Unpack[RequestOptions]) -> VideoJob:
        """Return a job as it is now.

        Args:
            job_id: Which job.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return await self._json("GET", path_of("videos", job_id), VideoJob, options=options)

    async def wait(
        self,
        job_id: str,
        *,
        poll_interval: float = 5.0,
        timeout: float | None = 1800.0,  # noqa: ASYNC109  # the house's word, of many calls
        **options: Unpack[PollOptions],
    ) -> VideoJob:
        """Ask for a job until its film is there, and return the job.

        Args:
            job_id: Which job.
            poll_interval: Seconds between two questions.
            timeout: Seconds for all of it; None waits for ever.
            **options: See `PollOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterAPIError: The job failed, was cancelled or expired; its `code` says which.
            OpenRouterTimeoutError: The time was up. The job goes on.
            OpenRouterError: As for any call.
        """
        job = await wait_until_over(
            lambda: self.get(job_id, **options),
            VideoJob.is_over,
            poll_interval=poll_interval,
            timeout=timeout,
        )
        if job.status != "completed":
            raise job_error(job, status=job.status, told=job.error)
        return job

    async def content(
        self,
        job_id: str,
        index: int = 0,
        *,
        max_bytes: int = MAX_VIDEO_BYTES,
        **options: Unpack[RequestOptions],
    ) -> BinaryContent:
        """Return the bytes of a film.

        Args:
            job_id: Which job; it must be completed.
            index: Which of its films, from 0.
            max_bytes: Largest film to take.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        check_options(options)
        query = {"index": whole(0)("index", index)}
        most = whole(1)("max_bytes", max_bytes)
        path = path_of("videos", job_id, "content")
        return await self._requester.binary(
            "GET", path, query=query, options=options, max_bytes=most
        )

    def models(self, **options: Unpack[RequestOptions]) -> PageRequest[VideoModel]:
        """List the models that make films.

        Args:
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return self._list("videos/models", ListAnswer[VideoModel], style=WHOLE, options=options)


class Videos(Resource[AsyncVideos]):
    """Makes films."""

    def create(self, prompt: str | None, model: str, **params: Unpack[VideoParams]) -> VideoJob:
        """Begin to make a film, and return the job; see `wait`.

        Args:
            prompt: What is to be seen; None where pictures or films say it.
            model: Slug, for example `google/veo-3.1`.
            **params: See `VideoParams`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.create, prompt, model, **params)

    def get(self, job_id: str, **options: Unpack[RequestOptions]) -> VideoJob:
        """Return a job as it is now.

        Args:
            job_id: Which job.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.get, job_id, **options)

    def wait(
        self,
        job_id: str,
        *,
        poll_interval: float = 5.0,
        timeout: float | None = 1800.0,
        **options: Unpack[PollOptions],
    ) -> VideoJob:
        """Ask for a job until its film is there, and return the job.

        Args:
            job_id: Which job.
            poll_interval: Seconds between two questions.
            timeout: Seconds for all of it; None waits for ever.
            **options: See `PollOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterAPIError: The job failed, was cancelled or expired; its `code` says which.
            OpenRouterTimeoutError: The time was up. The job goes on.
            OpenRouterError: As for any call.
        """
        return portal.run(
            self._async_client.wait,
            job_id,
            poll_interval=poll_interval,
            timeout=timeout,
            **options,
        )

    def content(
        self,
        job_id: str,
        index: int = 0,
        *,
        max_bytes: int = MAX_VIDEO_BYTES,
        **options: Unpack[RequestOptions],
    ) -> BinaryContent:
        """Return the bytes of a film.

        Args:
            job_id: Which job; it must be completed.
            index: Which of its films, from 0.
            max_bytes: Largest film to take.
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.content, job_id, index, max_bytes=max_bytes, **options)

    def models(self, **options: Unpack[RequestOptions]) -> Page[VideoModel]:
        """List the models that make films.

        Args:
            **options: See `RequestOptions`.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return Page[VideoModel].first_of(self._async_client.models(**options))
