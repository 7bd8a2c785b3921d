"""What a tool client says before a call is run: whether a person must agree to it."""

import logging

import pytest

from mbxai import AsyncToolClient, ToolDefinitionError
from mbxai.tools import ToolCall, ToolContext


class Model:
    """Enough of a client to be wrapped."""

    async def create(self, **_params: object) -> None: ...


def send(amount: int) -> str:
    return f"sent {amount}"


def client_with(rule: object, **options: object) -> AsyncToolClient:
    client = AsyncToolClient(Model(), **options)
    client.register_tool("send", "Send", send, requires_approval=rule)
    return client


def is_much(arguments: dict) -> bool:
    return arguments["amount"] > 100


async def is_much_async(arguments: dict) -> bool:
    return arguments["amount"] > 100


def broken(arguments: dict) -> bool:
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("rule", "arguments", "needed"),
    [
        pytest.param(True, '{"amount": 5}', True, id="always"),
        pytest.param(True, "nonsense", True, id="always-also-for-nonsense"),
        pytest.param(False, '{"amount": 500}', False, id="never"),
        pytest.param(is_much, '{"amount": 5}', False, id="rule-lets-pass"),
        pytest.param(is_much, '{"amount": 500}', True, id="rule-holds-back"),
        pytest.param(is_much, {"amount": 500}, True, id="object"),
        pytest.param(is_much_async, '{"amount": 5}', False, id="coroutine"),
        pytest.param(broken, '{"amount": 5}', True, id="rule-fails"),
        pytest.param(is_much, '{"amount": "much"}', False, id="would-not-run"),
        pytest.param(is_much, '{"amount": "secret://a/b"}', True, id="handle"),
    ],
)
async def test_the_tools_rule_says_whether_a_person_must_agree(
    rule: object, arguments: str, needed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    client = client_with(rule)

    assert await client.needs_approval("send", arguments) is needed


async def test_a_tool_that_is_not_there_needs_no_approval() -> None:
    assert await client_with(True).needs_approval("other", "{}") is False


async def test_arguments_that_a_hook_may_still_change_are_not_let_pass_unread() -> None:
    def before(call: ToolCall, context: ToolContext) -> None: ...

    client = client_with(is_much, before_call=before)

    assert await client.needs_approval("send", '{"amount": "much"}') is True


async def test_tools_say_whether_their_results_are_trusted_and_may_be_repeated() -> None:
    client = client_with(False)
    client.register_tool("ours", "Ours", send, trusted=True, may_repeat=True)

    infos = {info.name: info for info in client.tool_infos()}
    assert (infos["send"].is_trusted, infos["send"].may_repeat) == (False, False)
    assert (infos["ours"].is_trusted, infos["ours"].may_repeat) == (True, True)
    with pytest.raises(ToolDefinitionError, match="trusted must be True or False"):
        client.register_tool("odd", "Odd", send, trusted="yes")
