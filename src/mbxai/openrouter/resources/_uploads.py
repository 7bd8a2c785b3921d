"""Files to send: read from disk or taken as bytes, checked before they are read whole."""

import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final, TypeAlias, cast

import anyio.to_thread

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._media_types import media_type_of, suffix_of
from mbxai.openrouter._requester import RequestOptions, Upload

# Any in this file: fields of a form are what a caller gave.
FileSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | tuple[str, bytes]
"""The path of a file, its bytes, or its name and its bytes."""

_MAX_SHOWN_CHARS: Final = 100


async def read_upload(
    name: str,
    source: FileSource,
    *,
    max_bytes: int,
    filename: str | None = None,
    media_type: str | None = None,
) -> Upload:
    """Return a file as it is sent.

    Args:
        name: Of the argument, for messages.
        source: Where the bytes are; a file of the disk is read in a thread.
        max_bytes: Largest file to take.
        filename: Overrules the name of the source.
        media_type: Overrules what bytes and name tell.

    Raises:
        OpenRouterConfigurationError: It cannot be read, is empty or too large.
    """
    for what, given in (("filename", filename), ("media_type", media_type)):
        if given is not None and (not isinstance(cast("object", given), str) or not given.strip()):
            raise OpenRouterConfigurationError(f"{what} must be text that is not empty.")
    known, content = await _name_and_content(name, source, max_bytes)
    if not content:
        raise OpenRouterConfigurationError(f"{name} is empty.")
    if len(content) > max_bytes:
        raise _too_large(name, len(content), max_bytes)
    known = PurePath(filename or known).name
    kind = media_type or media_type_of(content, known) or None
    return Upload(content, known or f"file{suffix_of(kind or '')}", kind)


def form_fields(fields: Mapping[str, Any], options: RequestOptions) -> dict[str, str | list[str]]:
    """Return the fields of a form; `extra_body` adds to them and wins.

    Args:
        fields: By name; None is left out. Lists are sent item by item under `name[]`, objects as
            JSON.
        options: What the caller of a resource said besides.
    """
    form: dict[str, str | list[str]] = {}
    for name, value in {**fields, **options.get("extra_body", {})}.items():
        if value is None:
            continue
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            items = cast("Sequence[object]", value)
            form[f"{name}[]"] = [str(item) for item in items]
        else:
            form[name] = value if isinstance(value, str) else json.dumps(value)
    # The encoder of forms repeats a field for each item of a list; its annotation knows texts only.
    return form


async def _name_and_content(name: str, source: object, max_bytes: int) -> tuple[str, bytes]:
    if isinstance(source, tuple):
        return _pair(name, cast("tuple[object, ...]", source))
    if isinstance(source, bytes | bytearray | memoryview):
        return "", bytes(cast("bytes", source))
    path: object = None
    if isinstance(source, str | os.PathLike):
        path = os.fspath(cast("str", source))
    if not isinstance(path, str):
        raise OpenRouterConfigurationError(
            f"{name} must be a path, bytes, or a name with bytes, not of type"
            f" {type(cast('object', source)).__name__}."
        )
    return await anyio.to_thread.run_sync(_read, name, path, max_bytes)


def _pair(name: str, pair: tuple[object, ...]) -> tuple[str, bytes]:
    if len(pair) == 2:
        known, content = pair
        if isinstance(known, str) and isinstance(content, bytes | bytearray | memoryview):
            return known, bytes(cast("bytes", content))
    raise OpenRouterConfigurationError(f"{name} must be a pair of a name and bytes.")


def _read(name: str, source: str, max_bytes: int) -> tuple[str, bytes]:
    path = Path(source)
    shown = path.name[:_MAX_SHOWN_CHARS]
    try:
        found = path.stat()
        # Opening a pipe would wait for its other end.
        is_file = stat.S_ISREG(found.st_mode)
        content = _content_of(path, max_bytes) if is_file and found.st_size <= max_bytes else b""
    except FileNotFoundError as error:
        raise OpenRouterConfigurationError(f"{name}: there is no file {shown!r}.") from error
    except OSError as error:
        raise OpenRouterConfigurationError(
            f"{name}: {shown!r} cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise OpenRouterConfigurationError(f"{name}: {shown!r} is no path.") from error
    if not is_file:
        raise OpenRouterConfigurationError(f"{name}: {shown!r} is no regular file.")
    if found.st_size > max_bytes:
        raise _too_large(name, found.st_size, max_bytes)
    return path.name, content


def _content_of(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(max_bytes + 1)  # it may have grown meanwhile


def _too_large(name: str, size: int, max_bytes: int) -> OpenRouterConfigurationError:
    return OpenRouterConfigurationError(
        f"{name} has {size} bytes; at most {max_bytes} are taken.", hint="Send a smaller file."
    )
