"""What a served tool may not do before a person has agreed, and what it does not do twice."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from support.mcp_peer import call, peer, served, stdio_peer

pytestmark = pytest.mark.filterwarnings("ignore:.*(deprecated|removed) as of:UserWarning")

ASKABLE = {"capabilities": {"elicitation": {}}}


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def url(base: str) -> str:
    return f"{base}/sealed/mcp"


def erase(path: str, **more: Any) -> dict[str, Any]:
    return {**ASKABLE, "arguments": {"path": path}, **more}


def answered(asked: dict[str, Any], action: str = "accept", **content: Any) -> dict[str, Any]:
    """What a client sends back once its user has answered."""
    result = asked["result"]
    answer = {"action": action, **({"content": content} if action == "accept" else {})}
    responses = dict.fromkeys(result["inputRequests"], answer)
    return {"inputResponses": responses, "requestState": result["requestState"]}


def said(answer: dict[str, Any]) -> str:
    return answer["result"]["content"][0]["text"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_person_agrees_before_the_tool_runs(mode: str) -> None:
    asked: list[str] = []

    def agree(message: str) -> dict[str, Any]:
        asked.append(message)
        return {}

    async with stdio_peer(mode=mode, elicit=agree) as client:
        result = await client.call_tool("erase", {"path": "/home"})
        assert result.content[0].text == "erased /home, 1 in all"
        assert asked == ['erase is about to run with {"path":"/home"}. Do you agree?']
        result = await client.call_tool("erase", {"path": "/tmp"})
        assert result.content[0].text == "erased /tmp, 2 in all"
        assert len(asked) == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_that_can_ask_nobody_is_refused(base: str, mode: str) -> None:
    async with peer(f"{base}/mcp", mode=mode) as client:
        result = await client.call_tool("erase", {"path": "/var"})
        assert result.is_error
        text = "erase needs a person's approval, and this client cannot ask one."
        assert result.content[0].text == text
    async with httpx.AsyncClient(timeout=10.0) as http:
        answer = await http.post(f"{base}/rest/tools/erase/invoke", json={"path": "/var"})
    assert answer.status_code == 422
    assert "needs a person's approval" in answer.json()["error"]


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_what_a_person_does_not_agree_to_does_not_run(url: str, action: str) -> None:
    asked = await call(url, "erase", erase("/var"))
    refused = await call(url, "erase", erase("/var", **answered(asked, action)))
    assert refused["result"]["isError"]
    assert said(refused) == "erase was not approved."


async def test_the_word_of_a_person_is_good_for_one_run_of_these_arguments(url: str) -> None:
    asked = await call(url, "erase", erase("/var"))
    word = answered(asked)
    other = await call(url, "erase", erase("/etc", **word))
    assert other["error"]["code"] == -32602
    forged = {"inputResponses": word["inputResponses"]}
    again = await call(url, "erase", erase("/var", **forged))
    assert again["result"]["resultType"] == "input_required"
    assert said(await call(url, "erase", erase("/var", **word))).startswith("erased /var, ")
    twice = await call(url, "erase", erase("/var", **word))
    assert twice["error"]["code"] == -32602
    assert "was used before" in twice["error"]["message"]


async def test_an_answer_to_what_was_not_asked_is_no_answer(url: str) -> None:
    asked = await call(url, "ask", {**ASKABLE})
    good = answered(asked, sure=True)
    name = next(iter(good["inputResponses"]))
    stray = {**good, "inputResponses": {f"{name}x": good["inputResponses"][name]}}
    again = await call(url, "ask", {**ASKABLE, **stray})
    assert again["result"]["inputRequests"] == asked["result"]["inputRequests"]
