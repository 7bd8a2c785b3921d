"""Prices, and the search in a listed catalogue."""

from decimal import Decimal
from typing import Any

import pytest
from support.resource_answers import FREE_MODEL, MODEL, ROUTER

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter.resources.models import (
    AsyncModels,
    Model,
    Pricing,
    find_models,
    usd_per_million,
)

CATALOGUE = [Model.from_object(model) for model in (MODEL, FREE_MODEL, ROUTER, {"id": "a/bare"})]


@pytest.mark.parametrize(
    ("price", "usd"),
    [
        ("0.000002", Decimal(2)),
        ("0.00000015", Decimal("0.15")),
        ("0", Decimal(0)),
        (0, Decimal(0)),
        (2e-07, Decimal("0.2")),
        (" 1e-6 ", Decimal(1)),
        ("-1", None),
        (-1.0, None),
        ("", None),
        ("free", None),
        ("NaN", None),
        ("Infinity", None),
        (None, None),
    ],
)
def test_a_price_is_exact_or_unknown(price, usd):
    assert usd_per_million(price) == usd


@pytest.mark.parametrize(
    "pricing",
    [None, [], {}, {"prompt": None}, {"prompt": {"usd": "0"}}, {"prompt": True}, {"prompt": False}],
)
def test_a_price_that_does_not_fit_is_not_free(pricing):
    model = Model.from_object({"id": "a/b", "pricing": pricing})
    assert find_models([model], max_prompt_price=10**9) == []
    assert model.to_dict() == {"id": "a/b", "pricing": pricing}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["openai/gpt-4.1", "meta/llama:free", "openrouter/auto", "a/bare"]),
        ({"max_prompt_price": 2}, ["openai/gpt-4.1", "meta/llama:free"]),
        ({"max_prompt_price": Decimal("1.99")}, ["meta/llama:free"]),
        ({"max_prompt_price": 0, "max_completion_price": 0}, ["meta/llama:free"]),
        ({"max_completion_price": 7.99}, ["meta/llama:free"]),
        ({"max_completion_price": 8.0}, ["openai/gpt-4.1", "meta/llama:free"]),
        ({"min_context_length": 8193}, ["openai/gpt-4.1"]),
        ({"min_context_length": 0}, ["openai/gpt-4.1", "meta/llama:free"]),
        ({"supported_parameters": ["tools", "structured_outputs"]}, ["openai/gpt-4.1", "openrouter/auto"]),
        ({"supported_parameters": {"tools", "seed"}}, []),
        ({"input_modalities": ("image",)}, ["openai/gpt-4.1", "meta/llama:free", "openrouter/auto"]),
        ({"output_modalities": frozenset({"audio"})}, []),
        ({"query": "LLAMA"}, ["meta/llama:free"]),
        ({"query": "openai: gpt"}, ["openai/gpt-4.1"]),
        ({"query": "4.1", "max_prompt_price": 1}, []),
    ],
)  # fmt: skip
def test_models_are_found_by_what_is_known_of_them(wanted, found):
    assert [model.id for model in find_models(CATALOGUE, **wanted)] == found
    assert [model.id for model in AsyncModels.find(iter(CATALOGUE), **wanted)] == found


def test_a_limit_means_the_decimal_that_was_written():
    model = Model.from_object(
        {"id": "a/b", "pricing": {"prompt": "0.0000001"}}
    )  # 0.1 USD a million
    assert find_models([model], max_prompt_price=0.3) == [model]


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"max_prompt_price": -1}, "max_prompt_price"),
    ({"max_completion_price": "1"}, "max_completion_price"),
    ({"max_completion_price": Decimal("NaN")}, "max_completion_price"),
    ({"min_context_length": 1.5}, "min_context_length"),
    ({"supported_parameters": "tools"}, "supported_parameters"),
    ({"input_modalities": [1]}, "input_modalities"),
    ({"output_modalities": {""}}, "output_modalities"),
    ({"query": ""}, "query"),
]


@pytest.mark.parametrize(("wanted", "name"), IMPOSSIBLE)
def test_an_impossible_limit_is_named(wanted, name):
    with pytest.raises(OpenRouterConfigurationError, match=name):
        find_models(CATALOGUE, **wanted)


def test_both_prices_are_told_for_a_million_tokens():
    pricing = Pricing.from_object({"prompt": "0.000003", "completion": "0.000015"})
    assert (pricing.prompt_per_million, pricing.completion_per_million) == (3, 15)
