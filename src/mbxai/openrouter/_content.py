"""Content parts of a message, made from addresses, files and bytes."""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._media_types import canonical, media_type_of, suffix_of
from mbxai.wire._content_parts import (
    AudioFormat,
    AudioPart,
    FileData,
    FilePart,
    ImageDetail,
    ImagePart,
    ImageURL,
    TextPart,
    VideoPart,
)
from mbxai.wire._routing import CacheControl

# Any in this file: what OpenRouter adds to a cache breakpoint tomorrow passes through.
Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview
"""An `https:`, `http:` or `data:` URL, the path of a file, or the bytes themselves."""

MAX_FILE_BYTES: Final = 32 * 1024 * 1024
"""The largest file that is read into a part; larger ones need an address or an upload."""

# OpenRouter's documentation (multimodal/audio) names the formats.
_AUDIO_FORMATS: Final = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/aiff": "aiff",
    "audio/aac": "aac",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """Bytes of a part, and the name of the file that they come from; empty if there is none."""

    data: bytes
    name: str = ""


def text_part(
    text: str, *, cache_control: CacheControl | Mapping[str, Any] | None = None
) -> TextPart:
    """Return a part that is text.

    Args:
        text: What it says.
        cache_control: Makes the end of this part a breakpoint of the provider's prompt cache, for
            example `{"type": "ephemeral", "ttl": "1h"}`.
    """
    part: TextPart = {"type": "text", "text": text}
    if cache_control is not None:
        part["cache_control"] = cast("CacheControl", cache_control)
    return part


def image_part(
    source: Source, *, detail: ImageDetail | None = None, media_type: str | None = None
) -> ImagePart:
    """Return a part that is a picture.

    A file is read now, which blocks; async code reads it itself and passes bytes.

    Args:
        source: An `https:`, `http:` or `data:` URL, the path of a file, or bytes.
        detail: How closely the model looks at it.
        media_type: For example `image/png`; guessed from the first bytes, then from the name. Not
            used for a URL.

    Raises:
        OpenRouterConfigurationError: The file cannot be read, is empty or too large, or is no
            picture as far as can be told.
    """
    image: ImageURL = {"url": _url_of("image_part", source, media_type, "image/")}
    if detail is not None:
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def file_part(
    source: Source, *, filename: str | None = None, media_type: str | None = None
) -> FilePart:
    """Return a part that is a file, for example a PDF.

    A file is read now, which blocks; async code reads it itself and passes bytes.

    Args:
        source: An `https:`, `http:` or `data:` URL, the path of a file, or bytes.
        filename: What the model is told; otherwise the name in the path or the URL.
        media_type: For example `application/pdf`; guessed from the first bytes, then from the
            name. Not used for a URL.

    Raises:
        OpenRouterConfigurationError: The file cannot be read, is empty or too large, or its media
            type cannot be told.
    """
    url = _given_url("file_part", source)
    if url is not None:
        name = filename or _last_segment(url)
    else:
        content = _read("file_part", source)
        named = filename or content.name
        kind = media_type or media_type_of(content.data, named) or _unknown("file_part", content)
        url = _data_url(kind, content.data)
        name = named or f"file{suffix_of(kind)}"
    data: FileData = {"filename": name, "file_data": url} if name else {"file_data": url}
    return {"type": "file", "file": data}


# `format` is the name of the field.
def audio_part(source: Source, *, format: AudioFormat | None = None) -> AudioPart:  # noqa: A002
    """Return a part that is sound.

    A file is read now, which blocks; async code reads it itself and passes bytes.

    Args:
        source: The path of a file, bytes, or a `data:` URL in base64. OpenRouter takes no address.
        format: For example `wav`; guessed from the first bytes, then from the name. Bare samples
            (`pcm16`, `pcm24`) must be named.

    Raises:
        OpenRouterConfigurationError: An address was given, the file cannot be read, is empty or
            too large, or its format cannot be told.
    """
    # OpenRouter's documentation (multimodal/audio): "direct URLs are not supported".
    url = _given_url("audio_part", source)
    if url is None:
        content = _read("audio_part", source)
        kind = media_type_of(content.data, content.name)
    elif url[:5].lower() == "data:":
        kind, data = _data_url_content("audio_part", url)
        content = _Content(data=data)
        kind = kind or media_type_of(data, "")
    else:
        raise OpenRouterConfigurationError(
            "audio_part: OpenRouter takes sound only as it is, not by its address.",
            hint="Download it and pass the bytes.",
        )
    known = format or _AUDIO_FORMATS.get(canonical(kind))
    if known is None:
        what = (
            f"is {kind}, which is no sound that is known here" if kind else "is of unknown format"
        )
        raise OpenRouterConfigurationError(
            f"audio_part: {_described(content)} {what}.", hint='Say which, as format="wav".'
        )
    encoded = base64.b64encode(content.data).decode("ascii")
    return {"type": "input_audio", "input_audio": {"data": encoded, "format": known}}


