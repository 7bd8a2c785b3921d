"""Which texts can be sent to a model, and how long they may be. Pure."""

from typing import Final

from mbxai.agent.machine._snapshot import AgentSnapshot

CHARS_PER_TOKEN: Final = 3
"""What a token is taken for where nobody has counted; few enough to err on the safe side."""


def bound_of(snapshot: AgentSnapshot) -> int | None:
    """Return how many tokens a conversation may have; None if nothing is known of that."""
    bounds = [snapshot.limits.max_context_tokens]
    if snapshot.context_window is not None:
        bounds.append(snapshot.context_window * 3 // 4)
    return min((bound for bound in bounds if bound is not None), default=None)


def is_unicode(text: str) -> bool:
    """Tell whether a text can be sent; halves of surrogate pairs cannot.

    Args:
        text: Any text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shortened(text: str, max_chars: int) -> str:
    """Return the beginning and the end of a text, with a note of what is left out between them."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
