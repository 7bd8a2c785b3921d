"""Real English of a given length: Python's own documentation, which every Python brings along."""

import re
from functools import cache

PASSAGE_CHARS = 1536


def passage(number: int) -> str:
    """Return one of many different passages.

    Args:
        number: Which one, from 0.

    Returns:
        Text of `PASSAGE_CHARS` characters.
    """
    start = number * PASSAGE_CHARS
    return _prose()[start : start + PASSAGE_CHARS]


@cache
def _prose() -> str:
    from pydoc_data.topics import topics  # 700 KB, only where it is needed

    return re.sub(r"\s+", " ", " ".join(topics[name] for name in sorted(topics)))
