"""What the catalogue and the account ask for on the wire, and what they make of the answers."""

import datetime as dt
import json
import logging
import pickle
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.published_schema import request_problems
from support.raw_server import RawServer, answer
from support.resource_answers import (
    ACTIVITY,
    CURRENT_KEY,
    ENDPOINT,
    FREE_MODEL,
    GENERATION,
    GUARDRAIL,
    KEY,
    KEY_ASSIGNMENT,
    MEMBER_ASSIGNMENT,
    MODEL,
    PRESET,
    PRESET_VERSION,
    PROVIDER,
    listed,
)

from mbxai._redaction import redact
from mbxai.errors import (
    InvalidResponseError,
    NotFoundError,
    OpenRouterConfigurationError,
    ProviderUnavailableError,
)
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterModel
from mbxai.openrouter._pages import AFTER_LAST, BY_CURSOR, ListAnswer, PageRequest, page_request
from mbxai.openrouter.resources.account import AsyncActivity, AsyncCredits, AsyncCurrentKey
from mbxai.openrouter.resources.auth import AsyncAuth
from mbxai.openrouter.resources.generations import AsyncGenerations
from mbxai.openrouter.resources.guardrails import AsyncGuardrails
from mbxai.openrouter.resources.keys import AsyncKeys
from mbxai.openrouter.resources.models import AsyncModels, Model
from mbxai.openrouter.resources.presets import AsyncPresets
from mbxai.openrouter.resources.providers import AsyncEndpoints, AsyncProviders

NEW_KEY = "sk-or-v1-0e6f44a47a05f1dad2ad7e88c4c1d6b7"
VERIFIER = "v" * 43
WORKSPACE = "0df9e665-d932-5740-b2c7-b52af166bc11"
GUARD = GUARDRAIL["id"]
FULL_PRESET = {"data": PRESET | {"designated_version": PRESET_VERSION}}
CHAT = {
    "model": "openai/gpt-4.1",
    "messages": [{"role": "user", "content": "hi"}],
    "temperature": 0.5,
}


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
async def api(raw):
    async with AsyncOpenRouterClient(
        "sk-or-v1-own-key", "a/b", raw.base_url, max_retries=1, retry_initial_delay=0.01
    ) as client:
        requester = client._core.requester
        yield SimpleNamespace(
            requester=requester,
            models=AsyncModels(requester),
            providers=AsyncProviders(requester),
            endpoints=AsyncEndpoints(requester),
            generations=AsyncGenerations(requester),
            credits=AsyncCredits(requester),
            key=AsyncCurrentKey(requester),
            keys=AsyncKeys(requester),
            auth=AsyncAuth(requester),
            presets=AsyncPresets(requester),
            guardrails=AsyncGuardrails(requester),
            activity=AsyncActivity(requester),
        )


def sent(request: dict[str, Any]) -> tuple[str, dict[str, str], Any]:
    """Method and path, query, body."""
    method, target, _ = request["start"].split(" ")
    address = urlsplit(target)
    body = json.loads(request["body"]) if request["body"] else None
    return f"{method} {address.path.removeprefix('/api/v1')}", dict(parse_qsl(address.query)), body


FILTERS = {
    "category": "programming",
    "supported_parameters": ["tools", "temperature"],
    "input_modalities": ("text", "image"),
    "output_modalities": "text",
    "sort": "newest",
    "q": "gpt",
    "context": 128000,
    "min_price": 0,
    "max_price": 2.5,
    "min_output_price": 0.5,
    "max_output_price": 10,
    "arch": "GPT",
    "model_authors": "openai,anthropic",
    "providers": ["OpenAI", "Azure"],
    "distillable": False,
    "zdr": True,
    "region": "eu",
    "min_age_days": 1,
    "max_age_days": 90,
    "min_intelligence_index": 40,
    "max_intelligence_index": 90.5,
    "min_coding_index": 1,
    "max_coding_index": 2,
    "min_agentic_index": 3,
    "max_agentic_index": 4,
    "min_tool_success_rate": 0.5,
    "max_tool_success_rate": 1,
}
FILTERS_SENT = {
    name: ",".join(value) if isinstance(value, list | tuple) else str(value)
    for name, value in FILTERS.items()
} | {"distillable": "false", "zdr": "true"}

