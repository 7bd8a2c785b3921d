"""The blocking faces of embeddings, rerank, sound, pictures, films, files and batches."""

import base64
import json

import pytest
from support.raw_server import RawServer, answer, part, sse_head, stream, wait

from mbxai.errors import OpenRouterConfigurationError, OpenRouterTimeoutError
from mbxai.openrouter import OpenRouterClient
from mbxai.openrouter.resources.audio import AsyncAudioCalls, AudioCalls
from mbxai.openrouter.resources.batches import AsyncBatches, Batches
from mbxai.openrouter.resources.containers import AsyncContainerFiles, ContainerFiles
from mbxai.openrouter.resources.embeddings import AsyncEmbeddings, Embeddings
from mbxai.openrouter.resources.files import AsyncFiles, Files
from mbxai.openrouter.resources.images import AsyncImages, Images
from mbxai.openrouter.resources.rerank import AsyncRerank, Rerank
from mbxai.openrouter.resources.videos import AsyncVideos, Videos

PAIRS = {
    "embeddings": (AsyncEmbeddings, Embeddings),
    "rerank": (AsyncRerank, Rerank),
    "audio": (AsyncAudioCalls, AudioCalls),
    "images": (AsyncImages, Images),
    "videos": (AsyncVideos, Videos),
    "files": (AsyncFiles, Files),
    "containers": (AsyncContainerFiles, ContainerFiles),
    "batches": (AsyncBatches, Batches),
}
PICTURE = base64.b64encode(b"PNG").decode()
PARTIAL = {"type": "image_generation.partial_image", "b64_json": PICTURE}
COMPLETED = {"type": "image_generation.completed", "b64_json": PICTURE}


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
def client(raw):
    with OpenRouterClient("sk-or-v1-media", "a/b", raw.base_url, retry_initial_delay=0.01) as made:
        yield made


def face(client, name):
    async_class, blocking = PAIRS[name]
    return blocking(async_class(client.async_client._core.requester))


REQUESTS = [{"custom_id": "a", "body": {"messages": []}}]
LIST = {"data": [{"id": "x-1"}], "has_more": False}
BYTES = answer(b"bytes", content_type="application/octet-stream")

CALLS = {
    "embeddings.create": (("x", "a/b"), {"user": "u"}, "POST /embeddings", answer({"data": []})),
    "embeddings.models": ((), {"limit": 5}, "GET /embeddings/models?limit=5", answer(LIST)),
    "rerank.create": (("q", ["d"], "a/b"), {"top_n": 1}, "POST /rerank", answer({"results": []})),
    "audio.speech": (("x", "a/b", "v"), {"speed": 1}, "POST /audio/speech", BYTES),
    "audio.transcribe": (
        (b"RIFF....WAVE", "a/b"), {"language": "en"}, "POST /audio/transcriptions", answer({"text": "x"}),
    ),
    "images.generate": (("x", "a/b"), {"n": 1}, "POST /images", answer({"data": []})),
    "images.models": ((), {}, "GET /images/models", answer(LIST)),
    "images.endpoints": (("a/b",), {}, "GET /images/models/a/b/endpoints", answer({"id": "a/b"})),
    "videos.create": (("x", "a/b"), {"seed": 1}, "POST /videos", answer({"id": "j"}, status=202)),
    "videos.get": (("j",), {}, "GET /videos/j", answer({"id": "j"})),
    "videos.wait": (("j",), {"timeout": 5}, "GET /videos/j", answer({"status": "completed"})),
    "videos.content": (("j", 1), {"max_bytes": 9}, "GET /videos/j/content?index=1", BYTES),
    "videos.models": ((), {}, "GET /videos/models", answer(LIST)),
    "files.list": ((), {"limit": 5}, "GET /files?limit=5", answer(LIST)),
    "files.upload": ((b"hi",), {"workspace_id": "w"}, "POST /files?workspace_id=w", answer({})),
    "files.get": (("f",), {}, "GET /files/f", answer({"id": "f"})),
    "files.delete": (("f",), {}, "DELETE /files/f", answer({"id": "f"})),
    "files.content": (("f",), {"max_bytes": 9}, "GET /files/f/content", BYTES),
    "containers.list": (("c",), {"limit": 5}, "GET /containers/c/files?limit=5", answer(LIST)),
    "containers.get": (("c", "f"), {}, "GET /containers/c/files/f", answer({"id": "f"})),
    "containers.content": (("c", "f"), {"max_bytes": 9}, "GET /containers/c/files/f/content", BYTES),
    "containers.promote": (("c", "f"), {}, "POST /containers/c/files/f/promote", answer({})),
    "batches.create": ((REQUESTS, "a/b"), {}, "POST /batches", answer({"id": "b"}, status=202)),
    "batches.list": ((), {"status": "failed"}, "GET /batches?status=failed", answer(LIST)),
    "batches.get": (("b",), {}, "GET /batches/b", answer({"id": "b"})),
    "batches.delete": (("b",), {}, "DELETE /batches/b", answer({"id": "b"})),
    "batches.wait": (("b",), {"timeout": 5}, "GET /batches/b", answer({"status": "completed"})),
}  # fmt: skip


