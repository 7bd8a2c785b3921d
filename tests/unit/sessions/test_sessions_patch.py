"""Patches: what changed, as data, and the state that they give back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbxai.sessions._patch import difference, patched

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.0, 0.5]),
    st.sampled_from(["", "=", "set", "text"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from("abc="), inner, max_size=3)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def as_text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


@given(OBJECTS, OBJECTS)
def test_a_patch_leads_from_any_object_to_any_other_and_leaves_both_as_they_are(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    first, second = as_text(before), as_text(after)
    patch = json.loads(json.dumps(difference(before, after)))  # as it comes out of a store
    assert as_text(patched(before, patch)) == second
    assert (as_text(before), as_text(after)) == (first, second)
    assert bool(patch) == (first != second)


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (1, 1.0), (None, False)])
def test_what_python_takes_for_equal_is_told_apart(before: object, after: object) -> None:
    assert as_text(patched({"x": before}, difference({"x": before}, {"x": after}))) == as_text(
        {"x": after}
    )


def test_a_step_of_a_long_list_costs_what_it_adds() -> None:
    messages = [{"role": "user", "content": "word " * 300} for _ in range(50)]
    added = {"role": "user", "content": "news"}
    patch = difference({"runs": {"a": messages}}, {"runs": {"a": [*messages, added]}})
    assert patch == {"in": {"runs": {"in": {"a": [50, {}, [added]]}}}}


def test_a_change_within_a_list_is_only_that() -> None:
    before = {"calls": [{"id": n, "started": False} for n in range(10)]}
    after = {"calls": [{"id": n, "started": n == 7} for n in range(10)]}
    patch = {"in": {"calls": [10, {"7": {"set": {"started": True}}}, []]}}
    assert difference(before, after) == patch


@pytest.mark.parametrize(
    "patch",
    [
        {"del": ["missing"]},
        {"in": {"missing": {"set": {}}}},
        {"in": {"x": {"set": {"y": 1}}}},
        {"in": {"list": [9, {"7": ["=", 1]}, []]}},
        {"set": 7},
        {"in": {"list": [1, 2, 3]}},
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        patched({"x": 1, "list": [1, 2]}, patch)
