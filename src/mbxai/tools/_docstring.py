"""What a docstring says of a function: its summary and its parameters.

Google, NumPy and Sphinx layouts are read. No schema is made here.
"""

import inspect
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DocstringText:
    """The parts of a docstring that a model should read.

    Attributes:
        summary: Everything before the parameter section, one paragraph a blank line.
        parameters: Parameter name to its description, on one line.
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

    try:
        parsed = parse(text)
    except ParseError:
        return DocstringText(text, {})
    paragraphs = [parsed.short_description, parsed.long_description]
    parameters: dict[str, str] = {}
    for parameter in parsed.params:
        description = " ".join((parameter.description or "").split())
        if description:
            # NumPy writes `first, second` for two parameters of one meaning, Sphinx `*names`.
            for name in parameter.arg_name.split(","):
                parameters.setdefault(name.strip().lstrip("*"), description)
    return DocstringText("\n\n".join(part for part in paragraphs if part), parameters)
