"""A model client for tests that call tools themselves; it answers nothing."""

from typing import Any


class NoModel:
    """Has the two methods that a tool client asks for."""

    async def create(self, **request: Any) -> object:
        raise AssertionError("This test calls no model.")

    async def parse(self, **request: Any) -> object:
        raise AssertionError("This test calls no model.")
