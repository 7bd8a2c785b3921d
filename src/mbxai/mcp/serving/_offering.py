"""How resources, prompts and completions are offered by a server: the decorators."""

from collections.abc import Callable
from typing import Any, TypeVar, overload

from mbxai.errors import ToolDefinitionError
from mbxai.mcp.serving._features import Features
from mbxai.mcp.serving._functions import ServedFunction
from mbxai.mcp.serving._prompts import ServedPrompt
from mbxai.mcp.serving._protocol import add_handlers
from mbxai.mcp.serving._resources import ServedResource
from mbxai.mcp.serving._serving import Kind, Servings
from mbxai.tools.schema._signature import AnyFunction, innermost

F = TypeVar("F", bound=Callable[..., Any])


class Offering:
    """What a server offers besides tools."""

    def __init__(self, features: Features) -> None:
        """Start with nothing.

        Args:
            features: Gets what is offered.
        """
        self._features = features
        self._servings = Servings()

    def resource(
        self,
        uri: str,
        *,
        name: str | None = None,
        title: str = "",
        description: str | None = None,
        mime_type: str = "",
    ) -> Callable[[F], F]:
        """Serve what the decorated function returns, at an address; the function stays as it is.

        The function returns a text, bytes, or anything that JSON can say. An address with `{name}`
        stands for many resources, one for each value of that parameter; `{+name}` takes slashes
        too.

        Args:
            uri: The address, as `notes://today` or `users://{user_id}/profile`.
            name: Another name than the function's.
            title: Its name for people.
            description: Another description than the docstring's.
            mime_type: What it holds; found from what the function returns, if left out.

        Raises:
            ToolDefinitionError: The address is none, or does not fit the function's parameters.
        """

        def add(decorated: F) -> F:
            self.add_resource(
                uri,
                decorated,
                name=name,
                title=title,
                description=description,
                mime_type=mime_type,
            )
            return decorated

        return add

    def add_resource(
        self,
        uri: str,
        function: AnyFunction,
        *,
        name: str | None = None,
        title: str = "",
        description: str | None = None,
        mime_type: str = "",
    ) -> None:
        """Serve what a function returns, at an address; one of the same address is replaced.

        Args:
            uri: See `resource`.
            function: Says what is there.
            name: Another name than the function's.
            title: Its name for people.
            description: Another description than the docstring's.
            mime_type: What it holds; found from what the function returns, if left out.

        Raises:
            ToolDefinitionError: The address is none, or does not fit the function's parameters.
        """
        served = ServedFunction(function, f"The resource {uri!r:.200}")
        self._features.resources.add(
            ServedResource(
                uri=uri,
                name=name or _name_of(function),
                title=title,
                description=served.summary if description is None else description,
                mime_type=mime_type,
                function=served,
            )
        )
        self._changed("resources")

    def remove_resource(self, uri: str) -> bool:
        """Stop serving a resource.

        Args:
            uri: Its address, as it was given.

        Returns:
            Whether there was one.
        """
        is_known = self._features.resources.remove(uri)
        if is_known:
            self._changed("resources")
        return is_known

    async def resource_updated(self, uri: str) -> None:
        """Tell the clients that follow a resource that it has changed.

        Args:
            uri: Its address, as clients read it.
        """
        self._servings.updated(uri)

    @overload
    def prompt(self, function: F, /) -> F: ...
    @overload
    def prompt(
        self, /, *, name: str | None = None, title: str = "", description: str | None = None
    ) -> Callable[[F], F]: ...
    def prompt(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        title: str = "",
        description: str | None = None,
    ) -> F | Callable[[F], F]:
        """Serve the decorated function as a prompt; the function stays as it is.

        Its parameters are the prompt's arguments; clients give them as texts. It returns a text,
        which becomes a message of the user; content parts, `EmbeddedResource` or `ResourceLink`;
        messages with a `role` and a `content`; or a list of any of these.

        Args:
            function: The function, where the decorator is used without options.
            name: Another name than the function's.
            title: Its name for people.
            description: Another description than the docstring's.

        Raises:
            ToolDefinitionError: A parameter has no annotation, or one that no text can fill.
        """

        def add(decorated: F) -> F:
            own = name or _name_of(decorated)
            served = ServedFunction(decorated, f"The prompt {own!r:.200}")
            self._features.prompts.add(
                ServedPrompt(
                    name=own,
                    title=title,
                    description=served.summary if description is None else description,
                    function=served,
                )
            )
            self._changed("prompts")
            return decorated

        return add if function is None else add(function)

    def remove_prompt(self, name: str) -> bool:
        """Stop serving a prompt.

        Args:
            name: Its name.

        Returns:
            Whether there was one.
        """
        is_known = self._features.prompts.remove(name)
        if is_known:
            self._changed("prompts")
        return is_known

    def completion(self, target: str, argument: str) -> Callable[[F], F]:
        """Ask the decorated function what may be suggested while somebody writes an argument.

        The function takes what has been written so far, and perhaps, as a second parameter, a
        mapping of the other arguments; it returns texts, the best first.

        Args:
            target: Name of the prompt, or the address of the resource as it was given.
            argument: Name of the prompt's argument, or of the variable in the address.

        Raises:
            ToolDefinitionError: The function takes something else, or the prompt or the template
                is there and has no such argument. One that is not there yet may come later; what is
                still missing once the server is served is logged.
        """

        def add(decorated: F) -> F:
            known = self._features.arguments_of(target)
            if known is not None and argument not in known:
                raise ToolDefinitionError(
                    f"{target!r:.200} has no argument {argument!r:.80} that could be completed.",
                    hint=f"It has {', '.join(map(repr, known)) or 'none'}.",
                )
            self._features.completions.add(target, argument, decorated)
            self._refresh()
            return decorated

        return add

    def _changed(self, kind: Kind) -> None:
        self._refresh()
        self._servings.changed(kind)

    def _refresh(self) -> None:
        """Let a protocol server that is there already answer for what came after it."""
        made = vars(self).get("mcp_server")
        if made is not None:
            add_handlers(made, self._features)


def _name_of(function: AnyFunction) -> str:
    inner = innermost(function)
    name = getattr(function, "__name__", None) or getattr(inner, "__name__", "")
    if not name or name == "<lambda>":
        raise ToolDefinitionError("A function without a name needs name=.")
    return str(name)
