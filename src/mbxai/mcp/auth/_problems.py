"""What went wrong with a login, in one line that may be shown. Pure; imports nothing slow."""

import json
import re
from typing import Final, cast

from mbxai._redaction import redact
from mbxai.errors import MCPAuthError

_MODULE: Final = "mcp.client.auth.exceptions"
_MAX_CHARS: Final = 300
_EXCHANGE: Final = re.compile(r"^(Token exchange failed|Registration failed)[: ]+\(?(\d{3})\)?")

# The rest of these messages is what the authorization server sent, or a secret of the flow.
_SILENT: Final = {
    "Invalid token response": "the authorization server gave no usable token",
    "Invalid registration response": "the authorization server gave no usable registration",
    "State parameter mismatch": "the browser came back with an answer to another question",
    "No authorization code received": "the browser came back without an authorization code",
}


def auth_problem(error: BaseException) -> str | None:
    """Say what is wrong if an exception is about who we are to a server.

    Args:
        error: Anything; a group is searched.

    Returns:
        One line without secrets; None for any other exception.
    """
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return next((said for one in inner if (said := auth_problem(one))), None)
    if isinstance(error, MCPAuthError):
        return str(error)
    if not any(kind.__module__ == _MODULE for kind in type(error).__mro__):
        return None
    text = str(error)
    for beginning, said in _SILENT.items():
        if text.startswith(beginning):
            return said
    refused = _EXCHANGE.match(text)
    if refused is not None:
        code, description = token_error(text)
        verb = "the token" if refused[1].startswith("Token") else "to register us"
        said = f"the authorization server refused {verb} (HTTP {refused[2]})"
        details = ": ".join(part for part in (code, description) if part)
        return f"{said}: {details}" if details else said
    return _one_line(text)


def token_error(text: str) -> tuple[str, str]:
    """Find what an authorization server gave as its reason.

    Args:
        text: A body, or a text that holds one.

    Returns:
        The code, for example "invalid_grant", and its description; both may be empty.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        body: object = json.loads(text[start : end + 1]) if start >= 0 else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return "", ""
    fields = cast("dict[str, object]", body)
    code, description = fields.get("error"), fields.get("error_description")
    return (
        _one_line(code) if isinstance(code, str) else "",
        _one_line(description) if isinstance(description, str) else "",
    )


def _one_line(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    line = redact(" ".join(plain.split()))
    return line if len(line) <= _MAX_CHARS else f"{line[:_MAX_CHARS]}…"
