"""What a tool may be given besides the model's arguments: the call's context, and secrets.

Both are recognised by a parameter's annotation and never appear in a schema.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Generic, NoReturn, TypeAlias, cast

from typing_extensions import TypeVar

from mbxai.errors import ConfigurationError
from mbxai.tools.runner._progress import RunControl
from mbxai.wire import ToolAnswer, Usage

DOTS: Final = "••••••"
"""What a secret looks like wherever it is printed."""

DepsT = TypeVar("DepsT", default=Any)


class Secret:
    """A credential that prints as dots.

    A tool asks for one by annotating a parameter `Secret`, or `Annotated[Secret, "option.name"]`
    where the credential has another name than the parameter. The model never sees the parameter.
    """

    __slots__ = ("_value",)

    def __init__(self, value: "str | Secret") -> None:
        """Wrap a value.

        Args:
            value: The credential itself; a `SecretStr` of pydantic is taken as well.

        Raises:
            ConfigurationError: It is no text.
        """
        given: Any = value
        if isinstance(given, Secret):
            given = given.reveal()
        elif not isinstance(given, str) and hasattr(given, "get_secret_value"):
            given = given.get_secret_value()
        if not isinstance(given, str):
            raise ConfigurationError(f"A credential must be text, not a {type(given).__name__}.")
        self._value: str = given

    def reveal(self) -> str:
        """Return the value itself; call it where the value is used, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        """Show dots."""
        return f"Secret({DOTS!r})"

    def __str__(self) -> str:
        """Show dots."""
        return DOTS

    def __format__(self, spec: str, /) -> str:
        """Show dots, so that an f-string cannot leak the value."""
        return format(DOTS, spec)

    def __len__(self) -> int:
        """Return the length of the value."""
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare with another secret in constant time; a plain string is never equal."""
        if not isinstance(other, Secret):
            return NotImplemented
        # What comes from the environment may hold half a surrogate pair.
        mine, others = (text.encode(errors="surrogatepass") for text in (self._value, other._value))
        return hmac.compare_digest(mine, others)

    def __hash__(self) -> int:
        """Hash by value."""
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a stored secret is a leaked one."""
        msg = "A Secret cannot be pickled."
        raise TypeError(msg)

    def __copy__(self) -> "Secret":
        """Return itself; a secret never changes."""
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        """Return itself; a secret never changes."""
        return self


SecretSource: TypeAlias = Mapping[str, str] | Callable[[str], str | None]
"""Where credentials come from: a mapping, or a function, from name to value."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a generator tool is; yielded beside the result.

    A generator that yields progress and one other value has that value as its result; several
    values are a list.

    Attributes:
        message: What it is doing.
        fraction: How much is done, 0 to 1; None where it cannot say.
    """

    message: str = ""
    fraction: float | None = None


@dataclass(frozen=True, kw_only=True)
class ToolContext(Generic[DepsT]):
    """What surrounds one tool call; given to a parameter annotated `ToolContext`.

    Attributes:
        deps: The application's own object, as given to `chat` or `call_tool`.
        name: Name of the tool.
        session_id: Id of the agent session; empty outside of one.
        call_id: Id of the call as the model gave it.
        attempt: 1 for the first run of this call, 2 for its first repetition.
        idempotency_key: The same for every run of the same call; give it to services that drop
            repeated requests.
        usage: Tokens and cost of the conversation so far; None where nothing is known of them.
        secrets: Where `Secret` parameters get their values.
        can_pause: Whether the caller takes a result with a `question`, and calls again with the
            answer; a tool that must ask otherwise waits for it.
        answer: The answer to the question with which this very call paused.
    """

    deps: DepsT = field(default=cast("DepsT", None))
    name: str = ""
    session_id: str = ""
    call_id: str = ""
    attempt: int = 1
    idempotency_key: str = ""
    usage: Usage | None = None
    secrets: SecretSource = field(default_factory=dict[str, str], repr=False)
    can_pause: bool = False
    answer: ToolAnswer | None = None
    _run: RunControl | None = field(default=None, repr=False, compare=False)
    _known: list[Secret] | None = field(default=None, repr=False, compare=False)

    def secret(self, name: str) -> Secret | None:
        """Return the credential of a name, or None where nobody gave it.

        Args:
            name: The parameter's name, or the name in its `Annotated[Secret, "..."]`.
        """
        source = self.secrets
        value = source(name) if callable(source) else source.get(name)
        if value is None:
            return None
        secret = Secret(value)
        if self._known is not None and secret not in self._known:
            self._known.append(secret)  # taken out of all that is shown from now on
        return secret

    def is_cancelled(self) -> bool:
        """Whether nobody waits for this run any more: it was cancelled, or its time is up.

        Works from any thread. A blocking function cannot be stopped from outside; one that runs for
        long asks from time to time, and stops.
        """
        return self._run is not None and self._run.is_stopped

    def raise_if_cancelled(self) -> None:
        """End the function if nobody waits for it any more; works from any thread.

        Raises:
            asyncio.CancelledError: The run was cancelled, or its time is up. It passes
                `except Exception`, and nobody is told of it.
        """
        if self.is_cancelled():
            raise asyncio.CancelledError

    def report(self, message: str = "", fraction: float | None = None) -> None:
        """Say how far the tool is; whoever listens gets a `ToolProgressed` event.

        Works from any thread. What is reported after the call has ended is dropped.

        Args:
            message: What it is doing; credentials that are known are taken out.
            fraction: How much is done, 0 to 1; None where it cannot say.
        """
        if self._run is not None:
            self._run.report(message, fraction)


def overlaid(
    context: ToolContext[Any] | None, **given: object
) -> ToolContext[Any]:  # Any: the application's own object
    """Return a context in which what is given takes the place of what was there.

    Args:
        context: What surrounds a call; None for nothing.
        **given: Fields of a context; None, an empty text, False and 1 give nothing.
    """
    says_nothing = (None, "", False, 1)
    # True equals 1, and says something.
    changes: dict[str, Any] = {k: v for k, v in given.items() if v is True or v not in says_nothing}
    return replace(context or ToolContext[Any](), **changes)
