"""Questions that nobody is asked, because the protocol forbids them; and how an address is shown.

Pure.
"""

from typing import Final
from urllib.parse import urlsplit

from mbxai.wire._form_schemas import is_credential_field
from mbxai.wire._forms import form_fields
from mbxai.wire._tools import ToolQuestion

_SCHEMES: Final = frozenset({"http", "https"})


def refusal_of(question: ToolQuestion) -> str:
    """Say why a question must not be put to a person.

    Args:
        question: What a tool wants to know.

    Returns:
        The reason: a form asks for a credential, which may only be entered at an address, or the
        address is none of the web. Empty for a question that may be asked.
    """
    if question.kind == "url":
        if any(character.isspace() or not character.isprintable() for character in question.url):
            return "its address holds characters that nobody sees"
        return "" if host_of(question.url) else "its address is no http or https address"
    named = [f.name for f in form_fields(question.schema) if is_credential_field(f.name, f.rules)]
    return f"its form asks for a credential: {', '.join(named)}" if named else ""


def host_of(url: str) -> str:
    """Return the host that an address leads to, as a browser would ask for it.

    Args:
        url: Any text.

    Returns:
        Host and port, those of other alphabets in their ASCII form (`xn--...`), without a user's
        name before them; empty for what is no http or https address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:  # half a bracket, a port that is none, an impossible name
        return ""
    if parts.scheme.lower() not in _SCHEMES or not host:
        return ""
    shown = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    return f"{shown}:{port}" if port else shown
