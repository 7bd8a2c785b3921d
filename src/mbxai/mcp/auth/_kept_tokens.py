"""What is kept for one server and client: tokens, registration, and where they may be renewed.

The text form is ours; the parts in it are those of the protocol's package, as JSON.
"""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from mbxai._redaction import forget_secret, register_secret
from mbxai.errors import MBXAIError, MCPAuthError
from mbxai.mcp.auth._stores import TokenKey, TokenStore

if TYPE_CHECKING:  # slow to load
    from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

_FORMAT: Final = 1
_SAVE_SECONDS: Final = 15.0
_LEEWAY_SECONDS: Final = 30.0


class KeptTokens:
    """The tokens of one server and client, and what is needed to renew them.

    Attributes:
        tokens: The token response as JSON; empty if there is none.
        expires_at: When the access token is to be renewed, in seconds since the epoch; None never.
        client: Our registration as JSON; empty if there is none.
        metadata: What the authorization server says of itself; empty if nothing.
        resource: What the MCP server says of itself; empty if nothing.
        scope: What was asked for last.
    """

    def __init__(
        self, store: TokenStore, key: TokenKey, *, now: Callable[[], float] = time.time
    ) -> None:
        """Start empty; nothing is loaded yet.

        Args:
            store: Where it is kept.
            key: Under which key.
            now: The clock, in seconds since the epoch.
        """
        self.store = store
        self.key = key
        self._now = now
        self._secrets: list[str] = []
        self._saved = ""
        self._put({})

    def __repr__(self) -> str:
        """Say whose it is, and nothing of it."""
        return f"<KeptTokens of {self.key.server!r}>"

    @property
    def access_token(self) -> str:
        """The access token; empty if there is none."""
        return str(self.tokens.get("access_token") or "")

    @property
    def is_expired(self) -> bool:
        """Whether the access token is to be renewed before it is used."""
        return self.expires_at is not None and self._now() >= self.expires_at

    @property
    def can_refresh(self) -> bool:
        """Whether there is what a renewal without a person takes."""
        return bool(self.tokens.get("refresh_token"))

    async def load(self) -> None:
        """Take what the store has; a record that cannot be read counts as none.

        Raises:
            MCPAuthError: The store failed.
        """
        text = await self._ask_store("load", lambda: self.store.load(self.key))
        self._saved = text or ""
        try:
            record: object = json.loads(text) if text else {}
        except ValueError:
            record = {}
        known = isinstance(record, dict) and cast("dict[str, Any]", record).get("format") == _FORMAT
        self._put(cast("dict[str, Any]", record) if known else {})

    async def save(self) -> None:
        """Give the store what there is now; not given up when the caller is cancelled.

        A refresh token that was used up must not stay behind in place of its successor.

        Raises:
            MCPAuthError: The store failed.
        """
        self._hide()
        text = json.dumps(
            {
                "format": _FORMAT,
                "tokens": self.tokens,
                "expires_at": self.expires_at,
                "client": self.client,
                "metadata": self.metadata,
                "resource": self.resource,
                "scope": self.scope,
            }
        )
        if text != self._saved:
            await self._ask_store("save", lambda: self.store.save(self.key, text))
            self._saved = text

    async def drop_tokens(self, *, registration: bool = False) -> None:
        """Forget tokens that are of no use any more.

        Args:
            registration: Whether our registration is forgotten too.

        Raises:
            MCPAuthError: The store failed.
        """
        self.tokens, self.expires_at = {}, None
        if registration:
            self.client = {}
        await self.save()

    # The four methods that the protocol's package asks of its token storage.

    async def get_tokens(self) -> "OAuthToken | None":
        """Return the tokens; None if there are none."""
        from mcp.shared.auth import OAuthToken

        return OAuthToken.model_validate(self.tokens) if self.access_token else None

    async def set_tokens(self, tokens: "OAuthToken") -> None:
        """Keep new tokens.

        Args:
            tokens: What the authorization server gave.
        """
        self.tokens = tokens.model_dump(mode="json", exclude_none=True)
        self.expires_at = None
        if tokens.expires_in is not None:
            leeway = min(_LEEWAY_SECONDS, tokens.expires_in / 10)
            self.expires_at = self._now() + tokens.expires_in - leeway
        await self.save()

    async def get_client_info(self) -> "OAuthClientInformationFull | None":
        """Return our registration; None if there is none."""
        from mcp.shared.auth import OAuthClientInformationFull

        return OAuthClientInformationFull.model_validate(self.client) if self.client else None

    async def set_client_info(self, client_info: "OAuthClientInformationFull") -> None:
        """Keep a new registration.

        Args:
            client_info: What the authorization server gave.
        """
        if self.client.get("client_id") != client_info.client_id:
            # It belongs to the former client; nobody else can use it.
            self.tokens.pop("refresh_token", None)
        self.client = client_info.model_dump(mode="json", exclude_none=True)
        await self.save()

    def _put(self, record: dict[str, Any]) -> None:
        self.tokens: dict[str, Any] = _object(record.get("tokens"))
        expires_at = record.get("expires_at")
        self.expires_at: float | None = (
            float(expires_at) if isinstance(expires_at, int | float) else None
        )
        self.client: dict[str, Any] = _object(record.get("client"))
        self.metadata: dict[str, Any] = _object(record.get("metadata"))
        self.resource: dict[str, Any] = _object(record.get("resource"))
        scope = record.get("scope")
        self.scope: str | None = scope if isinstance(scope, str) else None
        self._hide()

    def _hide(self) -> None:
        """Take what is secret now out of logs and errors; what was, no longer."""
        found = [self.tokens.get("access_token"), self.tokens.get("refresh_token")]
        found.append(self.client.get("client_secret"))
        former, self._secrets = self._secrets, [text for text in found if isinstance(text, str)]
        for text in self._secrets:
            register_secret(text)
        for text in former:
            forget_secret(text)

    async def _ask_store(self, verb: str, call: Callable[[], Any]) -> Any:
        try:
            with anyio.fail_after(_SAVE_SECONDS, shield=verb == "save"):
                return await call()
        except MBXAIError:
            raise
        except Exception as error:  # the store is somebody else's
            raise MCPAuthError(
                f"MCP server {self.key.server!r}: the token store could not {verb}"
                f" ({type(error).__name__}).",
                server=self.key.server,
            ) from error


def _object(value: object) -> dict[str, Any]:
    return dict(cast("dict[str, Any]", value)) if isinstance(value, dict) else {}
