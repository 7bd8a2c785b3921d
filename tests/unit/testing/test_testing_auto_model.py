"""What the automatic model answers, decided from the request alone."""

import json
from typing import Any

from mbxai.testing._auto_model import Answer, answer_to
from mbxai.testing._conversation import Conversation

USER = {"role": "user", "content": "Where is my order?"}
ORDERS = [{"id": "ord_001", "total": 3}, {"id": "ord_003", "total": 5}]


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def schema_of(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


def called(*names: str, **more: str) -> dict[str, Any]:
    calls = [
        {"id": f"c-{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in names
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def told(name: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"c-{name}", "content": content}


def ask(*messages: dict[str, Any], **body: Any) -> Answer:
    overrides = body.pop("overrides", {})
    return answer_to(Conversation({"messages": list(messages), **body}), overrides)


def names_in(answer: Answer) -> list[str]:
    return [call.name for call in answer.calls]


TEXT = {"type": "string"}


def test_without_tools_and_schema_the_last_user_message_is_echoed() -> None:
    answer = ask({"role": "user", "content": [{"type": "text", "text": "Hello"}]})
    assert answer == Answer(content="Fake answer to: Hello")


def test_all_tools_are_called_in_one_round_with_different_ids() -> None:
    answer = ask(USER, tools=[tool("a", x=TEXT), tool("b")])
    assert names_in(answer) == ["a", "b"]
    assert answer.finish_reason == "tool_calls"
    assert json.loads(answer.calls[0].arguments) == {"x": "Example x"}
    assert len({call.id for call in answer.calls}) == 2
    assert answer == ask(USER, tools=[tool("a", x=TEXT), tool("b")])


def test_each_tool_is_called_once_until_the_user_speaks_again() -> None:
    tools = [tool("a"), tool("b")]
    first = [USER, called("a"), told("a", "1")]
    assert names_in(ask(*first, tools=tools)) == ["b"]
    assert names_in(ask(*first, USER, tools=tools)) == ["a", "b"]


def test_one_call_a_round_where_parallel_calls_are_switched_off() -> None:
    answer = ask(USER, tools=[tool("a"), tool("b")], parallel_tool_calls=False)
    assert names_in(answer) == ["a"]


def test_after_the_last_tool_the_results_are_quoted() -> None:
    answer = ask(USER, called("a"), told("a", '{"sun": true}'), tools=[tool("a")])
    assert answer.calls == ()
    assert answer.content == 'Done. a answered: {"sun": true}'


def test_of_a_long_list_the_last_entry_is_quoted() -> None:
    orders = json.dumps([{"id": "x" * 3000}, {"id": "y" * 3000}])
    answer = ask(USER, called("a"), told("a", orders), tools=[tool("a")])
    assert answer.content == f'Done. a answered: {{"id": "{"y" * 3000}"}}'


def test_a_long_text_is_quoted_by_its_start() -> None:
    answer = ask(USER, called("a"), told("a", "z" * 9000), tools=[tool("a")])
    assert answer.content == f"Done. a answered: {'z' * 4000}..."


def test_tool_choice_is_obeyed() -> None:
    tools = [tool("a"), tool("ask_question", prompt=TEXT)]
    named = {"type": "function", "function": {"name": "ask_question"}}
    done = [USER, called("a"), told("a", "1")]
    assert names_in(ask(USER, tools=tools)) == ["a"]
    assert names_in(ask(USER, tools=tools, tool_choice=named)) == ["ask_question"]
    assert names_in(ask(USER, tools=tools, tool_choice="none")) == []
    assert names_in(ask(*done, tools=tools)) == []
    assert names_in(ask(*done, tools=tools, tool_choice="required")) == ["a"]


def test_a_dialog_is_opened_first_alone_and_once() -> None:
    options = {"enum": ["shop_credentials", "other"]}
    tools = [tool("list_orders"), tool("open_dialog", dialog_option_id=options, reason=TEXT)]
    first = ask(USER, tools=tools)
    assert names_in(first) == ["open_dialog"]
    assert json.loads(first.calls[0].arguments)["dialog_option_id"] == "shop_credentials"
    after = [USER, called("open_dialog"), told("open_dialog", "approved")]
    assert names_in(ask(*after, tools=tools)) == ["list_orders"]
    assert names_in(ask(*after, USER, tools=tools)) == ["list_orders"]


def test_no_dialog_is_opened_where_a_handle_is_known_and_the_handle_is_passed_on() -> None:
    tools = [
        tool("open_dialog", dialog_option_id=TEXT),
        tool("list_orders", username=TEXT, password=TEXT, shop_url=TEXT),
    ]
    known = "Credentials: secret://shop/username, secret://shop/password."
    answer = ask({"role": "user", "content": known}, tools=tools)
    assert names_in(answer) == ["list_orders"]
    assert json.loads(answer.calls[0].arguments) == {
        "username": "secret://shop/username",
        "password": "secret://shop/password",
        "shop_url": "Example shop url",
    }


def test_what_a_tool_told_comes_back_in_the_structured_answer() -> None:
    wanted = schema_of("Order", id=TEXT, date=TEXT)
    told_in_tool = [USER, called("a"), told("a", json.dumps(ORDERS))]
    answer = ask(*told_in_tool, response_format=wanted)
    assert json.loads(answer.content or "") == {"id": "ord_003", "date": "Example date"}


def test_a_quoted_result_is_found_inside_json_inside_json() -> None:
    quote = ask(USER, called("a"), told("a", json.dumps(ORDERS)), tools=[tool("a")]).content
    task = json.dumps({"result": quote})
    for text in (f"Result: {quote} Go on.", task, json.dumps({"tasks": [task]})):
        answer = ask({"role": "user", "content": text}, response_format=schema_of("O", id=TEXT))
        assert json.loads(answer.content or "") == {"id": "ord_003"}


def test_a_result_with_words_around_it_is_still_read() -> None:
    content = f"<result>{json.dumps(ORDERS)}</result>"
    wanted = schema_of("Order", id=TEXT)
    answer = ask(USER, called("a"), told("a", content), response_format=wanted)
    assert json.loads(answer.content or "") == {"id": "ord_003"}


def test_a_result_that_is_no_json_tells_nothing() -> None:
    for content in ("[broken", "no { json", "[" * 100_000):
        answer = ask(
            USER, called("a"), told("a", content), response_format=schema_of("Order", id=TEXT)
        )
        assert json.loads(answer.content or "") == {"id": "Example id"}


def test_new_task_keys_follow_the_ones_that_were_named() -> None:
    content = 'Finished: {"key": "t2"}, [t11] and not t99'
    answer = ask({"role": "user", "content": content}, response_format=schema_of("T", key=TEXT))
    assert json.loads(answer.content or "") == {"key": "t12"}


def test_overrides_are_laid_over_the_generated_value() -> None:
    wanted = schema_of("GoalEvaluation", goal_achieved={"type": "boolean"}, feedback=TEXT)
    overrides = {"GoalEvaluation": {"goal_achieved": False}}
    answer = ask(USER, response_format=wanted, overrides=overrides)
    assert json.loads(answer.content or "") == {
        "goal_achieved": False,
        "feedback": "Example feedback",
    }


def test_any_json_object_is_answered_with_one() -> None:
    answer = ask(USER, response_format={"type": "json_object"})
    assert json.loads(answer.content or "") == {"answer": "Fake answer to: Where is my order?"}


def test_an_impossible_schema_is_answered_with_an_empty_object() -> None:
    wanted = schema_of("Never", x={"enum": []})
    assert ask(USER, response_format=wanted).content == "{}"
    assert ask(USER, tools=[tool("a", x={"enum": []})]).calls[0].arguments == "{}"


def test_odd_bodies_are_read_without_complaint() -> None:
    odd = Conversation({"messages": ["x", {"content": 3}], "tools": [1], "response_format": "y"})
    assert answer_to(odd, {}) == Answer(content="Fake answer to: ")
