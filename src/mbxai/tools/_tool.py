"""One function a model may call: what it is called, what it takes, how it may be run."""

import copy
import difflib
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import (
    Any,
    ClassVar,
    Final,
    Literal,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_args,
    overload,
)

from mbxai._redaction import get_logger
from mbxai.errors import ToolDefinitionError
from mbxai.tools._reconciling import Reconcile, as_function, takes_two
from mbxai.tools.runner._arguments import SchemaChecker
from mbxai.tools.schema._docstring import function_texts
from mbxai.tools.schema._google_view import google_view
from mbxai.tools.schema._provider_view import provider_view
from mbxai.tools.schema._restore import RestoringChecker
from mbxai.tools.schema._schema import FunctionSignature, read_signature
from mbxai.tools.schema._signature import AnyFunction, innermost
from mbxai.tools.schema._strict import convert_to_strict_schema, says_the_same_when_strict
from mbxai.tools.schema._views import family_of
from mbxai.wire import Effect, ToolDefinition, ToolInfo

F = TypeVar("F", bound=Callable[..., Any])

logger = get_logger(__name__)

MAX_RESULT_BYTES: Final = 65_536
"""How much of a result the model is shown, unless a tool says otherwise."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OPTIONS: Final = "__mbxai_tool__"


ApprovalRule: TypeAlias = bool | Callable[[dict[str, Any]], bool | Awaitable[bool]]  # Any: JSON
"""Whether a person must agree before a run: always, never, or said by a function.