# Call, what arrives (method and path, query, body), the answer, and what it says (path, value).
CALLS: dict[str, tuple[Any, str, dict[str, str], Any, Any, dict[str, Any]]] = {
    "all models": (
        lambda api: api.models.list(), "GET /models", {}, None,
        listed(MODEL, FREE_MODEL, total_count=2, links={"next": None}, new=1),
        {"data.0.id": "openai/gpt-4.1", "data.0.pricing.prompt_per_million": 2, "data.1.context_length": 8192,
         "data.0.reasoning.supported_efforts": ["high", "low"], "data.0.pricing.overrides.0.min_prompt_tokens": 200000,
         "data.0.architecture.tokenizer": "GPT", "data.0.top_provider.is_moderated": True, "total_count": 2},
    ),
    "filtered models": (
        lambda api: api.models.list(**FILTERS, offset=3, limit=7), "GET /models",
        FILTERS_SENT | {"offset": "3", "limit": "7"}, None, listed(MODEL), {"has_more": False},
    ),
    "models without a choice of privacy": (
        lambda api: api.models.list(zdr=False, sort=None), "GET /models", {}, None, listed(), {"data": []},
    ),
    "one model": (
        lambda api: api.models.get("openai/gpt-4.1"), "GET /model/openai/gpt-4.1", {}, None,
        {"data": MODEL}, {"data.pricing.completion_per_million": 8},
    ),
    "a free variant": (
        lambda api: api.models.get("meta/llama:free"), "GET /model/meta/llama:free", {}, None,
        {"data": FREE_MODEL}, {"data.pricing.prompt_per_million": 0},
    ),
    "the newest of a family": (
        lambda api: api.models.get("~openai/gpt-latest"), "GET /model/~openai/gpt-latest", {}, None,
        {"data": MODEL}, {"data.name": "OpenAI: GPT-4.1"},
    ),
    "a model that would leave its place": (
        lambda api: api.models.get("openai/a/../../keys?x=1"), "GET /model/openai/a%2F..%2F..%2Fkeys%3Fx%3D1", {}, None,
        {"data": MODEL}, {"data.id": "openai/gpt-4.1"},
    ),
    "endpoints of a model": (
        lambda api: api.models.endpoints(OpenRouterModel.GPT41), "GET /models/openai/gpt-4.1/endpoints", {}, None,
        {"data": {"id": "openai/gpt-4.1", "name": "GPT-4.1", "endpoints": [ENDPOINT]}},
        {"data.endpoints.0.provider_name": "OpenAI", "data.endpoints.0.latency_last_30m.p99": 850,
         "data.endpoints.0.throughput_last_30m.p50": 45.2, "data.endpoints.0.status": 0},
    ),
    "number of models": (
        lambda api: api.models.count(output_modalities=["text", "image"]), "GET /models/count",
        {"output_modalities": "text,image"}, None, {"data": {"count": 431}}, {"data.count": 431},
    ),
    "models for this key": (
        lambda api: api.models.user(limit=5, offset=0, output_modalities="all", sort="newest"), "GET /models/user",
        {"offset": "0", "limit": "5", "output_modalities": "all", "sort": "newest"}, None,
        listed(MODEL), {"data.0.id": "openai/gpt-4.1"},
    ),
    "providers": (
        lambda api: api.providers.list(), "GET /providers", {}, None, listed(PROVIDER),
        {"data.0.slug": "openai", "data.0.datacenters": ["US", "IE"], "has_more": False},
    ),
    "endpoints that keep nothing": (
        lambda api: api.endpoints.zdr(), "GET /endpoints/zdr", {}, None, listed(ENDPOINT),
        {"data.0.tag": "openai/priority", "data.0.uptime_last_5m": None, "has_more": False},
    ),
    "a generation": (
        lambda api: api.generations.get("gen-1"), "GET /generation", {"id": "gen-1"}, None, {"data": GENERATION},
        {"data.total_cost": 0.0015, "data.latency": 1250, "data.provider_responses.0.status": 503},
    ),
    "content of a generation": (
        lambda api: api.generations.content("gen-1"), "GET /generation/content", {"id": "gen-1"}, None,
        {"data": {"error": {"message": "m", "raw": "r", "previous_errors": []}, "input": {"prompt": "hi"},
                  "output": {"completion": "Hello", "reasoning": None}}},
        {"data.output.completion": "Hello", "data.error.raw": "r", "data.input": {"prompt": "hi"}},
    ),
    "feedback": (
        lambda api: api.generations.feedback("gen-1", category="billing", comment="too dear"),
        "POST /generation/feedback", {}, {"generation_id": "gen-1", "category": "billing", "comment": "too dear"},
        {"data": {"success": True}}, {"data.success": True},
    ),
    "feedback without a comment": (
        lambda api: api.generations.feedback("gen-1", category="other"),
        "POST /generation/feedback", {}, {"generation_id": "gen-1", "category": "other"},
        {"data": {"success": True}}, {"data.success": True},
    ),
    "credits": (
        lambda api: api.credits.get(), "GET /credits", {}, None,
        {"data": {"total_credits": 100.5, "total_usage": 25.75, "new": 1}}, {"data.remaining": 74.75},
    ),
    "the key in use": (
        lambda api: api.key.get(), "GET /key", {}, None, {"data": CURRENT_KEY},
        {"data.limit_remaining": 74.5, "data.budgets.0.limit_usd": 100, "data.free_model_daily_requests.remaining": 997},
    ),
    "keys": (
        lambda api: api.keys.list(offset=10, include_disabled=True, include_expired=False, workspace_id=WORKSPACE),
        "GET /keys",
        {"offset": "10", "include_disabled": "true", "include_expired": "false", "workspace_id": WORKSPACE}, None,
        listed(KEY), {"data.0.hash": KEY["hash"], "data.0.limit_remaining": 24.5},
    ),
    "a new key": (
        lambda api: api.keys.create(
            "Production", limit=50, limit_reset="monthly", include_byok_in_limit=True, workspace_id=WORKSPACE,
            expires_at=dt.datetime(2027, 12, 31, 23, 59, 59, tzinfo=dt.UTC), creator_user_id="user_1",
        ),
        "POST /keys", {},
        {"name": "Production", "limit": 50, "limit_reset": "monthly", "include_byok_in_limit": True,
         "workspace_id": WORKSPACE, "expires_at": "2027-12-31T23:59:59Z", "creator_user_id": "user_1"},
        {"data": KEY, "key": NEW_KEY}, {"data.name": "Production"},
    ),
    "one key": (
        lambda api: api.keys.get("a/b"), "GET /keys/a%2Fb", {}, None, {"data": KEY}, {"data.usage_daily": 1.5},
    ),
    "a changed key": (
        lambda api: api.keys.update(KEY["hash"], limit=None, disabled=True, name="Old", limit_reset="daily"),
        f"PATCH /keys/{KEY['hash']}", {}, {"limit": None, "disabled": True, "name": "Old", "limit_reset": "daily"},
        {"data": KEY}, {"data.disabled": False},
    ),
    "a deleted key": (
        lambda api: api.keys.delete(KEY["hash"]), f"DELETE /keys/{KEY['hash']}", {}, None,
        {"deleted": True}, {"deleted": True},
    ),
    "a key for a code": (
        lambda api: api.auth.exchange_code("code-1", code_verifier=VERIFIER), "POST /auth/keys", {},
        {"code": "code-1", "code_verifier": VERIFIER, "code_challenge_method": "S256"},
        {"key": NEW_KEY, "user_id": "user_1", "new": 1}, {"user_id": "user_1"},
    ),
    "a key for a code without a challenge": (
        lambda api: api.auth.exchange_code("code-1"), "POST /auth/keys", {}, {"code": "code-1"},
        {"key": NEW_KEY, "user_id": None}, {"user_id": None},
    ),
    "a code": (
        lambda api: api.auth.create_code(
            "http://localhost:3000/back", code_challenge="c", code_challenge_method="S256", key_label="Mine", limit=5,
            usage_limit_type="weekly", expires_at="2027-12-31T23:59:59Z", workspace_id=WORKSPACE,
        ),
        "POST /auth/keys/code", {},
        {"callback_url": "http://localhost:3000/back", "code_challenge": "c", "code_challenge_method": "S256",
         "key_label": "Mine", "limit": 5, "usage_limit_type": "weekly", "expires_at": "2027-12-31T23:59:59Z",
         "workspace_id": WORKSPACE},
        {"data": {"id": "auth_code_1", "app_id": 12345, "created_at": "2026-08-24T10:30:00Z"}},
        {"data.id": "auth_code_1", "data.app_id": 12345},
    ),
    "presets": (
        lambda api: api.presets.list(limit=2), "GET /presets", {"limit": "2"}, None,
        listed(PRESET, total_count=1), {"data.0.slug": "brief", "total_count": 1},
    ),
    "a preset": (
        lambda api: api.presets.get("brief"), "GET /presets/brief", {}, None, FULL_PRESET,
        {"data.designated_version.config": {"model": "openai/gpt-4.1", "temperature": 0.7}},
    ),
    "versions of a preset": (
        lambda api: api.presets.versions("brief", offset=1, limit=2), "GET /presets/brief/versions",
        {"offset": "1", "limit": "2"}, None, {"data": [PRESET_VERSION, None], "total_count": 3},
        {"data.0.version": 1, "data": 1},
    ),
    "a version of a preset": (
        lambda api: api.presets.get_version("brief", 1), "GET /presets/brief/versions/1", {}, None,
        {"data": PRESET_VERSION}, {"data.system_prompt": "Be brief."},
    ),
    "a preset of a chat": (
        lambda api: api.presets.create_from_chat("brief", CHAT), "POST /presets/brief/chat/completions", {}, CHAT,
        FULL_PRESET, {"data.status": "active"},
    ),
    "a preset of messages": (
        lambda api: api.presets.create_from_messages("brief", {**CHAT, "max_tokens": 9}), "POST /presets/brief/messages",
        {}, {**CHAT, "max_tokens": 9}, FULL_PRESET, {"data.status": "active"},
    ),
    "a preset of a response": (
        lambda api: api.presets.create_from_responses("brief", {"model": "a/b", "input": "hi"}),
        "POST /presets/brief/responses", {}, {"model": "a/b", "input": "hi"}, FULL_PRESET, {"data.status": "active"},
    ),
    "guardrails": (
        lambda api: api.guardrails.list(offset=0, limit=9, workspace_id=WORKSPACE), "GET /guardrails",
        {"offset": "0", "limit": "9", "workspace_id": WORKSPACE}, None, listed(GUARDRAIL, total_count=1),
        {"data.0.content_filter_builtins.0.slug": "email"},
    ),
    "a new guardrail": (
        lambda api: api.guardrails.create(
            "Production", description="d", limit_usd=50, reset_interval="monthly", include_byok_in_budgets=False,
            allowed_models=["openai/gpt-4.1"], ignored_models=None, allowed_providers=("openai",),
            ignored_providers=["azure"],
            content_filters=[{"action": "redact", "pattern": "a+", "label": "[A]"}],
            content_filter_builtins=[{"action": "block", "slug": "email"}],
            enforce_zdr_anthropic=True, enforce_zdr_google=None, enforce_zdr_openai=True, enforce_zdr_xai=False,
            enforce_zdr_other=False, enforce_zdr=False, enable_free_model_publication=False,
            enable_free_model_training=False, enable_paid_model_training=False, workspace_id=WORKSPACE,
        ),
        "POST /guardrails", {},
        {"name": "Production", "description": "d", "limit_usd": 50, "reset_interval": "monthly",
         "include_byok_in_budgets": False, "allowed_models": ["openai/gpt-4.1"], "ignored_models": None,
         "allowed_providers": ["openai"], "ignored_providers": ["azure"],
         "content_filters": [{"action": "redact", "pattern": "a+", "label": "[A]"}],
         "content_filter_builtins": [{"action": "block", "slug": "email"}],
         "enforce_zdr_anthropic": True, "enforce_zdr_google": None, "enforce_zdr_openai": True,
         "enforce_zdr_xai": False, "enforce_zdr_other": False, "enforce_zdr": False,
         "enable_free_model_publication": False, "enable_free_model_training": False,
         "enable_paid_model_training": False, "workspace_id": WORKSPACE},
        {"data": GUARDRAIL}, {"data.limit_usd": 100},
    ),
    "one guardrail": (
        lambda api: api.guardrails.get(GUARD), f"GET /guardrails/{GUARD}", {}, None, {"data": GUARDRAIL},
        {"data.enforce_zdr_openai": True},
    ),
    "a changed guardrail": (
        lambda api: api.guardrails.update(GUARD, name="New", limit_usd=None), f"PATCH /guardrails/{GUARD}", {},
        {"name": "New", "limit_usd": None}, {"data": GUARDRAIL}, {"data.reset_interval": "monthly"},
    ),
    "a deleted guardrail": (
        lambda api: api.guardrails.delete(GUARD), f"DELETE /guardrails/{GUARD}", {}, None, {"deleted": True},
        {"deleted": True},
    ),
    "keys under any guardrail": (
        lambda api: api.guardrails.key_assignments(limit=3), "GET /guardrails/assignments/keys", {"limit": "3"}, None,
        listed(KEY_ASSIGNMENT, total_count=1), {"data.0.key_hash": KEY["hash"]},
    ),
    "keys under one guardrail": (
        lambda api: api.guardrails.key_assignments(GUARD, offset=0), f"GET /guardrails/{GUARD}/assignments/keys",
        {"offset": "0"}, None, listed(KEY_ASSIGNMENT, total_count=1), {"data.0.key_label": "prod-key"},
    ),
    "keys assigned": (
        lambda api: api.guardrails.assign_keys(GUARD, ["h1", "h2"]), f"POST /guardrails/{GUARD}/assignments/keys", {},
        {"key_hashes": ["h1", "h2"]}, {"assigned_count": 2}, {"assigned_count": 2},
    ),
    "keys taken back": (
        lambda api: api.guardrails.unassign_keys(GUARD, ("h1",)),
        f"POST /guardrails/{GUARD}/assignments/keys/remove", {}, {"key_hashes": ["h1"]}, {"unassigned_count": 1},
        {"unassigned_count": 1},
    ),
    "members under any guardrail": (
        lambda api: api.guardrails.member_assignments(), "GET /guardrails/assignments/members", {}, None,
        listed(MEMBER_ASSIGNMENT, total_count=1), {"data.0.user_id": "user_1"},
    ),
    "members under one guardrail": (
        lambda api: api.guardrails.member_assignments(GUARD, limit=1), f"GET /guardrails/{GUARD}/assignments/members",
        {"limit": "1"}, None, listed(MEMBER_ASSIGNMENT, total_count=1), {"data.0.organization_id": "org_1"},
    ),
    "members assigned": (
        lambda api: api.guardrails.assign_members(GUARD, ["user_1"]), f"POST /guardrails/{GUARD}/assignments/members",
        {}, {"member_user_ids": ["user_1"]}, {"assigned_count": 1}, {"assigned_count": 1},
    ),
    "members taken back": (
        lambda api: api.guardrails.unassign_members(GUARD, ["user_1"]),
        f"POST /guardrails/{GUARD}/assignments/members/remove", {}, {"member_user_ids": ["user_1"]},
        {"unassigned_count": 1}, {"unassigned_count": 1},
    ),
    "activity": (
        lambda api: api.activity.get(), "GET /activity", {}, None, listed(ACTIVITY), {"data.0.prompt_tokens": 50},
    ),
    "activity of one day": (
        lambda api: api.activity.get(
            dt.date(2026, 8, 24), api_key_hash="h", user_id="u", group_by="workspace", workspace_id=WORKSPACE
        ),
        "GET /activity",
        {"date": "2026-08-24", "api_key_hash": "h", "user_id": "u", "group_by": "workspace", "workspace_id": WORKSPACE},
        None, listed(ACTIVITY), {"data.0.usage": 0.015, "has_more": False},
    ),
}  # fmt: skip