def video_part(source: Source, *, media_type: str | None = None) -> VideoPart:
    """Return a part that is a film.

    A file is read now, which blocks; async code reads it itself and passes bytes.

    Args:
        source: An `https:`, `http:` or `data:` URL, the path of a file, or bytes.
        media_type: For example `video/mp4`; guessed from the first bytes, then from the name. Not
            used for a URL.

    Raises:
        OpenRouterConfigurationError: The file cannot be read, is empty or too large, or is no film
            as far as can be told.
    """
    url = _url_of("video_part", source, media_type, "video/")
    return {"type": "video_url", "video_url": {"url": url}}


def _url_of(maker: str, source: Source, media_type: str | None, wanted: str) -> str:
    url = _given_url(maker, source)
    if url is not None:
        return url
    content = _read(maker, source)
    kind = media_type or media_type_of(content.data, content.name) or _unknown(maker, content)
    if not kind.startswith(wanted):
        raise OpenRouterConfigurationError(
            f"{maker}: {_described(content)} is {kind}, not {wanted}*.",
            hint="Use the function for its kind, or say what it is with media_type=.",
        )
    return _data_url(kind, content.data)


def _given_url(maker: str, source: Source) -> str | None:
    """The source if it is a URL; None if it is to be read."""
    if not isinstance(source, str):
        return None
    scheme = source[:6].lower()
    if scheme.startswith("data:"):
        return source
    if "://" not in source:
        return None
    if urlsplit(source).scheme.lower() not in {"http", "https"}:
        raise OpenRouterConfigurationError(
            f"{maker}: only https:, http: and data: URLs can be sent.",
            hint="Pass the path of a file, or its bytes.",
        )
    return source


def _read(maker: str, source: Source) -> _Content:
    if isinstance(source, bytes | bytearray | memoryview):
        content = _Content(data=bytes(source))
    else:
        content = _read_file(maker, _path(maker, source))
    if not content.data:
        raise OpenRouterConfigurationError(f"{maker}: {_described(content)} is empty.")
    if len(content.data) > MAX_FILE_BYTES:
        raise OpenRouterConfigurationError(
            f"{maker}: {_described(content)} is larger than {MAX_FILE_BYTES // 2**20} MiB.",
            hint="Pass the address of a file that OpenRouter can fetch.",
        )
    return content


def _path(maker: str, source: object) -> Path:
    try:
        return Path(cast("str | os.PathLike[str]", source))
    except TypeError as error:
        raise OpenRouterConfigurationError(
            f"{maker}: the source must be a URL, a path or bytes, not {type(source).__name__}."
        ) from error


def _read_file(maker: str, path: Path) -> _Content:
    name = path.name[:100]
    try:
        kind = _unreadable(path)
        data = b"" if kind else _bytes_of(path)
    except FileNotFoundError as error:
        raise OpenRouterConfigurationError(
            f"{maker}: there is no file {name!r}.",
            hint="Text without https:, http: or data: is the path of a file.",
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else None
        raise OpenRouterConfigurationError(
            f"{maker}: {name!r} cannot be read: {reason or 'it is no path'}."
        ) from error
    if kind:
        raise OpenRouterConfigurationError(f"{maker}: {name!r} is {kind}.")
    return _Content(data=data, name=path.name)


def _unreadable(path: Path) -> str:
    """What a path leads to that is no file; opening a pipe would wait for its other end."""
    if path.is_dir():
        return "a directory"
    return "no regular file" if path.exists() and not path.is_file() else ""


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _unknown(maker: str, content: _Content) -> str:
    raise OpenRouterConfigurationError(
        f"{maker}: {_described(content)} is of unknown media type.",
        hint="Say which with media_type=, for example media_type='text/plain'.",
    )


def _described(content: _Content) -> str:
    return repr(content.name[:100]) if content.name else "the source"


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _data_url_content(maker: str, url: str) -> tuple[str, bytes]:
    head, _, payload = url[5:].partition(",")
    is_base64 = head.lower().endswith(";base64")
    try:
        data = base64.b64decode(unquote(payload if is_base64 else "?"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise OpenRouterConfigurationError(f"{maker}: the data: URL is not in base64.") from error
    if not data:
        raise OpenRouterConfigurationError(f"{maker}: the source is empty.")
    return head.partition(";")[0].lower(), data


def _last_segment(url: str) -> str:
    if url[:5].lower() == "data:":
        return ""
    return unquote(urlsplit(url).path.rpartition("/")[2])
