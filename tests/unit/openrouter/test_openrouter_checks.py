import pytest

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._checks import HEADER_OPTIONS, check_body, option_headers
from mbxai.wire import CompletionParams

BASE = {"model": "a/b", "messages": [{"role": "user", "content": "hi"}]}
CHOICE = {"type": "function", "function": {"name": "a"}}
NAN, INF = float("nan"), float("inf")


def tool(name="a", **more):
    return {"type": "function", "function": {"name": name}, **more}


def json_format(**fields):
    return {"type": "json_schema", "json_schema": fields}


class Unreadable:
    """Something that only the encoder may know, a pydantic model for example."""


# What each refusal says, and bodies that stand just inside the rule.
WRONG = [
    *(
        ({name: value}, f"{name} must be a number from {low} to {high}")
        for name, low, high in [
            ("temperature", 0, 2), ("top_p", 0, 1), ("top_a", 0, 1), ("min_p", 0, 1),
            ("frequency_penalty", -2, 2), ("presence_penalty", -2, 2),
        ]
        for value in (low - 0.01, high + 0.01, True, "1", [1], -(10**400))
    ),
    *(
        ({name: value}, f"{name} must be a (whole )?number of at least 1")
        for name in ("max_tokens", "max_completion_tokens", "n")
        for value in (0, -1, True, 1.5, "5")
    ),
    *(
        ({name: value}, f"{name} must be a (whole )?number\\.")
        for name in ("seed", "top_k", "max_tool_calls")
        for value in (True, 1.5, "5", {})
    ),
    ({"repetition_penalty": "1"}, r"repetition_penalty must be a number\."),
    *(({"top_logprobs": value, "logprobs": True}, "top_logprobs must be a number from 0 to 20") for value in (-1, 21, True)),
    ({"top_logprobs": 2}, "top_logprobs is given without logprobs"),
    ({"top_logprobs": 2, "logprobs": False}, "top_logprobs is given without logprobs"),
    ({"stop": ["a"] * 5}, "stop holds 5 texts"),
    ({"models": []}, "models is empty"),
    ({"models": "a/b"}, "models must be a list"),
    ({"session_id": "x" * 257}, "session_id is longer than 256"),
    ({"metadata": {str(number): "" for number in range(17)}}, "metadata holds 17 pairs"),
    ({"metadata": {"k" * 65: ""}}, "metadata holds a key of more than 64"),
    ({"metadata": {"key": "v" * 513}}, "metadata holds more than 512 characters under 'key'"),
    ({"metadata": ["a"]}, "metadata must be a mapping"),
    ({"reasoning": {"effort": "high", "max_tokens": 5}}, "reasoning holds both effort and max_tokens"),
    ({"reasoning": {"max_tokens": True}}, "reasoning.max_tokens must be a number"),
    ({"reasoning": "high"}, "reasoning must be a mapping"),
    ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, "reasoning_effort is 'low' and reasoning.effort is 'high'"),
    ({"reasoning_effort": "low", "reasoning": {"max_tokens": 5}}, "reasoning_effort cannot be given together"),
    ({"include_reasoning": True, "reasoning": {"exclude": True}}, "include_reasoning contradicts"),
    ({"include_reasoning": False, "reasoning": {"exclude": False}}, "include_reasoning contradicts"),
    ({"modalities": "text"}, "modalities must be a list"),
    ({"modalities": ["text", "audio"], "audio": {}}, r"modalities asks for audio, which .* stream"),
    ({"modalities": ["audio"], "stream": True}, "modalities asks for audio, but audio is not given"),
    ({"response_format": {"type": "json_schema"}}, "response_format needs json_schema"),
    *(({"response_format": json_format(schema={}, **name)}, "response_format needs json_schema.name") for name in ({}, {"name": ""}, {"name": "x" * 65})),
    ({"response_format": json_format(name="x")}, "response_format needs json_schema.schema"),
    ({"response_format": {"type": "grammar"}}, "response_format needs grammar"),
    ({"tools": tool()}, "tools must be a list"),
    ({"tools": [tool(), tool("b"), tool()]}, "tools holds 'a' twice"),
    ({"tools": [tool(), {"type": "function", "function": {}}]}, r"tools\[1\] needs a name"),
    ({"tools": [tool("x" * 65)]}, r"tools\[0\] needs a name"),
    ({"tool_choice": "required"}, "tool_choice is 'required', but tools is not given"),
    ({"tool_choice": "required", "tools": []}, "tool_choice is 'required'"),
    ({"tool_choice": CHOICE}, "tool_choice names 'a', but tools is not given"),
    ({"tool_choice": CHOICE, "tools": [tool("c"), tool("b")]}, r"tool_choice names 'a', which is not in tools\. Known are: b, c\."),
    ({"stop_server_tools_when": []}, "stop_server_tools_when is empty"),
    ({"provider": "openai"}, "provider must be a mapping"),
    ({"provider": {"only": "openai"}}, "provider.only must be a list"),
    ({"provider": {"only": ["x", "y"], "ignore": ["y"]}}, "provider.only and provider.ignore both hold 'y'"),
    ({"provider": {"order": ["y"], "ignore": ["y"]}}, "provider.order and provider.ignore both hold 'y'"),
]  # fmt: skip

