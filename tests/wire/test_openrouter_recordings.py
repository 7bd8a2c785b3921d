"""Replays recorded traffic of OpenRouter, where the recordings lie beside the project."""

import base64
import json
from pathlib import Path

import pytest
from support.raw_server import RawServer, answer, end, part, sse_head

from mbxai.errors import OpenRouterAPIError
from mbxai.openrouter import AsyncOpenRouterClient

FOLDER = Path(__file__).parents[3] / "shared" / "wire" / "or-ai-sdk"


def recordings() -> list[Path]:
    return [
        path.parent
        for path in sorted(FOLDER.glob("*/*/request.json"))
        if json.loads(path.read_text())["url"].endswith("/chat/completions")
    ]


pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recordings beside the project")


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


def recorded_pieces(path: Path) -> list[bytes]:
    pieces = []
    for line in path.read_text().splitlines():
        item = json.loads(line)
        if "json" in item:
            pieces.append(f"data: {json.dumps(item['json'])}\n\n".encode())
        elif "text" in item:
            pieces.append(item["text"].encode())
        elif "comment" in item:
            pieces.append(item["comment"].encode())
        elif "base64" in item:
            pieces.append(base64.b64decode(item["base64"]))
    return pieces


@pytest.mark.parametrize("folder", recordings(), ids=lambda path: path.name)
async def test_recorded_answers_are_understood(raw, folder):
    meta = json.loads((folder / "response.meta.json").read_text())
    streamed = folder / "response.jsonl"
    request = (json.loads((folder / "request.json").read_text()).get("body") or {}).get(
        "json"
    ) or {}
    messages = request.get("messages") or [{"role": "user", "content": "hi"}]
    if streamed.exists():
        pieces = recorded_pieces(streamed)
        raw.script([sse_head(), *(part(piece) for piece in pieces), end()])
    else:
        raw.script(answer((folder / "response.json").read_text(), status=meta["status"]))
    async with AsyncOpenRouterClient(
        "sk-or-v1-replay", "a/b", raw.base_url, max_retries=0
    ) as client:
        if meta["status"] >= 400:
            with pytest.raises(OpenRouterAPIError) as caught:
                await client.create(messages)
            assert caught.value.status == meta["status"]
            assert caught.value.provider or caught.value.message
            return
        if not streamed.exists():
            result = await client.create(messages)
        else:
            stream = await client.create(messages, stream=True)
            async for _chunk in stream:
                pass
            result = stream.completion
    assert result.choices[0].finish_reason
    message = result.choices[0].message
    assert message.content or message.tool_calls or message.reasoning or message.images
    assert result.usage.total_tokens > 0
    json.dumps(message.to_param())
