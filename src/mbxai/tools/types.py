"""What a tool is, at the path where it has always been importable from."""

from mbxai.tools._call import ToolCall
from mbxai.tools._tool import Tool
from mbxai.tools.schema._strict import convert_to_strict_schema

__all__ = ["Tool", "ToolCall", "convert_to_strict_schema"]
