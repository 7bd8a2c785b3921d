"""Tokens and cost of what any client gave, as the agent counts them. Pure."""

from math import isfinite

from mbxai.agent._result_models import TokenUsage
from mbxai.errors import (
    MBXAIError,
    OpenRouterError,
    OpenRouterTimeoutError,
    OutputError,
    StreamError,
)
from mbxai.wire import ChatCompletion, Usage


def usage_of(completion: object) -> TokenUsage:
    """Return a completion's tokens and cost; zeros where the client gives none.

    Args:
        completion: A completion of any client.

    Returns:
        Its usage, with that of the answers before it that did not fit, if its call had any.
    """
    if isinstance(completion, ChatCompletion):
        total: object = completion.total_usage
        return _counted(total) if isinstance(total, Usage) else TokenUsage()
    usage = getattr(completion, "usage", None)
    counts = {
        name: value
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
        if isinstance(value := getattr(usage, name, None), int) and value > 0
    }
    cost: object = getattr(usage, "cost", None)
    if isinstance(cost, (int, float)) and isfinite(cost) and cost > 0:
        return TokenUsage(**counts, cost_usd=cost)
    return TokenUsage(**counts)


def usage_of_error(error: MBXAIError) -> TokenUsage:
    """Return what the answers took that did not fit, or did not come whole.

    Args:
        error: What the client raised.

    Returns:
        The usage of every answer of the call, as far as it is known; zeros where no answer came.
    """
    if isinstance(error, OutputError) and error.total_usage is not None:
        return _counted(error.total_usage)
    answers: list[object] = [*error.completions] if isinstance(error, OpenRouterError) else []
    if isinstance(error, (StreamError, OpenRouterTimeoutError)) and error.partial is not None:
        answers.append(error.partial)
    return sum(map(usage_of, answers), start=TokenUsage())


def _counted(usage: Usage) -> TokenUsage:
    """Count what a server says; nothing that it says makes room in a budget."""
    prompt, answer = usage.prompt_tokens_details, usage.completion_tokens_details
    return TokenUsage(
        prompt_tokens=max(usage.prompt_tokens, 0),
        completion_tokens=max(usage.completion_tokens, 0),
        total_tokens=max(usage.total_tokens, 0),
        cost_usd=max(usage.cost or 0.0, 0.0),
        cached_tokens=max((prompt.cached_tokens if prompt else None) or 0, 0),
        reasoning_tokens=max((answer.reasoning_tokens if answer else None) or 0, 0),
    )
