"""What is made of a list of tools: each on its own, so that a bad one costs no good one."""

from typing import Any

import pytest

from mbxai.mcp.registry._catalogue import MAX_TOOLS, Catalogue, read_catalogue
from mbxai.mcp.registry._policy import read_policy

OBJECT = {"type": "object"}


def read(*tools: Any, **options: Any) -> Catalogue:
    return read_catalogue("s", tools, read_policy("s", options), "declared")


def tool(name: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": OBJECT, **more}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = OBJECT
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (None, "no schema"),
        ("object", "no schema"),
        ({"type": "array"}, "must be that of an object"),
        (deep(150), "nested too deeply"),
        (deep(100_000), "nested too deeply"),
        (
            {"type": "object", "properties": {"a": {"default": "x" * 9, "enum": ["y" * 200_000]}}},
            "bytes",
        ),
    ],
)
def test_a_schema_that_cannot_be_used_withholds_its_tool_alone(schema: Any, why: str) -> None:
    found = read(tool("bad", inputSchema=schema), tool("good"))
    assert [one.name for one in found.tools] == ["good"]
    assert why in found.withheld["bad"]


def test_tools_without_a_proper_name_are_left_out() -> None:
    found = read(tool(""), tool(3), {}, tool("good"), tool("good", description="Another."))
    assert [(one.name, one.description) for one in found.tools] == [("good", "")]
    assert found.warnings == (
        *["a tool without a name is left out"] * 3,
        "good: it is listed twice, and the first counts",
    )


def test_a_title_stands_in_for_a_description() -> None:
    found = read(
        tool("a", title="Adds"),
        tool("b", annotations={"title": "Subtracts"}),
        tool("c", title="C", description="Multiplies", annotations="none", outputSchema=7),
    )
    assert [(one.title, one.description) for one in found.tools] == [
        ("Adds", "Adds"),
        ("Subtracts", "Subtracts"),
        ("C", "Multiplies"),
    ]
    assert found.tools[2].output_schema is None


def test_of_too_many_tools_the_first_that_were_asked_for_count() -> None:
    many = [tool(f"t{number}") for number in range(MAX_TOOLS + 20)]
    found = read(*many, exclude_tools=["t0"])
    assert len(found.tools) == MAX_TOOLS
    assert found.tools[0].name == "t1"
    assert found.withheld["t0"] == "exclude_tools names it"
    assert "more than 1000 tools" in found.withheld[f"t{MAX_TOOLS + 1}"]
    assert f"of {MAX_TOOLS + 20} tools, the first 1000 are offered" in found.warnings
    assert len(found.pins) == MAX_TOOLS + 20  # also those that are not offered


def test_all_tools_are_pinned_whether_they_are_asked_for_or_not() -> None:
    found = read(tool("a"), tool("b"), tools=["a"])
    assert found.pins.keys() == {"a", "b"}
    assert found.withheld == {"b": "tools= does not choose it"}


def test_options_of_the_reading_tools_are_not_taken_for_misspelt_names() -> None:
    options = {"read_resource": {"timeout": 1.0}, "zzz": {}}
    assert read(tool("a"), tool_options=options).warnings == (
        "tool_options names 'zzz', which the server does not have",
    )


def test_no_character_leads_past_an_exclusion_or_an_approval() -> None:
    found = read(
        tool("drop_table\u200b"),
        tool("drop.table"),
        tool("delete.file"),
        tool("delete_file\u2060"),
        exclude_tools=["drop_table"],
        tool_options={"delete_file": {"requires_approval": True}},
    )
    assert set(found.withheld) == {"drop_table\u200b", "drop.table"}
    asked = {one.name: one.options.get("requires_approval") for one in found.tools}
    assert asked == {"delete.file": True, "delete_file\u2060": True}
    assert not any("does not have" in line for line in found.warnings)
