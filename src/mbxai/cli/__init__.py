"""The program `mbxai`: runs an agent, chats and lists models in a terminal.

It is built on the public names of the package. `mbxai.notebook` shows what it knows of a run;
nothing else is built on it.
"""

from mbxai.cli._main import main

__all__ = ["main"]
