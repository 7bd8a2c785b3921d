"""A tool that is asked what a run of it did that was cut off."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import pytest
from pydantic import BaseModel

from mbxai.errors import ToolDefinitionError
from mbxai.tools import (
    AsyncToolClient,
    NotDone,
    Secret,
    Tool,
    ToolClient,
    ToolContext,
    ToolResult,
    tool,
)


class Model:
    """A client that is never asked anything."""

    async def create(self, messages: Any) -> Any: ...

    async def parse(self, messages: Any, response_format: Any) -> Any: ...


@pytest.fixture
async def client() -> AsyncIterator[AsyncToolClient]:
    async with AsyncToolClient(Model()) as made:
        yield made


def pay(amount: int) -> str:
    """Pay."""
    raise AssertionError(f"it ran: {amount}")


async def asked(client: AsyncToolClient, arguments: Any = None, **options: Any) -> ToolResult:
    given = {"amount": 5} if arguments is None else arguments
    return await client.call_tool("pay", given, call_id="c", reconcile=True, **options)


async def test_it_gets_the_context_of_the_run_and_its_arguments(client: AsyncToolClient) -> None:
    seen: list[Any] = []

    async def reconcile(context: ToolContext, arguments: dict[str, Any]) -> dict[str, int]:
        seen.append((context.idempotency_key, context.deps, context.secret("pin"), arguments))
        return {"receipt": 17}

    client.register_tool("pay", "Pay", pay, reconcile=reconcile)
    result = await asked(
        client,
        idempotency_key="k",
        secrets={"pin": "1234"},
        context=ToolContext(deps="the shop"),
    )

    assert result.content == '{"receipt":17}'
    assert not result.is_error
    assert seen == [("k", "the shop", Secret("1234"), {"amount": 5})]


@pytest.mark.parametrize("marker", [NotDone(), NotDone])
async def test_it_may_say_that_nothing_happened(client: AsyncToolClient, marker: object) -> None:
    client.register_tool("pay", "Pay", pay, reconcile=lambda _context, _arguments: marker)

    assert NotDone.is_said_by((await asked(client)).value)
    assert not NotDone.is_said_by("NotDone")


async def test_what_it_raises_leaves_the_outcome_unknown(client: AsyncToolClient) -> None:
    def reconcile(_context: ToolContext, _arguments: dict[str, Any]) -> object:
        raise ConnectionError("closed")

    client.register_tool("pay", "Pay", pay, reconcile=reconcile, on_error="raise")
    result = await asked(client)

    assert result.is_error
    assert result.value is None


async def test_what_it_says_is_cleaned_of_credentials(client: AsyncToolClient) -> None:
    def reconcile(context: ToolContext, _arguments: dict[str, Any]) -> str:
        pin = context.secret("pin")
        return f"paid with {pin.reveal() if pin else ''} and hush"

    client.register_tool("pay", "Pay", pay, reconcile=reconcile)
    result = await asked(
        client, secrets={"pin": "13371337"}, scrub=lambda text: text.replace("hush", "•")
    )

    assert "13371337" not in result.content
    assert result.content.endswith("and •")


async def test_its_time_is_that_of_the_tool(client: AsyncToolClient) -> None:
    async def reconcile(_context: ToolContext, _arguments: dict[str, Any]) -> None:
        await anyio.sleep_forever()

    client.register_tool("pay", "Pay", pay, timeout=0.01, reconcile=reconcile)
    result = await asked(client)

    assert result.is_error
    assert "did not finish in 0.01 s" in result.content


async def test_a_hook_after_calls_does_not_hide_that_nothing_happened() -> None:
    def hook(_call: Any, result: ToolResult, _context: Any) -> ToolResult:
        return ToolResult(call_id=result.call_id, name=result.name, content="changed")

    async with AsyncToolClient(Model(), after_call=hook) as client:
        client.register_tool("pay", "Pay", pay, reconcile=lambda _context, _arguments: NotDone())
        assert NotDone.is_said_by((await asked(client)).value)
        client.register_tool(
            "pay", "Pay", pay, reconcile=lambda _context, _arguments: "paid", replace=True
        )
        assert (await asked(client)).content == "changed"


class Bill(BaseModel):
    amount: int
    context: str = ""


@pytest.mark.parametrize("kind", ["model", "secret", "context"])
async def test_arguments_of_any_shape_come_as_the_model_gave_them(
    client: AsyncToolClient, kind: str
) -> None:
    seen: list[Any] = []

    def of_model(bill: Bill) -> None: ...
    def of_secret(amount: int, pin: Annotated[Secret, "pin"], context: str = "") -> None: ...
    def of_context(amount: int, around: ToolContext, context: str = "") -> None: ...

    functions = {"model": of_model, "secret": of_secret, "context": of_context}
    client.register_tool(
        "pay", "Pay", functions[kind], reconcile=lambda _context, given: seen.append(given)
    )
    result = await asked(client, {"amount": 5, "context": "mine"})

    assert not result.is_error
    assert seen == [{"amount": 5, "context": "mine"}]


async def test_arguments_that_do_not_fit_are_not_asked_about(client: AsyncToolClient) -> None:
    client.register_tool("pay", "Pay", pay, reconcile=lambda _context, _arguments: "paid")

    assert (await asked(client, {"amount": "many"})).is_error


async def test_a_tool_that_cannot_say_it_gives_an_error(client: AsyncToolClient) -> None:
    client.register_tool("pay", "Pay", pay)

    assert (await asked(client)).content == "pay cannot say what its last run did."
    assert [info.can_reconcile for info in client.tool_infos()] == [False]


@pytest.mark.parametrize(
    ("effect", "can"), [("once", True), ("read", False), ("idempotent", False)]
)
def test_only_what_must_run_once_is_asked(effect: Any, can: bool) -> None:
    made = Tool("pay", "Pay", pay, effect=effect, reconcile=lambda _context, _arguments: None)

    assert made.info().can_reconcile is can


def test_the_decorator_takes_it_and_a_blocking_client_asks_it() -> None:
    @tool(reconcile=lambda context, _arguments: context.idempotency_key)
    def charge(amount: int) -> str:
        """Charge."""
        return str(amount)

    client = ToolClient(Model())
    client.tool(charge)

    result = client.call_tool("charge", {"amount": 1}, idempotency_key="k", reconcile=True)
    assert result.content == "k"
    assert client.call_tool("charge", {"amount": 1}).content == "1"
    client.close()


@pytest.mark.parametrize("reconcile", [1, "later", lambda: None, lambda context: None])
def test_what_cannot_be_asked_is_refused(reconcile: Any) -> None:
    with pytest.raises(ToolDefinitionError, match="reconcile must be a function"):
        Tool("pay", "Pay", pay, reconcile=reconcile)
