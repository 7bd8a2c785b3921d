"""Our model in a server's service: on whose terms, and how a request is answered."""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import anyio.to_thread
from pydantic import ValidationError

import mbxai.mcp._sampling_messages as messages
from mbxai._redaction import get_logger, redact
from mbxai.errors import ConfigurationError, MBXAIError
from mbxai.mcp._sampling_messages import UnusableRequestError
from mbxai.mcp.connection._callbacks import RefusedError, Sampler
from mbxai.mcp.registry._slots import Slots
from mbxai.wire import Budget, ChatCompletion, Spent

logger = get_logger(__name__)

REFUSED: Final = -1
"""Code of a refusal, as the protocol's pages on sampling have it."""

_INVALID_PARAMS: Final = -32602
_INTERNAL_ERROR: Final = -32603
_MAX_ERROR_CHARS: Final = 300
_BUDGET: Final = Budget(max_requests=100, max_cost_usd=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRequest:
    """What a server wants of our model; for who decides whether it may.

    Attributes:
        server: The name under which the server was registered.
        model: Which model would answer; None means the wrapped client's own.
        messages: The conversation as it would go to the model; whatever the server wrote.
        max_tokens: Most tokens of the answer.
        tools: Names of the tools that the model may call; the server runs them.
    """

    server: str
    model: str | None
    messages: Sequence[Mapping[str, Any]] = field(repr=False)  # Any: JSON of the wire
    max_tokens: int
    tools: Sequence[str] = ()


Approver: TypeAlias = Callable[[SamplingRequest], bool | Awaitable[bool]]
"""Decides on one request; a coroutine function, or a blocking one, which runs in a worker thread.
An exception is a no."""

Create: TypeAlias = Callable[..., Awaitable[Any]]  # Any: a completion of the wrapped client
"""Makes one model call, as `create()` of our clients does."""


class _Ledger:
    """What servers have used up under one policy."""

    def __init__(self) -> None:
        self.cost_usd = 0.0
        self.tokens = 0
        self.requests = 0  # begun, so that those under way count
        self.turn = Slots(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPolicy:
    """On which terms servers may use the wrapped client's model.

    Giving a policy is what switches sampling on. All servers that are given one policy share its
    budget, for as long as the policy lives; a request past it is refused.

    Attributes:
        models: Which models may be used. A server's hints choose among them; without a match the
            first is used. With none listed, only the wrapped client's own model is.
        budget: Bounds of everything together: USD, tokens, requests. Unless given, 100 requests
            and one USD; None sets no bound. What an answer costs is known when it is there, so
            under a bound of USD or tokens one request is made after the other.
        approve: Decides on each request; None asks nobody, and the budget alone bounds it.
        max_tokens: Most tokens of one answer; a server that wants more gets what fits, and is told
            that it was cut.

    Raises:
        ConfigurationError: A value cannot be.
    """

    models: Sequence[str] = ()
    budget: Budget | None = _BUDGET
    approve: Approver | None = None
    max_tokens: int = 4096
    _ledger: _Ledger = field(default_factory=_Ledger, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        given: object = self.models
        if isinstance(given, str) or not all(isinstance(m, str) and m for m in self.models):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
            raise ConfigurationError(f"SamplingPolicy: models must be a list, not {given!r:.80}.")
        if isinstance(self.max_tokens, bool) or self.max_tokens < 1:
            raise ConfigurationError(
                f"SamplingPolicy: max_tokens must be at least 1, not {self.max_tokens!r:.80}."
            )
        if self.budget is not None and not isinstance(self.budget, Budget):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
            raise ConfigurationError("SamplingPolicy: budget must be a Budget or None.")

    @property
    def spent(self) -> Spent:
        """What servers have used up so far; calls under way count as requests."""
        ledger = self._ledger
        return Spent(
            cost_usd=ledger.cost_usd,
            tokens=ledger.tokens,
            requests=ledger.requests,
            tool_calls=0,
            seconds=0.0,
        )

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        """Wait until a request may be begun, and keep others from beginning one until its end.

        Requests at the same time would each find the budget unspent, and pass it many times over.
        """
        bounds = self.budget
        if bounds is None or (bounds.max_cost_usd is None and bounds.max_tokens is None):
            yield
            return
        async with self._ledger.turn.taken():
            yield

    def begin(self) -> str:
        """Count one more request, if the budget allows it.

        Returns:
            Which bound it would pass, in a sentence; empty if the request may be made.
        """
        reached = self.budget.reached(self.spent, "model") if self.budget else None
        if reached is not None:
            return reached[1]
        self._ledger.requests += 1
        return ""

    def count(self, completion: ChatCompletion) -> None:
        """Add what a request used up.

        Args:
            completion: Its answer.
        """
        usage = completion.total_usage
        if usage is not None:
            self._ledger.tokens += usage.total_tokens
            self._ledger.cost_usd += usage.cost or 0.0


def sampler(policy: SamplingPolicy, create: Create, *, server: str) -> Sampler:
    """Return what answers a server's requests to our model.

    Args:
        policy: On whose terms.
        create: Makes a model call.
        server: The name under which the server was registered.

    Returns:
        An asynchronous function from the parameters of `sampling/createMessage` to its result. It
        raises `RefusedError` for what the server is to be told; the text of our provider, and our
        limits, are in our log only.
    """

    async def sample(params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            request = messages.request_params(params, max_tokens=policy.max_tokens)
        except UnusableRequestError as error:
            raise RefusedError(str(error), code=_INVALID_PARAMS, server=server) from None
        model = messages.chosen_model(params, policy.models)
        await _approve(policy, server, model, request)
        async with policy.turn():
            if reason := policy.begin():
                raise _refusal(server, reason)
            completion = await _completion(create, server, model, request)
            policy.count(completion)
        try:
            return messages.result_of(
                completion, model=model or "", with_tools=bool(request.get("tools"))
            )
        except UnusableRequestError as error:
            raise RefusedError(str(error), code=_INTERNAL_ERROR, server=server) from None

    return sample


async def _approve(
    policy: SamplingPolicy, server: str, model: str | None, request: Mapping[str, Any]
) -> None:
    if policy.approve is None:
        return
    asked = SamplingRequest(
        server=server,
        model=model,
        messages=request["messages"],
        max_tokens=request["max_tokens"],
        tools=[tool["function"]["name"] for tool in request.get("tools") or ()],
    )
    try:
        if inspect.iscoroutinefunction(policy.approve):
            agreed: object = await policy.approve(asked)
        else:
            given: object = await anyio.to_thread.run_sync(
                policy.approve, asked, abandon_on_cancel=True
            )
            agreed = await given if inspect.isawaitable(given) else given
    except Exception as error:  # the application's own code; a decision that fails is a no
        text = redact(f"{type(error).__name__}: {error}")[:_MAX_ERROR_CHARS]
        raise _refusal(server, f"approve= raised {text}") from error
    if agreed is not True:
        raise _refusal(server, "approve= said no")


async def _completion(
    create: Create, server: str, model: str | None, request: Mapping[str, Any]
) -> ChatCompletion:
    chosen = {"model": model} if model else {}
    try:
        completion: object = await create(**request, **chosen)
    except Exception as error:
        text = redact(f"{type(error).__name__}: {error}")[:_MAX_ERROR_CHARS]
        level = logger.warning if isinstance(error, MBXAIError) else logger.error
        level("server %r: its request to the model failed: %s", server, text)
        raise RefusedError(
            "The model could not be asked.", code=_INTERNAL_ERROR, server=server
        ) from error
    answer = _as_completion(completion)
    if answer is None or not answer.choices:
        logger.error("server %r: create() gave a %s", server, type(completion).__name__)
        raise RefusedError("The model gave no answer.", code=_INTERNAL_ERROR, server=server)
    return answer


def _as_completion(completion: object) -> ChatCompletion | None:
    """Read what a user's own client gives, too."""
    if isinstance(completion, ChatCompletion):
        return completion
    try:
        return ChatCompletion.model_validate(completion, from_attributes=True)
    except ValidationError:
        return None


def _refusal(server: str, reason: str) -> RefusedError:
    logger.warning("server %r may not use the model: %s", server, reason)
    return RefusedError("User rejected sampling request", code=REFUSED, server=server)
