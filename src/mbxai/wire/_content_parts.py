"""Parts of a message's content: text, pictures, files, sound, films.

Fields as of the published schema of 2026-10-27; the functions of `mbxai.openrouter` make them.
"""

# Words that OpenRouter knows today, for an editor to offer; `str` stands beside them because the
# sets are open. The linter calls that redundant.
# ruff: noqa: PYI051

from typing import Literal, Required, TypeAlias, TypedDict

from mbxai.wire._routing import CacheControl

ImageDetail: TypeAlias = Literal["auto", "low", "high", "original"] | str
"""How closely a model looks at a picture; closer costs more tokens."""

AudioFormat: TypeAlias = (
    Literal["wav", "mp3", "aiff", "aac", "ogg", "flac", "m4a", "pcm16", "pcm24"] | str
)
"""Encoding of sound; each model knows some of them."""


class PromptCacheBreakpoint(TypedDict, total=False):
    """The provider's prompt cache keeps what comes before (OpenAI's newer models)."""

    mode: Required[Literal["explicit"]]
    ttl: str | None


class TextPart(TypedDict, total=False):
    """Some text."""

    type: Required[Literal["text"]]
    text: Required[str]
    cache_control: CacheControl
    prompt_cache_breakpoint: PromptCacheBreakpoint | None


class ImageURL(TypedDict, total=False):
    """Where a picture is: an address, or the picture itself as a `data:` URL."""

    url: Required[str]
    detail: ImageDetail


class ImagePart(TypedDict):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageURL


class FileData(TypedDict, total=False):
    """A file: its address or itself as a `data:` URL, or the id of an uploaded one."""

    filename: str
    file_data: str
    file_id: str


class FilePart(TypedDict):
    """A file, for example a PDF."""

    type: Literal["file"]
    file: FileData


class InputAudio(TypedDict):
    """Sound in base64; there is no way to give an address."""

    data: str
    format: AudioFormat


class AudioPart(TypedDict):
    """Some sound."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class VideoURL(TypedDict, total=False):
    """Where a film is: an address, or the film itself as a `data:` URL."""

    url: Required[str]
    processing: Literal["agentic", "static"] | str


class VideoPart(TypedDict):
    """A film."""

    type: Literal["video_url"]
    video_url: VideoURL


ContentPart: TypeAlias = TextPart | ImagePart | FilePart | AudioPart | VideoPart
"""Any part that is known by name."""
