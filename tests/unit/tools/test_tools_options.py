"""What cannot be a tool is refused when it is registered, by name."""

import pytest

from mbxai import AsyncToolClient, ToolDefinitionError
from mbxai.tools.runner._results import result_text


class Client:
    async def create(self, **request: object) -> None: ...


def look(place: str) -> str:
    """Look."""
    return place


@pytest.mark.parametrize(
    ("name", "function", "options", "said"),
    [
        ("", look, {}, "''"),
        (5, look, {}, "5"),
        ("a b", look, {}, "'a b'"),
        ("look", None, {}, "no function"),
        ("look", look, {"schema": "x"}, "mapping"),
        ("look", look, {"schema": []}, "mapping"),
        ("look", look, {"schema": {"type": "string"}}, "object"),
        ("look", look, {"effect": "Once"}, "read, idempotent, once"),
        ("look", look, {"requires_approval": "no"}, "requires_approval"),
        ("look", look, {"timeout": "5"}, "timeout"),
        ("look", look, {"timeout": 0}, "timeout"),
    ],
)
def test_impossible_registrations_are_refused(
    name: object, function: object, options: dict, said: str
) -> None:
    client = AsyncToolClient(Client())
    with pytest.raises(ToolDefinitionError, match=said):
        client.register_tool(name, "d", function, **options)
    assert client.registry.names() == []


def test_half_a_surrogate_pair_in_a_result_can_be_sent() -> None:
    assert result_text("caf\udce9.txt") == "caf?.txt"
