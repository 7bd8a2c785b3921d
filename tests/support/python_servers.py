"""The protocol's reference servers from PyPI; they come with the dependency group `test`."""

import importlib.util
import sys
from pathlib import Path

from support.node_servers import missing


def git_command(repository: Path) -> list[str]:
    """The command of the git server for one repository."""
    return [*_command("mcp_server_git"), "--repository", str(repository)]


def time_command() -> list[str]:
    """The command of the server that knows what time it is."""
    return [*_command("mcp_server_time"), "--local-timezone", "UTC"]


def _command(module: str) -> list[str]:
    if importlib.util.find_spec(module) is None:
        missing(f"the package {module.replace('_', '-')} is")
    return [sys.executable, "-m", module]