def at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[int(step)] if step.isdecimal() else getattr(value, step)
    return value


# Parameters that are newer than the published document.
NEWER: list[tuple[Any, dict[str, Any]]] = [
    (
        lambda api: api.keys.create("a", external={"user": "u"}),
        {"name": "a", "external": {"user": "u"}},
    ),
    (
        lambda api: api.guardrails.update(
            "g",
            allowed_data_regions=["europe"],
            allow_safety_retention_google=False,
            allow_safety_retention_other=None,
        ),
        {
            "allowed_data_regions": ["europe"],
            "allow_safety_retention_google": False,
            "allow_safety_retention_other": None,
        },
    ),
    (lambda api: api.keys.update("h", extra_body={"tomorrow": 1}), {"tomorrow": 1}),
]


@pytest.mark.parametrize(("call", "body"), NEWER)
async def test_what_is_newer_than_the_published_document_is_sent_too(raw, api, call, body):
    raw.script(answer({"data": {}}))
    await call(api)
    assert sent(raw.seen().requests[0])[2] == body


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_sends_what_is_documented_and_reads_the_answer(raw, api, name):
    call, target, query, body, payload, told = CALLS[name]
    raw.script(answer(payload, headers={"CF-Ray": "ray-1"}))
    result = await call(api)
    (request,) = raw.seen().requests
    assert sent(request) == (target, query, body)
    assert request["headers"]["authorization"] == "Bearer sk-or-v1-own-key"
    for path, value in told.items():
        found = at(result, path)
        assert (len(found) if path == "data" and value else found) == value, path
    whole = getattr(result, "answer", result)
    masked = {"key": "[redacted]"} if "key" in payload else {}
    assert whole.to_dict() == payload | masked
    assert result.response.request_id == "ray-1"
    if body is not None:
        method, path = target.split(" ")
        assert request_problems(path, body, method=method) == []


