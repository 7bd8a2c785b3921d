"""What kind of file some bytes are: by what they begin with, else by the file's name."""

import mimetypes
import re
from pathlib import PurePath
from typing import Final

_ALIASES: Final = {
    "audio/m4a": "audio/mp4",
    "audio/mp3": "audio/mpeg",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
}
_BEGINNINGS: Final = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),
        (rb"II\*\x00|MM\x00\*", "image/tiff"),
        (rb"....ftypavif", "image/avif"),
        (rb"....ftyphei[cx]", "image/heic"),
        (rb"....ftypmif1", "image/heif"),
        (rb"%PDF-", "application/pdf"),
        (rb"RIFF....WAVE", "audio/wav"),
        (rb"FORM....AIF[FC]", "audio/aiff"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS", "audio/ogg"),
        (rb"....ftypM4[AB]", "audio/mp4"),
        # MPEG frames: layer bits 00 are AAC, 01 are MP3.
        (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
        (rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]|ID3[\x02-\x04]", "audio/mpeg"),
        (rb"RIFF....AVI ", "video/x-msvideo"),
        (rb"....ftypqt", "video/quicktime"),
        (rb"....ftyp", "video/mp4"),
        (rb"\x1aE\xdf\xa3", "video/webm"),
        (rb"\x00\x00\x01[\xb3\xba]", "video/mpeg"),
    )
)
# The built-in table and these only: the system's own table would tell another type on another
# machine, and Python 3.11 does not know all of these.
_MORE: Final = {
    ".aac": "audio/aac",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".ogg": "audio/ogg",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_NAMES: Final = mimetypes.MimeTypes()


def media_type_of(data: bytes, name: str) -> str:
    """Return the media type of a file.

    Args:
        data: Its bytes, or at least the first 16.
        name: Its name; may be empty.

    Returns:
        For example `image/png`; empty if neither bytes nor name tell.
    """
    head = data[:16]
    for beginning, kind in _BEGINNINGS:
        if beginning.match(head):
            return kind
    path = PurePath(name)
    if known := _MORE.get(path.suffix.lower()):
        return known
    guess, compression = _NAMES.guess_type(path.name)
    return canonical(guess) if guess and not compression else ""


def canonical(media_type: str) -> str:
    """Return the usual spelling of a media type that has several."""
    return _ALIASES.get(media_type, media_type)


def suffix_of(media_type: str) -> str:
    """Return what names of such files end with, dot included; empty if that is unknown."""
    for suffix, kind in _MORE.items():
        if kind == media_type:
            return suffix
    return _NAMES.guess_extension(media_type) or ""
