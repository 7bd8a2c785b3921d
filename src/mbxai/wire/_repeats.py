"""Whether a model repeats a call that leads nowhere; pure."""


class RepeatGuard:
    """Counts calls that gave the same result as the same call before.

    A call that is repeated after something has changed gives another result, and is counted anew.
    """

    def __init__(self, max_repeats: int) -> None:
        """Start with nothing seen.

        Args:
            max_repeats: How often the same call may give the same result.
        """
        self._max_repeats = max_repeats
        self._seen: dict[str, tuple[str, int]] = {}

    def is_stuck(self, digest: str) -> bool:
        """Whether a call has given the same result as often as it may.

        Args:
            digest: The call's `call_digest`.
        """
        return self._seen.get(digest, ("", 0))[1] >= self._max_repeats

    def note(self, digest: str, result: str) -> None:
        """Take the result of a call that was run.

        Args:
            digest: The call's `call_digest`.
            result: What the model was told.
        """
        before, count = self._seen.get(digest, ("", 0))
        self._seen[digest] = (result, count + 1 if result == before else 1)
