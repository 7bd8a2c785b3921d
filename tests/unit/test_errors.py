import inspect
import pickle
import re
import warnings
from copy import copy
from types import SimpleNamespace

import pytest

from mbxai import errors
from mbxai.errors import MBXAIError, MBXAIWarning

FAMILY = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, MBXAIError | MBXAIWarning)
]
ERRORS = [value for value in FAMILY if issubclass(value, MBXAIError)]

# A value for each attribute that some error carries; none of them is a default.
VALUES = {
    "hint": "Try again.",
    "request_id": "req-1",
    "generation_id": "gen-1",
    "attempts": 3,
    "status": 429,
    "code": "slow_down",
    "provider": "Somebody",
    "retry_after": 1.5,
    "body": {"code": 429},
    "partial": SimpleNamespace(text="half"),
    "completion": SimpleNamespace(text="whole"),
    "completions": (SimpleNamespace(text="first"),),
    "total_usage": SimpleNamespace(cost=0.5),
    "problems": ("name: missing",),
    "server": "files",
    "agent_id": "agent-1",
    "until": 1700000000.5,
    "response": SimpleNamespace(state="failed"),
    "limit": "max_cost_usd",
    "run": SimpleNamespace(rounds=2),
    "interaction_id": "ask-1",
    "tools": ("pay", "ship"),
}


def build(kind: type[MBXAIError]) -> tuple[MBXAIError, dict[str, object]]:
    """An error with everything that its class, or a class above it, takes."""
    taken = {
        name
        for cls in kind.__mro__
        if "__init__" in vars(cls) and issubclass(cls, MBXAIError)
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    given = {name: VALUES[name] for name in taken}
    return kind("It broke.", **given), given


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("again", [copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_survives_the_way_to_another_process(kind, again):
    error, given = build(kind)
    twin = again(error)
    assert type(twin) is kind
    assert {name: getattr(twin, name) for name in given} == given
    assert (twin.message, str(twin), twin.args) == (error.message, str(error), error.args)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_says_what_happened_and_then_what_to_do(kind):
    error, _ = build(kind)
    assert str(error) == "It broke. Try again."
    assert isinstance(error, MBXAIError)


@pytest.mark.parametrize("kind", FAMILY)
def test_an_error_is_documented_with_all_that_it_carries(kind):
    assert kind.__doc__
    if issubclass(kind, MBXAIError) and "__init__" in vars(kind):
        documented = set(re.findall(r"^ {4,8}(\w+): ", kind.__doc__, re.MULTILINE))
        own = set(inspect.signature(kind.__init__).parameters) - {"self", "message", "origin"}
        inherited = {
            name
            for cls in kind.__mro__[1:]
            if issubclass(cls, MBXAIError) and "__init__" in vars(cls)
            for name in inspect.signature(cls.__init__).parameters
        }
        assert own - inherited <= documented


@pytest.mark.parametrize("kind", FAMILY)
def test_the_tree_in_the_docstring_names_the_class(kind):
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__)


def test_the_tree_in_the_docstring_names_nothing_else():
    named = set(re.findall(r"\b[A-Z]\w*(?:Error|Warning|Retry)\b", errors.__doc__))
    outside = {"ValueError", "TypeError", "TimeoutError", "RuntimeError", "LookupError"}
    assert named - outside == {kind.__name__ for kind in FAMILY}


@pytest.mark.parametrize("kind", [kind for kind in FAMILY if issubclass(kind, MBXAIWarning)])
def test_a_warning_can_be_silenced_with_its_family(kind):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", MBXAIWarning)
        warnings.warn("look", kind, stacklevel=1)
    assert heard == []
