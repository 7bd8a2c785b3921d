"""What is wrong with a request before it is sent, and the headers that its parameters become."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter._rules import RULES, whole

# Any in this file: a request is open JSON of the wire.
HEADER_OPTIONS: Final = frozenset(
    {"anthropic_beta", "cache", "cache_clear", "cache_ttl", "include_metadata"}
)
"""Parameters of a call that are sent as headers; none of them belongs into the body."""

# OpenRouter's documentation (response-caching): 1 to 86400, others are clamped without a word.
_CACHE_TTL: Final = whole("cache_ttl", 1, 86_400)
# The same, and router-metadata: the names of the headers, and what they say when switched on.
_FLAG_HEADERS: Final = {
    "cache": ("X-OpenRouter-Cache", "true"),
    "cache_clear": ("X-OpenRouter-Cache-Clear", "true"),
    "include_metadata": ("X-OpenRouter-Metadata", "enabled"),
}
_BETA_NAMES: Final = re.compile(r"[\w.-]+(,[\w.-]+)*", re.ASCII)


def check_body(body: Mapping[str, Any]) -> None:
    """Refuse a body that cannot mean what its sender wants.

    Values of None count as not given. Unknown parameters and unknown words are left alone.

    Args:
        body: The body of a chat completion, complete, `extra_body` included.

    Raises:
        OpenRouterConfigurationError: The message names the parameter.
    """
    for name, value in body.items():
        rule = RULES.get(name)
        if rule is not None and value is not None:
            rule(value, body)


def option_headers(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers for the parameters that are sent as headers.

    Args:
        params: Parameters of a call; others than `HEADER_OPTIONS` are left alone, and None counts
            as not given.

    Raises:
        OpenRouterConfigurationError: A value is impossible; the message names the parameter.
    """
    if HEADER_OPTIONS.isdisjoint(params):
        return {}
    headers: dict[str, str] = {}
    for name, (header, word) in _FLAG_HEADERS.items():
        flag = params.get(name)
        if flag is not None and not isinstance(flag, bool):
            raise OpenRouterConfigurationError(f"{name} must be True or False.")
        if flag:
            headers[header] = word
    if params.get("cache") is False:
        _check_cache_is_on(params)
        headers["X-OpenRouter-Cache"] = "false"  # overrules a preset; the others are off anyway
    if (seconds := params.get("cache_ttl")) is not None:
        _CACHE_TTL(seconds, params)
        headers["X-OpenRouter-Cache-TTL"] = str(int(seconds))
    if (names := params.get("anthropic_beta")) is not None:
        headers["x-anthropic-beta"] = _beta_names(names)
    return headers


def _check_cache_is_on(params: Mapping[str, Any]) -> None:
    for name in ("cache_ttl", "cache_clear"):
        if params.get(name):
            raise OpenRouterConfigurationError(
                f"{name} has no effect with cache=False.", hint=f"Leave out {name} or cache."
            )


def _beta_names(value: object) -> str:
    names = [value] if isinstance(value, str) else value
    if isinstance(names, Sequence) and not isinstance(names, bytes):
        items = cast("Sequence[object]", names)
        if items and all(isinstance(name, str) and _BETA_NAMES.fullmatch(name) for name in items):
            return ",".join(cast("Sequence[str]", items))
    raise OpenRouterConfigurationError(
        "anthropic_beta must be a list of names of beta features.",
        hint='For example ["interleaved-thinking-2025-05-14"].',
    )
