"""Pictures, sound and files that a server sends in base64, as texts or parts of a message; pure.

What the bytes are counts for more than what the server calls them: a picture that is none makes a
provider refuse the request, and with it the whole conversation.
"""

import base64
import binascii
import re
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit

from mbxai.openrouter._content import audio_part, file_part, image_part
from mbxai.openrouter._media_types import canonical, media_type_of
from mbxai.tools.runner._result_parts import MAX_PART_CHARS, Part

Item: TypeAlias = str | Part
"""A text, or a part that is no text."""

# The four that OpenRouter's documentation names (multimodal/images).
_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
# Bare samples have no beginning by which they could be known.
_SAMPLES: Final = {"audio/pcm": "pcm16", "audio/l16": "pcm16", "audio/l24": "pcm24"}
# Sound whose files need not begin with the usual bytes; here the server is believed.
_LOOSE_SOUND: Final = {"audio/mpeg": "mp3", "audio/aac": "aac", "audio/mp4": "m4a"}
_TEXTUAL: Final = re.compile(
    r"text/.*|.*[+/](json|xml|yaml|toml|javascript|sql|x-sh)|application/(x-)?(yaml|ndjson)"
)
_BACKTICKS: Final = re.compile(r"`{3,}")
_MAX_ADDRESS_CHARS: Final = 2_000
_URL_SAFE: Final = str.maketrans("-_", "+/")


def media_item(data: object, *, media_type: object, uri: object = "", kind: str = "file") -> Item:
    """Return what a model is shown of encoded data.

    Args:
        data: The data in base64; a `data:` URL is read too.
        media_type: What the server calls it; may be wrong or missing.
        uri: The address of a resource, which gives a file its name; empty without one.
        kind: What a note calls it: "image", "audio" or "file".

    Returns:
        As for `bytes_item`.
    """
    if isinstance(data, str) and len(data) > MAX_PART_CHARS:
        return _too_large(_label(kind, media_type, uri), len(data) * 3 // 4)
    content = decoded(data)
    if content is None:
        return f"[{_label(kind, media_type, uri)}, not shown: its data is no base64]"
    return bytes_item(content, media_type=media_type, uri=uri, kind=kind)


def bytes_item(content: bytes, *, media_type: object, uri: object = "", kind: str = "file") -> Item:
    """Return what a model is shown of bytes.

    Args:
        content: The bytes.
        media_type: As for `media_item`.
        uri: As for `media_item`.
        kind: As for `media_item`.

    Returns:
        A part, the text that the bytes are, or a note in brackets that says why it is not shown.
        Files other than PDF are noted only: OpenRouter refuses them.
    """
    label = _label(kind, media_type, uri)
    if not content:
        return f"[{label}, empty]"
    if len(content) * 4 // 3 > MAX_PART_CHARS:
        return _too_large(label, len(content))
    item = _shown(content, canonical(_media_type(media_type)), uri)
    return f"[{label}, {len(content)} bytes, not shown]" if item is None else item


def decoded(data: object) -> bytes | None:
    """Return the bytes that base64 stands for; None if it is none.

    Line breaks, missing padding and the variant for URLs are read as well.

    Args:
        data: A text; anything else is no base64.
    """
    if not isinstance(data, str):
        return None
    if data[:5].lower() == "data:":
        data = data.partition(",")[2]
    text = "".join(data.split()).rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None


def fenced(text: str, *, uri: object = "", media_type: object = "") -> str:
    """Return the text of a resource between fences, under its address.

    Args:
        text: The text; fences in it do not end it.
        uri: Its address.
        media_type: What the server calls it.
    """
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=2)
    fence = "`" * (longest + 1)
    kind = _media_type(media_type)
    head = f"<{address(uri)}>{f' ({kind})' if kind else ''}\n"
    return f"{head}{fence}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}"


def address(uri: object) -> str:
    """Return an address on one line, at a length that can be read.

    Args:
        uri: Whatever the server gave as one.
    """
    return "".join(str(uri).split())[:_MAX_ADDRESS_CHARS]


def _label(kind: str, media_type: object, uri: object) -> str:
    where = f"<{address(uri)}>" if uri else ""
    return ", ".join(filter(None, [kind, where, canonical(_media_type(media_type))]))


def _too_large(label: str, size: int) -> str:
    return f"[{label}, {size / 1_048_576:.1f} MiB, too large to be shown]"


def _shown(content: bytes, declared: str, uri: object) -> Item | None:
    """The part or the text; None if no model takes such a thing."""
    known = media_type_of(content, "")
    if declared in _SAMPLES:
        return audio_part(content, format=_SAMPLES[declared])
    if known in _PICTURES:
        return image_part(content, media_type=known)
    if known == "application/pdf":
        return file_part(content, filename=_file_name(uri), media_type=known)
    if known.startswith("audio/"):
        return audio_part(content)
    if declared in _LOOSE_SOUND and not known.startswith("image/"):
        return audio_part(content, format=_LOOSE_SOUND[declared])
    return _as_text(content, declared, uri) if _TEXTUAL.fullmatch(declared) else None


def _as_text(content: bytes, declared: str, uri: object) -> str | None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return fenced(text, uri=uri, media_type=declared)


def _media_type(given: object) -> str:
    """The type alone, in lower case, without parameters; empty if it is none."""
    if not isinstance(given, str):
        return ""
    kind = given.partition(";")[0].strip().lower()
    return kind if re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,100}", kind) else ""


def _file_name(uri: object) -> str | None:
    try:
        path = urlsplit(str(uri)).path
    except ValueError:
        return None
    return unquote(path.rpartition("/")[2])[:100] or None
