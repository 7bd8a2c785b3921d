"""What arrives at a server is what was asked, and what OpenRouter's published schema takes."""

import base64
import json
import re
from typing import Any

import pytest
from support.published_schema import ACCEPTED_EXTRAS, request_keys, request_problems
from support.raw_server import RawServer, answer, chunk, completion, stream

from mbxai.openrouter import AsyncOpenRouterClient
from mbxai.openrouter._checks import HEADER_OPTIONS, check_body, option_headers
from mbxai.openrouter._content import audio_part, file_part, image_part, text_part, video_part
from mbxai.wire import CompletionParams, Message

PATH = "/chat/completions"
USER = [{"role": "user", "content": "hi"}]
PNG = b"\x89PNG\r\n\x1a\n"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}
FUNCTION = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
    "cache_control": EPHEMERAL,
}
X_SEARCH = {
    "allowed_x_handles": ["a"],
    "from_date": "2026-01-01",
    "enable_image_understanding": True,
}
PLACE = {
    "type": "approximate",
    "city": "Berlin",
    "country": "DE",
    "region": None,
    "timezone": "Europe/Berlin",
}
SEARCH = {
    "engine": "exa", "mode": "deep", "search_context_size": "low", "max_results": 3, "max_uses": 2,
    "max_total_results": 9, "max_characters": 500, "allowed_domains": ["a.b"],
    "excluded_domains": ["c.d"], "user_location": PLACE, "x_search": X_SEARCH,
}  # fmt: skip