def test_every_method_is_called_above():
    tested = {
        name
        for cls in (AsyncModels, AsyncProviders, AsyncEndpoints, AsyncGenerations, AsyncCredits, AsyncCurrentKey,
                    AsyncKeys, AsyncAuth, AsyncPresets, AsyncGuardrails, AsyncActivity)
        for name, member in vars(cls).items()
        if not name.startswith("_") and not isinstance(member, staticmethod)
    }  # fmt: skip
    called = {name for call, *_ in CALLS.values() for name in call.__code__.co_names}
    assert tested - called == set()


# --- nothing is sent ------------------------------------------------------------------------------

NO_ZONE = dt.datetime(2027, 1, 1)  # noqa: DTZ001

IMPOSSIBLE: dict[str, tuple[Any, str]] = {
    "offset": (lambda api: api.models.list(offset=-1), "offset"),
    "limit": (lambda api: api.models.list(limit=1001), "limit must be a whole number from 1 to 1000"),
    "limit as text": (lambda api: api.presets.list(limit="5"), "limit"),
    "limit as yes": (lambda api: api.presets.list(limit=True), "limit"),
    "price": (lambda api: api.models.list(max_price=float("nan")), "max_price"),
    "price as text": (lambda api: api.models.list(min_output_price="1"), "min_output_price"),
    "rate": (lambda api: api.models.list(min_tool_success_rate=1.5), "min_tool_success_rate"),
    "region": (lambda api: api.models.list(region="mars"), "region must be one of eu, us"),
    "modalities": (lambda api: api.models.list(input_modalities=[]), "input_modalities is empty"),
    "parameters": (lambda api: api.models.list(supported_parameters=["a", 1]), "supported_parameters\\[1\\]"),
    "a flag": (lambda api: api.models.list(zdr="true"), "zdr must be True or False"),
    "a filter that nobody knows": (lambda api: api.models.list(catgory="x"), "catgory is no argument"),
    "an option that nobody knows": (lambda api: api.credits.get(timout=3), "timout is no argument"),
    "an option of a list that nobody knows": (lambda api: api.providers.list(timout=3), "timout"),
    "extra_query": (lambda api: api.providers.list(extra_query=[1]), "extra_query"),
    "model": (lambda api: api.models.get("/gpt"), "model"),
    "no model": (lambda api: api.models.endpoints(None), "model"),
    "generation_id": (lambda api: api.generations.get(""), "generation_id"),
    "wait": (lambda api: api.generations.get("gen-1", wait=-1), "wait"),
    "category": (lambda api: api.generations.feedback("gen-1", category=""), "category"),
    "key_hash": (lambda api: api.keys.get(" "), "key_hash"),
    "dots": (lambda api: api.keys.delete(".."), "'..'"),
    "name": (lambda api: api.keys.create(""), "name"),
    "no name": (lambda api: api.keys.create(None), "name"),
    "a time without a zone": (
        lambda api: api.keys.create("a", expires_at=NO_ZONE), "expires_at has no time zone"
    ),
    "a limit below nothing": (lambda api: api.keys.update("h", limit=-1), "limit"),
    "code": (lambda api: api.auth.exchange_code(""), "code"),
    "code_verifier": (lambda api: api.auth.exchange_code("c", code_verifier="short-secret"), "code_verifier"),
    "method": (
        lambda api: api.auth.exchange_code("c", code_verifier=VERIFIER, code_challenge_method="md5"),
        "code_challenge_method",
    ),
    "callback_url": (lambda api: api.auth.create_code("http://evil.example/x"), "callback_url"),
    "key_label": (lambda api: api.auth.create_code("https://a.b/c", key_label="x" * 101), "key_label"),
    "slug": (lambda api: api.presets.get(""), "slug"),
    "version": (lambda api: api.presets.get_version("a", 0), "version"),
    "request": (lambda api: api.presets.create_from_chat("a", []), "request"),
    "a parameter": (lambda api: api.presets.create_from_chat("a", {"models": []}), "models"),
    "guardrail_id": (lambda api: api.guardrails.key_assignments(""), "guardrail_id"),
    "key_hashes": (lambda api: api.guardrails.assign_keys("g", "h1"), "key_hashes"),
    "members": (lambda api: api.guardrails.assign_members("g", []), "member_user_ids"),
    "filters": (lambda api: api.guardrails.create("g", content_filters={"a": 1}), "content_filters"),
    "date": (lambda api: api.activity.get(NO_ZONE), "date"),
    "group_by": (lambda api: api.activity.get(group_by="model"), "group_by"),
}  # fmt: skip


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_an_impossible_argument_is_named_and_nothing_is_sent(raw, api, name):
    call, message = IMPOSSIBLE[name]
    raw.script(answer({"data": []}))
    with pytest.raises(OpenRouterConfigurationError, match=message) as caught:
        await call(api)
    assert "short-secret" not in str(caught.value)
    assert raw.seen().requests == []


