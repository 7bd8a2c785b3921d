"""A secret does not leak through anything that prints, stores or compares."""

import copy
import json
import pickle

import pytest

from mbxai.tools import Secret, ToolContext


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, "%s".__mod__, lambda s: f"{s!r:>40}", lambda s: str([s])]
)
def test_a_secret_prints_as_dots(show: object) -> None:
    shown = show(Secret("hunter22"))
    assert "hunter" not in shown
    assert "•" in shown


def test_a_secret_reveals_only_when_asked() -> None:
    secret = Secret("hunter22")
    assert secret.reveal() == Secret(secret).reveal() == "hunter22"
    assert len(secret) == 8
    assert copy.deepcopy({"a": secret})["a"] is secret
    assert copy.copy(secret) is secret


def test_secrets_compare_with_secrets_only() -> None:
    assert Secret("ü") == Secret("ü")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_a_secret_refuses_to_be_stored() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("a"))
    with pytest.raises(TypeError):
        json.dumps(Secret("a"))


def test_a_context_finds_secrets_in_a_mapping_or_by_a_function() -> None:
    assert ToolContext(secrets={"a": "1"}).secret("a") == Secret("1")
    assert ToolContext(secrets={"a": "1"}).secret("b") is None
    assert ToolContext(secrets=lambda name: name * 2).secret("x") == Secret("xx")
