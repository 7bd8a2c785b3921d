"""One server of a configuration file: its keys, checked, as arguments of `register_mcp_server`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

from mbxai._redaction import get_logger
from mbxai.errors import ConfigurationError
from mbxai.mcp._config_text import Variables
from mbxai.mcp._options import ServerOptions
from mbxai.mcp.registry._policy import OPTION_NAMES

logger = get_logger(__name__)

Transport: TypeAlias = Literal["stdio", "auto", "http", "sse"]
T = TypeVar("T")

URL_KEYS: Final = ("url", "serverUrl", "httpUrl")
"""What programs call the address of a server."""

_KIND_KEYS: Final = ("type", "transport")
_ALLOWED_KEYS: Final = ("allowedTools", "includeTools", "enabledTools", "tools")
_EXCLUDED_KEYS: Final = ("excludeTools", "excludedTools", "disabledTools", "exclude_tools")
_TRUST_KEYS: Final = ("alwaysAllow", "autoApprove", "trust")
_KNOWN_KEYS: Final = frozenset(
    {
        *("command", "args", "env", "cwd", "headers", "timeout", "disabled", "enabled"),
        *URL_KEYS,
        *_KIND_KEYS,
        *_ALLOWED_KEYS,
        *_EXCLUDED_KEYS,
        *_TRUST_KEYS,
        *("name", "description", "icon"),  # for people
        *OPTION_NAMES,
    }
)
# What may stand in a file as `ServerOptions` has it; lists of names are read by themselves.
_OWN_KEYS: Final = tuple(
    name for name in OPTION_NAMES if name not in ("tools", "exclude_tools", "roots")
)
_TRANSPORTS: Final[Mapping[str, Transport]] = {
    "stdio": "stdio",
    "local": "stdio",
    "http": "http",
    "streamablehttp": "http",
    "sse": "sse",
}
# Nobody waits for so many seconds; some programs count in milliseconds.
_DOUBTFUL_SECONDS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredServer:
    """A server as a file describes it: the arguments of `register_mcp_server`.

    Attributes:
        name: Its name in the file.
        base_url: Where it is; None for a server with a command.
        command: What starts it, word by word; None for a server with a URL.
        env: Environment variables of the command.
        cwd: Working directory of the command; None where the file says none.
        headers: HTTP headers for this server.
        transport: Which way to take for a URL.
        timeout: Seconds for one call; None where the file says nothing.
        options: What the file says of the server's tools.
    """

    name: str
    base_url: str | None = field(default=None, repr=False)
    command: tuple[str, ...] | None = field(default=None, repr=False)
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    transport: Literal["auto", "http", "sse"] = "auto"
    timeout: float | None = None
    options: ServerOptions = field(default_factory=ServerOptions)


class Entry:
    """One server of a file, while it is read."""

    def __init__(self, name: str, given: object, where: str, variables: Variables) -> None:
        self._name = name
        self._where = where
        self._variables = variables
        if not name.strip():
            raise ConfigurationError(f"{where}: a server needs a name.")
        self._fields = self._object(given, "it")

    def is_disabled(self) -> bool:
        disabled = self._one("disabled", bool, "true or false")
        enabled = self._one("enabled", bool, "true or false")
        return disabled is True or enabled is False

    def server(self) -> ConfiguredServer:
        self._log_what_is_ignored()
        url = next((url for key in URL_KEYS if (url := self._text(key)) is not None), None)
        command = self._command()
        kind = self._kind()
        if (url is None) == (command is None):
            what = "needs a command or a URL" if url is None else "has both a command and a URL"
            raise ConfigurationError(
                f"{self._where} {what}.", hint='Write "command" and "args", or "url".'
            )
        if kind == "stdio" and command is None:
            raise self._error("type", 'is stdio, which needs a "command"')
        if kind in ("http", "sse") and url is None:
            raise self._error("type", f'is {kind}, which needs a "url"')
        env, headers = self._texts("env"), self._texts("headers")
        options, timeout = self._options(), self._timeout()
        if command is not None:
            self._log_useless(headers, "headers", "a URL")
            return ConfiguredServer(
                name=self._name,
                command=command,
                env=env,
                cwd=self._text("cwd"),
                timeout=timeout,
                options=options,
            )
        self._log_useless(env, "env", "a command")
        return ConfiguredServer(
            name=self._name,
            base_url=url,
            headers=headers,
            transport=kind if kind in ("http", "sse") else "auto",
            timeout=timeout,
            options=options,
        )

    def _command(self) -> tuple[str, ...] | None:
        given: object = self._fields.get("command")
        if given is None:
            return None
        if isinstance(given, list):
            words = self._list("command")
        else:
            # A path may hold blanks, the name of a program does not.
            if re.match(r"\s*[^\s/\\]+\s+\S", self._one("command", str, "a text") or ""):
                raise self._error(
                    "command", "must be one program, without its arguments", 'Put them in "args".'
                )
            words = [self._text("command") or ""]
        if not words or not words[0].strip():
            raise self._error("command", "is empty")
        return (*words, *self._list("args"))

    def _kind(self) -> Transport:
        for key in _KIND_KEYS:
            given = self._one(key, str, "a text")
            if given is None:
                continue
            kind = _TRANSPORTS.get(re.sub(r"[-_\s]", "", given.lower()))
            if kind is None:
                raise self._error(key, "must be stdio, http, streamable-http or sse")
            return kind
        return "http" if self._fields.get("httpUrl") is not None else "auto"

    def _timeout(self) -> float | None:
        given: object = self._fields.get("timeout")
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
            raise self._error("timeout", "must be a number of seconds above 0")
        if given >= _DOUBTFUL_SECONDS:
            logger.warning(
                "%s: timeout is %s seconds; perhaps milliseconds were meant", self._where, given
            )
        return float(given)

    def _options(self) -> ServerOptions:
        own = {key: self._fields[key] for key in _OWN_KEYS if self._fields.get(key) is not None}
        options = cast("ServerOptions", own)
        if self._fields.get("roots") is not None:
            options["roots"] = self._list("roots")
        allowed = [name for key in _ALLOWED_KEYS for name in self._list(key)]
        if any(self._fields.get(key) is not None for key in _ALLOWED_KEYS):
            options["tools"] = allowed
        excluded = [name for key in _EXCLUDED_KEYS for name in self._list(key)]
        if excluded:
            options["exclude_tools"] = excluded
        return options

    def _texts(self, key: str) -> dict[str, str]:
        """An object of texts; numbers count as texts, and null as nothing."""
        texts: dict[str, str] = {}
        for name, value in self._object(self._fields.get(key) or {}, f'"{key}"').items():
            if value is None:
                continue
            place = f"{key}.{name}"
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise self._error(place, "must be a text")
            text = self._expanded(str(value), place, name=name)
            if key == "headers" and not text.isprintable():
                raise self._error(place, "cannot be put into a header: it has a line break in it")
            texts[name] = text
        return texts

    def _list(self, key: str) -> list[str]:
        given: object = self._fields.get(key)
        if given is None:
            return []
        if not isinstance(given, (list, tuple)):
            raise self._wrong(f'"{key}"', "a list of texts", given)
        texts: list[str] = []
        for i, word in enumerate(cast("Sequence[object]", given)):
            if not isinstance(word, str):
                raise self._error(key, "must be a list of texts", "Put numbers in quotation marks.")
            texts.append(self._expanded(word, f"{key}[{i}]"))
        return texts

    def _text(self, key: str) -> str | None:
        given = self._one(key, str, "a text")
        return None if given is None else self._expanded(given, key)

    def _one(self, key: str, kind: type[T], what: str) -> T | None:
        given: object = self._fields.get(key)
        if given is None or isinstance(given, kind):
            return given
        raise self._wrong(f'"{key}"', what, given)

    def _object(self, given: object, called: str) -> dict[str, Any]:
        if not isinstance(given, Mapping):
            raise self._wrong(called, "an object", given)
        return dict(cast("Mapping[str, Any]", given))

    def _expanded(self, text: str, place: str, *, name: str = "") -> str:
        return self._variables.expand(text, f"{self._where}, {place}", key=name)

    def _wrong(self, called: str, what: str, given: object) -> ConfigurationError:
        return ConfigurationError(
            f"{self._where}: {called} must be {what}, not {json_kind(given)}."
        )

    def _error(self, key: str, what: str, hint: str = "") -> ConfigurationError:
        return ConfigurationError(f'{self._where}: "{key}" {what}.', hint=hint)

    def _log_what_is_ignored(self) -> None:
        unknown = sorted(map(str, self._fields.keys() - _KNOWN_KEYS))
        if unknown:
            logger.warning("%s: unknown keys are ignored: %s", self._where, ", ".join(unknown))
        for key in _TRUST_KEYS:
            if self._fields.get(key):
                logger.warning(
                    "%s: %s is ignored; approval is decided by requires_approval", self._where, key
                )

    def _log_useless(self, given: Mapping[str, str], key: str, wanted: str) -> None:
        if given:
            logger.warning("%s: %s is ignored without %s", self._where, key, wanted)


def json_kind(value: object) -> str:
    """Return what an error calls a value of the wrong kind.

    Args:
        value: Something out of a JSON text.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "an object" if isinstance(value, Mapping) else "a list"