# --- keys stay secret -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", [lambda api: api.keys.create("a"), lambda api: api.auth.exchange_code("c")]
)
@pytest.mark.parametrize(
    "user", ["user_1", 7]
)  # one of them does not fit, so that the answer is repaired
async def test_a_new_key_is_given_to_nobody_but_who_asks_for_it(raw, api, call, user, caplog):
    key = f"or-unusual-key-{user}"  # of no shape that is known to be secret
    raw.script(answer({"key": key, "user_id": user, "data": {"hash": "h", "name": user}}))
    with caplog.at_level(logging.DEBUG):
        result = await call(api)
        logging.getLogger("mbxai.openrouter").debug("done")
    assert result.key.get_secret_value() == key
    for text in (
        repr(result),
        str(result),
        str(result.to_dict()),
        result.model_dump_json(),
        caplog.text,
    ):
        assert key not in text
    assert redact(f"told: {key}") == "told: [redacted]"


# --- pages ----------------------------------------------------------------------------------------


def models(first: int, count: int) -> list[dict[str, Any]]:
    return [{"id": f"a/{number}"} for number in range(first, first + count)]


async def ids(listing: Any) -> list[str]:
    return [item.id async for item in listing]


async def test_all_pages_are_asked_for_until_the_total_is_reached(raw, api):
    raw.script(
        answer({"data": models(0, 2), "total_count": 5}),
        answer({"data": models(2, 2), "total_count": 5}),
        answer({"data": models(4, 1), "total_count": 5}),
    )
    assert await ids(api.models.list(limit=2, q="a")) == [f"a/{number}" for number in range(5)]
    queries = [sent(request)[1] for request in raw.seen().requests]
    assert queries == [
        {"limit": "2", "q": "a"},
        {"limit": "2", "q": "a", "offset": "2"},
        {"limit": "2", "q": "a", "offset": "4"},
    ]


