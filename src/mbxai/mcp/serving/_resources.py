"""Resources: addresses, and the functions that say what is found there; no protocol here."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, cast
from urllib.parse import unquote

from mbxai.errors import ToolDefinitionError
from mbxai.mcp.serving._blocks import Block, EmbeddedResource
from mbxai.mcp.serving._functions import ServedFunction
from mbxai.tools.runner._result_text import text_of

_VARIABLE: Final = re.compile(r"\{(\+?)(\w+)\}", re.ASCII)
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_ABSOLUTE: Final = re.compile(r"[/\\]|[a-zA-Z]:")
_MAX_URI_CHARS: Final = 8_192
_MANY_CHARS: Final = 64 * 1_048_576


@dataclass(frozen=True, kw_only=True)
class ServedResource:
    """A resource, or a template of many.

    Attributes:
        uri: Its address, or the template of theirs: `{name}` stands for one segment of a path,
            `{+name}` for any number of them.
        name: Its name.
        title: Its name for people.
        description: What it is.
        mime_type: What it holds; found from what the function returns, if empty.
        function: Says what it holds.
    """

    uri: str
    name: str
    title: str = ""
    description: str = ""
    mime_type: str = ""
    function: ServedFunction

    def __post_init__(self) -> None:
        """Refuse an address that is none, and a function that does not fit it.

        Raises:
            ToolDefinitionError: It cannot be served.
        """
        if not _SCHEME.match(self.uri):
            raise ToolDefinitionError(
                f"{self.uri!r:.200} is no address of a resource.",
                hint='It begins with a scheme, as in "notes://today" or "file:///{+path}".',
            )
        rest = _VARIABLE.sub("", self.uri)
        if "{" in rest or "}" in rest or len(set(self.variables)) < len(self.variables):
            raise ToolDefinitionError(
                f"The template {self.uri!r:.200} cannot be read.",
                hint="It holds {name} and {+name}, each name once.",
            )
        taken = {parameter.name: parameter for parameter in self.function.parameters}
        unknown = [name for name in self.variables if name not in taken]
        unfilled = [
            name for name, p in taken.items() if p.is_required and name not in self.variables
        ]
        if unknown or unfilled:
            names = ", ".join(map(repr, unknown or unfilled))
            where = "its function does not take" if unknown else "its address does not give"
            raise ToolDefinitionError(f"The resource {self.uri!r:.200} has {names}, which {where}.")

    @cached_property
    def variables(self) -> list[str]:
        """The names in the template; none for a single resource."""
        return [found[2] for found in _VARIABLE.finditer(self.uri)]

    @property
    def is_template(self) -> bool:
        """Whether it stands for many."""
        return bool(self.variables)

    def match(self, uri: str) -> dict[str, str] | None:
        """Return the values that an address has in the template; None if it is not one of them.

        A value that would leave the place it stands in is refused: a slash, or a backslash, in a
        `{name}`; one at the beginning of a `{+name}`, or a drive's letter; and `..` in either.

        Args:
            uri: The address.
        """
        found = self._pattern.fullmatch(uri)
        if found is None:
            return None
        values = {name: unquote(text) for name, text in found.groupdict().items()}
        for name, value in values.items():
            segments = re.split(r"[/\\]", value)
            is_path = f"{{+{name}}}" in self.uri
            if is_path and _ABSOLUTE.match(value):
                return None
            if "\x00" in value or ".." in segments or (len(segments) > 1 and not is_path):
                return None
        return values

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pieces: list[str] = []
        end = 0
        for found in _VARIABLE.finditer(self.uri):
            within = "[^?#]+" if found[1] else "[^/?#]+"
            pieces += [re.escape(self.uri[end : found.start()]), f"(?P<{found[2]}>{within})"]
            end = found.end()
        return re.compile("".join([*pieces, re.escape(self.uri[end:])]))

    def listed(self) -> dict[str, Any]:
        """Return how a list of the protocol names it."""
        known = {
            "uriTemplate" if self.is_template else "uri": self.uri,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "mimeType": self.mime_type,
        }
        return {key: value for key, value in known.items() if value}

    def contents(self, uri: str, value: object) -> list[Block]:
        """Return what the function returned, as the protocol writes it.

        Args:
            uri: The address that was read.
            value: A text, bytes, an `EmbeddedResource` or a list of them; anything else becomes
                JSON.
        """
        if isinstance(value, EmbeddedResource):
            return [value.contents()]
        if isinstance(value, (list, tuple)) and value:
            items = cast("Sequence[object]", value)
            if all(isinstance(item, EmbeddedResource) for item in items):
                return [item.contents() for item in cast("Sequence[EmbeddedResource]", items)]
        mime_type = self.mime_type or None
        if isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(cast("bytes", value))
            return [EmbeddedResource(uri=uri, data=data, mime_type=mime_type).contents()]
        if isinstance(value, str):
            return [EmbeddedResource(uri=uri, text=value, mime_type=mime_type).contents()]
        text = text_of(cast("object", value), _MANY_CHARS)[0]
        return [
            EmbeddedResource(
                uri=uri, text=text, mime_type=mime_type or "application/json"
            ).contents()
        ]


class ServedResources:
    """The resources of one server."""

    def __init__(self) -> None:
        """Start with none."""
        self._known: dict[str, ServedResource] = {}

    def add(self, resource: ServedResource) -> None:
        """Serve a resource; one of the same address is replaced."""
        self._known = {**self._known, resource.uri: resource}

    def remove(self, uri: str) -> bool:
        """Stop serving a resource; returns whether there was one."""
        is_known = uri in self._known
        self._known = {key: known for key, known in self._known.items() if key != uri}
        return is_known

    def find(self, uri: str) -> tuple[ServedResource, Mapping[str, str]] | None:
        """Return the resource of an address and the values in it; None if there is none.

        Args:
            uri: The address; a single resource goes before a template that fits as well.
        """
        if len(uri) > _MAX_URI_CHARS:
            return None
        known = self._known
        exact = known.get(uri)
        if exact is not None and not exact.is_template:
            return exact, {}
        for resource in known.values():
            values = resource.match(uri) if resource.is_template else None
            if values is not None:
                return resource, values
        return None

    def get(self, uri: str) -> ServedResource | None:
        """Return what was added with this very address or template, or None."""
        return self._known.get(uri)

    def listed(self, *, templates: bool) -> list[dict[str, Any]]:
        """Return the single resources, or the templates, as the protocol lists them."""
        known = self._known.values()
        return [resource.listed() for resource in known if resource.is_template is templates]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._known)
