"""How a text is sealed with a key ring: AES-256-GCM, bound to what it belongs to.

Pure, apart from the random nonce. The first key seals; all of them open. The library is loaded at
first use: it is slow.
"""

import base64
import binascii
import os
from collections.abc import Sequence
from typing import Final

from mbxai._redaction import register_secret
from mbxai.errors import ConfigurationError

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_ADVICE: Final = "Make one with FileTokenStore.new_key()."


class KeyRing:
    """Keys to seal and open with; shows none of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the keys.

        Args:
            keys: 32 bytes each; the first one seals.
        """
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        """Say how many keys there are."""
        return f"<KeyRing of {len(self._keys)}>"

    def seal(self, text: str, bound_to: bytes) -> str:
        """Seal a text.

        Args:
            text: Any text.
            bound_to: What must be the same again when it is opened.

        Returns:
            Base64 of nonce and sealed text.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self._keys[0]).encrypt(nonce, text.encode(), bound_to)
        return base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, bound_to: bytes) -> str | None:
        """Open what was sealed.

        Args:
            sealed: What `seal` returned.
            bound_to: As it was given to `seal`.

        Returns:
            The text; None if no key fits, or anything was changed.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            raw = base64.b64decode(sealed, validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(raw) <= _NONCE_BYTES:
            return None
        for key in self._keys:
            try:
                opened = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound_to)
            except InvalidTag:
                continue
            return opened.decode()
        return None


def read_keys(given: "str | bytes | Sequence[str | bytes]", *, source: str) -> KeyRing:
    """Read a key ring.

    Args:
        given: 32 bytes, their Base64, several of these, or Base64 texts with commas between them.
        source: Where it stood, for errors.

    Returns:
        The ring, in the order given.

    Raises:
        ConfigurationError: There is no key, or one is malformed.
    """
    items = [given] if isinstance(given, str | bytes) else list(given)
    words: list[str | bytes] = []
    for item in items:
        words.extend(item.split(",") if isinstance(item, str) else [item])
    keys = [_read_key(word, source) for word in words]
    if not keys:
        raise ConfigurationError(f"There is no key in {source}.", hint=_ADVICE)
    return KeyRing(keys)


def _read_key(word: str | bytes, source: str) -> bytes:
    if isinstance(word, bytes):
        key = word
    else:
        register_secret(word.strip())
        try:
            # Both alphabets of Base64 are seen in the wild.
            plain = word.strip().rstrip("=").replace("-", "+").replace("_", "/")
            key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"A key in {source} is not {KEY_BYTES} bytes, or not their Base64.", hint=_ADVICE
        )
    return key
