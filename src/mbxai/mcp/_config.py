"""Files that name MCP servers: `mcpServers` of Claude and Cursor, `servers` of VS Code.

Read and checked here, nothing is connected. Errors say which file, server and key, and never a
value.
"""

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import anyio.to_thread

from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError
from mbxai.mcp._config_entry import URL_KEYS, ConfiguredServer, Entry, json_kind
from mbxai.mcp._config_text import ConfigInput, InputSource, Variables, parse_jsonc, read_inputs

logger = get_logger(__name__)

ConfigSource: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]  # Any: JSON
"""The path of a configuration file, or what such a file holds."""

_MAX_FILE_BYTES: Final = 4 * 1_048_576
_NO_FILE: Final = "the MCP configuration"
# The folders in which editors keep the file of a project.
_EDITOR_FOLDERS: Final = frozenset({".vscode", ".cursor", ".claude", ".windsurf"})


async def load_servers(
    source: ConfigSource,
    *,
    only: Collection[str] | None = None,
    variables: Mapping[str, str] | None = None,
    inputs: InputSource | None = None,
) -> dict[str, ConfiguredServer]:
    """Read a configuration, a file in a worker thread.

    Args:
        source: A path, or a parsed configuration.
        only: Names of the servers that are wanted; all by default. Of the others not even the
            variables need be known.
        variables: What `${NAME}` stands for; the environment by default.
        inputs: Answers to the inputs of a VS Code file: by id, or a blocking function that asks
            for one, in a worker thread.

    Returns:
        The servers that are not disabled, by name; see `read_servers`.

    Raises:
        ConfigurationError: The file cannot be read, or something in it is wrong.
    """

    def load() -> dict[str, ConfiguredServer]:
        if isinstance(source, Mapping):
            return read_servers(source, only=only, variables=variables, inputs=inputs)
        path = _path(source)
        data = parse_jsonc(_text_of(path), str(path))
        return read_servers(
            data, only=only, variables=variables, inputs=inputs, where=str(path), folder=path.parent
        )

    return await anyio.to_thread.run_sync(load)


def read_servers(
    data: object,
    *,
    only: Collection[str] | None = None,
    variables: Mapping[str, str] | None = None,
    inputs: InputSource | None = None,
    where: str = _NO_FILE,
    folder: Path | None = None,
) -> dict[str, ConfiguredServer]:
    """Return the servers that a parsed configuration describes.

    `mcpServers`, `servers` and a bare mapping of servers are understood. A server has `command`,
    `args`, `env` and `cwd`, or `url` and `headers`; besides that `type` or `transport` (stdio,
    http, streamable-http, sse), `timeout` in seconds, `disabled`, `allowedTools` or `includeTools`,
    and `excludeTools` or `disabledTools`, and all of `ServerOptions` under their own names, as
    `"requires_approval": true`. What a file allows without asking (`alwaysAllow` and the
    like) does not count: approval is the application's. Unknown keys are logged.

    Args:
        data: What the file holds.
        only: As for `load_servers`.
        variables: As for `load_servers`.
        inputs: As for `load_servers`; a function is called here and now.
        where: What errors call the file.
        folder: The folder of the file, for `${workspaceFolder}`.

    Raises:
        ConfigurationError: Something is missing, unknown or of the wrong kind.
    """
    servers, declared = _parts(data, where)
    _check_wanted(only, servers, where)
    if folder is not None and folder.name in _EDITOR_FOLDERS:
        folder = folder.parent
    known = Variables(
        os.environ if variables is None else variables,
        inputs=declared,
        answers=inputs,
        folder=None if folder is None else folder.absolute(),
    )
    found: dict[str, ConfiguredServer] = {}
    for name, given in servers.items():
        if only is not None and name not in only:
            continue
        entry = Entry(name, given, f"{where}: server {name!r}", known)
        if entry.is_disabled():
            logger.info("MCP server %s is disabled in its configuration", name)
        else:
            found[name] = entry.server()
    return found


def _parts(data: object, where: str) -> tuple[dict[str, Any], dict[str, ConfigInput]]:
    """The servers and the inputs of a file, whoever it was written for."""
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{where}: must be an object, not {json_kind(data)}.")
    root = cast("Mapping[str, Any]", data)
    settings = root.get("mcp")  # VS Code's settings.json
    if isinstance(settings, Mapping) and ("servers" in settings or "mcpServers" in settings):
        root = cast("Mapping[str, Any]", settings)
    inputs = read_inputs(root["inputs"], where) if root.get("inputs") is not None else {}
    servers: dict[str, Any] = {}
    groups = [key for key in ("mcpServers", "servers") if root.get(key) is not None]
    for key in groups:
        group = root[key]
        if not isinstance(group, Mapping):
            raise ConfigurationError(
                f'{where}: "{key}" must be an object of servers, not {json_kind(group)}.'
            )
        for name, entry in cast("Mapping[str, Any]", group).items():
            if name in servers:
                raise ConfigurationError(f"{where}: there are two servers {name!r}.")
            servers[name] = entry
    if groups:
        return servers, inputs
    if root and all(_looks_like_a_server(value) for value in root.values()):
        return dict(root), inputs
    raise ConfigurationError(
        f'{where}: names no servers; expected "mcpServers" or "servers" at its root.',
        hint='For example {"mcpServers": {"files": {"command": "npx", "args": ["-y", "..."]}}}.',
    )


def _looks_like_a_server(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    fields = cast("Mapping[str, object]", value)
    return any(key in fields for key in ("command", *URL_KEYS))


def _check_wanted(only: Collection[str] | None, servers: Mapping[str, Any], where: str) -> None:
    if isinstance(only, str):
        raise ConfigurationError("only must be a list of names, not one text.")
    for name in only or ():
        if name not in servers:
            near = difflib.get_close_matches(name, servers, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(servers)}."
            raise ConfigurationError(f"{where}: there is no server {name!r}.", hint=hint)


def _path(source: object) -> Path:
    try:
        return Path(cast("str | os.PathLike[str]", source)).expanduser()
    except (TypeError, RuntimeError) as error:
        raise ConfigurationError(
            "An MCP configuration must be the path of a file or a mapping,"
            f" not {type(source).__name__}."
        ) from error


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: there is no such file.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not in UTF-8.") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(f"{path}: cannot be read: {reason or 'it is no path'}.") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigurationError(f"{path}: no configuration, it is larger than 4 MiB.")
    return text
