"""What is sent next in a conversation with tools, and when it is over."""

from typing import Any

import pytest

from mbxai.errors import (
    BudgetExceededError,
    ConfigurationError,
    ToolRepeatError,
    ToolRoundsExceededError,
)
from mbxai.tools import PendingCall, Tool, ToolCall, ToolRegistry
from mbxai.tools.loop._conversation import Conversation
from mbxai.tools.loop._offer import Offer
from mbxai.tools.loop._option_checks import split_params
from mbxai.tools.loop._resume import check_answers, last_answer, unanswered_calls
from mbxai.wire import Budget, ChatCompletion, Message, ToolResult

QUESTION = {"role": "user", "content": "How warm is it?"}


def look(city: str) -> str:
    """Look."""
    return city


def wait(seconds: int) -> str:
    """Wait."""
    return str(seconds)


def registry() -> ToolRegistry:
    tools = ToolRegistry()
    tools.add(Tool.from_function(look))
    tools.add(Tool.from_function(wait, may_repeat=True))
    return tools


def talk(
    messages: Any = (QUESTION,),
    *,
    given: Any = (),
    params: Any = None,
    tool_filter: Any = None,
    clock: Any = lambda: 0.0,
    **options: Any,
) -> Conversation:
    offer = Offer(registry(), given, tool_filter=tool_filter)
    return Conversation(messages, offer, params or {}, options=options, clock=clock)  # type: ignore[arg-type]


def calling(*calls: tuple[str, str, str], finish: str = "tool_calls", **usage: Any) -> Any:
    return ChatCompletion.from_object(
        {
            "id": "gen",
            "choices": [
                {
                    "finish_reason": finish,
                    "message": {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {
                                "id": call_id,
                                "type": "function",
                                "function": {"name": name, "arguments": text},
                            }
                            for call_id, name, text in calls
                        ],
                    },
                }
            ],
            **({"usage": usage} if usage else {}),
        }
    )


def saying(text: str) -> Any:
    return ChatCompletion.from_object(
        {"choices": [{"finish_reason": "stop", "message": {"content": text}}]}
    )


def results(calls: list[ToolCall], text: str = "22") -> list[ToolResult]:
    return [ToolResult(call_id=call.id, name=call.name, content=text) for call in calls]


def a_round(conversation: Conversation, *calls: tuple[str, str, str], text: str = "22") -> Any:
    """One answer that calls tools, and what becomes of it: the calls run and those refused."""
    taken = conversation.take(calling(*calls))
    assert taken is not None
    wanted, refused = conversation.begin_round(taken)
    conversation.answer([*refused, *results(wanted, text)])
    return wanted, refused


def test_the_callers_messages_are_left_alone_and_the_new_ones_are_told_apart() -> None:
    given = [dict(QUESTION)]
    conversation = talk(given)
    a_round(conversation, ("a", "look", '{"city": "Oslo"}'))
    run = conversation.finish(saying("22 degrees"))
    assert given == [QUESTION]
    assert run.messages[0] == QUESTION
    assert [message["role"] for message in run.new_messages] == ["assistant", "tool", "assistant"]
    assert run.messages == [QUESTION, *run.new_messages]
    assert run.rounds == 1
    assert [result.content for result in run.results] == ["22"]


def test_results_stand_in_the_order_of_the_calls() -> None:
    conversation = talk()
    taken = conversation.take(calling(("a", "look", "{}"), ("b", "look", '{"city": "x"}')))
    wanted, _ = conversation.begin_round(taken or [])
    conversation.answer(list(reversed(results(wanted))))
    ids = [m["tool_call_id"] for m in conversation.messages if m["role"] == "tool"]
    assert ids == ["a", "b"]


def test_a_forced_choice_is_only_sent_until_the_first_round_is_over() -> None:
    conversation = talk(params={"tool_choice": "required"})
    assert conversation.request()["tool_choice"] == "required"
    a_round(conversation, ("a", "look", '{"city": "Oslo"}'))
    assert conversation.request()["tool_choice"] == "auto"


@pytest.mark.parametrize("choice", ["none", "auto"])
def test_a_choice_that_forces_nothing_stays(choice: str) -> None:
    conversation = talk(params={"tool_choice": choice})
    a_round(conversation, ("a", "look", '{"city": "Oslo"}'))
    assert conversation.request()["tool_choice"] == choice


