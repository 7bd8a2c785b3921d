"""Answers that people give while another process has the session, or nobody has.

They wait in the session's inbox until a run takes them in. A credential goes there only where the
store seals what it keeps, or keeps nothing beyond this process.
"""

from collections.abc import Collection, Sequence
from typing import Final

from pydantic import ValidationError

import mbxai.agent._people as people
from mbxai._redaction import get_logger
from mbxai.agent._human_models import HumanInLoopResponse
from mbxai.agent._people import HumanResponse
from mbxai.agent.machine._inputs import Input, TurnCancelled
from mbxai.agent.machine._snapshot import AgentSnapshot
from mbxai.errors import ConfigurationError, InteractionError, InteractionMismatchError
from mbxai.sessions import CredentialVault, PostedAnswer, SessionStore

logger = get_logger(__name__)

_REVEAL = {"reveal_credentials": True}
_CANCEL: Final = "cancel:"


async def post(
    store: SessionStore,
    snapshot: AgentSnapshot,
    human_response: HumanResponse,
    *,
    scope: str,
    now: float,
) -> None:
    """Check answers against a session and put them into its inbox.

    Args:
        store: Where the session is.
        snapshot: The session's state.
        human_response: One answer, several, or a batch.
        scope: Whose session it is.
        now: When they came, in seconds since 1970.

    Raises:
        InteractionError: An answer does not fit, or the request has another one; those before it
            in a batch may be posted.
        ConfigurationError: An answer brings a credential, and the store keeps it unsealed.
        SessionError: The inbox cannot be written.
    """
    answers = people.as_list(human_response)
    scratch = CredentialVault()
    people.accept(snapshot, answers, scratch, tools=None, now=now)
    is_safe = getattr(store, "is_sealed", False) or getattr(store, "is_volatile", False)
    if scratch.handles(snapshot.agent_id) and not is_safe:
        raise ConfigurationError(
            "The answer brings a credential, which this session store would keep in clear text.",
            hint="Wrap the store: SealedSessionStore(store). Or give the answer to agent().",
        )
    for answer in answers:
        content = {"response": answer.model_dump(mode="json", context=_REVEAL)}
        kept = await store.post_answer(
            snapshot.agent_id, answer.interaction_id, content, scope=scope
        )
        if kept.content is not None and kept.content != content:
            raise InteractionMismatchError(
                f"The request {answer.interaction_id!r} has another answer already.",
                hint="Nothing was changed; the first answer counts.",
                interaction_id=answer.interaction_id,
            )


async def post_cancellation(
    store: SessionStore, snapshot: AgentSnapshot, *, scope: str
) -> PostedAnswer:
    """Note in a session's inbox that its turn is not wanted any more.

    Args:
        store: Where the session is.
        snapshot: The session's state.
        scope: Whose session it is.

    Returns:
        The note; the one that was there if it is not the first.

    Raises:
        SessionError: The inbox cannot be written.
    """
    return await store.post_answer(snapshot.agent_id, _cancellation(snapshot), {}, scope=scope)


def is_cancelled(snapshot: AgentSnapshot, posted: Sequence[PostedAnswer]) -> bool:
    """Say whether the inbox says that this turn is not wanted any more.

    Args:
        snapshot: The session's state.
        posted: What the inbox has.
    """
    name = _cancellation(snapshot)
    return snapshot.can_be_cancelled and any(note.interaction_id == name for note in posted)


def inputs_of(
    snapshot: AgentSnapshot,
    posted: Sequence[PostedAnswer],
    vault: CredentialVault,
    *,
    tools: Collection[str],
) -> list[Input]:
    """Turn what was posted into inputs of the machine.

    Where the turn is cancelled, nothing else counts.

    Args:
        snapshot: The session's state.
        posted: Answers of the inbox, by number.
        vault: Where their credentials go.
        tools: Names of the tools that the client has.

    Returns:
        One input an answer, without secrets. One that does not fit any more (its request has
        expired, or was answered otherwise) is logged and left out.

    Raises:
        ConfigurationError: A tool that an answer lets go on is not there; it is not taken in.
    """
    if is_cancelled(snapshot, posted):
        return [TurnCancelled()]
    wanted = {interaction.id for interaction in snapshot.open_interactions()}
    inputs: list[Input] = []
    for answer in posted:
        if answer.interaction_id.startswith(_CANCEL):  # of a turn that was over already
            continue
        try:
            given = HumanInLoopResponse.model_validate((answer.content or {}).get("response"))
            accepted = people.accept(snapshot, [given], vault, tools=tools, now=answer.posted_at)
        except (InteractionError, ValidationError) as error:
            reason = error if isinstance(error, InteractionError) else type(error).__name__
            logger.warning("agent %s: a posted answer is dropped: %s", snapshot.agent_id, reason)
            continue
        inputs.extend(event for event in accepted if event.interaction_id in wanted)
    return inputs


def _cancellation(snapshot: AgentSnapshot) -> str:
    """The name of the note; of this turn, so that a late one does not end the next."""
    return f"{_CANCEL}{snapshot.turn}"
