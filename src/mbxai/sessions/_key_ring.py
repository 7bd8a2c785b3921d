"""Keys by which sessions are sealed: from the environment, from the program, or from a service."""

import base64
import binascii
import hashlib
import inspect
import os
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, TypeAlias

from mbxai.errors import ConfigurationError, SessionDataError

KEY_BYTES: Final = 32
ENVIRONMENT: Final = "MBXAI_SESSION_KEY"

KeyService: TypeAlias = Callable[[str], bytes | Awaitable[bytes]]
"""Returns the key of an id, 32 bytes, as a key management service does."""

_ID_CHARS: Final = 16


class KeyRing:
    """Keys of 256 bits: one seals, all of them open.

    To change the key, put a new one before the others; sessions are sealed with it from their next
    save on. A key may be taken away when nothing is left that was sealed with it.
    """

    def __init__(self, *keys: str | bytes) -> None:
        """Take keys.

        Args:
            *keys: The first seals. Each is 32 bytes, or their text as base64 (either alphabet) or
                hexadecimal digits; `generate` makes one.

        Raises:
            ConfigurationError: There is none, one is no key, or two are the same.
        """
        if not keys:
            raise ConfigurationError(
                "A KeyRing needs a key.", hint="KeyRing.generate() makes one; keep it secret."
            )
        read = [_key_of(key, number) for number, key in enumerate(keys, 1)]
        self._keys: dict[str, bytes] = {_id_of(key): key for key in read}
        if len(self._keys) < len(read):
            raise ConfigurationError("Two keys of a KeyRing are the same.")
        self._current = _id_of(read[0])
        self._service: KeyService | None = None

    @classmethod
    def from_environment(cls, name: str = ENVIRONMENT) -> "KeyRing":
        """Take keys from an environment variable.

        Args:
            name: Its name; it holds one key, or several separated by commas, the first of which
                seals.

        Returns:
            The ring.

        Raises:
            ConfigurationError: It is not set, or holds something that is no key.
        """
        text = os.environ.get(name, "")
        keys = [part.strip() for part in text.split(",") if part.strip()]
        if not keys:
            raise ConfigurationError(
                f"{name} is not set, so sessions cannot be sealed.",
                hint="Set it to what KeyRing.generate() returns, and keep that secret.",
            )
        return cls(*keys)

    @classmethod
    def from_service(cls, current: str, service: KeyService) -> "KeyRing":
        """Take keys from a service, each when it is first needed.

        Args:
            current: The id of the key that seals, as the service knows it.
            service: Returns the 32 bytes of a key, blocking or not; they are kept in memory.

        Returns:
            The ring.
        """
        ring = cls.__new__(cls)
        ring._keys = {}  # noqa: SLF001 - of its own kind
        ring._current = current  # noqa: SLF001
        ring._service = service  # noqa: SLF001
        return ring

    @staticmethod
    def generate() -> str:
        """Return a new key as text, for the environment."""
        return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()

    @property
    def current_id(self) -> str:
        """The id of the key that seals."""
        return self._current

    async def key(self, key_id: str, *, agent_id: str = "") -> bytes:
        """Return a key.

        Args:
            key_id: Its id.
            agent_id: Which session it is wanted for, for the error.

        Returns:
            32 bytes.

        Raises:
            SessionDataError: There is no such key.
            ConfigurationError: The service raised, or returned something else.
        """
        if key_id in self._keys:
            return self._keys[key_id]
        if self._service is None:
            raise SessionDataError(
                f"Session {agent_id!r} is sealed with the key {key_id[:80]!r}, which is not here.",
                hint=f"Add that key to {ENVIRONMENT}, after the one that seals.",
                agent_id=agent_id,
            )
        try:
            found = self._service(key_id)
            key = await found if inspect.isawaitable(found) else found
        except Exception as error:  # a function of the caller's own
            raise ConfigurationError(
                f"The key service raised {type(error).__name__}.",
                hint="Its own error is the cause of this one (__cause__).",
            ) from error
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:  # pyright: ignore[reportUnnecessaryIsInstance] - a user's
            raise ConfigurationError(f"The key service returned no key of {KEY_BYTES} bytes.")
        self._keys[key_id] = key
        return key

    def __repr__(self) -> str:
        """Name the key that seals, and show none."""
        return f"<KeyRing {self._current}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("A KeyRing stays in memory: it cannot be pickled or copied.")


def _key_of(given: str | bytes, number: int) -> bytes:
    """Read a key; the error says which one, and nothing of it."""
    if isinstance(given, bytes) and len(given) == KEY_BYTES:
        return given
    text = given.decode("ascii", "replace") if isinstance(given, bytes) else given.strip()
    try:
        if len(text) == 2 * KEY_BYTES:
            return bytes.fromhex(text)
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        key = base64.b64decode(padded.translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"Key {number} of the KeyRing is no key of {KEY_BYTES} bytes.",
            hint="KeyRing.generate() makes one; base64 and hexadecimal digits are understood.",
        ) from None
    return key


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"mbxai session key id\0" + key).hexdigest()[:_ID_CHARS]
