"""Sound: texts are spoken, recordings are written down."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Required, TypeAlias, TypedDict, Unpack

from pydantic import Field

import mbxai.portal as portal
from mbxai.errors import InvalidResponseError, OpenRouterConfigurationError
from mbxai.openrouter._requester import BinaryContent, RequestOptions, Upload
from mbxai.openrouter.models import model_slug
from mbxai.openrouter.resources._arguments import (
    Check,
    flag,
    mapping,
    mappings,
    names,
    number,
    split_arguments,
    text,
)
from mbxai.openrouter.resources._resource import AsyncResource, Resource
from mbxai.openrouter.resources._uploads import FileSource, form_fields, read_upload
from mbxai.wire import WireModel, WireResult
from mbxai.wire._routing import TraceParams

__all__ = [
    "MAX_INLINE_AUDIO_BYTES",
    "MAX_MULTIPART_AUDIO_BYTES",
    "AsyncAudioCalls",
    "AudioCalls",
    "SpeechAudio",
    "SpeechParams",
    "SpeechTurn",
    "Transcription",
    "TranscriptionEntity",
    "TranscriptionParams",
    "TranscriptionSegment",
    "TranscriptionUsage",
    "TranscriptionWord",
]

# Any in this file: what OpenRouter adds to an object tomorrow passes through.

MAX_MULTIPART_AUDIO_BYTES: Final = 25 * 1024 * 1024
"""The largest recording in a form (published schema, `POST /audio/transcriptions`)."""
MAX_INLINE_AUDIO_BYTES: Final = 128 * 1024 * 1024
"""The largest recording that is read to be sent as JSON; `max_request_bytes` holds as well."""

_FORMATS: Final = {
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/flac": "flac",
    "audio/l16": "pcm",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/pcm": "pcm",
    "audio/wav": "wav",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "video/webm": "webm",
}


class SpeechTurn(TypedDict, total=False):
    """What one speaker of a dialogue says.

    Attributes:
        text: What is said.
        voice: By whom; the voice of the request where it is not given.
        instructions: How.
    """

    text: Required[str]
    voice: str
    instructions: str


SpeechInput: TypeAlias = str | Sequence[SpeechTurn | Mapping[str, Any]]
"""A text, or the turns of a dialogue."""


class SpeechParams(RequestOptions, total=False):
    """What a request for speech may say besides input, model and voice.

    Attributes:
        response_format: `pcm` (16-bit little-endian samples) where it is not given.
        speed: 1 is the usual one.
        instructions: How to speak, for models that follow such.
        input_references: Samples of a voice to take over.
        provider: Options of single providers, and what they may keep.
        session_id: Groups requests.
        trace: Names for observability.
        user: Who it is for, as an id or a hash.
    """

    response_format: Literal["mp3", "pcm"] | str | None  # noqa: PYI051  # an open set
    speed: float
    instructions: str
    input_references: Sequence[Mapping[str, Any]]
    provider: Mapping[str, Any]
    session_id: str
    trace: TraceParams | Mapping[str, Any]
    user: str


class TranscriptionParams(RequestOptions, total=False):
    """What a request for a transcription may say besides recording and model.

    Attributes:
        language: ISO 639-1, for example `en`; otherwise it is found out.
        response_format: `verbose_json` adds language, duration and segments.
        timestamp_granularities: `word`, `segment` or both, for `verbose_json`.
        temperature: Higher is more varied.
        diarize: Whether to tell speakers apart.
        keyterms: Words to expect.
        provider: Options of single providers, and what they may keep.
        session_id: Groups requests.
        trace: Names for observability.
        user: Who it is for, as an id or a hash.
    """

    language: str
    response_format: Literal["json", "verbose_json"] | str  # noqa: PYI051  # an open set
    timestamp_granularities: Sequence[Literal["word", "segment"]]
    temperature: float
    diarize: bool
    keyterms: Sequence[str]
    provider: Mapping[str, Any]
    session_id: str
    trace: TraceParams | Mapping[str, Any]
    user: str


@dataclass(frozen=True, slots=True)
class SpeechAudio(BinaryContent):
    """Speech.

    Attributes:
        format: `pcm`, `mp3` or another word; of what the server says, else of what was asked for.
    """

    format: str = "pcm"


class TranscriptionUsage(WireModel):
    """What a transcription used.

    Attributes:
        seconds: Length of the recording.
        cost: USD that OpenRouter charged; None where the server does not say.
    """

    seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cost: float | None = None


class TranscriptionSegment(WireModel):
    """A part of the recording.

    Attributes:
        start: Seconds from the beginning.
        end: Seconds from the beginning.
        speaker: Which speaker, from 0, where speakers are told apart.
    """

    id: int | None = None
    start: float = 0.0
    end: float = 0.0
    text: str = ""
    speaker: int | None = None
    speaker_label: str | None = None


class TranscriptionWord(WireModel):
    """A word of the recording.

    Attributes:
        start: Seconds from the beginning.
        end: Seconds from the beginning.
        confidence: 0 to 1, where the model tells.
    """

    word: str = ""
    start: float = 0.0
    end: float = 0.0
    confidence: float | None = None
    speaker: int | None = None
    speaker_label: str | None = None


class TranscriptionEntity(WireModel):
    """Something named in the text.

    Attributes:
        start_char: Its first character in the text.
        end_char: The character after its last.
    """

    type: str = ""
    text: str = ""
    start_char: int | None = None
    end_char: int | None = None


class Transcription(WireResult):
    """What is said in a recording.

    Attributes:
        text: All of it.
        language: As the model names it.
        duration: Seconds.
        segments: Where `verbose_json` was asked for.
        words: Where they were asked for.
    """

    text: str = ""
    task: str | None = None
    language: str | None = None
    language_confidence: float | None = None
    confidence: float | None = None
    duration: float | None = None
    segments: list[TranscriptionSegment] = Field(default_factory=list[TranscriptionSegment])
    words: list[TranscriptionWord] = Field(default_factory=list[TranscriptionWord])
    entities: list[TranscriptionEntity] = Field(default_factory=list[TranscriptionEntity])
    usage: TranscriptionUsage | None = None


_ROUTING: Final[dict[str, Check]] = {
    "provider": mapping,
    "session_id": text,
    "trace": mapping,
    "user": text,
}
_SPEECH: Final[dict[str, Check]] = {
    "voice": text,
    "response_format": text,
    "speed": number(0),
    "instructions": text,
    "input_references": mappings,
    **_ROUTING,
}
_TRANSCRIPTION: Final[dict[str, Check]] = {
    "language": text,
    "response_format": text,
    "timestamp_granularities": names,
    "temperature": number(0),
    "diarize": flag,
    "keyterms": names,
    **_ROUTING,
}


class AsyncAudioCalls(AsyncResource):
    """Speaks and listens."""

    async def speech(
        self,
        input: SpeechInput,  # noqa: A002  # the name of the field
        model: str,
        voice: str | None = None,
        **params: Unpack[SpeechParams],
    ) -> SpeechAudio:
        """Return a text as sound.

        Args:
            input: A text, or the turns of a dialogue.
            model: Slug, for example `openai/gpt-4o-mini-tts`.
            voice: By its name; models without a default need one.
            **params: See `SpeechParams`.

        Returns:
            The bytes, and their format: `pcm` (bare samples, no header) unless told otherwise.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        said = {"voice": voice, **params} if voice is not None else params
        fields, options = split_arguments(said, _SPEECH)
        body = {"input": _checked_speech(input), "model": model_slug(model), **fields}
        sound = await self._requester.binary("POST", "audio/speech", body=body, options=options)
        if not sound.content or sound.media_type == "application/json":
            raise InvalidResponseError(
                "The answer holds no sound.",
                request_id=sound.response.request_id,
                generation_id=sound.response.generation_id,
            )
        known = _FORMATS.get(sound.media_type.lower()) or fields.get("response_format") or "pcm"
        return SpeechAudio(sound.content, sound.media_type, sound.response, format=known)

    async def transcribe(
        self,
        audio: FileSource,
        model: str,
        *,
        format: str | None = None,  # noqa: A002  # the name of the field
        multipart: bool = False,
        **params: Unpack[TranscriptionParams],
    ) -> Transcription:
        """Return what is said in a recording.

        Args:
            audio: Path, bytes, name and bytes, or an `https:` URL that the provider fetches.
            model: Slug, for example `openai/whisper-large-v3`.
            format: For example `mp3`; guessed from the first bytes, then from the name.
            multipart: Send a form instead of JSON, at most `MAX_MULTIPART_AUDIO_BYTES`.
            **params: See `TranscriptionParams`.

        Raises:
            OpenRouterConfigurationError: The recording cannot be read, is empty or too large, its
                format cannot be told, or an argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        fields, options = split_arguments(params, _TRANSCRIPTION)
        slug, path = model_slug(model), "audio/transcriptions"
        if format is not None:
            text("format", format)
        if isinstance(audio, str) and "://" in audio:
            sent = _checked_url(audio, format, multipart=multipart)
            body = {"model": slug, "input_audio": sent, **fields}
            return await self._json("POST", path, Transcription, body=body, options=options)
        most = MAX_MULTIPART_AUDIO_BYTES if multipart else MAX_INLINE_AUDIO_BYTES
        upload = await read_upload("audio", audio, max_bytes=most)
        known = format or _FORMATS.get(upload.media_type or "")
        if known is None:
            raise OpenRouterConfigurationError(
                "The format of audio cannot be told.", hint='Say it, for example format="mp3".'
            )
        if multipart:
            form = form_fields({"model": slug, **fields}, options)
            files = {"file": _named(upload, known)}
            return await self._requester.upload(
                path, Transcription, files=files, fields=form, options=options
            )
        data = base64.b64encode(upload.content).decode("ascii")
        sound = {"data": data, "format": known}
        body = {"model": slug, "input_audio": sound, **fields}
        return await self._json("POST", path, Transcription, body=body, options=options)


class AudioCalls(Resource[AsyncAudioCalls]):
    """Speaks and listens."""

    def speech(
        self,
        input: SpeechInput,  # noqa: A002  # the name of the field
        model: str,
        voice: str | None = None,
        **params: Unpack[SpeechParams],
    ) -> SpeechAudio:
        """Return a text as sound.

        Args:
            input: A text, or the turns of a dialogue.
            model: Slug, for example `openai/gpt-4o-mini-tts`.
            voice: By its name; models without a default need one.
            **params: See `SpeechParams`.

        Returns:
            The bytes, and their format: `pcm` (bare samples, no header) unless told otherwise.

        Raises:
            OpenRouterConfigurationError: An argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(self._async_client.speech, input, model, voice, **params)

    def transcribe(
        self,
        audio: FileSource,
        model: str,
        *,
        format: str | None = None,  # noqa: A002  # the name of the field
        multipart: bool = False,
        **params: Unpack[TranscriptionParams],
    ) -> Transcription:
        """Return what is said in a recording.

        Args:
            audio: Path, bytes, name and bytes, or an `https:` URL that the provider fetches.
            model: Slug, for example `openai/whisper-large-v3`.
            format: For example `mp3`; guessed from the first bytes, then from the name.
            multipart: Send a form instead of JSON, at most `MAX_MULTIPART_AUDIO_BYTES`.
            **params: See `TranscriptionParams`.

        Raises:
            OpenRouterConfigurationError: The recording cannot be read, is empty or too large, its
                format cannot be told, or an argument is impossible; nothing was sent.
            OpenRouterError: As for any call.
        """
        return portal.run(
            self._async_client.transcribe,
            audio,
            model,
            format=format,
            multipart=multipart,
            **params,
        )


def _checked_speech(value: object) -> object:
    if isinstance(value, str):
        return text("input", value)
    turns = mappings("input", value)
    if not turns:
        raise OpenRouterConfigurationError("input is empty.")
    for position, turn in enumerate(turns):
        text(f"input[{position}].text", turn.get("text"))
    return turns


def _checked_url(url: str, known: str | None, *, multipart: bool) -> dict[str, str]:
    if multipart:
        raise OpenRouterConfigurationError(
            "multipart sends a recording, and audio is a URL.", hint="Leave multipart out."
        )
    if not url.lower().startswith(("https://", "http://")):
        raise OpenRouterConfigurationError("audio: only https: and http: URLs can be sent.")
    return {"url": url} if known is None else {"url": url, "format": known}


def _named(upload: Upload, known: str) -> Upload:
    # The server tells the format by the end of the name (published schema, `file`).
    stem, dot, ending = upload.filename.rpartition(".")
    if dot and ending.lower() == known.lower():
        return upload
    return Upload(upload.content, f"{stem or ending}.{known}", upload.media_type)