async def test_awaiting_a_list_gives_its_first_page_and_each_page_the_next(raw, api):
    raw.script(
        answer({"data": models(0, 2), "links": {"next": "/api/v1/models?offset=2"}}),
        answer({"data": models(2, 1), "links": {"next": None}}),
    )
    page = await api.models.list(limit=2)
    assert ([model.id for model in page.data], page.has_more) == (["a/0", "a/1"], True)
    assert len(raw.seen().requests) == 1
    assert repr(page) == "AsyncPage(items=2, has_more=True)"
    last = await page.next_page()
    assert ([model.id for model in last.data], last.has_more) == (["a/2"], False)
    with pytest.raises(OpenRouterConfigurationError, match="no page after"):
        await last.next_page()
    assert await ids(page) == ["a/0", "a/1", "a/2"]


@pytest.mark.parametrize(
    ("answers", "limit", "requests"),
    [
        ([models(0, 2), models(2, 1)], 2, 2),  # fewer than asked for
        ([models(0, 2), []], 2, 2),  # an empty page
        (
            [models(0, 2), models(2, 2), []],
            None,
            3,
        ),  # neither a limit nor a total: only an empty page ends it
        ([models(0, 2), models(0, 2)], None, 2),  # a server that does not know offset
    ],
)
async def test_a_list_without_a_total_ends(raw, api, answers, limit, requests):
    raw.script(*[answer({"data": data}) for data in answers])
    found = await ids(api.models.list(limit=limit))
    assert found == sorted({item["id"] for data in answers for item in data})
    assert len(raw.seen().requests) == requests


