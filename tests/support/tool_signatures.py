"""Functions that people write as tools, and the exact schema that each must become.

The schemas are written by hand. `values` of a case makes what the function should get, by parameter
name; `arguments_of` writes it as a model would.
"""

from support import (
    tool_signatures_forms,
    tool_signatures_models,
    tool_signatures_plain,
    tool_signatures_types,
)
from support.signature_case import SignatureCase

__all__ = ["CASES", "SignatureCase"]

CASES: list[SignatureCase] = [
    *tool_signatures_plain.CASES,
    *tool_signatures_models.CASES,
    *tool_signatures_types.CASES,
    *tool_signatures_forms.CASES,
]
