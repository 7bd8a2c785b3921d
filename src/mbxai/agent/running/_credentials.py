"""Handles in a tool's arguments become credentials, for tools that may have them.

A handle `secret://option/name` is replaced only as the whole value of a top-level argument. Which
tools may have it, the dialogue option says (`allowed_tools`); if it does not, only tools of one's
own may, in an argument of the credential's name: a server that others run gets no credential that
it was not granted. In any other place, and in disguise, a handle is refused.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from mbxai._redaction import get_logger
from mbxai.agent._concealing import ANSWERED
from mbxai.agent.machine._snapshot import StoredAnswer, StoredQuestion
from mbxai.sessions import HANDLE_SCHEME, CredentialVault
from mbxai.wire import ToolAnswer, ToolInfo, is_credential_field

logger = get_logger(__name__)

ELICITED: Final = "elicited:"
"""Begins the option under which a tool's answers are kept: they are for that tool alone."""

_Object = TypeAdapter(dict[str, Any])  # Any: JSON

# "secret://" as Base64 writes it, at each of the three places where it may begin, in the letters
# that do not depend on what stands around it.
_ENCODED: Final = ("c2VjcmV0Oi8v", "NlY3JldDovL", "zZWNyZXQ6Ly")


class Arguments(NamedTuple):
    """Arguments ready to run, or the reason why they are not.

    Attributes:
        text: JSON text with credentials in place; never shown to anybody but the tool.
        refusal: What to tell the model; None if the call may run.
    """

    text: str
    refusal: str | None = None


def resolved(
    agent_id: str, tool: ToolInfo | None, arguments: str, vault: CredentialVault
) -> Arguments:
    """Put credentials into a call's arguments.

    Args:
        agent_id: The session whose credentials may be used.
        tool: The tool; None if there is none of that name.
        arguments: JSON text as the model wrote it.
        vault: Where the credentials are.

    Returns:
        The arguments, or a refusal.
    """
    try:
        parsed = _Object.validate_json(arguments)
    except ValidationError:
        return Arguments(arguments)  # the tool's own validation says what is wrong with it
    changed = False
    for name, value in parsed.items():
        if not any(map(_mentions_handle, (name, *_strings(value)))):
            continue
        if not isinstance(value, str) or not value.startswith(HANDLE_SCHEME):
            return Arguments("", f"{name}: a handle must be the whole value of an argument")
        if refusal := _refusal(tool, name, value, vault.allowed_tools(agent_id, value)):
            return Arguments("", refusal)
        secret = vault.resolve(agent_id, value)
        if secret is None:
            return Arguments("", _lost(value, vault.handles(agent_id)))
        parsed[name], changed = secret, True
    return Arguments(json.dumps(parsed) if changed else arguments)


def injectable(agent_id: str, vault: CredentialVault, *, tool: str = "") -> Mapping[str, str]:
    """Return the session's credentials by name and by `option.name`, for `Secret` parameters.

    Args:
        agent_id: The session.
        vault: Where the credentials are.
        tool: Name of the tool that gets them; those that are for other tools are left out.

    Returns:
        Values by name; a name that two options share is only there as `option.name`.
    """
    by_name: dict[str, str] = {}
    shared: set[str] = set()
    for handle in vault.handles(agent_id):
        value = vault.resolve(agent_id, handle)
        if value is None:
            continue
        option, _, name = map(unquote, handle.removeprefix(HANDLE_SCHEME).rpartition("/"))
        allowed = vault.allowed_tools(agent_id, handle)
        if option.startswith((ELICITED, ANSWERED)) or (allowed is not None and tool not in allowed):
            continue
        by_name[f"{option}.{name}"] = value
        if name in by_name:
            shared.add(name)
        by_name[name] = value
    return {name: value for name, value in by_name.items() if name not in shared}


def elicited(
    agent_id: str, answer: StoredAnswer | None, vault: CredentialVault
) -> ToolAnswer | None:
    """Return a person's answer as the tool that asked gets it.

    Args:
        agent_id: The session.
        answer: The answer as it is stored.
        vault: Where the values are that look like credentials.

    Returns:
        The answer; "cancel" if such a value is not kept any more.
    """
    if answer is None:
        return None
    content, state = dict(answer.content), answer.state
    handles = [handle for handle in (*answer.withheld, state) if _is_elicited(handle)]
    values = {handle: vault.resolve(agent_id, handle) for handle in handles}
    if None in values.values():
        logger.warning("agent %s: an answer is not kept any more, its tool gets none", agent_id)
        return ToolAnswer(action="cancel", state=answer.state)
    content |= {unquote(handle.rpartition("/")[2]): values[handle] for handle in answer.withheld}
    return ToolAnswer(action=answer.action, content=content, state=values.get(state) or state)


def concealed(
    agent_id: str, call_id: str, question: StoredQuestion, vault: CredentialVault
) -> StoredQuestion:
    """Return a tool's question as it may be stored.

    Args:
        agent_id: The session.
        call_id: Id of the tool's call.
        question: What the tool wants to know. Its state may hold earlier answers.
        vault: Where a state goes that holds one that looks like a credential.
    """
    if vault.scrub(agent_id, question.state) == question.state:
        return question
    (handle,) = vault.put(agent_id, f"{ELICITED}{call_id}", {"state": question.state})
    return question.model_copy(update={"state": handle})


def _is_elicited(text: str) -> bool:
    return text.startswith(HANDLE_SCHEME) and _option_of(text).startswith(ELICITED)


def _option_of(handle: str) -> str:
    return unquote(handle.removeprefix(HANDLE_SCHEME).rpartition("/")[0])


def _refusal(
    tool: ToolInfo | None, name: str, handle: str, allowed: tuple[str, ...] | None
) -> str | None:
    """Say why a tool may not have a credential; None if it may."""
    option, given = _option_of(handle), unquote(handle.rpartition("/")[2])
    if tool is None or option.startswith(ELICITED):
        return f"{name}: this tool may not have credentials"
    if allowed is not None:
        return None if tool.name in allowed else f"{name}: {tool.name} may not have {handle}"
    if tool.source != "local":
        return f"{name}: this tool may not have credentials"
    # What a person wrote into an answer has no name that a tool could know.
    if name == given or (option.startswith(ANSWERED) and is_credential_field(name, {})):
        return None
    if option.startswith(ANSWERED):
        return f"{name}: {handle} may only be passed as an argument for a credential"
    return f"{name}: {handle} may only be passed as an argument named {given}"


def _lost(handle: str, known: list[str]) -> str:
    """Say what to do about a handle with nothing behind it, so that nobody is asked in vain."""
    option = _option_of(handle)
    others = [other for other in known if _option_of(other) == option]
    if others:
        return f"there is no {handle}; this dialogue gave only {', '.join(others)}"
    if option.startswith(ANSWERED):
        return f"{handle} is not available any more; ask the person again"
    return f"{handle} is not available any more; ask for it with open_dialog"


def _mentions_handle(text: str) -> bool:
    """Tell whether a text holds a handle, as it is or encoded."""
    if any(core in text for core in _ENCODED):
        return True
    readings = (text, unquote(text), unquote(unquote(text)))
    return any(HANDLE_SCHEME in reading.replace("\\", "").casefold() for reading in readings)


def _strings(value: object) -> Iterator[str]:
    """Yield every string in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _strings(item)
