"""The operations of the API besides chat, one file a group; see the properties of the clients.

Each module is loaded when it is first used, and has its own public names. Here is what the lists of
all of them have in common.
"""

from mbxai.openrouter._pages import AsyncPage, ListAnswer, Page, PageLinks, PageRequest

__all__ = ["AsyncPage", "ListAnswer", "Page", "PageLinks", "PageRequest"]
