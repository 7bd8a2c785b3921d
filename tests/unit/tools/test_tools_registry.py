"""Which tool a name stands for."""

from collections.abc import Callable
from functools import partial

import pytest

from mbxai.errors import ToolDefinitionError
from mbxai.tools import Tool, ToolRegistry, tool
from mbxai.tools._marked import tools_of


def look(city: str) -> str:
    """Look."""
    return city


def gaze(city: str) -> str:
    """Gaze."""
    return city


def define_again() -> object:
    namespace: dict[str, object] = {"__name__": __name__}
    exec("def look(city: str) -> str:\n    'Look again.'\n    return city", namespace)
    return namespace["look"]


def test_two_functions_cannot_have_one_name() -> None:
    registry = ToolRegistry()
    registry.add(Tool.from_function(look))
    with pytest.raises(ToolDefinitionError, match=r"'look' already.*look.*gaze") as caught:
        registry.add(Tool.from_function(gaze, name="look"))
    assert "replace=True" in str(caught.value)
    assert registry.get("look") == Tool.from_function(look)


def test_a_tool_may_be_replaced_on_purpose_and_keeps_its_place() -> None:
    registry = ToolRegistry()
    registry.add(Tool.from_function(look))
    registry.add(Tool.from_function(gaze))
    registry.add(Tool.from_function(gaze, name="look"), replace=True)
    assert registry.names() == ["look", "gaze"]
    assert registry.tools()[0].function is gaze


def test_a_function_that_is_defined_anew_takes_its_place() -> None:
    registry = ToolRegistry()
    registry.add(Tool.from_function(look))
    registry.add(Tool.from_function(define_again()))  # type: ignore[arg-type]
    assert registry.tools()[0].description == "Look again."


def test_two_lambdas_are_two_functions() -> None:
    registry = ToolRegistry()
    schema = {"type": "object", "properties": {}}
    registry.add(Tool("now", "", lambda: 1, schema))
    with pytest.raises(ToolDefinitionError, match="already"):
        registry.add(Tool("now", "", lambda: 2, schema))


def made_for(shop: str) -> Callable[[str], str]:
    def find(item: str) -> str:
        """Find."""
        return f"{item} in {shop}"

    return find


class Finder:
    """Finds."""

    def __call__(self, item: str) -> str:
        """Find."""
        return item


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (made_for("A"), made_for("B")),
        (Finder(), Finder()),
        (partial(look, "A"), partial(look, "B")),
    ],
    ids=["closures", "callable objects", "partials"],
)
def test_two_functions_of_one_making_are_two(first: object, second: object) -> None:
    registry = ToolRegistry()
    registry.add(Tool.from_function(first, name="find"))  # type: ignore[arg-type]
    with pytest.raises(ToolDefinitionError, match="already"):
        registry.add(Tool.from_function(second, name="find"))  # type: ignore[arg-type]


class Shelf:
    """Books."""

    def __init__(self) -> None:
        self.books: list[str] = []

    @property
    def broken(self) -> str:
        raise AssertionError

    @tool(effect="idempotent")
    def put(self, book: str) -> int:
        """Put a book on the shelf."""
        self.books.append(book)
        return len(self.books)

    @tool(name="list_books")
    def titles(self) -> list[str]:
        """List the books."""
        return self.books

    @staticmethod
    @tool
    def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    def secret(self) -> None:
        """No tool."""


class TallShelf(Shelf):
    """More books."""

    @tool
    def climb(self) -> None:
        """Climb."""

    def titles(self) -> list[str]:
        """No tool any more."""
        return []


def test_all_marked_methods_of_an_object_become_tools() -> None:
    shelf = Shelf()
    tools = {made.name: made for made in tools_of(shelf)}
    assert list(tools) == ["put", "list_books", "shout"]
    assert tools["put"].effect == "idempotent"
    assert tools["put"].schema["required"] == ["book"]
    assert tools["put"].function is not None
    assert tools["put"].function("Emma") == 1
    assert shelf.books == ["Emma"]


def test_a_subclass_adds_tools_and_takes_them_back() -> None:
    assert [made.name for made in tools_of(TallShelf())] == ["put", "shout", "climb"]


def test_two_objects_of_a_class_need_a_prefix() -> None:
    registry = ToolRegistry()
    registry.add_all(tools_of(Shelf(), prefix="left_"))
    registry.add_all(tools_of(Shelf(), prefix="right_"))
    assert registry.names()[:2] == ["left_put", "left_list_books"]
    with pytest.raises(ToolDefinitionError, match="left_put"):
        registry.add_all(tools_of(Shelf(), prefix="left_"))


def test_either_all_methods_are_registered_or_none() -> None:
    registry = ToolRegistry()
    registry.add(Tool.from_function(look, name="shout"))
    with pytest.raises(ToolDefinitionError, match="shout"):
        registry.add_all(tools_of(Shelf()))
    assert registry.names() == ["shout"]


def test_an_object_without_marked_methods_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="no method that bears the decorator"):
        tools_of(object())