The function gets the arguments as JSON values, after they were found valid, and returns whether
approval is needed; coroutine functions are awaited. It is asked twice where validation has changed
something, as by taking spaces off: about what the model wrote, and about what the function will
get. If it fails, or returns anything but False, approval is needed.
"""


class ToolOptions(TypedDict, total=False):
    """How a tool may be run.

    Attributes:
        effect: What a repeated run does; "once" (the default) is never repeated by itself.
        timeout: Seconds for one run; None (the default) takes the client's `tool_timeout`.
        retries: How often a run that failed or was late is repeated, after a short wait, before the
            model is told; 0 by default. Not for `effect="once"`. Wrong arguments and `ToolRetry`
            are the model's to mend and never repeated.
        requires_approval: Whether a person must agree before each run, or a function of the
            arguments that says so.
        max_result_bytes: How much of the result the model is shown; 65536 by default.
        parallel: Whether it may run beside other calls of its round; True by default. Calls before
            one that may not end first, calls after it wait.
        may_repeat: Whether the same call may be repeated though it always gives the same result, as
            when waiting for something; False by default.
        trusted: Whether what it returns is as good as what the caller says, because nobody else has
            a hand in it; False by default. An agent that has read the result of another tool runs
            only tools with effects that its plan had named before, or that a person agrees to.
        on_error: "tell" (the default) makes an exception a message for the model, "raise" ends the
            conversation with a `ToolExecutionError`.
        strict: Whether the model is held to the schema by the provider. "auto" (the default) asks
            for it only where the schema says the same under strict rules; True changes the schema
            so that it does, which makes optional arguments nullable.
        reconcile: Says what a run did that was cut off, so that an agent that goes on need not ask
            a person; see `Reconcile`. Asked only for `effect="once"`: others are run again.
    """

    effect: Effect
    timeout: float | None
    retries: int
    requires_approval: ApprovalRule
    max_result_bytes: int
    parallel: bool
    may_repeat: bool
    trusted: bool
    on_error: Literal["tell", "raise"]
    strict: bool | Literal["auto"]
    reconcile: Reconcile | None


_NO_OBJECTS: Final = ("array", "boolean", "integer", "null", "number", "string")


class MarkOptions(ToolOptions, total=False):
    """What the `tool` decorator takes.

    Attributes:
        name: Another name than the function's.
        description: Another description than the docstring's.
    """

    name: str
    description: str


@dataclass(frozen=True)
class Tool:
    """A function that a model may call.

    Attributes:
        name: The name that the model uses: 1 to 64 letters, digits, `_` and `-`.
        description: What it does, for the model.
        function: Runs it; coroutine functions are awaited, others run in a worker thread. None
            makes an external tool: calls of it are returned to the application, which runs them.
        schema: JSON Schema of the arguments. If it is given, arguments are checked against exactly
            this schema; if it is left out, it is made from the function's signature.
        effect: What a repeated run does.
        timeout: Seconds for one run; None takes the client's `tool_timeout`.
        requires_approval: Whether a person must agree before each run, or a function of the
            arguments that says so.
        source: "local", or the name of the MCP server that has it.
        max_result_bytes: How much of the result the model is shown.
        retries: How often a run that failed is repeated before the model is told.
        parallel: Whether it may run beside other calls of its round.
        may_repeat: Whether the same call may be repeated though it leads nowhere.
        trusted: Whether what it returns is as good as what the caller says.
        on_error: Whether an exception is told to the model or ends the conversation.
        strict: Whether the model is held to the schema by the provider.
        reconcile: Says what a run did that was cut off.
        signature: How the function is called; read from it, never given.

    Raises:
        ToolDefinitionError: The name, a parameter or an option cannot be that of a tool.
    """

    name: str
    description: str
    function: AnyFunction | None = None
    schema: dict[str, Any] = field(default_factory=dict[str, Any])
    effect: Effect = "once"
    timeout: float | None = None
    requires_approval: ApprovalRule = False
    source: str = "local"
    max_result_bytes: int = MAX_RESULT_BYTES
    retries: int = 0
    parallel: bool = True
    may_repeat: bool = False
    on_error: Literal["tell", "raise"] = "tell"
    strict: bool | Literal["auto"] = "auto"
    trusted: bool = False
    reconcile: Reconcile | None = field(default=None, repr=False)
    signature: FunctionSignature | None = field(init=False, repr=False, compare=False, default=None)
    keeps_own_time: ClassVar[bool] = False
    """Whether the function ends in time by itself, as one that must not count a person's time."""

    def __post_init__(self) -> None:
        """Read the function."""
        _check_options(self)
        if self.function is None:
            return
        if not callable(self.function):
            raise ToolDefinitionError(
                f"Tool {self.name!r}: {type(self.function).__name__} is no function."
            )
        signature = self._known_signature()
        if signature is not None:
            object.__setattr__(self, "signature", signature)
            object.__setattr__(self, "schema", _copied(self.name, self.schema))
            return
        texts = function_texts(self.function)
        given = self.schema
        signature = read_signature(self.function, self.name, texts, lenient=bool(given))
        object.__setattr__(self, "signature", signature)
        if given:
            _check_given_schema(self.name, given, signature)
            object.__setattr__(self, "schema", _copied(self.name, given))
        else:
            object.__setattr__(self, "schema", signature.schema)
            # A lone model has taken the place of the arguments, and its text that of the function.
            if not self.description and texts.summary == "":
                object.__setattr__(self, "description", signature.schema.get("description", ""))

    def _known_signature(self) -> FunctionSignature | None:
        """How a function of a given schema is called, where that is known before it is read."""
        return None

    @property
    def shown_schema(self) -> dict[str, Any]:
        """What a model's view of the schema is made of; arguments are checked against `schema`."""
        return self.schema

    @classmethod
    def from_function(
        cls,
        function: AnyFunction,
        *,
        name: str | None = None,
        description: str | None = None,
        schema: Mapping[str, Any] | None = None,
        **options: Unpack[ToolOptions],
    ) -> "Tool":
        """Make a tool of a function, with what the `tool` decorator noted on it as defaults.

        Args:
            function: Any callable with annotated parameters.
            name: Another name than the function's own.
            description: Another description than the docstring's text.
            schema: JSON Schema of the arguments, instead of the one made from the signature.
            **options: See `ToolOptions`.

        Raises:
            ToolDefinitionError: The name, a parameter or an option cannot be that of a tool.
        """
        if not callable(function):
            raise ToolDefinitionError(f"Tool {name!r}: {type(function).__name__} is no function.")
        if schema is not None and not isinstance(schema, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
            raise ToolDefinitionError(f"Tool {name!r}: its schema must be a mapping.")
        check_names(name or getattr(function, "__name__", ""), options)
        marked = cast("MarkOptions", dict(getattr(function, _OPTIONS, {})))
        own_name, own_description = marked.pop("name", None), marked.pop("description", None)
        merged = cast("ToolOptions", {**marked, **options})
        chosen = own_name or getattr(innermost(function), "__name__", "")
        if description is None:
            description = own_description
        if description is None:
            description = function_texts(function).summary
        if chosen in ("__call__", "__init__"):
            chosen = getattr(function, "__name__", type(function).__name__)
        chosen = chosen if name is None else name
        return cls(chosen, description, function, dict(schema or {}), **merged)

    def to_openai_function(self) -> ToolDefinition:
        """Return the tool as it stands in the `tools` of a request; a copy each time."""
        return copy.deepcopy(self.definition)

    def info(self) -> ToolInfo:
        """Return what a planner must know of the tool; shared, so never change its parameters."""
        return self._info

    @cached_property
    def _info(self) -> ToolInfo:
        return ToolInfo(
            name=self.name,
            description=self.description,
            parameters=self.definition["function"].get("parameters", {}),
            effect=self.effect,
            requires_approval=self.requires_approval is not False,
            source=self.source,
            is_external=self.function is None,
            is_trusted=self.trusted,
            may_repeat=self.may_repeat,
            can_reconcile=self.reconciler is not None,
        )

    @cached_property
    def reconciler(self) -> "Tool | None":
        """What is run to find out what a run did that was cut off; None: nobody can say."""
        if self.reconcile is None or self.function is None or self.effect != "once":
            return None
        return Tool(
            self.name,
            self.description,
            as_function(self.reconcile),
            self.schema,
            effect="read",
            timeout=self.timeout,
            max_result_bytes=self.max_result_bytes,
        )

    @cached_property
    def definition(self) -> ToolDefinition:
        """The tool as it is offered to a model; shared between requests, so never change it."""
        parameters = provider_view(self.shown_schema)
        if self.strict is True:
            converted = convert_to_strict_schema(self.shown_schema, keep_input_wrapper=True)
            if says_the_same_when_strict(converted):
                return self._defined(converted, strict=True)
            logger.warning("Tool %s is sent without strict: its schema cannot say it", self.name)
        # A server's schema is the server's promise; strict mode is only claimed for our own.
        is_ours = self.strict == "auto" and self.source == "local"
        return self._defined(parameters, strict=is_ours and says_the_same_when_strict(parameters))

    @cached_property
    def _google_definition(self) -> ToolDefinition:
        return self._defined(google_view(self.shown_schema), strict=False)

    def definition_for(self, model: str | None) -> ToolDefinition:
        """Return the tool as it is offered to one model.

        Args:
            model: Its id; None is a model that is not known yet.

        Returns:
            A definition that is shared between requests, so never change it.
        """
        return self._google_definition if family_of(model) == "google" else self.definition

    def _defined(self, parameters: dict[str, Any], *, strict: bool) -> ToolDefinition:
        definition = ToolDefinition(
            type="function",
            function={
                "name": self.name,
                "description": self.description,
                "parameters": parameters,
            },
        )
        if strict:
            definition["function"]["strict"] = True
        return definition

    @cached_property
    def checker(self) -> SchemaChecker | None:
        """Checks arguments against a given schema; None if the schema was made here."""
        if self.signature is not None and self.signature.strict:
            return None
        return RestoringChecker(self.schema, self.name)


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(**options: Unpack[MarkOptions]) -> Callable[[F], F]: ...
def tool(function: F | None = None, /, **options: Unpack[MarkOptions]) -> F | Callable[[F], F]:
    """Note on a function how it is to be run as a tool; the function stays as it is.

    Works as `@tool` and as `@tool(effect="read", timeout=5.0)`, on functions and on methods. A
    client or a server takes the function, or the bound method, with its own `tool` method.

    Args:
        function: The function, where the decorator is used without options.
        **options: See `ToolOptions`; also `name` and `description`.
    """

    def mark(marked: F) -> F:
        label = getattr(marked, "__name__", type(marked).__name__)
        check_names(label, options)
        try:
            setattr(marked, _OPTIONS, options)
        except (AttributeError, TypeError):
            raise ToolDefinitionError(
                f"{label!r} cannot be marked as a tool: it is a {type(marked).__name__}.",
                hint="Write @tool directly above a function, below @property and the like.",
            ) from None
        return marked

    return mark if function is None else mark(function)


def check_names(label: str, options: Mapping[str, object]) -> None:
    """Refuse options that a tool does not have.

    Args:
        label: The tool's name.
        options: Keyword arguments of the decorator, or of a registration.

    Raises:
        ToolDefinitionError: One of them is unknown.
    """
    known = [*ToolOptions.__annotations__, "name", "description"]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
            raise ToolDefinitionError(f"Tool {label!r}: there is no option {name!r}.", hint=guess)


def is_marked(function: object) -> bool:
    """Whether a function bears the `tool` decorator."""
    return hasattr(function, _OPTIONS)


def _copied(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    try:
        return copy.deepcopy(schema)
    except RecursionError:
        raise ToolDefinitionError(f"Tool {name!r}: its schema is nested too deeply.") from None


def _check_options(tool: Tool) -> None:
    """Refuse options that cannot be; callers without a type checker pass anything."""
    name = cast("object", tool.name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ToolDefinitionError(
            f"{name!r:.100} cannot be the name of a tool.",
            hint="Use 1 to 64 letters, digits, underscores and hyphens.",
        )
    problem = next((text for holds, text in _rules(tool) if not holds), "")
    if problem:
        raise ToolDefinitionError(f"Tool {name!r}: {problem}.")


def _rules(tool: Tool) -> Iterator[tuple[bool, str]]:
    given: Any = tool  # callers without a type checker pass anything
    yield _is_number(given.timeout, above=0), "timeout must be more than 0 seconds"
    yield _is_count(given.max_result_bytes, 1), "max_result_bytes must be at least 1"
    yield _is_count(given.retries, 0), "retries must be 0 or more"
    yield given.effect in get_args(Effect), f"effect must be one of {', '.join(get_args(Effect))}"
    yield (
        not given.retries or given.effect != "once",
        'retries would repeat the effect; say effect="read" or "idempotent", or leave retries out',
    )
    rule = given.requires_approval
    yield isinstance(rule, bool) or callable(rule), "requires_approval must be a bool or a function"
    yield (
        isinstance(rule, bool) or _takes_one(rule),
        "requires_approval must take one argument, the arguments of the call",
    )
    yield isinstance(given.parallel, bool), "parallel must be True or False"
    yield isinstance(given.may_repeat, bool), "may_repeat must be True or False"
    yield isinstance(given.trusted, bool), "trusted must be True or False"
    yield given.on_error in ("tell", "raise"), 'on_error must be "tell" or "raise"'
    yield given.strict in (True, False, "auto"), 'strict must be True, False or "auto"'
    yield (
        given.reconcile is None or takes_two(given.reconcile),
        "reconcile must be a function of the context and the arguments of a call",
    )
    yield given.schema.get("type") not in _NO_OBJECTS, "its schema must be that of an object"


def _takes_one(rule: Any) -> bool:
    try:
        inspect.signature(rule).bind({})
    except TypeError:
        return False
    except ValueError:  # a function of C that hides its signature
        return True
    return True


def _is_number(value: object, *, above: float) -> bool:
    if value is None:
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > above


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_given_schema(name: str, schema: Mapping[str, Any], signature: FunctionSignature) -> None:
    """Refuse a schema that promises the model an argument the function cannot take."""
    described = schema.get("properties")
    if signature.is_open or not isinstance(described, Mapping):
        return
    known = set(signature.wire_names)
    unknown = [key for key in cast("Mapping[str, Any]", described) if key not in known]
    if unknown:
        raise ToolDefinitionError(
            f"Tool {name!r}: its schema has {', '.join(map(repr, unknown))}, which its function"
            " does not take.",
            hint="Give the function a parameter of that name, or `**options`.",
        )
