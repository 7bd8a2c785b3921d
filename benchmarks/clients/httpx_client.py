"""httpx without any SDK: posts, parses JSON, checks nothing."""

import json
from collections.abc import AsyncIterator, Iterator

import httpx
from answers import MESSAGES
from report import Report

_MAX_CONNECTIONS = 1000  # as the SDKs do
_TIMEOUT_SECONDS = 600.0
_HEADERS = {"Authorization": "Bearer sk-or-benchmark"}
_PATH = "/chat/completions"


class Client:
    def __init__(self, url: str, *, max_connections: int = _MAX_CONNECTIONS) -> None:
        limits = httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections
        )
        self._client = httpx.AsyncClient(
            base_url=url, headers=_HEADERS, limits=limits, timeout=_TIMEOUT_SECONDS
        )

    async def call(self, model: str) -> str:
        response = await self._client.post(_PATH, json={"model": model, "messages": MESSAGES})
        return response.raise_for_status().json()["choices"][0]["message"]["content"]

    async def stream(self, model: str) -> AsyncIterator[str]:
        body = {"model": model, "messages": MESSAGES, "stream": True}
        async with self._client.stream("POST", _PATH, json=body) as response:
            async for line in response.raise_for_status().aiter_lines():
                if text := _text_of(line):
                    yield text

    async def typed(self, model: str) -> Report:
        schema = {"name": "Report", "strict": True, "schema": _SCHEMA}
        body = {
            "model": model,
            "messages": MESSAGES,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
        answer = (await self._client.post(_PATH, json=body)).raise_for_status().json()
        return Report.model_validate_json(answer["choices"][0]["message"]["content"])

    async def close(self) -> None:
        await self._client.aclose()


class BlockingClient:
    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, headers=_HEADERS, timeout=_TIMEOUT_SECONDS)

    def call(self, model: str) -> str:
        response = self._client.post(_PATH, json={"model": model, "messages": MESSAGES})
        return response.raise_for_status().json()["choices"][0]["message"]["content"]

    def stream(self, model: str) -> Iterator[str]:
        body = {"model": model, "messages": MESSAGES, "stream": True}
        with self._client.stream("POST", _PATH, json=body) as response:
            for line in response.raise_for_status().iter_lines():
                if text := _text_of(line):
                    yield text

    def close(self) -> None:
        self._client.close()


_SCHEMA = Report.model_json_schema()


def _text_of(line: str) -> str | None:
    if not line.startswith("data: {"):
        return None  # a blank line, a comment, or `[DONE]`
    return json.loads(line[6:])["choices"][0]["delta"].get("content")