# Parameters of requests; together they name every keyword.
ASKED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "sampling": {
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "top_a": 0.1, "min_p": 0.05, "seed": 7,
        "frequency_penalty": -0.5, "presence_penalty": 0.5, "repetition_penalty": 1.1,
        "stop": ["a", "b"], "logit_bias": {"50256": -100}, "logprobs": True, "top_logprobs": 5, "n": 1,
    },
    "length": {"max_tokens": 100, "max_completion_tokens": 100, "stop": "END"},
    "nulls": dict.fromkeys(("temperature", "top_p", "top_k", "seed", "stop", "logit_bias", "logprobs", "provider", "prediction", "stream_options", "service_tier", "reasoning_effort", "max_tokens", "route", "parallel_tool_calls", "prompt_cache_options", "prompt_cache_key")),
    "functions": {
        "tools": [FUNCTION, {"type": "function", "function": {"name": "g"}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
    },
    "deferred functions": {
        "tools": [
            {"type": "function", "function": {"name": "g", "defer_loading": True},
             "defer_loading": True, "eager_input_streaming": True},
            {"type": "function", "function": {"name": "find"}},
        ],
        "deferred_tools": {
            "protocol": "v1", "profile": "portable", "validation": "runtime",
            "search": {"type": "custom", "tool_id": "find", "result_key": "names", "max_results": 5},
        },
        "tool_choice": "required",
    },
    "server tools": {
        "tools": [
            {"type": "openrouter:web_search", "parameters": SEARCH},
            {"type": "web_search", **SEARCH},
            {"type": "openrouter:web_fetch", "parameters": {"engine": "auto", "max_uses": 1, "blocked_domains": ["a.b"], "max_content_tokens": 9}},
            {"type": "openrouter:datetime", "parameters": {"timezone": "Europe/Berlin"}},
            {"type": "openrouter:image_generation", "parameters": {"model": "a/b", "quality": "high"}},
            {"type": "openrouter:advisor", "parameters": {"model": "a/b", "name": "x", "reasoning": {"effort": "low"}, "forward_transcript": True}},
            {"type": "openrouter:subagent", "parameters": {"model": "a/b", "max_tool_calls": 3, "inherit_functions": True, "tools": [{"type": "openrouter:datetime"}]}},
            {"type": "openrouter:fusion", "parameters": {"analysis_models": ["a/b"], "cache_control": EPHEMERAL, "max_tool_calls": 2}},
            {"type": "openrouter:files"},
            {"type": "openrouter:bash", "parameters": {"engine": "auto"}},
            {"type": "openrouter:experimental__search_models", "parameters": {"max_results": 3}},
        ],
        "tool_choice": {"type": "openrouter:web_search"},
        "max_tool_calls": 5,
        "stop_server_tools_when": [
            {"type": "step_count_is", "step_count": 3},
            {"type": "has_tool_call", "tool_name": "f"},
            {"type": "max_tokens_used", "max_tokens": 1000},
            {"type": "max_cost", "max_cost_in_dollars": 0.5},
            {"type": "finish_reason_is", "reason": "length"},
        ],
    },
    "sound": {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}, "stream": True},
    "pictures": {"modalities": ["image", "text"], "image_config": {"aspect_ratio": "16:9", "image_size": "2K", "font_inputs": [{"text": "x"}]}},
    "streamed": {"stream": True, "stream_options": {"include_usage": True}, "debug": {"echo_upstream_body": True}},
    "prediction": {"prediction": {"type": "content", "content": [{"type": "text", "text": "x"}]}, "verbosity": "low"},
    "reasoning": {
        "reasoning": {"effort": "high", "exclude": False, "enabled": True, "summary": "auto", "context": "auto", "mode": "pro"},
        "reasoning_effort": "high",
        "include_reasoning": True,
    },
    "reasoning by tokens": {"reasoning": {"max_tokens": 2000, "exclude": True}},
    "routing": {
        "models": ["a/b", "c/d"],
        "provider": {
            "order": ["openai/priority"], "only": ["openai", "azure"], "ignore": ["x"], "sort": {"by": "price", "partition": "none"},
            "allow_fallbacks": False, "require_parameters": True, "data_collection": "deny", "zdr": True,
            "enforce_distillable_text": False, "quantizations": ["fp8", "bf16"],
            "max_price": {"prompt": 1, "completion": 2.5}, "preferred_max_latency": {"p50": 1.5, "p99": None},
            "preferred_min_throughput": 50, "options": {"openai": {"x": 1}},
        },
        "preset": "mine", "service_tier": "ultrafast", "route": "fallback", "transforms": ["middle-out"],
        "web_search_options": {"search_context_size": "high"},
        "structured_outputs": True, "safe_prompt": True, "raw_mode": False,
    },
    "prices as text": {"provider": {"max_price": {"prompt": "1", "image": "0.1"}, "sort": "throughput"}},
    "plugins": {
        "plugins": [
            {"id": "web", "enabled": True, "engine": "exa", "mode": "fast", "max_results": 3, "max_uses": 1, "search_prompt": "x",
             "include_domains": ["a.b"], "exclude_domains": ["c.d"], "user_location": PLACE},
            {"id": "web", "x_search": X_SEARCH},
            {"id": "web-fetch", "allowed_domains": ["a.b"], "blocked_domains": [], "max_content_tokens": 9, "max_uses": 1},
            {"id": "file-parser", "enabled": True, "pdf": {"engine": "cloudflare-ai"}},
            {"id": "response-healing", "enabled": False},
            {"id": "context-compression", "enabled": True, "engine": "middle-out"},
            {"id": "moderation"},
            {"id": "auto-router", "allowed_models": ["a/*"], "excluded_models": [], "cost_tier": "low", "cost_quality_tradeoff": 5, "pin_model": True},
            {"id": "auto-beta-router", "allowed_models": ["a/*"], "cost_tier": "max"},
            {"id": "pareto-router", "min_coding_score": 0.5, "max_price": 3, "price_source": "prompt"},
            {"id": "switchyard-router", "algorithm": "auto", "judge_model": "a/b"},
            {"id": "jev-router", "models": ["a/b"], "cost_tier": "low"},
            {"id": "fusion", "analysis_models": ["a/b"], "model": "c/d", "preset": "general-fast", "max_tool_calls": 2, "tools": [{"type": "openrouter:datetime", "parameters": {"timezone": "UTC"}}]},
            {"id": "alignment", "rules": [{"rule": "be kind", "watch": ["content"]}], "mode": "audit", "max_retries": 1, "threshold": 0.5},
            {"id": "armor", "enabled": True, "mode": "enforce", "on_error": "block", "output_mode": "text"},
        ]
    },
    "caching": {
        "cache_control": EPHEMERAL, "prompt_cache_key": "k", "session_id": "s", "user": "u",
        "prompt_cache_options": {"mode": "explicit", "ttl": "30m"}, "metadata": {"k": "v"},
        "trace": {"trace_id": "t", "trace_name": "n", "span_name": "s", "generation_name": "g", "parent_span_id": "p", "own": [1]},
        "usage": {"include": True},
    },
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True, "description": "d"}}},
    "object": {"response_format": {"type": "json_object"}},
    "text": {"response_format": {"type": "text"}},
    "grammar": {"response_format": {"type": "grammar", "grammar": "root ::= x"}},
    "python": {"response_format": {"type": "python"}},
}  # fmt: skip

