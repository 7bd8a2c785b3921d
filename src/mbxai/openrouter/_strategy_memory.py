"""Which way to ask for typed output has worked, by model."""

import threading
from typing import Final

from mbxai.openrouter._ladder import STRATEGIES, Strategy

_MAX_MODELS: Final = 256


class StrategyMemory:
    """Which strategy worked, by model; one for each client.

    Only what differs from the first choice is kept, and only so many models.
    """

    def __init__(self) -> None:
        """Start without a memory."""
        self._lock = threading.Lock()  # guards _worked
        self._worked: dict[str, Strategy] = {}

    def first(self, model: str) -> Strategy:
        """Return the strategy to begin with.

        Args:
            model: Slug.
        """
        return self._worked.get(model, STRATEGIES[0])

    def worked(self, model: str, strategy: Strategy) -> None:
        """Note that a strategy brought an answer.

        Args:
            model: Slug.
            strategy: What worked, after those above it had failed.
        """
        if self.first(model) == strategy:
            return
        with self._lock:
            self._worked.pop(model, None)
            while len(self._worked) >= _MAX_MODELS:
                del self._worked[next(iter(self._worked))]
            self._worked[model] = strategy