RIGHT = [
    {"temperature": 0, "top_p": 1, "top_a": 0.0, "min_p": 1.0},
    {"temperature": 2, "frequency_penalty": -2, "presence_penalty": 2.0},
    {"temperature": NAN, "top_p": INF, "presence_penalty": -INF, "max_tokens": NAN},
    {"max_tokens": 1, "max_completion_tokens": 5.0, "n": 1, "seed": -3, "top_k": -1},
    {"repetition_penalty": 3, "max_tool_calls": 100},
    {"top_logprobs": 20, "logprobs": True},
    {"top_logprobs": 0},
    {"stop": ["a"] * 4},
    {"stop": "abcdefg"},
    {"models": ["a/b"]},
    {"models": (slug for slug in ["a/b"])},
    {"session_id": "x" * 256},
    {"metadata": {"k" * 64: "v" * 512, "number": 5}},
    {"metadata": Unreadable(), "reasoning": Unreadable(), "provider": Unreadable()},
    {"reasoning": {"effort": "high", "max_tokens": None}, "reasoning_effort": "high"},
    {"reasoning": {"max_tokens": 0, "exclude": True}, "include_reasoning": False},
    {"reasoning": {"exclude": None}, "include_reasoning": True},
    {"modalities": ["text", "image"]},
    {"modalities": ["text", "audio"], "audio": {"voice": "x"}, "stream": True},
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "brand_new"}},
    {"response_format": json_format(name="x", schema={})},
    {"response_format": {"type": "grammar", "grammar": "root ::= x"}},
    {"tools": [tool(), tool("b"), {"type": "openrouter:web_search"}, {"type": "custom", "name": "a"}]},
    {"tools": [{"type": "openrouter:datetime"}, {"type": "openrouter:datetime"}]},
    {"tools": [], "tool_choice": "auto"},
    {"tool_choice": "none"},
    {"tool_choice": {"type": "openrouter:web_search"}},
    {"tool_choice": "required", "tools": [tool()]},
    {"tool_choice": "required", "plugins": [{"id": "fusion"}]},
    {"tool_choice": "required", "model": "openrouter/fusion"},
    {"tool_choice": "required", "model": "a/b:online"},
    {"tool_choice": "brand_new"},
    {"tool_choice": CHOICE, "tools": [tool("b"), tool("a")]},
    {"tool_choice": CHOICE, "tools": [Unreadable()]},
    {"tool_choice": {"type": "function", "function": {"name": "web_search"}}, "tools": [{"type": "openrouter:web_search"}]},
    {"stop_server_tools_when": [{"type": "step_count_is", "step_count": 3}]},
    {"provider": {"only": ["google-vertex/us"], "ignore": ["google-vertex"], "order": None}},
    {"provider": {"new_field": 1}},
    {"brand_new": object()},
]  # fmt: skip


