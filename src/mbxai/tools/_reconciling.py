"""How a tool finds out what a run of it did that was cut off: its `reconcile` function."""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

from mbxai.tools._context import ToolContext

Reconcile: TypeAlias = Callable[[ToolContext[Any], dict[str, Any]], object]  # Any: deps; JSON
"""Says what a run did of which only the beginning is known; blocking or not.

It gets the context of that run (the same idempotency key, `deps`, secrets by `context.secret`) and
its arguments, and changes nothing. It returns the result that the run had, or `NotDone()` where it
surely had no effect; if it raises, the outcome stays unknown. It may be called again.
"""


def takes_two(function: object) -> bool:
    """Tell whether something can be called with a context and arguments.

    Args:
        function: What was given as `reconcile`.
    """
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(None, {})
    except TypeError:
        return False
    except ValueError:  # a function of C that hides its signature
        return True
    return True


def as_function(reconcile: Reconcile) -> Callable[..., object]:
    """Return the function of a tool that is run in the place of the tool itself.

    Args:
        reconcile: The application's function.

    Returns:
        A function that takes any arguments; what it returns may have to be awaited.
    """

    # Arguments may have any names, so the context is not given by name.
    def reconciled(context: ToolContext[Any], /, **arguments: Any) -> object:
        return reconcile(context, arguments)

    return reconciled
