"""The edge where people's answers come in: shape, secrets, fit. Nothing secret gets past it."""

from collections.abc import Callable, Sequence

import mbxai.agent._answers as answers
from mbxai._redaction import redact_shapes
from mbxai.agent._human_models import (
    AnswerList,
    HumanInLoopResponse,
    HumanInLoopResponseBatch,
    HumanInteractionType,
    Question,
)
from mbxai.agent._inputs import HumanAnswered
from mbxai.agent._snapshot import AgentSnapshot, AnswerRecord
from mbxai.errors import (
    ConfigurationError,
    InteractionMismatchError,
    InteractionNotFoundError,
)
from mbxai.sessions import CredentialVault, handle_of, parse_credentials

HumanResponse = HumanInLoopResponse | HumanInLoopResponseBatch | Sequence[HumanInLoopResponse]
"""What `agent(human_response=...)` takes: one answer, several, or a batch."""


def as_list(response: HumanResponse | None) -> list[HumanInLoopResponse]:
    """Return the answers in any of their forms as a list.

    Args:
        response: One answer, a list, a batch, or None.

    Returns:
        The answers, in order.

    Raises:
        ConfigurationError: Something in it is no answer.
    """
    if response is None:
        return []
    if isinstance(response, HumanInLoopResponse):
        return [response]
    if isinstance(response, HumanInLoopResponseBatch):
        return list(response.responses)
    if not isinstance(response, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
        raise ConfigurationError(
            f"human_response is a {type(response).__name__}.",
            hint="Give HumanInLoopResponse objects: one, a list, or a batch.",
        )
    checked: list[HumanInLoopResponse] = []
    for item in response:
        if not isinstance(item, HumanInLoopResponse):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
            raise ConfigurationError(
                f"human_response holds a {type(item).__name__}.",
                hint="Give HumanInLoopResponse objects: one, a list, or a batch.",
            )
        checked.append(item)
    return checked


def question_of(interaction_id: str, prompt: str) -> Question:
    """Return an open request in the short form that `AnswerList` answers."""
    return Question(question=prompt, key=f"q_{interaction_id}")


def from_answer_list(snapshot: AgentSnapshot, given: AnswerList) -> list[HumanInLoopResponse]:
    """Turn answers by key into answers by request.

    Args:
        snapshot: The session's state.
        given: Answers to `response.questions`.

    Returns:
        One answer a key, in order.

    Raises:
        InteractionNotFoundError: A key belongs to no question of the session.
    """
    ids = {question_of(i.id, i.prompt).key: i.id for i in snapshot.interactions}
    responses: list[HumanInLoopResponse] = []
    for answer in given.answers:
        if answer.key not in ids:
            raise InteractionNotFoundError(
                f"No question has the key {answer.key!r}.",
                hint="Use the keys of response.questions.",
                interaction_id=answer.key,
            )
        responses.append(
            HumanInLoopResponse(
                interaction_id=ids[answer.key],
                response_type=HumanInteractionType.QUESTION,
                answer=answer.answer,
            )
        )
    return responses


def accept(
    snapshot: AgentSnapshot, responses: Sequence[HumanInLoopResponse], vault: CredentialVault
) -> list[HumanAnswered]:
    """Check answers, put their credentials into the vault, and return what is left of them.

    All are checked before any credential is kept, so a batch with a wrong answer changes nothing.

    Args:
        snapshot: The session's state.
        responses: The answers.
        vault: Where credentials go.

    Returns:
        One input of the machine an answer, without secrets.

    Raises:
        InteractionNotFoundError: An answer names a request that the session does not have.
        InteractionMismatchError: An answer does not fit its request.
    """
    accepted: dict[str, tuple[HumanAnswered, dict[str, str]]] = {}
    credentials: list[tuple[str, dict[str, str]]] = []
    for response in responses:
        secrets = _secrets(snapshot, response)
        record = _record(response, secrets, lambda text: vault.scrub(snapshot.agent_id, text))
        interaction, record = answers.check(snapshot, response.interaction_id, record)
        given = (HumanAnswered(interaction_id=interaction.id, answer=record), secrets)
        changed = interaction.answer is not None and _differ(snapshot, record, secrets, vault)
        if accepted.setdefault(interaction.id, given) != given or changed:
            raise InteractionMismatchError(
                f"The request {interaction.id!r} has two different answers.",
                hint="Nothing was changed; give one answer to each request.",
                interaction_id=interaction.id,
            )
        if secrets and answers.wants_answer(interaction):
            credentials.append((str(response.dialog_option_id), secrets))
    for option_id, secrets in credentials:
        vault.put(snapshot.agent_id, option_id, secrets)
    return [given for given, _secrets_of_it in accepted.values()]


def _secrets(snapshot: AgentSnapshot, response: HumanInLoopResponse) -> dict[str, str]:
    """Everything in a DIALOG_OPTION's answer is secret; other answers bring no credentials."""
    if response.response_type is not HumanInteractionType.DIALOG_OPTION:
        return {}
    option = next((o for o in snapshot.dialog_options if o.id == response.dialog_option_id), None)
    fields: object = option.parameters.get("fields") if option else None
    names = [str(name) for name in fields] if isinstance(fields, (list, tuple)) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # the application's JSON
    texts = [text for text in (response.answer, response.decision) if text]
    secrets = {f"value_{number}": text for number, text in enumerate(texts, 1)}
    if response.additional_context:
        secrets.update(parse_credentials(response.additional_context, names))
    for name, value in response.credentials.items():
        secrets[name] = value if isinstance(value, str) else value.get_secret_value()
    return secrets


def _differ(
    snapshot: AgentSnapshot, record: AnswerRecord, secrets: dict[str, str], vault: CredentialVault
) -> bool:
    """Whether credentials that are still kept are other ones than these."""
    kept = {handle: vault.resolve(snapshot.agent_id, handle) for handle in record.provides}
    return any(
        kept[handle] not in (None, value)
        for handle, value in zip(record.provides, secrets.values(), strict=True)
    )


def _record(
    response: HumanInLoopResponse, secrets: dict[str, str], scrub: Callable[[str], str]
) -> AnswerRecord:
    option_id = response.dialog_option_id
    if response.response_type is HumanInteractionType.DIALOG_OPTION:
        return AnswerRecord(
            response_type=response.response_type,
            dialog_option_id=option_id,
            provides=tuple(handle_of(str(option_id), name) for name in secrets),
        )
    answer, note = response.answer, response.additional_context
    if response.response_type is HumanInteractionType.DECISION and not note:
        answer, note = None, answer or ""
    return AnswerRecord(
        response_type=response.response_type,
        decision=response.decision,
        answer=scrub(redact_shapes(answer)) if answer else None,
        note=scrub(redact_shapes(note)),
    )
