import inspect
from typing import get_args, get_origin, get_type_hints, is_typeddict

import pytest
from support.published_schema import ACCEPTED_EXTRAS, properties_of

from mbxai.wire import CompletionParams, ParseParams
from mbxai.wire import _content_parts as content_parts
from mbxai.wire import _messages as messages
from mbxai.wire import _output_params as output_params
from mbxai.wire import _plugins as plugins
from mbxai.wire import _routing as routing
from mbxai.wire import _tool_params as tool_params

MODULES = [content_parts, messages, output_params, plugins, routing, tool_params]
OBJECTS = [
    made
    for module in MODULES
    for made in vars(module).values()
    if is_typeddict(made) and made.__module__ == module.__name__
]
NOT_IN_BODY = {"extra_body", "extra_headers", "timeout", "first_token_timeout", "idle_timeout"}
SENT_AS_HEADERS = {"cache", "cache_ttl", "cache_clear", "include_metadata", "anthropic_beta"}
# Published schemas and what stands for them here.
PAIRS = [
    ("AnthropicCacheControlDirective", routing.CacheControl),
    ("ProviderPreferences", routing.ProviderPreferences),
    ("ProviderSortConfig", routing.ProviderSortConfig),
    ("PercentileLatencyCutoffs", routing.PercentileCutoffs),
    ("PercentileThroughputCutoffs", routing.PercentileCutoffs),
    ("PromptCacheOptions", routing.PromptCacheOptions),
    ("TraceConfig", routing.TraceParams),
    ("Prediction", output_params.Prediction),
    ("ChatStreamOptions", output_params.StreamOptions),
    ("ChatDebugOptions", output_params.DebugOptions),
    ("ChatJsonSchemaConfig", output_params.NamedJSONSchema),
    ("ChatFormatGrammarConfig", output_params.GrammarFormat),
    ("WebSearchPlugin", plugins.WebSearchPlugin),
    ("WebFetchPlugin", plugins.WebFetchPlugin),
    ("FileParserPlugin", plugins.FileParserPlugin),
    ("AutoRouterPlugin", plugins.AutoRouterPlugin),
    ("AutoBetaRouterPlugin", plugins.AutoBetaRouterPlugin),
    ("ParetoRouterPlugin", plugins.ParetoRouterPlugin),
    ("FusionPlugin", plugins.FusionPlugin),
    ("ContextCompressionPlugin", plugins.ContextCompressionPlugin),
    ("ResponseHealingPlugin", plugins.ResponseHealingPlugin),
    ("WebSearchConfig", tool_params.WebSearchSettings),
    ("ChatWebSearchShorthand", tool_params.WebSearchShorthand),
    ("WebFetchServerToolConfig", tool_params.WebFetchSettings),
    ("DatetimeServerToolConfig", tool_params.DatetimeSettings),
    ("AdvisorServerToolConfig", tool_params.AdvisorSettings),
    ("SubagentServerToolConfig", tool_params.SubagentSettings),
    ("FusionServerToolConfig", tool_params.FusionSettings),
    ("ChatContentText", content_parts.TextPart),
    ("ChatContentVideoInput", content_parts.VideoURL),
    ("ChatSystemMessage", messages.SystemMessageParam),
    ("ChatUserMessage", messages.UserMessageParam),
    ("ChatToolMessage", messages.ToolMessageParam),
]


def test_every_published_parameter_is_a_keyword():
    keywords = set(CompletionParams.__annotations__)
    asked_by_name = {"messages", "model", "stream"}
    assert properties_of("ChatRequest") - asked_by_name - keywords == set()


def test_every_parameter_that_is_only_documented_is_a_keyword_too():
    documented = {
        extra.where.removeprefix("ChatRequest.").removesuffix("[]")
        for extra in ACCEPTED_EXTRAS
        if extra.where.startswith("ChatRequest.")
    }
    assert "audio" in documented
    assert documented - set(CompletionParams.__annotations__) == set()


def test_every_keyword_is_published_documented_or_kept_out_of_the_body():
    known = properties_of("ChatRequest") | {
        extra.where.removeprefix("ChatRequest.") for extra in ACCEPTED_EXTRAS
    }
    assert set(CompletionParams.__annotations__) - known == NOT_IN_BODY | SENT_AS_HEADERS


def test_only_the_response_format_is_not_for_typed_output():
    assert set(CompletionParams.__annotations__) - set(ParseParams.__annotations__) == {
        "response_format"
    }


def test_every_keyword_is_explained():
    told = inspect.getdoc(ParseParams) + inspect.getdoc(CompletionParams)
    assert [
        name for name in CompletionParams.__annotations__ if f"\n    {name}: " not in told
    ] == []


@pytest.mark.parametrize(("name", "kind"), PAIRS, ids=[name for name, _ in PAIRS])
def test_every_published_field_of_an_object_has_its_type(name, kind):
    assert properties_of(name) - set(kind.__annotations__) == set()


def test_every_object_of_the_request_takes_a_plain_dict_too():
    """So that what OpenRouter adds tomorrow passes the type checker."""
    hints = get_type_hints(CompletionParams)
    typed = {name for name, hint in hints.items() if typed_dicts_in(hint)}
    assert {"reasoning", "provider", "plugins", "tools", "response_format"} <= typed
    assert [name for name in typed if not has_mapping(hints[name])] == []


@pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.__name__)
def test_every_object_has_types_that_exist_and_a_docstring(kind):
    assert get_type_hints(kind)
    assert kind.__doc__


def typed_dicts_in(hint):
    return ([hint] if is_typeddict(hint) else []) + [
        found for inner in get_args(hint) for found in typed_dicts_in(inner)
    ]


def has_mapping(hint):
    return getattr(get_origin(hint), "__name__", "") == "Mapping" or any(
        has_mapping(inner) for inner in get_args(hint)
    )