def test_without_a_tool_to_offer_nothing_is_said_about_tools() -> None:
    conversation = talk(
        tool_filter=[], params={"tool_choice": "auto", "parallel_tool_calls": True, "seed": 1}
    )
    assert conversation.request() == {"messages": [QUESTION], "seed": 1}


def test_the_typed_request_says_nothing_about_tools() -> None:
    conversation = talk(params={"tool_choice": "required", "temperature": 0.5})
    assert conversation.typed_request() == {"messages": [QUESTION], "temperature": 0.5}


@pytest.mark.parametrize("finish", ["length", "content_filter", "error"])
def test_calls_of_an_answer_that_is_not_whole_are_never_run(finish: str) -> None:
    conversation = talk()
    assert conversation.take(calling(("a", "look", '{"city": "Os'), finish=finish)) == []
    told = conversation.messages[-1]
    assert told["tool_call_id"] == "a"
    assert "Nothing was run" in told["content"]
    assert conversation.unanswered() == []


def test_a_cut_answer_in_the_last_round_leaves_no_call_to_be_run_later() -> None:
    conversation = talk(max_rounds=1)
    a_round(conversation, ("a", "look", '{"city": "Oslo"}'))
    with pytest.raises(ToolRoundsExceededError) as caught:
        conversation.take(calling(("b", "look", '{"city": "Ber'), finish="length"))
    assert caught.value.run is not None
    assert unanswered_calls(caught.value.run.messages) == []


def test_too_many_rounds_are_an_error_from_which_one_can_go_on() -> None:
    conversation = talk(max_rounds=1)
    a_round(conversation, ("a", "look", '{"city": "Oslo"}'))
    taken = conversation.take(calling(("b", "look", '{"city": "Bergen"}')))
    with pytest.raises(ToolRoundsExceededError, match="look") as caught:
        conversation.begin_round(taken or [])
    assert caught.value.run is not None
    again = talk(caught.value.run.messages)
    assert again.unanswered() == [ToolCall("b", "look", '{"city": "Bergen"}')]


def test_a_call_that_leads_nowhere_is_refused_and_the_model_told() -> None:
    conversation = talk(max_rounds=20)
    for number in range(3):
        wanted, refused = a_round(conversation, (f"a{number}", "look", '{"city": "Oslo"}'))
        assert (len(wanted), refused) == (1, [])
    wanted, refused = a_round(conversation, ("a4", "look", '{"city":"Oslo" }'))
    assert wanted == []
    assert "same result 3 times" in refused[0].content
    with pytest.raises(ToolRepeatError, match="look") as caught:
        a_round(conversation, ("a5", "look", '{ "city": "Oslo"}'))
    assert caught.value.run is not None


def test_a_call_with_another_result_has_made_progress() -> None:
    conversation = talk(max_rounds=20)
    for number in range(12):
        text = str(number // 2)
        _, refused = a_round(conversation, (f"a{number}", "look", '{"city": "x"}'), text=text)
        assert refused == []


def test_other_calls_between_do_not_hide_a_repetition() -> None:
    conversation = talk(max_rounds=20)
    for number in range(3):
        a_round(conversation, (f"a{number}", "look", '{"city": "A"}'))
        a_round(conversation, (f"b{number}", "look", '{"city": "B"}'))
    _, refused = a_round(
        conversation, ("a9", "look", '{"city": "A"}'), ("c", "look", '{"city": "C"}')
    )
    assert [result.call_id for result in refused] == ["a9"]


def test_a_tool_may_be_there_to_be_repeated() -> None:
    conversation = talk(max_rounds=20)
    for number in range(9):
        _, refused = a_round(conversation, (f"a{number}", "wait", '{"seconds": 1}'))
        assert refused == []


def test_repetition_can_be_left_unbounded() -> None:
    conversation = talk(max_rounds=20, max_repeats=None)
    for number in range(9):
        _, refused = a_round(conversation, (f"a{number}", "look", '{"city": "x"}'))
        assert refused == []


def test_the_filter_is_asked_before_each_round() -> None:
    allowed = {"look"}
    conversation = talk(tool_filter=lambda info: info.name in allowed)
    names = [tool["function"]["name"] for tool in conversation.request()["tools"]]
    assert names == ["look"]
    allowed.add("wait")
    names = [tool["function"]["name"] for tool in conversation.request()["tools"]]
    assert names == ["look", "wait"]


def test_a_tool_that_is_not_offered_cannot_be_called() -> None:
    conversation = talk(tool_filter=["look"])
    wanted, refused = a_round(conversation, ("a", "wait", '{"seconds": 1}'))
    assert wanted == []
    assert "cannot be used now. Tools: look." in refused[0].content


def test_a_filter_that_fails_lets_nothing_through(caplog: pytest.LogCaptureFixture) -> None:
    conversation = talk(tool_filter=lambda info: 1 / 0)
    assert "tools" not in conversation.request()
    assert "tool_filter" in caplog.text


def test_a_filter_that_names_no_tool_says_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"locate.*look, wait"):
        talk(tool_filter=["locate"])