async def test_an_offset_of_extra_query_counts_on(raw, api):
    raw.script(answer({"data": models(7, 2)}), answer({"data": []}))
    await ids(api.models.list(extra_query={"offset": "7", "new": "x"}))
    assert [sent(request)[1] for request in raw.seen().requests] == [
        {"offset": "7", "new": "x"},
        {"offset": "9", "new": "x"},
    ]


async def test_an_error_on_a_later_page_comes_after_the_items_before_it(raw, api):
    raw.script(
        answer({"data": models(0, 2), "total_count": 3}),
        answer({"error": {"code": 502, "message": "down"}}, status=502),
        answer({"error": {"code": 502, "message": "down"}}, status=502),
        answer({"data": models(2, 1), "total_count": 3}),
    )
    iterator = aiter(api.models.list(limit=2))
    assert [(await anext(iterator)).id for _ in range(2)] == ["a/0", "a/1"]
    with pytest.raises(ProviderUnavailableError) as caught:
        await anext(iterator)
    assert caught.value.attempts == 2
    assert (await anext(iterator)).id == "a/2"  # goes on with the page that failed
    with pytest.raises(StopAsyncIteration):
        await anext(iterator)


@pytest.mark.parametrize("body", [{}, {"data": "none"}, {"models": []}])
async def test_an_answer_without_a_list_is_no_empty_list(raw, api, body):
    raw.script(answer(body))
    with pytest.raises(InvalidResponseError, match="no list"):
        await api.models.list()


