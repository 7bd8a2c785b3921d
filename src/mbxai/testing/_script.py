"""The script of a fake server: which step answers which request, and what was left over."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mbxai.testing._conversation import Conversation
from mbxai.testing._steps import Auto, Match, Step

CHAT_PATH: Final = "/chat/completions"


@dataclass(slots=True)
class _Entry:
    step: Step
    uses: int = 0

    @property
    def limit(self) -> int | None:
        return self.step.times if isinstance(self.step, Auto) else 1

    @property
    def is_usable(self) -> bool:
        return self.limit is None or self.uses < self.limit

    @property
    def is_unused(self) -> bool:
        return self.limit is not None and self.uses < self.limit


class Script:
    """Steps in their order; nothing happens here but choosing."""

    def __init__(self) -> None:
        """Start without steps, in automatic mode."""
        self._entries: list[_Entry] = []
        self.unexpected: list[str] = []

    @property
    def is_active(self) -> bool:
        """Whether there are steps for chat completions, so that each of them needs one."""
        paths = [entry.step.when and entry.step.when.path for entry in self._entries]
        return any(not path or CHAT_PATH.endswith(path) for path in paths)

    def extend(self, steps: Iterable[Step]) -> None:
        """Add steps at the end."""
        self._entries.extend(_Entry(step) for step in steps)

    def take(self, path: str, talk: Conversation) -> Step | None:
        """Use up the step for a request.

        Args:
            path: The request's path.
            talk: The request.

        Returns:
            The first unused step whose matcher fits, else the first unused one without a matcher;
            steps for any number of requests come after the others of their kind. None if no step
            fits.
        """
        for has_matcher in (True, False):
            for is_repeating in (False, True):
                for entry in self._entries:
                    when = entry.step.when
                    if (when is not None) is not has_matcher or not entry.is_usable:
                        continue
                    if (entry.limit is None) is is_repeating and _fits(when, path, talk):
                        entry.uses += 1
                        return entry.step
        return None

    def unused(self) -> list[str]:
        """Return the steps that no request has used, as they would be written."""
        return [repr(entry.step) for entry in self._entries if entry.is_unused]


def _fits(when: Match | None, path: str, talk: Conversation) -> bool:
    if when is None:
        return path.endswith(CHAT_PATH)
    return (
        path.endswith(when.path or CHAT_PATH)
        and when.schema in {None, talk.schema_name}
        and when.stream in {None, talk.wants_stream}
        and (when.contains is None or talk.contains(when.contains))
        and (when.tool is None or when.tool in {tool.name for tool in talk.tools()})
    )
