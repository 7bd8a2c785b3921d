from typing import Any

import pytest

from mbxai.mcp.connection._asking import Asking, elicited
from mbxai.mcp.connection._callbacks import Callbacks
from mbxai.mcp.connection._clock import CallClock, Clocks
from mbxai.mcp.connection._rounds import Pending, RoundsError, converse, read_pending
from mbxai.wire import ToolAnswer, ToolQuestion

ASK = {"method": "elicitation/create", "params": {"message": "Who?"}}


class Server:
    """Answers from a list and keeps what it was sent."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.sent: list[dict[str, Any]] = []
        self._answers = list(answers)

    async def __call__(self, more: dict[str, Any]) -> dict[str, Any]:
        self.sent.append(more)
        return self._answers.pop(0)


def asks(state: str | None = None, **requests: Any) -> dict[str, Any]:
    given = {} if state is None else {"requestState": state}
    return {"resultType": "input_required", "inputRequests": requests, **given}


async def talk(server: Server, **options: Any) -> Any:
    clocks = Clocks()

    async def yes(question: ToolQuestion) -> ToolAnswer:
        return ToolAnswer(action="accept", content={"said": question.message})

    asking = Asking("s", Callbacks(elicit=yes), clocks)
    with CallClock(5, clocks) as clock:
        return await converse(server, asking, clock, **options)


async def test_a_result_needs_one_round() -> None:
    server = Server({"content": []})
    assert await talk(server) == {"content": []}
    assert server.sent == [{}]


async def test_the_servers_state_is_given_back_byte_for_byte_with_the_answers() -> None:
    server = Server(asks("st\u00e4te ", a=ASK), {"content": []})
    await talk(server)
    answer = {"action": "accept", "content": {"said": "Who?"}}
    assert server.sent[1] == {"requestState": "st\u00e4te ", "inputResponses": {"a": answer}}


async def test_a_server_that_only_wants_to_be_asked_again_is() -> None:
    server = Server(asks("1"), asks("2"), {"content": []})
    await talk(server)
    assert server.sent == [{}, {"requestState": "1"}, {"requestState": "2"}]


async def test_rounds_are_counted_over_pauses() -> None:
    question: Any = await talk(Server(asks(a=ASK)), can_pause=True)
    for _ in range(9):
        answer = ToolAnswer(action="cancel", state=question.state)
        question = await talk(Server(asks(a=ASK)), can_pause=True, answer=answer)
    with pytest.raises(RoundsError, match="more than 10 times"):
        await talk(Server(asks(a=ASK)), answer=ToolAnswer(action="cancel", state=question.state))


@pytest.mark.parametrize(
    "result",
    [
        {"resultType": "input_required", "inputRequests": [1]},
        {"resultType": "input_required", "inputRequests": {"a": 1}},
        {"resultType": "input_required", "requestState": 5},
    ],
)
async def test_what_makes_no_sense_is_a_typed_error(result: dict[str, Any]) -> None:
    with pytest.raises(RoundsError, match="no sense"):
        await talk(Server(result))


def test_what_is_pending_survives_as_text() -> None:
    pending = Pending("s", {"a": {"action": "decline"}}, (("b", ASK),), 3)
    assert read_pending(pending.text()) == pending


@pytest.mark.parametrize("text", ["", "1", "{}", '{"waiting": [], "state": null}', '"x"', "[[]]"])
def test_a_foreign_text_is_a_typed_error(text: str) -> None:
    with pytest.raises(RoundsError, match="no question of this server"):
        read_pending(text)


def test_only_what_was_accepted_has_content() -> None:
    assert elicited(ToolAnswer(action="decline", content={"a": 1})) == {"action": "decline"}
    assert elicited(ToolAnswer(action="accept")) == {"action": "accept"}
