"""The edge where people's answers come in: shape, secrets, fit. Nothing secret gets past it."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import mbxai.agent._concealing as concealing
import mbxai.agent.machine._answers as answers
from mbxai._redaction import get_logger, redact_shapes
from mbxai.agent._human_models import (
    AnswerList,
    DialogOption,
    HumanInLoopResponse,
    HumanInLoopResponseBatch,
    HumanInteractionType,
    Question,
)
from mbxai.agent.machine._inputs import HumanAnswered
from mbxai.agent.machine._lengths import is_unicode
from mbxai.agent.machine._snapshot import AgentSnapshot, AnswerRecord, Interaction
from mbxai.agent.running._credentials import ELICITED
from mbxai.errors import (
    ConfigurationError,
    InteractionMismatchError,
    InteractionNotFoundError,
)
from mbxai.sessions import HANDLE_SCHEME, CredentialVault, handle_of, parse_credentials

logger = get_logger(__name__)

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
        ConfigurationError: It is no `AnswerList`.
    """
    if not isinstance(given, AnswerList):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
        raise ConfigurationError(
            f"answers is a {type(given).__name__}.", hint="Give an AnswerList."
        )
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
    snapshot: AgentSnapshot,
    responses: Sequence[HumanInLoopResponse],
    vault: CredentialVault,
    *,
    tools: Collection[str] | None,
    now: float = 0.0,
) -> list[HumanAnswered]:
    """Check answers, put their credentials into the vault, and return what is left of them.

    All are checked before any credential is kept, so a batch with a wrong answer changes nothing.

    Args:
        snapshot: The session's state.
        responses: The answers.
        vault: Where credentials go.
        tools: Names of the tools that the client has; None: another client will run them.
        now: When the answers came, in seconds since 1970; 0.0: not known.

    Returns:
        One input of the machine an answer, without secrets.

    Raises:
        InteractionNotFoundError: An answer names a request that the session does not have.
        InteractionMismatchError: An answer does not fit its request.
        InteractionExpiredError: An answer came after its request's deadline.
        ConfigurationError: A tool that an answer lets go on is not there.
    """
    accepted: dict[str, tuple[HumanAnswered, _Secrets]] = {}
    kept: list[_Accepted] = []
    for response in responses:
        asked = answers.find(snapshot, response.interaction_id)
        answers.check_in_time(asked, now)
        given = _accepted(snapshot, asked, response, vault)
        interaction, record = answers.check(snapshot, asked.id, given.record, now=now)
        is_wanted = answers.wants_answer(interaction)
        if is_wanted and tools is not None:
            _check_tool(snapshot, interaction, record, tools)
        answered = HumanAnswered(now=now, interaction_id=interaction.id, answer=record)
        pair = (answered, given.secrets)
        changed = interaction.answer is not None and _differ(snapshot, record, given.secrets, vault)
        if accepted.setdefault(interaction.id, pair) != pair or changed:
            raise InteractionMismatchError(
                f"The request {interaction.id!r} has two different answers.",
                hint="Nothing was changed; give one answer to each request.",
                interaction_id=interaction.id,
            )
        if given.secrets and is_wanted:
            kept.append(given)
    for given in kept:
        _keep(snapshot, given, vault)
    return [answered for answered, _secrets_of_it in accepted.values()]


class _Secrets(dict[str, str]):
    """Secrets by name; they print as dots, so that no traceback with locals shows them."""

    def __repr__(self) -> str:
        return "••••••"


class _Accepted(NamedTuple):
    """An answer taken apart.

    Attributes:
        record: What is left without the secrets.
        secrets: Value by name.
        option_id: Under which the secrets are kept.
        allowed_tools: Which tools may have them; None: not said.
    """

    record: AnswerRecord
    secrets: _Secrets
    option_id: str
    allowed_tools: list[str] | None = None


def _accepted(
    snapshot: AgentSnapshot,
    asked: Interaction,
    response: HumanInLoopResponse,
    vault: CredentialVault,
) -> _Accepted:
    if asked.question is not None:
        option_id = f"{ELICITED}{asked.id}"
        return _Accepted(*_told_a_tool(snapshot, asked, response, option_id, vault), option_id)
    if response.response_type is not HumanInteractionType.DIALOG_OPTION:
        return _in_words(snapshot, asked, response, vault)
    option_id = str(response.dialog_option_id)
    option = next((o for o in snapshot.dialog_options if o.id == option_id), None)
    secrets = _secrets(option, response)
    if not all(map(is_unicode, secrets)):
        raise InteractionMismatchError(
            f"The answer to request {asked.id!r} does not fit: the name of a credential holds half "
            "of a surrogate pair.",
            hint="Nothing was changed; answer again.",
            interaction_id=asked.id,
        )
    record = AnswerRecord(
        response_type=response.response_type,
        dialog_option_id=response.dialog_option_id,
        provides=tuple(handle_of(option_id, name) for name in secrets),
    )
    return _Accepted(record, secrets, option_id, option.allowed_tools if option else None)


