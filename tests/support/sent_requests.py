"""Every request that a test sends to a fake OpenRouter must fit the published schema."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

from support.published_schema import request_problems

from mbxai.testing import FakeOpenRouter

BASE_PATH = "/api/v1"
# Fields that tests make up, to see that what is unknown passes through.
MADE_UP = frozenset({"brand_new", "parameter_of_tomorrow", "a_new_parameter", "extra", "new_field"})
# What a provider adds to a call, in no schema, goes back with it.
ADDED = "extra_content"

_checked: "WeakKeyDictionary[FakeOpenRouter, int]" = WeakKeyDictionary()
_problems: list[str] = []


def problems_of(method: str, path: str, body: Any) -> list[str]:
    """What the schema says against a request; nothing where it does not know the path."""
    if method != "POST" or not isinstance(body, dict):
        return []
    known = {name: value for name, value in body.items() if name not in MADE_UP}
    with suppress(KeyError, LookupError):
        problems = request_problems(path.removeprefix(BASE_PATH), json.loads(json.dumps(known)))
        return [problem for problem in problems if ADDED not in problem]
    return []


@contextmanager
def checked() -> Iterator[list[str]]:
    """Give the list of problems, filled at the end of the block."""
    _problems.clear()
    yield _problems
    for server in list(_checked):
        _look(server)


def _look(server: FakeOpenRouter) -> None:
    seen = _checked.get(server, 0)
    try:
        requests = server.requests()
    except Exception:
        return  # it has ended
    _checked[server] = len(requests)
    for request in requests[seen:] if len(requests) >= seen else requests:
        _problems.extend(problems_of(request.method, request.path, request.body))


def watch() -> None:
    """Have every fake server tell what it received, at its end and when it is reset."""
    start, stop, reset = FakeOpenRouter.__enter__, FakeOpenRouter.__exit__, FakeOpenRouter.reset

    def started(self: FakeOpenRouter) -> FakeOpenRouter:
        _checked[self] = 0
        return start(self)

    def stopped(self: FakeOpenRouter, *exc_info: Any) -> None:
        _look(self)
        _checked.pop(self, None)
        stop(self, *exc_info)

    def reset_(self: FakeOpenRouter) -> None:
        _look(self)
        _checked[self] = 0
        reset(self)

    FakeOpenRouter.__enter__ = started  # type: ignore[method-assign]
    FakeOpenRouter.__exit__ = stopped  # type: ignore[method-assign]
    FakeOpenRouter.reset = reset_  # type: ignore[method-assign]