def test_functions_of_the_callers_own_are_offered_and_known_as_external() -> None:
    own = {"type": "function", "function": {"name": "click", "parameters": {"type": "object"}}}
    same = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    server = {"type": "openrouter:web_search"}
    conversation = talk(given=[own, same, server])
    names = [tool.get("function", {}).get("name") for tool in conversation.request()["tools"]]
    assert names == ["look", "wait", "click", None]
    assert conversation.offer.external == {"click"}


@pytest.mark.parametrize(
    ("budget", "limit"),
    [
        (Budget(max_cost_usd=0.5), "max_cost_usd"),
        (Budget(max_tokens=15), "max_tokens"),
        (Budget(max_requests=1), "max_requests"),
        (Budget(max_seconds=2.0), "max_seconds"),
    ],
)
def test_a_budget_is_checked_before_the_next_model_call(budget: Budget, limit: str) -> None:
    now = iter([0.0, 1.0, 1.5, 3.0, 4.0])
    conversation = talk(budget=budget, clock=lambda: next(now))
    conversation.request()
    answer = calling(("a", "look", '{"city": "x"}'), total_tokens=15, cost=0.5)
    wanted, _ = conversation.begin_round(conversation.take(answer) or [])
    conversation.answer(results(wanted))
    with pytest.raises(BudgetExceededError) as caught:
        conversation.request()
    assert caught.value.limit == limit
    assert caught.value.run is not None
    assert caught.value.run.messages[-1]["role"] == "tool"


def test_a_round_that_needs_more_tool_calls_than_the_budget_has_is_not_begun() -> None:
    conversation = talk(budget=Budget(max_tool_calls=2))
    calls = [(f"a{n}", "look", f'{{"city": "{n}"}}') for n in range(3)]
    taken = conversation.take(calling(*calls))
    with pytest.raises(BudgetExceededError) as caught:
        conversation.begin_round(taken or [])
    assert caught.value.limit == "max_tool_calls"
    assert caught.value.run is not None
    assert len(unanswered_calls(caught.value.run.messages)) == 3


def test_usage_is_the_sum_of_the_rounds() -> None:
    conversation = talk()
    for number in (1, 2):
        answer = calling((f"a{number}", "look", "{}"), prompt_tokens=number, cost=0.25)
        conversation.begin_round(conversation.take(answer) or [])
        conversation.answer([])
        conversation.messages.pop()
    usage = conversation.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.cost) == (3, 0.5)


def test_calls_that_wait_stay_open_and_can_be_taken_up() -> None:
    conversation = talk()
    taken = conversation.take(calling(("a", "look", "{}"), ("b", "wait", '{"seconds": 1}')))
    assert taken is not None
    conversation.begin_round(taken)
    conversation.answer(results(taken[:1]), [PendingCall(call=taken[1], reason="approval")])
    run = conversation.run()
    assert [waiting.call.id for waiting in run.pending] == ["b"]
    assert unanswered_calls(run.messages) == [taken[1]]
    assert last_answer(run.messages).choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [QUESTION],
        [{"role": "assistant", "content": "Hi"}],
        [
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
        ],
    ],
)
def test_a_conversation_without_open_calls_has_none(messages: Any) -> None:
    assert unanswered_calls(messages) == []


def test_an_earlier_answer_may_stand_among_the_messages() -> None:
    message = Message.from_object(
        {
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            ],
        }
    )
    assert talk([QUESTION, message]).unanswered() == [ToolCall("a", "look", "{}")]


def test_answers_to_calls_that_do_not_wait_are_refused() -> None:
    word = PendingCall(call=ToolCall("b", "look", "{}"), reason="approval").approve()
    with pytest.raises(ConfigurationError, match=r"'a', 'b'"):
        check_answers([], {"a": 1}, [word], lambda name: False)


