"""Credentials that people give: kept in memory, shown to the model as handles, scrubbed from text.

How a value may look in disguise is the business of `_disguises.py`.
"""

import base64
import json
import re
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn, cast
from urllib.parse import quote

from mbxai._fork_lock import ForkLock
from mbxai._redaction import forget_secret, register_secret
from mbxai.sessions._disguises import MIN_LENGTH, forms, replace_encoded

HANDLE_SCHEME: Final = "secret://"

# A comma or the beginning, a name, a colon. Not `https://...`: that is a value.
_NAME: Final = re.compile(r"(?:^|,)\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*:(?!//)")

_MIN_PIN_LENGTH: Final = 4


class CredentialVault:
    """Keeps credentials in memory, by session. Thread-safe; only stores that seal get a copy.

    A revoked or replaced value no longer resolves, but is scrubbed until its session is forgotten:
    it may still be echoed. Values are also taken out of what mbxai logs.
    """

    def __init__(
        self, *, ttl_seconds: float = 3600.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Start empty.

        Args:
            ttl_seconds: How long after its last use a session's credentials are forgotten.
            now: The clock, in seconds.
        """
        self._ttl_seconds = ttl_seconds
        self._now = now
        self._drawers: dict[str, _Drawer] = {}
        self._lock = ForkLock()  # guards the drawers and what is in them
        # A vault that is dropped takes back what it told the log's filter.
        weakref.finalize(self, _take_back, self._drawers)

    def put(
        self,
        agent_id: str,
        option_id: str,
        credentials: Mapping[str, str],
        *,
        allowed_tools: Sequence[str] | None = None,
    ) -> list[str]:
        """Keep credentials for a session.

        Args:
            agent_id: Whose they are.
            option_id: The dialog option that asked for them.
            credentials: Value by name; a name that is there already gets the new value.
            allowed_tools: Names of the tools that may get them; None: nobody said.

        Returns:
            A handle a credential, in the order given: `secret://option/name`.
        """
        named = {handle_of(option_id, name): _Concealed(credentials[name]) for name in credentials}
        for value in credentials.values():
            for form in forms(value):
                register_secret(form)
        with self._lock:
            self._sweep()
            drawer = self._drawers.setdefault(agent_id, _Drawer())
            drawer.expires_at = self._now() + self._ttl_seconds
            drawer.current.update(named)
            allowed = None if allowed_tools is None else tuple(allowed_tools)
            drawer.allowed_tools.update(dict.fromkeys(named, allowed))
            drawer.known.extend((value, handle) for handle, value in named.items())
            drawer.scrubber = None
        return list(named)

    def resolve(self, agent_id: str, handle: str) -> str | None:
        """Give the value behind a handle.

        Args:
            agent_id: Whose it is; another session's handles do not resolve.
            handle: The whole handle.

        Returns:
            The value; None for an unknown or revoked handle.
        """
        with self._lock:
            self._sweep()
            drawer = self._drawers.get(agent_id)
            value = drawer.current.get(handle) if drawer else None
            if drawer and value:
                drawer.expires_at = self._now() + self._ttl_seconds
        return value.reveal() if value else None

    def handles(self, agent_id: str) -> list[str]:
        """Name what can be resolved.

        Args:
            agent_id: Whose handles.

        Returns:
            Handles in the order they were put.
        """
        with self._lock:
            self._sweep()
            drawer = self._drawers.get(agent_id)
            return list(drawer.current) if drawer else []

    def allowed_tools(self, agent_id: str, handle: str) -> tuple[str, ...] | None:
        """Name the tools that may get a credential.

        Args:
            agent_id: Whose it is.
            handle: The whole handle.

        Returns:
            What was said when it was put; None if nothing was.
        """
        with self._lock:
            drawer = self._drawers.get(agent_id)
            return drawer.allowed_tools.get(handle) if drawer else None

    def scrub(self, agent_id: str, text: str) -> str:
        """Replace every known value in a text by its handle.

        Values of 6 characters and more are found anywhere: as they are and as JSON, URLs, HTML,
        hexadecimal digits and Base64 write them. Shorter ones ("demo") would tear up ordinary
        words; they are replaced only where they are the whole text or a whole string in double
        quotes, as in JSON, or a whole part of `user:password` in Base64, and those of 4 and 5
        characters with a digit in them (a PIN) also as words of their own.

        Args:
            agent_id: Whose values.
            text: Any text; scrubbing twice changes nothing more.

        Returns:
            The text without the values.
        """
        scrubber = self._scrubber(agent_id)
        return scrubber.scrub(text) if scrubber else text

    def scrubber(self, agent_id: str) -> Callable[[str], str]:
        """Return `scrub` for what is known now; it goes on working after `forget`.

        Args:
            agent_id: Whose values.

        Returns:
            A function from text to text.
        """
        scrubber = self._scrubber(agent_id)
        return scrubber.scrub if scrubber else str

    def revoke(self, agent_id: str, option_id: str) -> None:
        """Stop resolving what a dialog option gave.

        Args:
            agent_id: Whose credentials.
            option_id: The dialog option.
        """
        prefix = handle_of(option_id, "")
        with self._lock:
            drawer = self._drawers.get(agent_id)
            if drawer:
                kept = {k: v for k, v in drawer.current.items() if not k.startswith(prefix)}
                drawer.current = kept

    def forget(self, agent_id: str) -> None:
        """Drop everything of a session; its values are no longer scrubbed either.

        Args:
            agent_id: Which session.
        """
        with self._lock:
            self._drop(agent_id)

    def contents(self, agent_id: str) -> dict[str, object]:
        """Return a session's credentials as JSON, for a store that seals, and for nothing else.

        Args:
            agent_id: Whose credentials.

        Returns:
            What `restore` takes; empty if there are none. Values stand in it as base64, so that
            they are not read in passing.
        """
        with self._lock:
            self._sweep()
            drawer = self._drawers.get(agent_id)
            if drawer is None:
                return {}
            known = [
                [
                    handle,
                    base64.b64encode(value.reveal().encode("utf-8", "surrogatepass")).decode(),
                    drawer.current.get(handle) is value,
                ]
                for value, handle in drawer.known
            ]
            allowed = {
                handle: None if tools is None else list(tools)
                for handle, tools in drawer.allowed_tools.items()
            }
            return {"known": known, "allowed_tools": allowed}

    def restore(self, agent_id: str, contents: Mapping[str, object]) -> None:
        """Take back what `contents` gave, unless the session has credentials here already.

        Args:
            agent_id: Whose credentials.
            contents: What was stored.
        """
        known = cast("list[tuple[str, str, bool]]", contents.get("known", []))
        allowed = cast("dict[str, list[str] | None]", contents.get("allowed_tools", {}))
        with self._lock:
            self._sweep()
            if agent_id in self._drawers or not known:
                return
            drawer = self._drawers[agent_id] = _Drawer()
            drawer.expires_at = self._now() + self._ttl_seconds
            for handle, text, is_current in known:
                value = _Concealed(base64.b64decode(text).decode("utf-8", "surrogatepass"))
                for form in forms(value.reveal()):
                    register_secret(form)
                drawer.known.append((value, handle))
                if is_current:
                    drawer.current[handle] = value
            drawer.allowed_tools.update(
                {
                    handle: None if tools is None else tuple(tools)
                    for handle, tools in allowed.items()
                }
            )

    def __repr__(self) -> str:
        """Say how much there is, and nothing of it."""
        return f"<CredentialVault of {len(self._drawers)} sessions>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("A CredentialVault stays in memory: it cannot be pickled or copied.")

    def _sweep(self) -> None:
        """Forget the sessions whose time is up; the lock is held."""
        now = self._now()
        for agent_id in [key for key, drawer in self._drawers.items() if drawer.expires_at <= now]:
            self._drop(agent_id)

    def _drop(self, agent_id: str) -> None:
        if drawer := self._drawers.pop(agent_id, None):
            _take_back({agent_id: drawer})

    def _scrubber(self, agent_id: str) -> "_Scrubber | None":
        with self._lock:
            drawer = self._drawers.get(agent_id)
            if drawer is None:
                return None
            if drawer.scrubber is None:
                drawer.scrubber = _Scrubber(drawer.known)
            return drawer.scrubber


def _take_back(drawers: "dict[str, _Drawer]") -> None:
    for drawer in drawers.values():
        for concealed, _handle in drawer.known:
            for form in forms(concealed.reveal()):
                forget_secret(form)
    drawers.clear()


def handle_of(option_id: str, name: str) -> str:
    """Write a handle; letters that could end or imitate one are percent-encoded.

    Args:
        option_id: The dialog option.
        name: The credential's name.

    Returns:
        `secret://option/name`.
    """
    return f"{HANDLE_SCHEME}{quote(option_id, safe='')}/{quote(name, safe='')}"


def parse_credentials(text: str, expected: Sequence[str] = ()) -> dict[str, str]:
    """Read the credentials that a dialog sent as text.

    Known forms: `auth_token:abc`, `username:u,password:p`, a JSON object. Values may hold colons
    and commas: only a comma before `name:` starts the next credential. A name begins with a small
    letter, lest a piece of a credential be taken for one; names that were there already, or that
    `//` follows, do not count.

    Args:
        text: What the dialog gave.
        expected: All names that the dialog asks for, if known. Then only these count, in any
            spelling, so that values may even hold `,name:`.

    Returns:
        Value by name, without surrounding blanks; `{"value": text}` for a text of no known form;
        empty for a blank text.
    """
    if not text.strip():
        return {}
    fields = _json_fields(text)
    if fields is not None:
        return fields
    starts: dict[str, re.Match[str]] = {}
    for match in _NAME.finditer(text):
        if match[1] in expected or (not expected and match[1][0].islower()):
            starts.setdefault(match[1], match)
    if not starts or next(iter(starts.values())).start() != 0:
        return {"value": text.strip()}
    ends = [*(match.start() for match in list(starts.values())[1:]), len(text)]
    return {
        name: text[match.end() : end].strip()
        for (name, match), end in zip(starts.items(), ends, strict=True)
    }


def _json_fields(text: str) -> dict[str, str] | None:
    try:
        fields: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not fields:
        return None
    named = cast("dict[str, object]", fields)
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in named.items()}


class _Concealed:
    """A value that prints as dots, so that no traceback with locals shows it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "••••••"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A credential cannot be pickled or copied.")

    def reveal(self) -> str:
        return self._value


@dataclass(slots=True)
class _Drawer:
    """One session's credentials."""

    current: dict[str, _Concealed] = field(default_factory=dict[str, _Concealed])
    known: list[tuple[_Concealed, str]] = field(default_factory=list[tuple[_Concealed, str]])
    allowed_tools: dict[str, tuple[str, ...] | None] = field(
        default_factory=dict[str, tuple[str, ...] | None]
    )
    scrubber: "_Scrubber | None" = None
    expires_at: float = 0.0


class _Scrubber:
    """Finds the values of one session; made anew when one is added, never changed."""

    def __init__(self, known: list[tuple[_Concealed, str]]) -> None:
        self._handles = _Table()
        self._short = _Table()
        for concealed, handle in known:
            value = concealed.reveal()
            for form in forms(value):
                self._handles[form] = handle
            for short in {value, value.strip()}:
                if 0 < len(short) < MIN_LENGTH:
                    self._short[short] = handle
        # Handles come first, and stay: a password "secret" must not tear "secret://..." apart.
        handles = _longest_first({handle for _, handle in known})
        values = _longest_first(self._handles)
        self._anywhere = re.compile(f"({handles})|{values}") if values else None
        short = _longest_first({json.dumps(value)[1:-1] for value in self._short})
        # Backslashes before the quotes: JSON inside a JSON string. Not before a colon: a key.
        self._quoted = re.compile(rf'(\\*")({short})\1(?!\s*:)') if short else None
        pins = _longest_first({value for value in self._short if _is_pin(value)})
        self._word = re.compile(rf"(?<!\w)(?:{pins})(?!\w)") if pins else None

    def __repr__(self) -> str:
        return "<_Scrubber>"

    def scrub(self, text: str) -> str:
        whole = self._short.get(text.strip())
        if whole:
            return whole
        text = replace_encoded(text, self._handle_in)
        if self._anywhere:
            text = self._anywhere.sub(lambda hit: hit[1] or self._handles[hit[0]], text)
        if self._quoted:
            text = self._quoted.sub(self._requoted, text)
        if self._word:
            text = self._word.sub(lambda hit: self._short[hit[0]], text)
        return text

    def _handle_in(self, said: str) -> str | None:
        """Return the handle of a value in what a word says once decoded; None if there is none."""
        for hit in self._anywhere.finditer(said) if self._anywhere else ():
            if not hit[1]:
                return self._handles[hit[0]]
        # As in "user:password" of HTTP.
        parts = (part.strip() for part in said.split(":"))
        return next((self._short[part] for part in parts if part in self._short), None)

    def _requoted(self, hit: re.Match[str]) -> str:
        value = json.loads(f'"{hit[2]}"')
        return f"{hit[1]}{self._short[value]}{hit[1]}"


class _Table(dict[str, str]):
    """Handle by form of a value; prints as dots."""

    def __repr__(self) -> str:
        return "••••••"


def _is_pin(value: str) -> bool:
    return len(value) >= _MIN_PIN_LENGTH and any(letter.isdigit() for letter in value)


def _longest_first(texts: "set[str] | _Table") -> str:
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
