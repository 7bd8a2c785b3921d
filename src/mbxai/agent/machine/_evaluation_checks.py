"""Where a model's evaluation contradicts itself, in words for the model and for people. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from mbxai.agent.machine._drafts import EvaluationDraft

_MAX_NAMED: Final = 5
_MAX_CRITERION_CHARS: Final = 200


class Contradiction(NamedTuple):
    """Two statements of an evaluation that cannot both hold.

    Attributes:
        what: Which they are.
        advice: How the model puts it right; empty where that is plain.
    """

    what: str
    advice: str = ""

    def line(self) -> str:
        """Return the contradiction as the model reads it."""
        return f"{self.what} {self.advice}".rstrip()


def contradictions(draft: EvaluationDraft) -> list[Contradiction]:
    """Say where an evaluation contradicts itself.

    Args:
        draft: The model's evaluation.

    Returns:
        The contradictions; empty if it agrees with itself. A goal that is said to be reached by
        less than 100 % is none: models round down what they hold to be done.
    """
    remaining = [each for each in draft.remaining_criteria if each.strip()]
    if draft.goal_achieved:
        return [_reached_with(remaining)] if remaining else []
    found: list[Contradiction] = []
    if not remaining:
        found.append(
            Contradiction(
                "goal_achieved is false, but remaining_criteria is empty.",
                "Name there what is not met; if every criterion is met, goal_achieved is true.",
            )
        )
    if draft.completion_percentage == 100:
        found.append(Contradiction("goal_achieved is false, but completion_percentage is 100."))
    return found


def in_words(found: Sequence[Contradiction]) -> str:
    """Say for a person that a model could not say how far the goal is reached.

    Args:
        found: What `contradictions` found; at least one.
    """
    facts = " ".join(each.what for each in found)
    return f"The model's evaluation contradicts itself, however often it is asked: {facts}"


def _reached_with(remaining: Sequence[str]) -> Contradiction:
    named = ", ".join(repr(each[:_MAX_CRITERION_CHARS]) for each in remaining[:_MAX_NAMED])
    more = " and more" if len(remaining) > _MAX_NAMED else ""
    return Contradiction(
        f"goal_achieved is true, but remaining_criteria names {named}{more}.",
        "Empty remaining_criteria if every criterion is met; else goal_achieved is false.",
    )