def test_a_call_that_waits_for_its_result_cannot_be_approved() -> None:
    call = ToolCall("b", "click", "{}")
    word = PendingCall(call=call, reason="external").approve()
    with pytest.raises(ConfigurationError, match="wait for their result"):
        check_answers([call], {}, [word], lambda name: True)


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ("hello", "list of messages, not a str"),
        ({"role": "user"}, "list of messages, not a dict"),
        (["hello"], r"messages\[0\] is a str"),
        (
            [
                {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]},
                QUESTION,
            ],
            r"messages\[1\] comes before the result of a call in messages\[0\]",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"id": "a"}, {"id": "a"}]}],
            "have one id",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}],
            "or a call has none",
        ),
    ],
)
def test_what_is_no_conversation_is_refused(messages: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        talk(messages)


def test_a_conversation_that_goes_on_after_a_round_forces_no_second_one() -> None:
    first = talk(params={"tool_choice": "required"})
    a_round(first, ("a", "look", '{"city": "Oslo"}'))
    again = talk(first.run().messages, params={"tool_choice": "required"})
    assert again.request()["tool_choice"] == "auto"


def test_what_could_not_be_read_is_not_run_when_the_conversation_is_taken_up() -> None:
    conversation = talk()
    conversation.take(calling(("a", "look", 'rm -rf {"cut'), ("b", "look.now", "{}")))
    unreadable, unknown = talk(conversation.run().messages).unanswered()
    assert unreadable.arguments == 'rm -rf {"cut'
    assert unknown.name == "invalid_look_now"


def test_arguments_that_are_no_text_are_read_all_the_same() -> None:
    function = {"name": "look", "arguments": {"city": "Oslo"}}
    messages = [{"role": "assistant", "tool_calls": [{"id": "a", "function": function}]}]
    assert unanswered_calls(messages)[0].arguments == '{"city": "Oslo"}'


def test_the_budgets_words_are_true() -> None:
    conversation = talk(budget=Budget(max_tool_calls=2))
    calls = [(f"a{n}", "look", f'{{"city": "{n}"}}') for n in range(3)]
    with pytest.raises(BudgetExceededError, match="is 2, 0 are used and 3 more are wanted"):
        conversation.begin_round(conversation.take(calling(*calls)) or [])


def test_a_filter_is_asked_once_a_request() -> None:
    asked: list[str] = []
    conversation = talk(tool_filter=lambda info: asked.append(info.name) or True)
    conversation.request()
    taken = conversation.take(calling(*[(f"a{n}", "look", f'{{"city": "{n}"}}') for n in range(9)]))
    conversation.begin_round(taken or [])
    assert asked == ["look", "wait"]


def test_an_approval_holds_for_the_same_arguments_however_they_are_written() -> None:
    shown = PendingCall(call=ToolCall("a", "pay", '{"to": "x", "sum": 1}'), reason="approval")
    assert shown.approve().digest == ToolCall("a", "pay", '{"sum":1,"to":"x"}').digest
    assert shown.approve().digest != ToolCall("a", "pay", '{"sum":2,"to":"x"}').digest
    assert shown.approve().digest != ToolCall("a", "send", '{"sum":1,"to":"x"}').digest
    assert shown.deny("too much").reason == "too much"


@pytest.mark.parametrize(
    "options",
    [
        {"max_rounds": 0},
        {"max_rounds": True},
        {"max_rounds": "3"},
        {"max_repeats": 0},
        {"budget": 0.5},
        {"context": {"deps": 1}},
        {"tool_results": [1]},
        {"on_event": 3},
        {"approvals": True},
        {"tool_filter": "look"},
        {"approvals": [True]},
    ],
)
def test_options_that_cannot_be_are_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        split_params(options)


@pytest.mark.parametrize(
    ("name", "meant"), [("max_round", "max_rounds"), ("aprovals", "approvals"), ("dep", "deps")]
)
def test_a_misspelt_option_is_not_sent_to_the_server(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'.*Did you mean '{meant}'"):
        split_params({name: 1})


@pytest.mark.parametrize("name", ["on_event", "tool_filter"])
def test_a_function_that_would_have_to_be_awaited_is_refused(name: str) -> None:
    async def function(_: object) -> bool:
        return True

    with pytest.raises(ConfigurationError, match=f"{name} is not awaited"):
        split_params({name: function})


def test_options_and_request_are_told_apart() -> None:
    options, request = split_params({"max_rounds": 2, "temperature": 0.5, "new_thing": 1})
    assert options == {"max_rounds": 2}
    assert request == {"temperature": 0.5, "new_thing": 1}
