"""What a tool may be, what may not be one, and how it is offered."""

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from mbxai.errors import ToolDefinitionError
from mbxai.tools import Secret, Tool, ToolCall, ToolContext, ToolRegistry, tool
from mbxai.tools.client import AsyncToolClient, ToolClient
from mbxai.tools.types import Tool as ToolOfTypes
from mbxai.wire import ToolInfo


def get_weather(location: str, unit: str = "celsius") -> dict:
    """Get weather information for a location.

    Longer text.

    Args:
        location: The city
    """
    return {}


def unannotated(text, size: int) -> None: ...
def star_args(*texts: str) -> None: ...
def a_socket(link: socket.socket) -> None: ...
def a_callable(callback: Callable[[int], int]) -> None: ...
def nested_secret(tokens: list[Secret]) -> None: ...
def unresolvable(city: "Nowhere") -> None: ...  # noqa: F821
def unannotated_rest(**rest) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (unannotated, ["'shout'", "'text'", "no annotation"]),
        (unannotated_rest, ["'shout'", "'rest'"]),
        (star_args, ["'shout'", "*texts", "list[str]"]),
        (a_socket, ["'shout'", "'link'", "cannot become a JSON Schema"]),
        (a_callable, ["'shout'", "'callback'"]),
        (nested_secret, ["'shout'", "'tokens'"]),
        (unresolvable, ["'shout'", "city", "Nowhere", "module level"]),
        (3, ["'shout'", "int is no function"]),
        (dict.fromkeys, ["'shout'"]),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused_with_advice(
    function: Any, words: list[str]
) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        Tool("shout", "", function)
    for word in words:
        assert word in str(caught.value)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "ä", "x" * 65, "a\n"])
def test_a_name_that_providers_refuse_is_refused_here(name: str) -> None:
    with pytest.raises(ToolDefinitionError, match="cannot be the name of a tool"):
        Tool(name, "", get_weather)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1.0}, {"max_result_bytes": 0}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ToolDefinitionError, match="get_weather"):
        Tool.from_function(get_weather, **options)


def test_name_and_description_come_from_the_function() -> None:
    made = Tool.from_function(get_weather)
    assert (made.name, made.description) == (
        "get_weather",
        "Get weather information for a location.\n\nLonger text.",
    )
    renamed = Tool.from_function(get_weather, name="weather", description="Short")
    assert (renamed.name, renamed.description) == ("weather", "Short")


def test_an_object_with_call_is_named_after_its_class() -> None:
    class Search:
        def __call__(self, query: str) -> str:
            """Search the web."""
            return query

    made = Tool.from_function(Search())
    assert (made.name, made.description) == ("Search", "Search the web.")


def test_strict_is_claimed_only_where_strict_rules_say_the_same() -> None:
    def all_required(text: str, count: int) -> None: ...
    def has_default(text: str = "") -> None: ...
    def has_map(data: dict[str, int]) -> None: ...
    def has_bare_list(items: list) -> None: ...
    def has_bound(count: Any) -> None: ...

    claims = {
        function.__name__: Tool.from_function(function)
        .to_openai_function()["function"]
        .get("strict")
        for function in (all_required, has_default, has_map, has_bare_list, has_bound)
    }
    assert claims == {
        "all_required": True,
        "has_default": None,
        "has_map": None,
        "has_bare_list": None,
        "has_bound": None,
    }


def test_strict_is_never_claimed_for_a_servers_schema() -> None:
    async def call(**arguments: Any) -> str:
        return ""

    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert (
        "strict" not in Tool("a", "", call, schema, source="files").to_openai_function()["function"]
    )
    assert Tool("a", "", call, schema).to_openai_function()["function"]["strict"] is True


def test_a_given_schema_is_kept_word_for_word_and_shown_without_noise() -> None:
    given = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "title": "weatherArguments",
        "properties": {"location": {"type": "string", "title": "Location"}},
        "required": ["location"],
    }
    before = json.dumps(given)
    made = Tool("weather", "", get_weather, given)
    assert made.schema == given
    assert made.to_openai_function()["function"]["parameters"] == {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
    }
    given["properties"]["other"] = {}
    assert json.dumps(made.schema) == before


def test_a_given_schema_allows_parameters_without_annotations() -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    made = Tool("a", "", lambda text: text, schema)
    assert made.signature.validate('{"text": "x"}') == {"text": "x"}


def test_a_given_schema_with_an_argument_that_the_function_lacks_is_refused() -> None:
    schema = {"type": "object", "properties": {"place": {"type": "string"}}}
    with pytest.raises(ToolDefinitionError, match="'place', which its function does not take"):
        Tool("weather", "", get_weather, schema)


def test_changing_a_returned_definition_changes_nothing() -> None:
    made = Tool.from_function(get_weather)
    made.to_openai_function()["function"]["parameters"]["properties"].clear()
    assert "location" in made.to_openai_function()["function"]["parameters"]["properties"]


def test_info_tells_a_planner_what_it_needs() -> None:
    made = Tool.from_function(get_weather, effect="read", requires_approval=True)
    assert made.info() == ToolInfo(
        name="get_weather",
        description=made.description,
        parameters=made.schema,
        effect="read",
        requires_approval=True,
    )


def test_a_registry_keeps_order_and_replaces_by_name() -> None:
    def first(a: int) -> None: ...
    def second(b: int) -> None: ...

    registry = ToolRegistry()
    registry.add(Tool("one", "", first))
    registry.add(Tool("two", "", first))
    registry.add(Tool("one", "new", second), replace=True)
    assert registry.names() == ["one", "two"]
    assert registry.get("one").description == "new"
    assert [definition["function"]["name"] for definition in registry.definitions()] == [
        "one",
        "two",
    ]
    assert [d["function"]["name"] for d in registry.definitions(["two", "none"])] == ["two"]
    registry.remove("one")
    registry.remove("one")
    assert registry.get("one") is None
    assert "two" in registry
    assert len(registry) == 1


def test_the_decorator_leaves_a_function_as_it_is() -> None:
    @tool
    def plain(text: str) -> str:
        """Say it."""
        return text

    @tool(name="other", effect="read", timeout=5.0)
    def with_options(text: str) -> str:
        return text

    assert plain("a") == with_options("a") == "a"
    assert Tool.from_function(plain).name == "plain"
    made = Tool.from_function(with_options, timeout=1.0)
    assert (made.name, made.effect, made.timeout) == ("other", "read", 1.0)


def test_a_marked_method_becomes_a_tool_of_its_object() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @tool(effect="idempotent")
        def order(self, item: str) -> str:
            return f"{self.name}: {item}"

    made = Tool.from_function(Shop("A").order)
    assert (made.name, made.effect) == ("order", "idempotent")
    assert made.function(item="x") == "A: x"


def test_names_are_where_they_have_always_been() -> None:
    assert ToolOfTypes is Tool
    assert AsyncToolClient.__name__ == "AsyncToolClient"
    assert ToolClient.__name__ == "ToolClient"
    assert ToolCall(id="1", name="a", arguments="{}").name == "a"


def test_a_context_and_optional_secrets_are_injected_by_annotation() -> None:
    def function(
        text: str, context: "ToolContext[str] | None", token: "Secret | None" = None
    ) -> None: ...

    signature = Tool("tool", "", function).signature
    assert [p.injection.kind if p.injection else None for p in signature.parameters] == [
        None,
        "context",
        "secret",
    ]
