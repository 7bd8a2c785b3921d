"""Ids of sessions and scopes: what one may be, and how a new one is made."""

import secrets
import unicodedata
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

from mbxai.errors import SessionNotFoundError

MAX_ID_LENGTH: Final = 256
"""Characters in an agent id, a scope or an interaction's id, at most."""

_RANDOM_BYTES: Final = 24


def new_agent_id() -> str:
    """Return an id with 192 random bits, which nobody guesses."""
    return f"agt_{secrets.token_urlsafe(_RANDOM_BYTES)}"


def id_of_request(key: str, scope: str = "") -> str:
    """Return the id of the session that a request begins, the same one each time.

    Args:
        key: Names the request.
        scope: Whose session it is.
    """
    digest = sha256(f"{scope}\0{key}".encode(errors="surrogatepass")).digest()
    return f"agt_{urlsafe_b64encode(digest[:_RANDOM_BYTES]).decode()}"


def check_agent_id(agent_id: str, scope: str = "") -> None:
    """Refuse an id or a scope that no session can have.

    Slashes and dots are plain data: no file name is ever made of an id.

    Args:
        agent_id: 1 to 256 characters, none of them a control character or half a surrogate pair.
        scope: Whose session it is: 0 to 256 such characters.

    Raises:
        SessionNotFoundError: One of them cannot be one.
    """
    if is_id(agent_id) and (scope == "" or is_id(scope)):
        return
    # The id itself is not repeated: it may be ten kilobytes of terminal escapes.
    raise SessionNotFoundError(
        "There is no session of this agent_id.",
        hint=f"An agent_id has 1 to {MAX_ID_LENGTH} characters and no control characters.",
    )


def is_id(text: object) -> bool:
    """Tell whether something can be an id.

    Args:
        text: Anything that a user gave.

    Returns:
        Whether it is text of 1 to 256 characters without control characters or surrogates.
    """
    return (
        isinstance(text, str)
        and 0 < len(text) <= MAX_ID_LENGTH
        and not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text)
    )
