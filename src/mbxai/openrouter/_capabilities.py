"""What a model's endpoints support, looked up once for each client."""

from typing import Final

from mbxai.openrouter._requester import Requester, path_of
from mbxai.wire import WireModel, WireResult

_MAX_KNOWN: Final = 256
_LOOK_UP_SECONDS: Final = 10.0
# Suffixes that only sort the endpoints of a model; others stand for models of their own.
_SORTING: Final = frozenset({"nitro", "floor", "exacto", "online"})


class _Endpoint(WireModel):
    supported_parameters: list[str] | None = None


class _Endpoints(WireModel):
    endpoints: list[_Endpoint] | None = None


class _EndpointsAnswer(WireResult):
    data: _Endpoints | None = None


class Capabilities:
    """Parameters that at least one endpoint of a model supports, by model."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[str, frozenset[str]] = {}

    async def of_model(
        self, model: str, requester: Requester, *, seconds: float = _LOOK_UP_SECONDS
    ) -> frozenset[str] | None:
        """Return the names of the parameters that some endpoint of a model supports.

        Args:
            model: Slug, with or without a suffix such as `:nitro`.
            requester: Asks `GET /models/{author}/{slug}/endpoints`.
            seconds: How long the look-up may take; ten at most.

        Returns:
            The names; None where the answer names no endpoint.

        Raises:
            OpenRouterError: The look-up failed.
        """
        base, _, suffix = model.partition(":")
        slug = base if suffix in _SORTING else model
        author, _, name = slug.partition("/")
        if not name:
            return None
        if slug not in self._known:
            answer = await requester.json(
                "GET",
                path_of("models", author, name, "endpoints"),
                _EndpointsAnswer,
                options={"timeout": min(seconds, _LOOK_UP_SECONDS)},
            )
            endpoints = (answer.data.endpoints if answer.data else None) or []
            if not endpoints:
                return None
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[slug] = frozenset[str]().union(
                *(endpoint.supported_parameters or () for endpoint in endpoints)
            )
        return self._known[slug]
