"""What the calls have in common that ask a model in another API's words: responses, messages."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mbxai.errors import OpenRouterConfigurationError, OpenRouterError
from mbxai.openrouter._checks import HEADER_OPTIONS, option_headers
from mbxai.openrouter._core import ClientCore
from mbxai.openrouter._request import checked_mapping
from mbxai.openrouter._requester import RequestOptions
from mbxai.openrouter._rules import RULES
from mbxai.openrouter.models import model_slug
from mbxai.wire import ResponseInfo

# Any in this file: a request is open JSON of the wire.
_OPTIONS: Final = frozenset(RequestOptions.__annotations__)
# Parameters that mean the same in all three APIs; the others have the same names at most.
_SHARED: Final = (
    *("temperature", "top_p", "top_k", "models", "session_id", "provider"),
    "stop_server_tools_when",
)


def slug_of(core: ClientCore, model: str | None) -> str:
    """Return the slug to send: the caller's model, else the client's."""
    return core.config.model if model in (None, "") else model_slug(model)


def body_and_options(
    body: dict[str, Any], params: Mapping[str, Any], *, checked: Iterable[str] = ()
) -> tuple[dict[str, Any], RequestOptions]:
    """Return the body of a request and the options of its call.

    Args:
        body: What the method itself takes; not changed.
        params: Keyword arguments of the call.
        checked: Further parameters of which the rule of a chat completion holds.

    Raises:
        OpenRouterConfigurationError: A parameter is impossible; the message names it.
    """
    if params.get("stream"):
        raise OpenRouterConfigurationError(
            "stream cannot be an argument here.", hint="Call the method `stream` instead."
        )
    outside = _OPTIONS | HEADER_OPTIONS
    fields = {**body, **{name: value for name, value in params.items() if name not in outside}}
    whole = {**fields, **(checked_mapping("extra_body", params.get("extra_body")) or {})}
    for name in (*_SHARED, *checked):
        if (value := whole.get(name)) is not None:
            RULES[name](value, whole)
    options: dict[str, Any] = {name: params[name] for name in _OPTIONS if name in params}
    if more := option_headers(params):
        given = checked_mapping("extra_headers", params.get("extra_headers")) or {}
        options["extra_headers"] = {**more, **given}
    return fields, RequestOptions(**options)


def with_history(error: OpenRouterError, response: ResponseInfo) -> OpenRouterError:
    """Return an error that an answer of status 200 told, with the attempts that it took."""
    error.history = response.history
    error.attempts = response.attempts
    return error
