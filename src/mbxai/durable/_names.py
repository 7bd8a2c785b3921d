"""How workflows and queues are called, and which workflow belongs to which turn. Pure."""

import hashlib
import json
import re
from typing import Final

from mbxai.errors import ConfigurationError

_VERSION: Final = 1

MAX_WORKERS: Final = 256
"""Workers of one name at once."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{2,63}")


def checked_name(name: str) -> str:
    """Return a name that workflows and queues can have.

    Args:
        name: What the caller gave.

    Raises:
        ConfigurationError: It cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"name is {name!r:.80}.",
            hint="Use 3 to 64 lower-case letters, digits, '_' and '-', a letter or digit first.",
        )
    return name


def version(name: str) -> str:
    """Return the version of the workflows, which the engine compares.

    It changes with their bodies only, so that a new release of the application takes up the
    sessions that wait.
    """
    return f"{name}.{_VERSION}"


def turn_workflow(name: str) -> str:
    """Return the workflow that sees a turn through."""
    return f"{name}.turn"


def run_workflow(name: str) -> str:
    """Return the workflow that runs a session until it rests."""
    return f"{name}.run"


def schedule_workflow(name: str) -> str:
    """Return the workflow that a schedule begins."""
    return f"{name}.schedule"


def turns_queue(name: str) -> str:
    """Return the queue of turns, which has no limit: most of them wait for people."""
    return f"{name}.turns"


def runs_queue(name: str) -> str:
    """Return the queue whose limits bound how many sessions run at once."""
    return f"{name}.runs"


def executor(name: str, slot: int) -> str:
    """Return what the engine calls the worker in a slot."""
    return f"{name}-{slot}"


def turn_prefix(name: str, scope: str, agent_id: str, turn: int) -> str:
    """Return the beginning of the ids of a turn's workflows.

    The session is named by a digest: ids of any length and alphabet fit, and a list of workflows
    gives no session away.

    Args:
        name: The durable agent's name.
        scope: Whose session.
        agent_id: Which session.
        turn: Which turn, from 1.
    """
    session = hashlib.sha256(json.dumps([scope, agent_id]).encode()).hexdigest()[:40]
    return f"{name}:{session}:{turn}:"


def attempt_of(workflow_id: str) -> int:
    """Return which workflow of its turn an id names, from 0."""
    return int(workflow_id.rsplit(":", 1)[-1])