def test_every_method_is_called_here():
    methods = {
        f"{name}.{method}"
        for name, (_, blocking) in PAIRS.items()
        for method in vars(blocking)
        if not method.startswith("_")
    }
    assert methods == CALLS.keys() | {"images.stream"}


@pytest.mark.parametrize("called", CALLS)
def test_a_face_sends_what_the_async_class_would(raw, client, called):
    name, _, method = called.partition(".")
    args, kwargs, wanted, steps = CALLS[called]
    raw.script(steps)
    result = getattr(face(client, name), method)(*args, **kwargs, extra_headers={"X-Own": "1"})
    [request] = raw.seen().requests
    assert request["start"] == f"{wanted.replace(' /', ' /api/v1/', 1)} HTTP/1.1"
    assert request["headers"]["x-own"] == "1"
    for key, value in kwargs.items():
        if request["start"].startswith("POST") and "?" not in wanted:
            assert json.loads(request["body"])[key] == value
    assert result is not None
    if steps is BYTES:
        assert result.content == b"bytes"
    if called.endswith((".list", ".models")):
        assert [item.id for item in result] == ["x-1"]


def test_a_picture_is_streamed_without_a_loop(raw, client):
    raw.script(stream(PARTIAL, COMPLETED))
    with face(client, "images").stream("x", "a/b", seed=1) as events:
        assert [event.content for event in events] == [b"PNG", b"PNG"]
        assert events.attempts == 1
    [request] = raw.seen().requests
    assert json.loads(request["body"]) == {"prompt": "x", "model": "a/b", "seed": 1, "stream": True}


def test_leaving_the_stream_of_a_picture_closes_its_connection(raw, client):
    raw.script([sse_head(), part(f"data: {json.dumps(PARTIAL)}\n\n".encode()), wait(60)])
    with face(client, "images").stream("x", "a/b") as events:
        assert next(events).content == b"PNG"
    assert raw.wait_for(lambda seen: seen.disconnects == 1).requests


def test_waiting_in_a_thread_ends_when_its_time_is_up(raw, client):
    raw.script(answer({"id": "j", "status": "in_progress"}))
    with pytest.raises(OpenRouterTimeoutError):
        face(client, "videos").wait("j", poll_interval=0.01, timeout=0.1)
    assert len(raw.seen().requests) > 1


def test_a_face_refuses_what_the_async_class_refuses(client):
    with pytest.raises(OpenRouterConfigurationError, match="input is empty"):
        face(client, "embeddings").create([], "a/b")


@pytest.mark.parametrize("name", PAIRS)
def test_a_face_shows_what_does_its_work(client, name):
    assert isinstance(face(client, name).async_client, PAIRS[name][0])
