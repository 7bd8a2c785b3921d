"""What the fake server knows besides chatting: models, providers, the key, embeddings."""

import hashlib
from typing import Final

from mbxai.testing._json_views import Json, as_list

_PARAMETERS = [
    "frequency_penalty",
    "max_tokens",
    "presence_penalty",
    "reasoning",
    "response_format",
    "seed",
    "stop",
    "structured_outputs",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
]


_DIMENSIONS: Final = 8


def models(first: str) -> Json:
    """Return the body of `GET /models`.

    Args:
        first: The server's own model, listed first.
    """
    known = ("openai/gpt-4.1", "anthropic/claude-3-sonnet", "mistralai/mixtral-8x7b-instruct")
    listed = [_model(slug) for slug in dict.fromkeys((first, *known))]
    return {"data": listed, "total_count": len(listed), "links": {"next": None}}


def model(slug: str) -> Json:
    """Return the body of `GET /model/{author}/{slug}`."""
    return {"data": _model(slug)}


def endpoints(slug: str) -> Json:
    """Return the body of `GET /models/{author}/{slug}/endpoints`, with one endpoint."""
    known = _model(slug)
    endpoint: Json = {
        "name": f"Fake | {slug}",
        "model_name": slug,
        "provider_name": "Fake",
        "tag": "fake",
        "quantization": None,
        "status": 0,
        "uptime_last_30m": 100.0,
        "max_prompt_tokens": None,
        "max_completion_tokens": 16_384,
        "supports_implicit_caching": False,
        **{name: known[name] for name in ("context_length", "pricing", "supported_parameters")},
    }
    shown = {name: known[name] for name in ("id", "name", "created", "description", "architecture")}
    return {"data": {**shown, "endpoints": [endpoint]}}


def providers() -> Json:
    """Return the body of `GET /providers`."""
    provider = {"name": "Fake", "slug": "fake", "privacy_policy_url": None, "headquarters": None}
    return {"data": [provider]}


def embeddings(body: Json) -> Json:
    """Return the body of `POST /embeddings`: vectors of eight numbers, the same for the same input.

    Args:
        body: The request.
    """
    given = body.get("input")
    inputs = as_list(given) or [given]
    digests = [hashlib.sha256(str(item).encode()).digest()[:_DIMENSIONS] for item in inputs]
    tokens = sum(len(str(item)) // 4 + 1 for item in inputs)
    return {
        "id": "gen-emb-fake",
        "object": "list",
        "model": body.get("model"),
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": [round(byte / 255, 6) for byte in digest],
            }
            for index, digest in enumerate(digests)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "cost": tokens * 1e-6},
    }


def key() -> Json:
    """Return the body of `GET /key`."""
    usage = dict.fromkeys(("usage", "usage_daily", "usage_weekly", "usage_monthly"), 0.0)
    return {
        "data": {
            "label": "sk-or-v1-fak...key",
            "limit": None,
            "limit_remaining": None,
            "limit_reset": None,
            "is_free_tier": False,
            "is_management_key": False,
            "is_provisioning_key": False,
            "include_byok_in_limit": False,
            "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
            **usage,
            **{f"byok_{name}": value for name, value in usage.items()},
            "allowed_data_regions": ["global"],
            "budgets": [],
            "effective_budget": None,
            "free_model_daily_requests": {"limit": 1000, "remaining": 1000, "used": 0},
            "creator_user_id": "user_fake",
            "organization_id": None,
            "workspace_id": None,
            "expires_at": None,
        }
    }


def credit() -> Json:
    """Return the body of `GET /credits`, in USD."""
    return {"data": {"total_credits": 100.0, "total_usage": 0.0}}


def _model(slug: str) -> Json:
    return {
        "id": slug,
        "canonical_slug": slug,
        "name": slug,
        "created": 1_760_000_000,
        "description": "A model of the fake server.",
        "context_length": 128_000,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": {"prompt": "0.000001", "completion": "0.000001", "request": "0", "image": "0"},
        "top_provider": {
            "context_length": 128_000,
            "max_completion_tokens": 16_384,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _PARAMETERS,
        "default_parameters": None,
        "supported_voices": None,
        "links": {"details": f"/api/v1/models/{slug}/endpoints"},
    }
