"""What can go wrong, and what the errors tell.

    python examples/errors.py

Needs OPENROUTER_API_KEY. Every error of mbxai is an `MBXAIError`; the first page of
`mbxai/errors.py` draws the tree. Passing faults are retried before they are raised. No error holds
a key or a prompt, so all of them may be logged.
"""

import asyncio

from mbxai import (
    AsyncOpenRouterClient,
    MBXAIError,
    OpenRouterAPIError,
    OpenRouterClient,
    OpenRouterConnectionError,
    OpenRouterTimeoutError,
    OutputValidationError,
    RateLimitError,
    StreamError,
)

MESSAGES = [{"role": "user", "content": "Write a poem."}]


def explain(error: MBXAIError) -> str:
    """Say it in the order in which you would catch it: the special before the general."""
    match error:
        case RateLimitError():
            return f"too many requests, try again in {error.retry_after} seconds"
        case OpenRouterAPIError():
            return f"refused with {error.status} by {error.provider or 'OpenRouter'}: {error}"
        case OpenRouterTimeoutError():
            return "too late"
        case OpenRouterConnectionError():
            return f"no answer after {error.attempts} attempts"
        case StreamError():
            text = error.partial.choices[0].message.content if error.partial else ""
            return f"cut in the middle, after {text!r}"
        case OutputValidationError():
            return f"not what was asked for: {', '.join(error.problems)}"
        case _:
            return f"{type(error).__name__}: {error}"


def blocking() -> None:
    with OpenRouterClient(max_retries=1, retry_initial_delay=0.5) as client:
        for model in ("no-such/model", "no-such-alias"):
            try:
                client.create(MESSAGES, model=model, timeout=30.0)
            except MBXAIError as error:
                print(explain(error))
        try:
            for chunk in client.create(MESSAGES, stream=True):
                print(chunk.choices[0].delta.content or "", end="", flush=True)
            print()
        except MBXAIError as error:
            print(f"\n{explain(error)}")


async def awaited() -> None:
    nobody = "http://127.0.0.1:9/api/v1"
    async with AsyncOpenRouterClient(base_url=nobody, max_retries=1) as client:
        try:
            await client.create(MESSAGES)
        except OpenRouterConnectionError as error:
            print(explain(error))


if __name__ == "__main__":
    blocking()
    asyncio.run(awaited())
