import copy

import pytest
from pydantic import BaseModel

from mbxai.errors import (
    BadRequestError,
    NotFoundError,
    OpenRouterConfigurationError,
    OpenRouterConnectionError,
)
from mbxai.openrouter._faults import api_error
from mbxai.openrouter._ladder import (
    ANSWER_TOOL,
    STRATEGIES,
    first_strategy,
    is_unsupported,
    next_strategy,
    request_changes,
)
from mbxai.wire._output_type import output_type_of


class City(BaseModel):
    name: str


class Loose(BaseModel):
    name: str = ""


CITY = output_type_of(City)
LOOSE = output_type_of(Loose)
USER = {"role": "user", "content": "Which city?"}

# Ends of routing texts as OpenRouter writes them.
MORE = " To learn more about provider routing, visit: https://openrouter.ai/docs/provider-routing"


@pytest.mark.parametrize(
    ("supported", "strategy"),
    [
        (None, "json_schema"),
        ({"structured_outputs", "response_format", "tools", "tool_choice"}, "json_schema"),
        ({"response_format", "tools", "tool_choice"}, "tool"),
        ({"tools", "tool_choice"}, "tool"),
        ({"tools"}, "prompted"),
        ({"tools", "response_format"}, "json_object"),
        ({"response_format"}, "json_object"),
        (set(), "prompted"),
    ],
)
def test_the_first_strategy_is_the_best_that_the_model_supports(supported, strategy):
    assert first_strategy(supported) == strategy


@pytest.mark.parametrize(
    ("current", "supported", "has_tools", "below"),
    [
        ("json_schema", None, False, "tool"),
        ("json_schema", None, True, "json_object"),
        ("json_schema", {"structured_outputs"}, False, "prompted"),
        ("json_schema", {"tools", "tool_choice"}, True, "prompted"),
        ("tool", None, False, "json_object"),
        ("json_object", None, False, "prompted"),
        ("json_object", {"tools", "tool_choice"}, False, "prompted"),
        ("prompted", None, False, None),
    ],
)
def test_the_next_strategy_is_the_best_below(current, supported, has_tools, below):
    assert next_strategy(current, supported, has_tools=has_tools) == below


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_the_caller_gave_is_not_changed(strategy):
    messages = [{"role": "system", "content": [{"type": "text", "text": "Hi"}]}, USER]
    params = {
        "provider": {"order": ["a"]},
        "response_format": {"type": "text"},
        "extra_body": {"x": 1},
    }
    before = copy.deepcopy((messages, params))
    request_changes(strategy, CITY, params, messages)
    assert (messages, params) == before


def test_a_schema_is_asked_for_at_endpoints_that_heed_it():
    messages, params = request_changes("json_schema", CITY, {"seed": 1}, [USER])
    assert messages == [USER]
    assert params == {
        "seed": 1,
        "response_format": CITY.response_format,
        "provider": {"require_parameters": True},
    }


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, {"require_parameters": True}),
        ({"order": ["a"]}, {"require_parameters": True, "order": ["a"]}),
        ({"require_parameters": False}, {"require_parameters": False}),
    ],
)
def test_the_callers_routing_wins(given, sent):
    _, params = request_changes("json_schema", CITY, {"provider": given}, [USER])
    assert params["provider"] == sent


def test_routing_that_is_no_object_is_left_for_the_request_to_refuse():
    _, params = request_changes("json_schema", CITY, {"provider": "fast"}, [USER])
    assert params["provider"] == "fast"


def test_a_tool_takes_the_answer_and_must_be_called():
    messages, params = request_changes("tool", CITY, {"response_format": {}}, [USER])
    assert messages == [USER]
    [tool] = params["tools"]
    assert tool["type"] == "function"
    assert tool["function"]["name"] == ANSWER_TOOL
    assert tool["function"]["parameters"] == CITY.strict_schema
    assert tool["function"]["strict"] is True
    assert params["tool_choice"] == {"type": "function", "function": {"name": ANSWER_TOOL}}
    assert "response_format" not in params


def test_a_tool_is_strict_only_where_nothing_is_lost():
    _, params = request_changes("tool", LOOSE, {}, [USER])
    function = params["tools"][0]["function"]
    assert "strict" not in function
    assert function["parameters"] == LOOSE.schema


