"""Blocking classes have what their async twins have: names, parameters, types, defaults, docstrings.

The pairs are found, not listed: a class `X` beside every public `AsyncX`. What is awaited and named
otherwise has a blocking way of its own, or a reason why nobody needs one.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

import mbxai
from mbxai.sessions import BlockingSessionStore, SessionStore

# What the blocking world calls otherwise.
RENAMED = {
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
ONLY_ASYNC = {"open", "batches", "set_response", "output_type", "parsed", "next_item"}
# What a type is called in the blocking world.
TYPES = [
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bPageRequest\b", "Page"),
    (r"^StreamManager\[(?!.*Any)(.*)\]$", r"\1"),
    (r"\b(Blocking)?SessionStore\b", "SessionStore"),
]
# An iterator that can be closed stands for an asynchronous generator.
OTHER_RESULTS = {"AsyncAgentSessions.events"}
# What has no blocking way, and why nobody needs one.
NO_BLOCKING_WAY = {
    "Check.run": "`check_store_sync` runs it",
    "FileTokenStore": "clients ask it",
    "Follower": "a part of services that have a loop",
    "KeyRing": "sealed stores ask it",
    "MCPContext": "blocking functions of a server pass its calls to `wait_for`",
    "MCPServer.resource_updated": "the same",
    "MemoryTokenStore": "clients ask it",
    "PageRequest": "`Page` is its blocking twin",
    "RateLimiter": "clients ask it",
    "RunManager": "a part of services that have a loop",
    "TokenStore": "clients ask it",
}
OTHER_NAMES = {"MCPServer.add_tool": "register", "LocalModel.start": "__enter__"}


def _public_names() -> Iterator[tuple[str, Any]]:
    for info in pkgutil.walk_packages(mbxai.__path__, "mbxai."):
        if any(part.startswith("_") for part in info.name.split(".")) or "cli" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            yield name, getattr(module, name)


NAMES = dict(_public_names())
CLASSES = {name: value for name, value in NAMES.items() if isinstance(value, type)}
FUNCTIONS = [
    (value, NAMES[f"{name}_sync"])
    for name, value in NAMES.items()
    if inspect.iscoroutinefunction(value)
]
PAIRS = [
    (cls, CLASSES.get(name.removeprefix("Async")))
    for name, cls in CLASSES.items()
    if name.startswith("Async")
]


def test_every_async_class_has_a_blocking_twin() -> None:
    assert len(PAIRS) >= 6
    assert [cls.__name__ for cls, twin in PAIRS if twin is None] == []


def _methods() -> list[Any]:
    found = []
    for cls, twin in PAIRS:
        for name, member in inspect.getmembers(cls):
            dunder = name.startswith("_") and name not in RENAMED
            if dunder or name in ONLY_ASYNC or name in vars(object):
                continue
            if callable(member) or isinstance(inspect.getattr_static(cls, name), property):
                found.append(pytest.param(cls, twin, name, id=f"{cls.__name__}.{name}"))
    return found


@pytest.mark.parametrize(("cls", "twin", "name"), _methods())
def test_the_twin_has_the_same_method(cls: type, twin: type, name: str) -> None:
    theirs = RENAMED.get(name, name)
    assert hasattr(twin, theirs), f"{twin.__name__}.{theirs} is missing"
    ours = inspect.getattr_static(cls, name)
    other = inspect.getattr_static(twin, theirs)
    assert isinstance(ours, property) == isinstance(other, property)
    if isinstance(ours, property):
        assert _types(ours.fget) == _types(other.fget)
        return
    method, blocking = getattr(cls, name), getattr(twin, theirs)
    assert not inspect.iscoroutinefunction(blocking)
    assert _parameters(method) == _parameters(blocking)
    if f"{cls.__name__}.{name}" not in OTHER_RESULTS:
        assert _types(method) == _types(blocking)
    if not name.startswith("__"):
        assert _words(method.__doc__) == _words(blocking.__doc__)


@pytest.mark.parametrize(("cls", "twin"), [p for p in PAIRS if p[0].__name__.endswith("Client")])
def test_the_constructor_takes_the_same_arguments(cls: type, twin: type) -> None:
    assert _parameters(cls) == _parameters(twin)


def test_what_is_awaited_has_a_blocking_way_or_a_reason() -> None:
    missing = set()
    for name, cls in CLASSES.items():
        twin = BlockingSessionStore if hasattr(cls, "read_answers") else cls
        for method in dir(cls):
            is_public = not method.startswith("_") or method in RENAMED
            if name.startswith("Async") or not is_public:
                continue
            if inspect.iscoroutinefunction(getattr(cls, method)):
                place = f"{name}.{method}"
                names = {RENAMED.get(method), f"{method}_sync", OTHER_NAMES.get(place)}
                names |= {method} if twin is not cls else set()
                if not any(other and hasattr(twin, other) for other in names):
                    missing.add(place if place in NO_BLOCKING_WAY else name)
    assert missing == set(NO_BLOCKING_WAY)


def test_a_function_that_is_awaited_has_a_blocking_twin() -> None:
    twins = [twin for _, twin in FUNCTIONS]
    assert len(twins) == 1
    for function, twin in FUNCTIONS:
        assert _parameters(function) == _parameters(twin)
        assert _types(function) == _types(twin)
        assert _words(function.__doc__) == _words(twin.__doc__)


def test_the_blocking_store_has_what_the_protocol_promises() -> None:
    for name in vars(SessionStore):
        if inspect.iscoroutinefunction(method := getattr(SessionStore, name)):
            blocking = getattr(BlockingSessionStore, RENAMED.get(name, name))
            assert _parameters(method) == _parameters(blocking)
            assert _types(method) == _types(blocking)
            assert _words(method.__doc__) == _words(blocking.__doc__)
    assert _words(SessionStore.keeps_log.__doc__) == _words(BlockingSessionStore.keeps_log.__doc__)


def _types(function: Any) -> dict[str, str]:
    signature = inspect.signature(function)
    found = {p.name: p.annotation for p in signature.parameters.values() if p.name != "http_client"}
    return {name: _type(given) for name, given in found.items()} | {
        "return": _type(signature.return_annotation)
    }


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z_])", "", re.sub("[\"']", "", text))
    for pattern, replacement in TYPES:
        text = re.sub(pattern, replacement, text)
    return text


def _parameters(function: Any) -> list[tuple[str, str, str]]:
    return [
        (parameter.name, str(parameter.kind), repr(parameter.default))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in ("self", "http_client")
    ]


def _words(text: str | None) -> str:
    """A docstring without what differs between the worlds."""
    plain = re.sub(
        r"\b(an )?async(hronous)? |\bAsync(?=[A-Z])|\baclose\b|\bclose\b|\bawaits?\b",
        "",
        text or "",
    )
    return " ".join(re.sub(r"\ban? \b", "", plain.lower()).split())