@pytest.mark.parametrize(("fields", "problem"), WRONG)
def test_what_cannot_be_meant_is_refused_by_name(fields, problem):
    with pytest.raises(OpenRouterConfigurationError, match=f"^{problem}"):
        check_body(BASE | fields)


@pytest.mark.parametrize("fields", RIGHT)
def test_what_the_api_takes_is_let_through_and_left_alone(fields):
    body = BASE | fields
    before = dict(body)
    assert check_body(body) is None
    assert body == before


@pytest.mark.parametrize("name", sorted(CompletionParams.__annotations__))
def test_none_counts_as_not_given(name):
    assert check_body(BASE | {name: None}) is None
    assert option_headers({name: None}) == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"top_logprobs": 2},
        {"tool_choice": "required"},
        {"tool_choice": CHOICE},
        {"modalities": ["audio"]},
    ],
)
@pytest.mark.parametrize(
    "preset", [{"preset": "mine"}, {"model": "@preset/mine"}, {"models": ["a/b@preset/mine"]}]
)
def test_a_preset_may_hold_what_is_missing(fields, preset):
    with pytest.raises(OpenRouterConfigurationError):
        check_body(BASE | fields)
    assert check_body(BASE | fields | preset) is None


def test_a_refusal_holds_no_prompt():
    body = {"messages": [{"role": "user", "content": "a very private prompt"}], "temperature": 3}
    with pytest.raises(OpenRouterConfigurationError) as caught:
        check_body(body)
    assert "private" not in str(caught.value)


@pytest.mark.parametrize(
    ("params", "headers"),
    [
        ({}, {}),
        ({"temperature": 1}, {}),
        ({"cache": True}, {"X-OpenRouter-Cache": "true"}),
        ({"cache": False}, {"X-OpenRouter-Cache": "false"}),
        (
            {"cache": True, "cache_ttl": 86400, "cache_clear": True},
            {
                "X-OpenRouter-Cache": "true",
                "X-OpenRouter-Cache-TTL": "86400",
                "X-OpenRouter-Cache-Clear": "true",
            },
        ),
        ({"cache_ttl": 1}, {"X-OpenRouter-Cache-TTL": "1"}),
        ({"cache": False, "cache_clear": False}, {"X-OpenRouter-Cache": "false"}),
        ({"include_metadata": True}, {"X-OpenRouter-Metadata": "enabled"}),
        ({"include_metadata": False, "cache_clear": False}, {}),
        ({"anthropic_beta": ["a-2025-05-14", "b"]}, {"x-anthropic-beta": "a-2025-05-14,b"}),
        ({"anthropic_beta": "a,b"}, {"x-anthropic-beta": "a,b"}),
    ],
)
def test_header_options_become_headers(params, headers):
    assert option_headers(params) == headers


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        *(({"cache_ttl": value}, "cache_ttl must be") for value in (0, 86401, True, "5", 1.5)),
        *(
            ({name: value}, f"{name} must be True or False")
            for name in ("cache", "cache_clear", "include_metadata")
            for value in (1, 0, "true")
        ),
        ({"cache": False, "cache_ttl": 5}, "cache_ttl has no effect"),
        ({"cache": False, "cache_clear": True}, "cache_clear has no effect"),
        *(
            ({"anthropic_beta": value}, "anthropic_beta must be a list")
            for value in ([], "", 5, b"a", ["a b"], ["a\r\nX-Evil: 1"], [5])
        ),
    ],
)
def test_header_options_that_cannot_be_meant_are_refused_by_name(params, problem):
    with pytest.raises(OpenRouterConfigurationError, match=f"^{problem}"):
        option_headers(params)


def test_every_header_option_is_a_parameter_and_makes_a_header():
    values = {"anthropic_beta": ["a"], "cache_ttl": 5}
    assert set(CompletionParams.__annotations__) >= HEADER_OPTIONS
    assert all(len(option_headers({name: values.get(name, True)})) == 1 for name in HEADER_OPTIONS)