@pytest.mark.parametrize(
    "params",
    [{"tools": [{"type": "function"}]}, {"extra_body": {"tools": [{}]}}, {"preset": "mine"}],
)
def test_the_answer_tool_is_not_mixed_with_the_callers_tools(params):
    with pytest.raises(OpenRouterConfigurationError, match="tools="):
        request_changes("tool", CITY, params, [USER])


def test_some_json_is_asked_for_with_the_schema_in_words():
    messages, params = request_changes("json_object", CITY, {}, [USER])
    assert params == {"response_format": {"type": "json_object"}}
    assert [message["role"] for message in messages] == ["system", "user"]
    assert '"name"' in messages[0]["content"]


def test_a_model_that_knows_nothing_of_formats_gets_only_words():
    messages, params = request_changes("prompted", CITY, {"response_format": {}, "seed": 1}, [USER])
    assert params == {"seed": 1}
    assert '"properties"' in messages[0]["content"]
    assert messages[1] == USER


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_words_are_added_to_the_system_message_that_is_there(role):
    system = {"role": role, "content": "Be brief.", "cache_control": {"type": "ephemeral"}}
    messages, _ = request_changes("prompted", CITY, {}, [system, USER])
    assert len(messages) == 2
    assert messages[0]["content"].startswith("Be brief.\n\n")
    assert '"properties"' in messages[0]["content"]
    assert messages[0]["cache_control"] == {"type": "ephemeral"}


def test_the_words_become_a_part_where_the_system_message_has_parts():
    part = {"type": "text", "text": "Be brief."}
    messages, _ = request_changes("prompted", CITY, {}, [{"role": "system", "content": [part]}])
    [first, second] = messages[0]["content"]
    assert first == part
    assert '"properties"' in second["text"]


def refusal(message, *, status=404, **more):
    return api_error({"message": message, "code": status, **more}, {}, status=status)


@pytest.mark.parametrize(
    "error",
    [
        refusal(f"No endpoints found that support tool use.{MORE}"),
        refusal('No endpoints found that support tool use. Try disabling "question".'),
        refusal(f"No endpoints found that support the provided 'tool_choice' value.{MORE}"),
        refusal(f"No endpoints found that can handle the requested parameters.{MORE}"),
        refusal("No endpoints available"),
        refusal("No endpoints found that support response_format json_schema."),
        refusal("nothing left", availability={"code": "constraint_filtered"}),
        refusal("nothing left", availability={"code": "no_endpoints"}, status=503),
        refusal(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported "
            "with this model.",
            status=400,
        ),
        refusal(
            "Provider returned error",
            status=400,
            metadata={
                "provider_name": "P",
                "raw": '{"error":{"message":"This model does not support structured outputs"}}',
            },
        ),
        refusal("This model does not support function calling", status=400),
        refusal("Invalid value for tool_choice: only auto is supported", status=422),
        refusal("Unrecognized request argument supplied: provider", status=400),
    ],
    ids=lambda error: error.message[:50],
)
def test_texts_that_say_that_nobody_can_be_asked_this_way(error):
    assert is_unsupported(error)


@pytest.mark.parametrize(
    "error",
    [
        refusal("No endpoints found for some/model."),
        refusal("No endpoints found matching your data policy. Configure: https://openrouter.ai"),
        refusal("No endpoints available matching your guardrail restrictions and data policy."),
        refusal("x", availability={"code": "constraint_filtered", "excluded_by": ["data policy"]}),
        refusal("x", availability={"code": "model_not_found"}),
        refusal("some/model is not a valid model ID", status=400),
        refusal("This endpoint's maximum context length is 8192 tokens", status=400),
        refusal(
            "An assistant message with 'tool_calls' must be followed by tool messages", status=400
        ),
        refusal("response_format is overloaded", status=429),
        refusal("Provider returned error", status=502),
        refusal("No endpoints available that support tool use", status=503),
        OpenRouterConnectionError("No endpoints found that support tool use"),
        ValueError("No endpoints found that support tool use"),
    ],
    ids=lambda error: str(error)[:50],
)
def test_other_failures_are_not_taken_for_that(error):
    assert not is_unsupported(error)


def test_a_complaint_about_the_callers_own_tools_is_not_about_the_output():
    error = refusal(f"No endpoints found that support tool use.{MORE}")
    assert isinstance(error, NotFoundError)
    assert not is_unsupported(error, has_tools=True)
    about_output = refusal("response_format is not supported", status=400)
    assert isinstance(about_output, BadRequestError)
    assert is_unsupported(about_output, has_tools=True)