async def test_null_is_an_empty_list(raw, api):
    raw.script(answer({"data": None}))
    assert await ids(api.models.list()) == []


def by_cursor(api: Any, style: Any, **query: Any) -> PageRequest[Model]:
    return page_request(api.requester, "files", ListAnswer[Model], style=style, query=query)


@pytest.mark.parametrize(
    ("style", "answers", "cursors"),
    [
        # OpenRouter's files
        (BY_CURSOR, [{"cursor": "c1"}, {"cursor": "c2"}, {"cursor": None}], [None, "c1", "c2"]),
        (BY_CURSOR, [{"next_cursor": "c1", "has_more": True}, {"next_cursor": "c2", "has_more": False}], [None, "c1"]),
        # batches: an empty page is not the last one
        (AFTER_LAST, [{"last_id": "i1", "has_more": True}, {"data": [], "last_id": "i2", "has_more": True},
                      {"last_id": "i3", "has_more": False}], [None, "i1", "i2"]),
        # no last_id: the id of the last item
        (AFTER_LAST, [{"has_more": True}, {"has_more": False}], [None, "a/1"]),
        (AFTER_LAST, [{"data": [], "has_more": True}], [None]),
        # a cursor that was there before, at once or in a circle
        (BY_CURSOR, [{"cursor": "c1"}, {"cursor": "c1"}], [None, "c1"]),
        (BY_CURSOR, [{"cursor": "c1"}, {"cursor": "c2"}, {"cursor": "c1"}], [None, "c1", "c2"]),
        (BY_CURSOR, [{"data": [], "cursor": "c1"}], [None]),
    ],
)  # fmt: skip
async def test_cursors_are_followed_until_they_end_or_repeat(raw, api, style, answers, cursors):
    raw.script(*[answer({"data": models(0, 2), **fields}) for fields in answers])
    found = await ids(by_cursor(api, style, limit=2))
    assert len(found) == sum(len(fields.get("data", "ab")) for fields in answers)
    queries = [sent(request)[1] for request in raw.seen().requests]
    assert [query.get(style.parameter) for query in queries] == cursors
    assert all(query["limit"] == "2" for query in queries)


# --- generations that are not there yet -----------------------------------------------------------


async def test_a_generation_that_is_not_written_yet_is_asked_for_again(raw, api):
    missing = answer({"error": {"code": 404, "message": "not yet"}}, status=404)
    raw.script(missing, missing, answer({"data": GENERATION}))
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    generations = AsyncGenerations(api.requester, sleep=sleep)
    result = await generations.get("gen-1", wait=60)
    assert result.data.total_cost == 0.0015
    assert waits == [0.25, 0.5]
    assert [(attempt.number, attempt.status) for attempt in result.history] == [
        (1, 404),
        (2, 404),
        (3, 200),
    ]

    raw.script(missing)
    waits.clear()
    with pytest.raises(NotFoundError) as caught:
        await generations.get("gen-1", wait=1)
    assert waits == [0.25, 0.5, 0.25]
    assert (caught.value.attempts, len(caught.value.history)) == (4, 4)
    assert pickle.loads(pickle.dumps(caught.value)).attempts == 4


async def test_a_missing_generation_is_not_waited_for_unless_asked(raw, api):
    raw.script(answer({"error": {"code": 404, "message": "no"}}, status=404))
    with pytest.raises(NotFoundError):
        await api.generations.get("gen-1")
    assert len(raw.seen().requests) == 1


async def test_options_of_a_call_reach_every_page(raw, api):
    raw.script(
        answer({"data": models(0, 1), "total_count": 2}),
        answer({"data": models(1, 1), "total_count": 2}),
    )
    await ids(api.models.list(extra_headers={"X-Mine": "1"}, extra_query={"new": "x"}, timeout=5))
    assert [request["headers"].get("x-mine") for request in raw.seen().requests] == ["1", "1"]
    assert all(sent(request)[1]["new"] == "x" for request in raw.seen().requests)
