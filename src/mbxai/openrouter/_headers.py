"""Headers of requests: checked, encoded, merged."""

from collections.abc import Mapping
from typing import Final, TypeAlias, cast

from mbxai._version import __version__
from mbxai.errors import OpenRouterConfigurationError

_BASE_HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "User-Agent": f"mbxai/{__version__}",
}
STREAM_HEADERS: Final = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
"""What a request for a stream says; compression would hold chunks back."""


HeaderFields: TypeAlias = Mapping[bytes, bytes]
"""Headers of a request, names in lower case."""


def base_headers(headers: Mapping[str, str]) -> HeaderFields:
    """Return the headers of every request of a client.

    Args:
        headers: Those of the client; they win over the SDK's own.

    Raises:
        OpenRouterConfigurationError: A name or a value cannot be sent.
    """
    return with_headers(with_headers({}, _BASE_HEADERS), headers)


def with_headers(headers: HeaderFields, more: Mapping[str, str]) -> HeaderFields:
    """Return a copy of headers with others merged in, which win.

    Raises:
        OpenRouterConfigurationError: A name or a value cannot be sent.
    """
    encoded = encoded_headers(more)
    return {**headers, **{name.lower(): value for name, value in encoded.items()}}


def encoded_headers(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return headers as bytes, so that a title may hold any letter.

    Raises:
        OpenRouterConfigurationError: A name or a value cannot be sent.
    """
    encoded: dict[bytes, bytes] = {}
    for name, given in cast("Mapping[object, object]", headers).items():
        if (
            not isinstance(name, str)
            or not name
            or not name.isascii()
            or not name.replace("-", "").replace("_", "").isalnum()
        ):
            raise OpenRouterConfigurationError(f"{name!r} is no name of a header.")
        if name.lower() == "authorization":
            raise OpenRouterConfigurationError("Authorization is made of the key; pass token=.")
        if not isinstance(given, str) or not given.isprintable():
            raise OpenRouterConfigurationError(
                f"The header {name!r} has a value that cannot be sent.",
                hint="A value is one line of text.",
            )
        encoded[name.encode("ascii")] = given.encode("utf-8")
    return encoded
