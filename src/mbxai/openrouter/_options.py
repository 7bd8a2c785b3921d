"""What a derived client may change."""

from collections.abc import Mapping
from typing import Any, TypedDict

from mbxai.openrouter._calls import AttemptObserver
from mbxai.openrouter._limiter import RateLimiter


class ClientOptions(TypedDict, total=False):
    """Options of `with_options`; each means what it means for `AsyncOpenRouterClient`."""

    max_retries: int
    retry_initial_delay: float
    retry_max_delay: float
    timeout: float | None
    attempt_timeout: float | None
    first_token_timeout: float | None
    idle_timeout: float | None
    retry_on_timeout: bool
    max_validation_retries: int
    default_headers: Mapping[str, str]
    default_params: Mapping[str, Any]  # Any: open JSON of the wire
    rate_limiter: RateLimiter | None
    on_attempt: AttemptObserver | None
    max_request_bytes: int
    max_response_bytes: int
    max_event_bytes: int
