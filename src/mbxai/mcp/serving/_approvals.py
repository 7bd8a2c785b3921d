"""What keeps a served tool from running: a person who has not agreed, or a run that was already."""

from collections import OrderedDict
from typing import Final

from mbxai.errors import MCPError
from mbxai.mcp.serving._exchange import Exchange, MissingAbilityError, Question
from mbxai.tools import PendingCall

_MAX_SHOWN_CHARS: Final = 4_000
_MAX_TAKEN: Final = 10_000


async def approval_refusal(exchange: Exchange, waiting: PendingCall) -> str:
    """Ask the client's user whether a call may run; returns why it may not, or nothing if it may.

    Args:
        exchange: The request that the call came with.
        waiting: The call. Its arguments are part of the question, so that an answer counts for them
            alone.

    Raises:
        PausedError: The answer comes with another request.
    """
    name, arguments = waiting.call.name, waiting.call.arguments
    if len(arguments) > _MAX_SHOWN_CHARS:
        return f"{name} needs a person's approval, and its arguments are too long to be shown."
    question = Question(
        ability="elicit",
        method="elicitation/create",
        params={
            "mode": "form",
            "message": f"{name} is about to run with {arguments or '{}'}. Do you agree?",
            "requestedSchema": {"type": "object", "properties": {}},
        },
    )
    try:
        answer = await exchange.ask(question)
    except MissingAbilityError:
        return f"{name} needs a person's approval, and this client cannot ask one."
    except MCPError as error:
        return f"{name} needs a person's approval: {error.message}"
    return "" if answer.get("action") == "accept" else f"{name} was not approved."


class TakenRounds:
    """Which runs of which calls have begun, so that none begins twice."""

    def __init__(self) -> None:
        """Start with none."""
        self._taken: OrderedDict[str, None] = OrderedDict()

    def take(self, name: str) -> bool:
        """Begin a run; returns whether nobody has begun it before.

        Args:
            name: Names the run; a first run has no name, and nothing is known of it.
        """
        if not name:
            return True
        if name in self._taken:
            return False
        self._taken[name] = None
        if len(self._taken) > _MAX_TAKEN:
            self._taken.popitem(last=False)
        return True
