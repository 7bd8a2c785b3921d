"""What a docstring says of a function or a class: its summary, its parameters, its attributes.

Google, NumPy, Sphinx (ReST) and Epydoc layouts are read. No schema is made here.
"""

import dataclasses
import functools
import inspect
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

from mbxai.tools.schema._signature import AnyFunction, innermost

# What docstring_parser does not read as parameters by itself.
_MORE_SECTIONS: Final = ("Keyword Args", "Keyword Arguments", "Other Parameters")
_HAS_MORE: Final = re.compile(rf"^\s*(?:{'|'.join(_MORE_SECTIONS)}):\s*$", re.MULTILINE)
_HAS_FIELDS: Final = re.compile(
    r"^\s*(?:(?:Attributes?|Args|Arguments|Parameters|Params):?\s*$|[:@](?:i?var|param|attr))",
    re.MULTILINE,
)
_SUMMARY: Final = "Summary."
_NOT_USERS: Final = frozenset({"builtins", "pydantic", "typing", "typing_extensions"})


@dataclass(frozen=True, slots=True)
class DocstringText:
    """The parts of a docstring that a model should read.

    Attributes:
        summary: Everything before the parameter section, one paragraph a blank line.
        parameters: Parameter or attribute name to its description, on one line.
    """

    summary: str
    parameters: dict[str, str]


def read_docstring(docstring: str | None) -> DocstringText:
    """Split a docstring into what the function does and what its parameters mean.

    Args:
        docstring: The raw docstring; None and blank text give empty parts.

    Returns:
        Its parts; text that follows none of the known layouts is all summary.
    """
    text = inspect.cleandoc(docstring or "")
    if not text:
        return DocstringText("", {})
    # Slow to import, and a program without documented tools never needs it.
    from docstring_parser import ParseError, parse  # noqa: PLC0415

    # The parser finds a section only below a summary.
    whole = f"{_SUMMARY}\n\n{text}" if _HAS_FIELDS.match(text) else text
    try:
        parsed = _google_parser().parse(whole) if _HAS_MORE.search(text) else parse(whole)
    except ParseError:
        return DocstringText(text, {})
    short = parsed.short_description
    paragraphs = [None if short == _SUMMARY else short, parsed.long_description]
    named = [(parameter.arg_name, parameter.description) for parameter in parsed.params]
    named.extend(  # `:ivar name:` is how Sphinx writes an attribute
        (entry.args[-1], entry.description)
        for entry in parsed.meta
        if len(entry.args) > 1 and entry.args[0] in {"ivar", "var"}
    )
    parameters: dict[str, str] = {}
    for names, said in named:
        description = " ".join((said or "").split())
        if description:
            # NumPy writes `first, second` for two parameters of one meaning, Sphinx `*names`.
            for name in names.split(","):
                parameters.setdefault(name.strip().lstrip("*"), description)
    return DocstringText("\n\n".join(part for part in paragraphs if part), parameters)


def function_texts(function: AnyFunction) -> DocstringText:
    """Return what the docstrings of a tool's function say.

    Args:
        function: A function, bound method, partial, class or object with `__call__`. A class may
            describe itself, its `__init__`, or both; so may the class of an object.
    """
    texts = [read_docstring(docstring) for docstring in _docstrings(function)]
    parameters: dict[str, str] = {}
    for text in reversed(texts):
        parameters.update(text.parameters)
    # A pydantic model that is called itself: its fields are its parameters.
    fields: dict[str, Any] = getattr(function, "model_fields", {})
    for name, field in fields.items():
        if field.description:
            parameters[field.alias or name] = field.description
    return DocstringText(next((text.summary for text in texts if text.summary), ""), parameters)


def class_texts(owner: type[Any]) -> DocstringText | None:
    """Return what a class says of its fields, those of its bases included.

    Args:
        owner: A model, dataclass or TypedDict.

    Returns:
        The parts; None if no docstring speaks of fields, whatever else it says.
    """
    fields: dict[str, str] = {}
    summary = ""
    for base in reversed(getattr(owner, "__mro__", (owner,))):
        docstring = base.__dict__.get("__doc__")
        if base.__module__.partition(".")[0] in _NOT_USERS:
            continue
        if isinstance(docstring, str) and _HAS_FIELDS.search(docstring):
            text = read_docstring(docstring)
            fields.update(text.parameters)
            summary = text.summary if base is owner else summary
    return DocstringText(summary, fields) if fields else None


def _docstrings(function: AnyFunction) -> list[str | None]:
    while isinstance(function, functools.partial):
        function = cast("AnyFunction", function.func)
    if inspect.isclass(function):
        # A class without an `__init__` of its own has the text of `object`.
        own = "__init__" in vars(function)
        # Where a dataclass says nothing, Python writes its signature there.
        generated = dataclasses.is_dataclass(function) and is_generated(function)
        return [
            None if generated else function.__doc__,
            function.__init__.__doc__ if own else None,
        ]
    if inspect.isroutine(function):
        return [inspect.getdoc(function)]
    return [inspect.getdoc(innermost(function)), type(function).__doc__]


def is_generated(owner: type[Any]) -> bool:
    """Whether a dataclass has no docstring but the signature that Python writes in its place."""
    return (owner.__doc__ or "").startswith(f"{owner.__name__}(")


@cache
def _google_parser() -> Any:
    from docstring_parser.google import (  # noqa: PLC0415
        DEFAULT_SECTIONS,
        GoogleParser,
        Section,
        SectionType,
    )

    more = [Section(title, "param", SectionType.MULTIPLE) for title in _MORE_SECTIONS]
    return GoogleParser([*DEFAULT_SECTIONS, *more])
