"""From what a model wrote to what a function is called with: arguments, context, secrets."""

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import pydantic_core
from pydantic import ValidationError

from mbxai.errors import ToolArgumentError
from mbxai.tools._call import ToolCall
from mbxai.tools._context import Secret, ToolContext
from mbxai.tools._tool import Tool
from mbxai.tools.runner._argument_text import read_arguments
from mbxai.tools.runner._arguments import with_decoded
from mbxai.tools.runner._cleaning import Cleaner
from mbxai.tools.runner._failures import failure, failure_text
from mbxai.tools.runner._progress import RunControl
from mbxai.tools.runner._threads import in_thread
from mbxai.tools.schema._restore import restored
from mbxai.tools.schema._schema import FunctionSignature
from mbxai.tools.schema._signature import Parameter
from mbxai.wire import ToolResult

_LARGE_CHARS: Final = 65_536
# A string that may hold an object or an array.
_ENCODED: Final = re.compile(r'"\s*(?:\\[nrt]\s*)*[{\[]')
_ADVICE: Final = "Nothing was run. Call the tool again with corrected arguments."


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A call whose arguments fit.

    Attributes:
        call: The call; its arguments are proper JSON of what the model meant.
        given: The arguments as JSON values.
        values: Values for the function by parameter name, injected ones not included.
    """

    call: ToolCall
    given: dict[str, Any]  # Any: JSON of the wire
    values: dict[str, Any]  # Any: the function's own types


async def prepared(tool: Tool | None, call: ToolCall, clean: Cleaner) -> Prepared | ToolResult:
    """Read and validate the arguments of a call.

    Args:
        tool: The tool; None where nothing is known but its name.
        call: What the model wants.
        clean: Takes credentials out of what the model is told.

    Returns:
        The call ready to be decided, or the result that says what is wrong with it.
    """
    read = partial(_read, tool, call)
    try:
        # A user's validators run here; large texts would hold up the loop.
        return await in_thread(read) if len(call.arguments) > _LARGE_CHARS else read()
    except ToolArgumentError as error:
        problems = clean(error.message)
        return failure(call, f"Invalid arguments for {call.name}:\n{problems}\n{_ADVICE}")
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a user's validator
        return failure(call, failure_text(call.name, error, clean))


def inject(
    tool: Tool, ready: Prepared, context: ToolContext[Any], clean: Cleaner
) -> ToolResult | None:
    """Add the secrets that a function asks for to its values.

    Args:
        tool: The tool.
        ready: The call; its values are added to.
        context: Where secrets come from.
        clean: Is told of them, and takes them out of what the model is told.

    Returns:
        What the model is told if one is missing; None if all is there.
    """
    for parameter in _injected(tool, "context"):
        if not _takes(parameter, context) and not _may_miss(parameter):
            wanted = parameter.injection.context_type.__name__ if parameter.injection else ""
            return failure(
                ready.call,
                f"{tool.name} asks for a {wanted}, which is not there where it is run now. Nothing"
                " was run.",
            )
    for parameter in _injected(tool, "secret"):
        name = parameter.injection.secret_name if parameter.injection else ""
        try:
            secret: Secret | None = context.secret(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the application's source
            return failure(ready.call, failure_text(tool.name, error, clean))
        if secret is None and not parameter.is_required:
            continue
        if secret is None and not (parameter.injection and parameter.injection.nullable):
            return failure(
                ready.call,
                f"{tool.name} needs the credential {name!r}, which nobody has given. Nothing was"
                " run. Ask for the credential, or go on without this tool.",
            )
        ready.values[parameter.name] = secret
    return None


def contexts_of(
    tool: Tool, context: ToolContext[Any], control: RunControl
) -> dict[str, ToolContext[Any] | None]:
    """Return the context of one run, by the names of the parameters that ask for it.

    Args:
        tool: The tool.
        context: What surrounds the run.
        control: What the context's methods speak to.
    """
    wanting = _injected(tool, "context")
    if not wanting:
        return {}
    own = replace(context, _run=control)
    given = {p.name: own if _takes(p, context) else None for p in wanting}
    # A default of its own is as good as None.
    left_out = {p.name for p in wanting if given[p.name] is None and not p.is_required}
    return {name: own for name, own in given.items() if name not in left_out}


def context_for(
    call: ToolCall, given: ToolContext[Any] | None, known: list[Secret], *, shared: bool
) -> ToolContext[Any]:
    """Return the context of one call.

    Args:
        call: The call.
        given: The caller's context.
        known: Gets the secrets that the context hands out.
        shared: Whether the caller's context is that of several calls, so that its idempotency key
            must be told apart from call to call.
    """
    if given is None:
        given = ToolContext[Any]()
    key = given.idempotency_key
    if key and shared:
        key = f"{key}:{call.id}"
    return replace(
        given, name=call.name, call_id=call.id, idempotency_key=key or call.id, _known=known
    )


def takes_injections(tool: Tool) -> bool:
    """Whether the tool's function asks for a context or a secret."""
    parameters = tool.signature.parameters if tool.signature is not None else ()
    return any(parameter.injection is not None for parameter in parameters)


def _takes(parameter: Parameter, context: ToolContext[Any]) -> bool:
    return parameter.injection is not None and isinstance(context, parameter.injection.context_type)


def _may_miss(parameter: Parameter) -> bool:
    """Whether a function can do without a context of its kind."""
    nullable = parameter.injection is not None and parameter.injection.nullable
    return nullable or not parameter.is_required


def _injected(tool: Tool, kind: str) -> list[Parameter]:
    parameters = tool.signature.parameters if tool.signature is not None else ()
    return [p for p in parameters if p.injection is not None and p.injection.kind == kind]


def _decoded(
    signature: FunctionSignature, given: dict[str, Any], text: str
) -> dict[str, Any] | None:
    """Arguments with strings read as JSON, where validation would read them so.

    It is done here already, since what a rule or a person approves must be what is run.
    """
    try:
        signature.reader(text)
    except ValidationError as cause:
        errors = cause.errors(include_url=False, include_context=False, include_input=False)
        return with_decoded(given, errors)
    return None


def _read(tool: Tool | None, call: ToolCall) -> Prepared:
    given, text = read_arguments(call.arguments)
    values = given
    if tool is not None and tool.checker is not None:
        given, text = _written(given, tool.checker.fitted(given), text)
    if tool is not None and tool.signature is not None:
        if _ENCODED.search(text):
            given, text = _written(given, _decoded(tool.signature, given, text), text)
        if tool.requires_approval is not False and tool.signature.strict:
            # What is shown and approved is what will be run, without nulls that mean nothing.
            given, text = _written(given, restored(given, tool.schema), text)
        values = tool.signature.validate(text)
    if text != call.arguments:
        call = replace(call, arguments=text)
    return Prepared(call=call, given=given, values=values)


def _written(
    before: dict[str, Any], after: dict[str, Any] | None, text: str
) -> tuple[dict[str, Any], str]:
    """Arguments after a change, with their JSON text; the text is kept where nothing changed."""
    if after is None or after == before:
        return before, text
    return after, pydantic_core.to_json(after).decode()