PARTS = [
    text_part("a"),
    text_part("b", cache_control=EPHEMERAL),
    text_part("c") | {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
    image_part("https://a.b/c.png", detail="original"),
    image_part(PNG),
    file_part("https://a.b/c.pdf"),
    file_part(b"%PDF-1.7"),
    {"type": "file", "file": {"file_id": "file-1"}},
    audio_part(b"RIFF\x00\x00\x00\x00WAVE"),
    video_part("https://a.b/c"),
    video_part(b"\x00\x00\x00\x18ftypisom"),
    {"type": "video_url", "video_url": {"url": "https://a.b/c", "processing": "static"}},
]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{ "a":1}'}}
DETAILS = [
    {"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1", "index": 0, "id": None},
    {"type": "reasoning.summary", "summary": "s", "index": 1},
    {"type": "reasoning.encrypted", "data": "d", "format": "openai-responses-v1", "id": "x", "index": 2},
    {"type": "reasoning.server_tool_call", "tool_name": "t", "arguments": "{}", "result": "r", "tool_call_id": None},
]  # fmt: skip
CONVERSATION = [
    {"role": "system", "content": "s"},
    {"role": "system", "content": [text_part("s", cache_control=EPHEMERAL)], "name": "n"},
    {"role": "developer", "content": "d"},
    {"role": "user", "content": PARTS, "name": "n"},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_details": DETAILS},
    {"role": "tool", "tool_call_id": "c1", "content": "r"},
    {"role": "assistant", "content": "a", "reasoning": "r", "reasoning_content": "r", "refusal": None,
     "annotations": [{"type": "file", "file": {"hash": "h"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": [text_part("r"), image_part(PNG)]},
    {"role": "user", "content": "u"},
]  # fmt: skip


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
async def client(raw):
    async with AsyncOpenRouterClient("sk-or-v1-schema", "a/b", raw.base_url, max_retries=0) as made:
        yield made


async def sent(raw, client, messages, *, stream_it=False, **params):
    """The request that arrives."""
    raw.script(stream(chunk("x", finish="stop")) if stream_it else answer(completion()))
    if stream_it:
        async with await client.create(messages, stream=True, **params) as opened:
            assert [part async for part in opened]
    else:
        await client.create(messages, **params)
    (request,) = raw.seen().requests
    return request


@pytest.mark.parametrize("name", ASKED)
async def test_what_arrives_is_what_was_asked_and_what_the_schema_takes(raw, client, name):
    asked = dict(ASKED[name])
    streamed = asked.pop("stream", False)
    request = await sent(raw, client, USER, stream_it=streamed, **asked)
    body = json.loads(request["body"])
    expected = {"model": "a/b", "messages": USER, **asked} | ({"stream": True} if streamed else {})
    assert body == expected
    assert request_problems(PATH, body) == []
    assert check_body(body) is None


def test_these_requests_name_every_parameter_of_the_body():
    named = {name for asked in ASKED.values() for name in asked}
    transport = {"extra_body", "extra_headers", "timeout", "first_token_timeout", "idle_timeout"}
    assert set(CompletionParams.__annotations__) - transport - HEADER_OPTIONS - named == set()


async def test_a_conversation_with_every_kind_of_part_arrives_as_the_schema_takes_it(raw, client):
    body = json.loads((await sent(raw, client, CONVERSATION))["body"])
    assert body["messages"] == CONVERSATION
    assert request_problems(PATH, body) == []
    sent_image = body["messages"][3]["content"][4]["image_url"]["url"]
    assert base64.b64decode(sent_image.partition(",")[2]) == PNG


async def test_an_answer_goes_back_as_the_schema_takes_it(raw, client):
    earlier = Message.model_validate(
        {"content": "", "tool_calls": [CALL], "reasoning_details": DETAILS, "reasoning": "r"}
    )
    body = json.loads((await sent(raw, client, [*USER, earlier, CONVERSATION[5]]))["body"])
    assert body["messages"][1]["tool_calls"] == [CALL]
    assert request_problems(PATH, body) == []


async def test_header_options_arrive_as_headers(raw, client):
    options = {
        "cache": True,
        "cache_ttl": 600,
        "cache_clear": True,
        "include_metadata": True,
        "anthropic_beta": ["interleaved-thinking-2025-05-14", "structured-outputs-2025-11-13"],
    }
    assert set(options) == HEADER_OPTIONS
    headers = (await sent(raw, client, USER, extra_headers=option_headers(options)))["headers"]
    assert headers["x-openrouter-cache"] == "true"
    assert headers["x-openrouter-cache-ttl"] == "600"
    assert headers["x-openrouter-cache-clear"] == "true"
    assert headers["x-openrouter-metadata"] == "enabled"
    assert headers["x-anthropic-beta"] == (
        "interleaved-thinking-2025-05-14,structured-outputs-2025-11-13"
    )


# --- the checker itself ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"temprature": 1}, "'temprature' was unexpected"),
        ({"temperature": "1"}, r"\$\.temperature: '1' is not of type"),
        ({"max_tokens": 1.5}, r"\$\.max_tokens: 1\.5 is not of type"),
        ({"stop": ["a"] * 5}, r"\$\.stop"),
        ({"reasoning": {"effrt": "high"}}, "'effrt' was unexpected"),
        ({"provider": {"onyl": ["a"]}}, "'onyl' was unexpected"),
        ({"plugins": [{"id": "web", "x": 1}]}, r"\$\.plugins\[0\]"),
        ({"plugins": [{"id": "unknown"}]}, r"\$\.plugins\[0\]"),
        ({"tools": [{"type": "function", "function": {}}]}, "'name' is a required property"),
        ({"tools": [{**FUNCTION, "x": 1}]}, r"\$\.tools\[0\]"),
        ({"messages": []}, r"\$\.messages"),
        ({"messages": [{"role": "user"}]}, "'content' is a required property"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, r"\$\.messages\[0\]\.role"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "txt": "a"}]}]}, "'text' is"),
        ({"messages": [{"role": "user", "content": "x", "cache": 1}]}, "'cache' was unexpected"),
        ({"cache": True}, "'cache' was unexpected"),
    ],
)  # fmt: skip
def test_the_checker_sees_unknown_fields_and_wrong_types(fields, problem):
    body = {"model": "a/b", "messages": USER}
    assert request_problems(PATH, body) == []
    assert re.search(problem, "\n".join(request_problems(PATH, body | fields)))


def test_the_checker_knows_every_request_of_the_document():
    for key in request_keys():
        method, path, *media_type = key.split(" ")
        problems = request_problems(
            path, {"no_such_field": 1}, method=method, media_type=(media_type or ["application/json"])[0]
        )  # fmt: skip
        assert problems, key
    assert request_problems("/keys/some-hash", {"name": "x"}, method="PATCH") == []
    with pytest.raises(KeyError):
        request_problems("/no/such/path", {})


def test_every_extra_has_its_source():
    assert all(extra.source for extra in ACCEPTED_EXTRAS)
