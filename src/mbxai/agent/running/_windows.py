"""How long a model's conversation may be, looked up where it is worth a request."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias, cast

import anyio

from mbxai._redaction import get_logger
from mbxai.agent._ports import ClientPort

logger = get_logger(__name__)

LONG_CONVERSATION: Final = 8_000
"""Tokens from which on it is worth to know; every model that is offered has room for fewer."""

_LOOK_UP_SECONDS: Final = 3.0

_Get: TypeAlias = Callable[..., Awaitable[Any]]  # Any: the client's own


class ContextWindows:
    """Most tokens of a conversation, by model; each is looked up once, whatever comes of it."""

    def __init__(self, port: ClientPort) -> None:
        """Know nothing yet.

        Args:
            port: The client whose catalogue is asked.
        """
        self._port = port
        self._known: dict[str, int | None] = {}

    async def of_model(self, model: str) -> int | None:
        """Return the most tokens of prompt and answer together.

        Args:
            model: Slug of the model; empty for the one that the client asks.

        Returns:
            The tokens; None where the client has no catalogue, or it does not say.
        """
        slug = model or self._port.model
        if slug not in self._known:
            self._known[slug] = None  # for the tasks beside this one, which do not wait
            with anyio.move_on_after(_LOOK_UP_SECONDS):
                self._known[slug] = await self._look_up(slug)
        return self._known[slug]

    async def _look_up(self, slug: str) -> int | None:
        catalogue: object = getattr(self._port.model_client, "models", None)
        get = cast("_Get | None", getattr(catalogue, "get", None))
        if not slug or not callable(get):
            return None
        try:
            answer = await get(slug, timeout=_LOOK_UP_SECONDS)
            window: object = answer.data.context_length
        except Exception as error:  # noqa: BLE001  # a run goes on without; also a user's own client
            logger.debug("The context window is not known: %s", type(error).__name__)
            return None
        return window if isinstance(window, int) and window > 0 else None
