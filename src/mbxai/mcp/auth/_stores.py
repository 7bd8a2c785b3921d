"""Where the tokens of servers are kept: what a store must offer, and the one in memory.

What is kept is opaque text here; `_kept_tokens.py` knows what stands in it.
"""

import threading
from dataclasses import dataclass
from typing import NoReturn, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """Whose tokens are meant; what is kept under one key is never given to another.

    Attributes:
        server: The name under which the server was registered.
        origin: Scheme, host and port of the server's address.
        client: Who we are to that server: kind of login, client id, account.
    """

    server: str
    origin: str
    client: str


class TokenStore(Protocol):
    """Keeps tokens. The text holds secrets: it must not be logged, nor stored in the clear."""

    async def load(self, key: TokenKey) -> str | None:
        """Return the text that was saved last.

        Args:
            key: Whose text.

        Returns:
            The text; None if there is none.
        """
        ...

    async def save(self, key: TokenKey, text: str) -> None:
        """Keep a text in place of the former one.

        Args:
            key: Whose text.
            text: A few kB of JSON.
        """
        ...

    async def delete(self, key: TokenKey) -> None:
        """Forget a text; nothing happens if there is none.

        Args:
            key: Whose text.
        """
        ...


class MemoryTokenStore:
    """Keeps tokens as long as it lives itself; nothing is written anywhere. Thread-safe."""

    def __init__(self) -> None:
        """Start empty."""
        self._texts: dict[TokenKey, str] = {}
        self._lock = threading.Lock()  # guards the texts; loops of several threads may share us

    async def load(self, key: TokenKey) -> str | None:
        """Return the text that was saved last.

        Args:
            key: Whose text.

        Returns:
            The text; None if there is none.
        """
        with self._lock:
            return self._texts.get(key)

    async def save(self, key: TokenKey, text: str) -> None:
        """Keep a text in place of the former one.

        Args:
            key: Whose text.
            text: A few kB of JSON.
        """
        with self._lock:
            self._texts[key] = text

    async def delete(self, key: TokenKey) -> None:
        """Forget a text; nothing happens if there is none.

        Args:
            key: Whose text.
        """
        with self._lock:
            self._texts.pop(key, None)

    def __repr__(self) -> str:
        """Say how much there is, and nothing of it."""
        return f"<MemoryTokenStore of {len(self._texts)}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("A MemoryTokenStore stays in memory: it cannot be pickled or copied.")
