"""Handles in a tool's arguments become credentials, for tools that may have them.

A handle `secret://option/name` is replaced only where it is the whole value of a top-level argument
named `name`, and only for local tools: a server that others run gets no credential this way.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from mbxai.sessions import HANDLE_SCHEME, CredentialVault
from mbxai.wire import ToolInfo

_Object = TypeAdapter(dict[str, Any])  # Any: JSON


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
    if HANDLE_SCHEME not in arguments:
        return Arguments(arguments)
    try:
        parsed = _Object.validate_json(arguments)
    except ValidationError:
        return Arguments(arguments)  # the tool's own validation says what is wrong with it
    for name, value in parsed.items():
        if HANDLE_SCHEME not in json.dumps(value):
            continue
        if not isinstance(value, str) or not value.startswith(HANDLE_SCHEME):
            return Arguments("", f"{name}: a handle must be the whole value of an argument")
        if refusal := _refusal(tool, name, value):
            return Arguments("", refusal)
        secret = vault.resolve(agent_id, value)
        if secret is None:
            return Arguments("", f"{value} is not available any more; ask for it with open_dialog")
        parsed[name] = secret
    return Arguments(json.dumps(parsed))


def injectable(agent_id: str, vault: CredentialVault) -> Mapping[str, str]:
    """Return the session's credentials by name and by `option.name`, for `Secret` parameters.

    Args:
        agent_id: The session.
        vault: Where the credentials are.

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
        by_name[f"{option}.{name}"] = value
        if name in by_name:
            shared.add(name)
        by_name[name] = value
    return {name: value for name, value in by_name.items() if name not in shared}


def _refusal(tool: ToolInfo | None, name: str, handle: str) -> str | None:
    if tool is None or tool.source != "local":
        return f"{name}: this tool may not have credentials"
    given = unquote(handle.rpartition("/")[2])
    if given != name:
        return f"{name}: {handle} may only be passed as an argument named {given}"
    return None
