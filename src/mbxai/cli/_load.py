"""Objects of the user's own code, named on the command line as `module:name`."""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from pydantic import BaseModel

from mbxai.agent.models import DialogOption
from mbxai.cli._text import one_line
from mbxai.errors import ConfigurationError


def load_model(name: str) -> type[BaseModel]:
    """Return the pydantic model that `module:Model` names.

    Args:
        name: Module and attribute; modules of the current directory come first.

    Raises:
        ConfigurationError: There is no such module or name, or it is no pydantic model.
    """
    value = load(name)
    if not (inspect.isclass(value) and issubclass(value, BaseModel)):
        raise ConfigurationError(
            f"{name} is no pydantic model but {_kind(value)}.",
            hint="Name a class that inherits from pydantic.BaseModel.",
        )
    return value


def load_function(name: str) -> Callable[..., object]:
    """Return the function that `module:function` names.

    Args:
        name: As for `load_model`.

    Raises:
        ConfigurationError: There is no such module or name, or it cannot be called.
    """
    value = load(name)
    if not callable(value):
        raise ConfigurationError(f"{name} is no function but {_kind(value)}.")
    return value


def load_dialogs(name: str) -> list[DialogOption]:
    """Return the dialogues that `module:name` names: one, or a list or tuple of them.

    Args:
        name: As for `load_model`.

    Raises:
        ConfigurationError: There is no such module or name, or it holds something else.
    """
    value = load(name)
    several = isinstance(value, list | tuple)
    options = list(cast("list[object]", value)) if several else [value]
    if not all(isinstance(option, DialogOption) for option in options):
        raise ConfigurationError(
            f"{name} is no DialogOption but {_kind(value)}.",
            hint="Name a DialogOption or a list of them.",
        )
    return cast("list[DialogOption]", options)


def load(name: str) -> object:
    """Return what `module:name` names; the name may have dots.

    Args:
        name: Module and attribute; modules of the current directory come first.

    Raises:
        ConfigurationError: The text has another shape, the module is not there or cannot be
            imported, or has no such name.
    """
    module_name, colon, path = name.partition(":")
    if not (colon and module_name and path):
        raise ConfigurationError(
            f"{name!r} names no object.", hint="Write it as module:name, for example shop:Order."
        )
    value: object = _imported(module_name)
    for part in path.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            raise ConfigurationError(f"The module {module_name!r} has no {path!r}.") from None
    return value


def _imported(module_name: str) -> object:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"There is no module {module_name!r}.",
                hint="Modules are looked for in the current directory first.",
            ) from error
        raise ConfigurationError(
            f"The module {module_name!r} needs {error.name!r}, which is not installed."
        ) from error
    except Exception as error:  # the user's own code runs
        problem = one_line(f"{type(error).__name__}: {error}", 300)
        raise ConfigurationError(
            f"The module {module_name!r} cannot be imported: {problem}"
        ) from error


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if inspect.isclass(value) else type(value).__name__