def _keep(snapshot: AgentSnapshot, given: _Accepted, vault: CredentialVault) -> None:
    if given.option_id.startswith(concealing.ANSWERED):
        logger.warning(
            "agent %s: an answer in words holds what looks like a credential; it is kept apart, "
            "and a handle stands in its place. Offer a dialogue option for credentials.",
            snapshot.agent_id,
        )
    vault.put(snapshot.agent_id, given.option_id, given.secrets, allowed_tools=given.allowed_tools)


def _in_words(
    snapshot: AgentSnapshot,
    asked: Interaction,
    response: HumanInLoopResponse,
    vault: CredentialVault,
) -> _Accepted:
    """Return a QUESTION's or DECISION's answer with handles in the place of credentials."""
    option_id = f"{concealing.ANSWERED}{asked.id}"
    answer, note = response.answer or "", response.additional_context
    if response.response_type is HumanInteractionType.DECISION and not note:
        answer, note = "", answer
    scrub = vault.scrubber(snapshot.agent_id)
    secrets = _Secrets(
        (name, value)
        for name, value in concealing.credentials_in(answer, note).items()
        if not _has_another_handle(scrub(value), option_id)
    )
    handles = {value: handle_of(option_id, name) for name, value in secrets.items()}
    record = AnswerRecord(
        response_type=response.response_type,
        decision=response.decision,
        answer=concealing.concealed(answer, handles, scrub) or None,
        note=concealing.concealed(note, handles, scrub),
        provides=tuple(handles.values()),
    )
    return _Accepted(record, secrets, option_id)


def _has_another_handle(scrubbed: str, option_id: str) -> bool:
    """Tell whether a value was known before the answer came."""
    own = handle_of(option_id, "")
    return scrubbed.startswith(HANDLE_SCHEME) and not scrubbed.startswith(own)


def _check_tool(
    snapshot: AgentSnapshot, asked: Interaction, answer: AnswerRecord, tools: Collection[str]
) -> None:
    """Refuse an answer with which a tool would go on that is not there: it would be lost."""
    wanted, source = answers.tool_let_on(snapshot, asked, answer)
    if not wanted or wanted in tools:
        return
    of_server = f" of the MCP server {source!r}" if source else ""
    raise ConfigurationError(
        f"The session waits for the tool {wanted!r}{of_server}, which the client does not have.",
        hint="Nothing was changed; register it, then answer again. Or decline.",
    )


def _told_a_tool(
    snapshot: AgentSnapshot,
    asked: Interaction,
    response: HumanInLoopResponse,
    option_id: str,
    vault: CredentialVault,
) -> tuple[AnswerRecord, _Secrets]:
    """Return an answer to a tool without the values that look like credentials, and those."""
    record = answers.fitted(
        asked,
        AnswerRecord(
            response_type=response.response_type,
            decision=response.decision,
            answer=response.answer,
            content=response.content,
        ),
    )
    values = record.content or {}
    secrets = _Secrets(
        (name, value)
        for name, value in values.items()
        if isinstance(value, str) and vault.scrub(snapshot.agent_id, redact_shapes(value)) != value
    )
    changes = {
        "content": {name: value for name, value in values.items() if name not in secrets},
        "provides": tuple(handle_of(option_id, name) for name in secrets),
    }
    return (record.model_copy(update=changes) if secrets else record), secrets


def _secrets(option: DialogOption | None, response: HumanInLoopResponse) -> _Secrets:
    """Return what a DIALOG_OPTION's answer brings: everything in it is secret."""
    fields: object = option.parameters.get("fields") if option else None
    names = [str(name) for name in fields] if isinstance(fields, (list, tuple)) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # the application's JSON
    texts = [text for text in (response.answer, response.decision) if text]
    secrets = _Secrets({f"value_{number}": text for number, text in enumerate(texts, 1)})
    if response.additional_context:
        secrets.update(parse_credentials(response.additional_context, names))
    for name, value in response.credentials.items():
        secrets[name] = value if isinstance(value, str) else value.get_secret_value()
    return secrets


def _differ(
    snapshot: AgentSnapshot, record: AnswerRecord, secrets: _Secrets, vault: CredentialVault
) -> bool:
    """Whether credentials that are still kept are other ones than these."""
    kept = {handle: vault.resolve(snapshot.agent_id, handle) for handle in record.provides}
    return any(
        kept[handle] not in (None, value)
        for handle, value in zip(record.provides, secrets.values(), strict=True)
    )
