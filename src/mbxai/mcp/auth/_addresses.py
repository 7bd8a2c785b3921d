"""Which addresses a login may lead to. Pure."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_PORTS: Final = {"https": 443, "http": 80}


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address, in one spelling.

    Args:
        url: An http or https address.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme.lower()}://{shown}:{parts.port or _PORTS.get(parts.scheme, 0)}"


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine, by its name alone.

    Args:
        url: An address.
    """
    host = (urlsplit(url).hostname or "").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """Return an address without password, query and fragment, for an error.

    Args:
        url: An address.
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def may_be_asked(url: str, *, server_url: str, issuer: str) -> bool:
    """Tell whether a login may send a request to an address that the server has named.

    https may always be asked. Plain http only where it cannot be a trap: at the server's own
    origin, at an issuer that the caller has named, or on this machine if the server is here too;
    else a far server could send us to what only we can reach.

    Args:
        url: The address.
        server_url: That of the MCP server.
        issuer: What the caller named; empty if nothing.
    """
    try:
        scheme = urlsplit(url).scheme
        if scheme == "https":
            return True
        if scheme != "http":
            return False
        if is_loopback(url) and is_loopback(server_url):
            return True
        return origin_of(url) in {origin_of(server_url), origin_of(issuer)}
    except ValueError:
        return False


def may_be_opened(url: str, *, server_url: str) -> bool:
    """Tell whether a browser may be sent to an address that the server has named.

    Args:
        url: The address.
        server_url: That of the MCP server.
    """
    try:
        scheme = urlsplit(url).scheme
        local = is_loopback(url) and is_loopback(server_url)
    except ValueError:
        return False
    clean = url.isascii() and url.isprintable() and not set(url) & set(" \"'<>\\`")
    return clean and (scheme == "https" or (scheme == "http" and local))
