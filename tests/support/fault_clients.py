"""The async client and its blocking face behind one door, so that both meet every fault."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio.to_thread
import httpx
import httpx2

import mbxai.portal as portal
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient

KEY = "sk-or-v1-canary-5e1d09"
PROMPT = "a very private prompt"
USER = [{"role": "user", "content": PROMPT}]

KINDS = ("async", "sync")
FAMILIES = {"httpx": httpx.AsyncClient, "httpx2": httpx2.AsyncClient}


class Asker:
    """Asks one of the two kinds of client; both are awaited alike."""

    def __init__(self, client: AsyncOpenRouterClient | OpenRouterClient) -> None:
        self.client = client
        self.is_async = isinstance(client, AsyncOpenRouterClient)

    async def ask(self, content: str = PROMPT, *, stream: bool = False, **params: Any) -> Any:
        """Return a completion; a stream is read to its end and bears the same attributes."""
        messages = [{"role": "user", "content": content}]
        if not stream:
            return await self.run("create", messages, **params)
        if self.is_async:
            chunks = await self.client.create(messages, stream=True, **params)
            return await chunks.get_final_completion()
        return await anyio.to_thread.run_sync(self._read_blocking, messages, params)

    async def run(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method by name."""
        method = partial(getattr(self.client, name), *args, **kwargs)
        return await method() if self.is_async else await anyio.to_thread.run_sync(method)

    def _read_blocking(self, messages: list[Any], params: dict[str, Any]) -> Any:
        return self.client.create(messages, stream=True, **params).get_final_completion()


@contextlib.asynccontextmanager
async def asking(
    kind: str, base_url: str, *, family: str | None = None, **options: Any
) -> AsyncIterator[Asker]:
    """Open a client that retries twice and quickly.

    Args:
        kind: One of `KINDS`.
        base_url: Address of a server of the test.
        family: One of `FAMILIES` for an injected HTTP client; None for our own engine.
        **options: Of the client.
    """
    options = {"max_retries": 2, "retry_initial_delay": 0.01, **options}
    http = None if family is None else FAMILIES[family]()
    if http is not None:
        options["http_client"] = http
    is_async = kind == "async"
    make = AsyncOpenRouterClient if is_async else OpenRouterClient
    client = make(KEY, "a/b", base_url, **options)
    try:
        yield Asker(client)
    finally:
        if is_async:
            await client.aclose()
        else:
            await anyio.to_thread.run_sync(client.close)
        if http is not None:
            assert not http.is_closed
            # A client belongs to the loop that used it.
            close = http.aclose if is_async else partial(_close_on_portal, http)
            await close()


async def _close_on_portal(http: Any) -> None:
    await anyio.to_thread.run_sync(portal.run, http.aclose)
