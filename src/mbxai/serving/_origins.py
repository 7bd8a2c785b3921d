"""Whether a request comes from a page of somebody else, in a person's browser. Pure.

A browser sends a person's cookies with what any page asks of a service. It also says, in headers
that no page can set, where that page is from; programs send neither header.
"""

from collections.abc import Collection, Mapping
from typing import Final

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def is_foreign(
    method: str, headers: Mapping[str, str], trusted_origins: Collection[str] = ()
) -> bool:
    """Say whether a request would change something for a page of a foreign origin.

    Args:
        method: Of the request; what only reads is never foreign, for the page cannot see it.
        headers: Of the request, by names in lower case.
        trusted_origins: Origins that are not foreign, such as "https://shop.example.com".
    """
    if method in _SAFE:
        return False
    origin = headers.get("origin", "").lower()
    if origin in trusted_origins:
        return False
    # https://www.w3.org/TR/fetch-metadata/; browsers send it to secure addresses and loopback.
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    return bool(origin) and origin.partition("://")[2] != headers.get("host", "").lower()
