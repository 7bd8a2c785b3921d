"""Embeddings, rerank, sound, pictures, films, files and batches against a server that records."""

import asyncio
import base64
import email.parser
import email.policy
import json
import struct
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import anyio
import pytest
from support.published_schema import request_problems
from support.raw_server import RawServer, answer, end, part, sse_head, stream, wait

from mbxai.errors import (
    BadRequestError,
    InvalidResponseError,
    NotFoundError,
    OpenRouterAPIError,
    OpenRouterTimeoutError,
    ProviderStreamError,
    ProviderUnavailableError,
    StreamTruncatedError,
)
from mbxai.openrouter import AsyncOpenRouterClient, image_part
from mbxai.openrouter.resources.audio import AsyncAudioCalls
from mbxai.openrouter.resources.batches import AsyncBatches
from mbxai.openrouter.resources.containers import AsyncContainerFiles
from mbxai.openrouter.resources.embeddings import AsyncEmbeddings
from mbxai.openrouter.resources.files import AsyncFiles
from mbxai.openrouter.resources.images import AsyncImages
from mbxai.openrouter.resources.rerank import AsyncRerank
from mbxai.openrouter.resources.videos import AsyncVideos

RECORDINGS = Path(__file__).parents[3] / "shared" / "wire" / "or-ai-sdk"
PNG = b"\x89PNG\r\n\x1a\n"
WAV = b"RIFF....WAVE sound"


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
async def requester(raw):
    async with AsyncOpenRouterClient(
        "sk-or-v1-media", "a/b", raw.base_url, retry_initial_delay=0.01
    ) as client:
        yield client._core.requester


def arrived(raw):
    """Method, path and query of the only request that arrived, and its body."""
    [request] = raw.seen().requests
    return read(request)


def read(request):
    method, target, _ = request["start"].split(" ")
    address = urlsplit(target)
    body = json.loads(request["body"]) if request["body"] else None
    return method, address.path.removeprefix("/api/v1"), dict(parse_qsl(address.query)), body


def form_of(request) -> list[tuple[str, str | None, str, str]]:
    """Name, filename, media type and content of each part."""
    head = f"Content-Type: {request['headers']['content-type']}\r\n\r\n"
    message = email.parser.Parser(policy=email.policy.HTTP).parsestr(head + request["body"])
    assert message.is_multipart()
    return [
        (
            item.get_param("name", header="content-disposition"),
            item.get_filename(),
            item.get_content_type(),
            item.get_payload().rstrip("\r\n"),
        )
        for item in message.iter_parts()
    ]


def page(*items, **fields):
    return answer({"data": list(items), **fields})


# --- embeddings and rerank ------------------------------------------------------------------------

INPUTS = {
    "text": "a dog",
    "texts": ["a dog", "a cat"],
    "tokens": [1, 2, 3],
    "several tokens": [[1, 2], [3]],
    "parts": [
        {
            "content": [
                {"type": "text", "text": "a dog"},
                {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}},
            ]
        }
    ],
}


@pytest.mark.parametrize("given", INPUTS.values(), ids=INPUTS)
async def test_every_kind_of_input_is_embedded(raw, requester, given):
    raw.script(answer({"object": "list", "data": [{"embedding": [0.5], "index": 0}], "model": "m"}))
    result = await AsyncEmbeddings(requester).create(given, "a/b")
    method, path, query, body = arrived(raw)
    assert (method, path, query) == ("POST", "/embeddings", {})
    assert body == {"input": given, "model": "a/b"}
    assert request_problems("/embeddings", body) == []
    assert result.vectors() == [[0.5]]


async def test_embeddings_send_what_was_asked_and_decode_what_came(raw, requester):
    vector = base64.b64encode(struct.pack("<2f", 0.5, -1.5)).decode()
    usage = {"prompt_tokens": 3, "total_tokens": 3, "cost": 1e-06, "is_byok": False}
    raw.script(
        answer(
            {
                "object": "list",
                "data": [{"embedding": vector, "index": 0}],
                "usage": usage,
                "id": "g",
            },
            headers={"X-Generation-Id": "gen-7"},
        )
    )
    asked = {
        "dimensions": 2, "encoding_format": "base64", "input_type": "search_query", "user": "u",
        "provider": {"order": ["openai"]},
    }  # fmt: skip
    result = await AsyncEmbeddings(requester).create(
        "x", "GPT41", **asked, extra_body={"own": 1}, extra_headers={"X-Own": "1"}
    )
    body = arrived(raw)[3]
    assert body == {"input": "x", "model": "openai/gpt-4.1", **asked, "own": 1}
    assert request_problems("/embeddings", body | {"own": 1}) != []
    del body["own"]
    assert request_problems("/embeddings", body) == []
    assert raw.seen().requests[0]["headers"]["x-own"] == "1"
    assert result.vectors() == [[0.5, -1.5]]
    assert (result.usage.prompt_tokens, result.usage.cost, result.usage.is_byok) == (
        3,
        1e-06,
        False,
    )
    assert (result.generation_id, result.attempts) == ("gen-7", 1)


async def test_models_of_embeddings_come_at_once_or_in_pages(raw, requester):
    raw.script(
        page({"id": "a/1"}, total_count=3, links={"next": "/more"}),
        page({"id": "a/2"}, {"id": "a/3"}, total_count=3, links={"next": None}),
    )
    models = [model.id async for model in AsyncEmbeddings(requester).models(limit=1)]
    assert models == ["a/1", "a/2", "a/3"]
    asked = [read(request)[1:3] for request in raw.seen().requests]
    assert asked == [
        ("/embeddings/models", {"limit": "1"}),
        ("/embeddings/models", {"limit": "1", "offset": "1"}),
    ]


def embedding_recordings() -> list[Path]:
    return [
        path.parent
        for path in sorted(RECORDINGS.glob("*/*/request.json"))
        if json.loads(path.read_text())["url"].endswith("/embeddings")
    ]


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no recordings beside the project")
async def test_recorded_embeddings_are_understood_and_lose_nothing(raw, requester):
    folders = embedding_recordings()
    assert len(folders) >= 11
    for folder in folders:
        asked = json.loads((folder / "request.json").read_text())["body"]["json"]
        text = (folder / "response.json").read_text()
        raw.script(answer(text))
        given = dict(asked)
        result = await AsyncEmbeddings(requester).create(
            given.pop("input"), given.pop("model"), **given
        )
        assert arrived(raw)[3] == asked
        assert request_problems("/embeddings", asked) == []
        assert result.to_dict() == json.loads(text)
        assert [len(vector) for vector in result.vectors()] == [1536] * len(asked["input"])
        assert result.usage.cost is not None
        assert result.usage.total_tokens > 0


async def test_documents_are_ranked(raw, requester):
    results = [
        {"index": 1, "relevance_score": 0.98, "document": {"text": "Paris"}},
        {"index": 0, "relevance_score": 0.2, "document": {"image": "https://a.b/c.png"}},
    ]
    usage = {"search_units": 1, "total_tokens": 150, "cost": 0.001}
    raw.script(answer({"model": "c/r", "provider": "Cohere", "results": results, "usage": usage}))
    documents = [{"image": "https://a.b/c.png"}, "Paris is the capital."]
    result = await AsyncRerank(requester).create("capital?", documents, "c/r", top_n=2)
    method, path, _, body = arrived(raw)
    assert (method, path) == ("POST", "/rerank")
    assert body == {"query": "capital?", "documents": documents, "model": "c/r", "top_n": 2}
    assert request_problems("/rerank", body) == []
    assert [(item.index, item.relevance_score) for item in result.results] == [(1, 0.98), (0, 0.2)]
    assert result.results[1].document.image == "https://a.b/c.png"
    assert (result.usage.search_units, result.usage.cost, result.provider) == (1, 0.001, "Cohere")


# --- sound ----------------------------------------------------------------------------------------


async def test_speech_is_bytes_of_a_known_format(raw, requester):
    raw.script(answer(b"\x00\x01\xff", content_type="audio/pcm; rate=24000"))
    sound = await AsyncAudioCalls(requester).speech("Hello", "a/tts", "alloy", speed=1.5)
    method, path, _, body = arrived(raw)
    assert (method, path) == ("POST", "/audio/speech")
    assert body == {"input": "Hello", "model": "a/tts", "voice": "alloy", "speed": 1.5}
    assert request_problems("/audio/speech", body) == []
    assert (sound.content, sound.media_type, sound.format) == (b"\x00\x01\xff", "audio/pcm", "pcm")


@pytest.mark.parametrize(
    ("asked", "media_type", "known"),
    [("mp3", "audio/mpeg", "mp3"), ("mp3", "application/octet-stream", "mp3"), (None, "", "pcm")],
)
async def test_the_format_is_what_the_server_says_else_what_was_asked(
    raw, requester, asked, media_type, known
):
    raw.script(answer(b"sound", content_type=media_type))
    turns = [{"text": "Hi", "voice": "a"}, {"text": "Ho", "voice": "b"}]
    sound = await AsyncAudioCalls(requester).speech(turns, "a/tts", response_format=asked)
    assert arrived(raw)[3]["input"] == turns
    assert sound.format == known


async def test_what_is_no_sound_is_an_error(raw, requester):
    told = {"error": {"code": 400, "message": "no such voice"}}
    for steps, error in (
        (answer(told, status=400), BadRequestError),
        (answer(told), BadRequestError),
        (answer({"hello": 1}), InvalidResponseError),
        (answer(b"", content_type="audio/pcm"), InvalidResponseError),
    ):
        raw.script(steps)
        with pytest.raises(error):
            await AsyncAudioCalls(requester).speech("Hello", "a/tts")
        assert len(raw.seen().requests) == 1


HEARD = {
    "text": "Hello there.",
    "language": "english",
    "duration": 9.2,
    "segments": [{"id": 0, "start": 0.0, "end": 1.5, "text": "Hello", "speaker": 1}],
    "words": [{"word": "Hello", "start": 0.0, "end": 0.5, "confidence": 0.9}],
    "entities": [{"type": "greeting", "text": "Hello", "start_char": 0, "end_char": 5}],
    "usage": {"seconds": 9.2, "input_tokens": 83, "output_tokens": 30, "cost": 0.000508},
}


async def test_a_recording_is_sent_as_bare_base64(raw, requester, tmp_path):
    raw.script(answer(HEARD))
    file = tmp_path / "a.bin"
    file.write_bytes(WAV)
    asked = {
        "language": "en", "response_format": "verbose_json", "temperature": 0,
        "timestamp_granularities": ["word"],
    }  # fmt: skip
    heard = await AsyncAudioCalls(requester).transcribe(file, "o/whisper", **asked)
    method, path, _, body = arrived(raw)
    sound = {"data": base64.b64encode(WAV).decode(), "format": "wav"}
    assert (method, path) == ("POST", "/audio/transcriptions")
    assert body == {"model": "o/whisper", "input_audio": sound, **asked}
    assert request_problems("/audio/transcriptions", body) == []
    assert (heard.text, heard.duration, heard.usage.cost) == ("Hello there.", 9.2, 0.000508)
    assert (heard.segments[0].end, heard.words[0].confidence) == (1.5, 0.9)
    assert heard.entities[0].end_char == 5


async def test_a_recording_can_be_sent_as_a_form(raw, requester):
    raw.script(answer(HEARD))
    heard = await AsyncAudioCalls(requester).transcribe(
        ("voice.wav", WAV),
        "o/whisper",
        multipart=True,
        language="en",
        temperature=0.5,
        timestamp_granularities=["word", "segment"],
        diarize=True,
        trace={"trace_id": "t"},
    )
    [request] = raw.seen().requests
    assert request["start"] == "POST /api/v1/audio/transcriptions HTTP/1.1"
    parts = form_of(request)
    assert [(name, content) for name, file, _, content in parts if file is None] == [
        ("model", "o/whisper"),
        ("language", "en"),
        ("temperature", "0.5"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
        ("diarize", "true"),
        ("trace", '{"trace_id": "t"}'),
    ]
    assert [item for item in parts if item[1]] == [("file", "voice.wav", "audio/wav", WAV.decode())]
    assert heard.text == "Hello there."


@pytest.mark.parametrize(
    ("source", "known", "filename"),
    [(WAV, None, "file.wav"), (("talk.dat", b"??"), "mp3", "talk.mp3"), (b"??", "ogg", "file.ogg")],
)
async def test_a_form_names_its_file_after_the_format(raw, requester, source, known, filename):
    raw.script(answer(HEARD))
    await AsyncAudioCalls(requester).transcribe(source, "a/b", multipart=True, format=known)
    assert form_of(raw.seen().requests[0])[-1][1] == filename


async def test_a_recording_can_be_an_address(raw, requester):
    raw.script(answer(HEARD))
    await AsyncAudioCalls(requester).transcribe("https://a.b/c", "a/b", format="mp3")
    assert arrived(raw)[3]["input_audio"] == {"url": "https://a.b/c", "format": "mp3"}


# --- pictures -------------------------------------------------------------------------------------

PICTURE = {"b64_json": base64.b64encode(PNG).decode()}
USAGE = {"prompt_tokens": 0, "completion_tokens": 4175, "total_tokens": 4175, "cost": 0.04}
PARTIAL = {"type": "image_generation.partial_image", "partial_image_index": 0, **PICTURE}
COMPLETED = {"type": "image_generation.completed", "created": 5, "usage": USAGE, **PICTURE}


async def test_pictures_are_made(raw, requester):
    raw.script(answer({"created": 5, "data": [PICTURE, PICTURE], "usage": USAGE}))
    asked = {
        "n": 2, "size": "1024x1024", "aspect_ratio": "16:9", "resolution": "2K", "quality": "high",
        "background": "opaque", "output_format": "png", "output_compression": 0, "seed": 7,
        "input_references": [image_part("https://a.b/c.png")],
    }  # fmt: skip
    result = await AsyncImages(requester).generate("a panda", "b/seed", **asked)
    method, path, _, body = arrived(raw)
    assert (method, path) == ("POST", "/images")
    assert body == {"prompt": "a panda", "model": "b/seed", **asked}
    assert request_problems("/images", body) == []
    assert [image.content for image in result.data] == [PNG, PNG]
    assert (result.created, result.usage.cost, result.data[0].media_type) == (5, 0.04, None)


async def test_a_picture_is_streamed(raw, requester):
    text = {"type": "image_generation.text_chunk", "phase": "draft", "text": "hm"}
    raw.script(stream(": OPENROUTER PROCESSING", PARTIAL, text, COMPLETED))
    async with await AsyncImages(requester).stream("a panda", "b/seed") as events:
        seen = [event async for event in events]
    body = arrived(raw)[3]
    assert body == {"prompt": "a panda", "model": "b/seed", "stream": True}
    assert request_problems("/images", body) == []
    assert [event.type.rpartition(".")[2] for event in seen] == [
        "partial_image", "text_chunk", "completed",
    ]  # fmt: skip
    assert (seen[0].content, seen[0].partial_image_index, seen[0].media_type) == (PNG, 0, None)
    assert (seen[1].phase, seen[1].text) == ("draft", "hm")
    assert (seen[2].content, seen[2].usage.cost, seen[2].is_completed()) == (PNG, 0.04, True)


async def test_a_whole_picture_ends_its_stream_also_without_done(raw, requester):
    raw.script(stream(PARTIAL, COMPLETED, done=False))
    events = await AsyncImages(requester).stream("x", "a/b")
    assert [event.is_completed() async for event in events] == [False, True]


async def test_a_streamed_picture_may_be_large(raw, requester):
    large = {"type": "image_generation.completed", "b64_json": "AAAA" * 1_000_000}
    raw.script(stream(large))
    events = await AsyncImages(requester).stream("x", "a/b")
    assert [len(event.content) async for event in events] == [3_000_000]


async def test_of_several_pictures_the_first_is_not_the_end(raw, requester):
    raw.script(
        [
            sse_head(),
            part(_event(COMPLETED)),
            wait(1.2),
            part(_event(COMPLETED) + b"data: [DONE]\n\n"),
            end(),
        ]
    )
    events = await AsyncImages(requester).stream("x", "a/b", n=2)
    assert [event.is_completed() async for event in events] == [True, True]


async def test_a_stream_without_its_picture_is_an_error(raw, requester):
    raw.script(stream(PARTIAL, done=False))
    events = await AsyncImages(requester).stream("x", "a/b")
    assert (await anext(events)).content == PNG
    with pytest.raises(StreamTruncatedError):
        await anext(events)


async def test_an_error_in_a_stream_is_raised(raw, requester):
    told = {"type": "error", "error": {"message": "the provider gave up", "code": "server_error"}}
    raw.script(stream(PARTIAL, told))
    events = await AsyncImages(requester).stream("x", "a/b")
    await anext(events)
    with pytest.raises(ProviderStreamError, match="gave up"):
        await anext(events)


async def test_an_error_before_the_first_event_is_tried_again(raw, requester):
    told = {"type": "error", "error": {"message": "busy", "code": 502}}
    raw.script(stream(told), stream(COMPLETED))
    events = await AsyncImages(requester).stream("x", "a/b")
    assert [event.content async for event in events] == [PNG]
    assert events.attempts == 2


async def test_leaving_a_stream_of_a_picture_closes_its_connection(raw, requester):
    raw.script([sse_head(), part(_event(PARTIAL)), wait(60)])
    async with await AsyncImages(requester).stream("x", "a/b") as events:
        await anext(events)
    seen = await asyncio.to_thread(raw.wait_for, lambda seen: seen.disconnects == 1)
    assert seen.open_connections == 0


def _event(payload) -> bytes:
    return f"data: {json.dumps(payload)}\n\n".encode()


async def test_models_and_endpoints_of_pictures_are_listed(raw, requester):
    known = {
        "resolution": {"type": "enum", "values": ["1K"]},
        "n": {"type": "range", "min": 1, "max": 4},
    }
    raw.script(page({"id": "b/seed", "supported_parameters": known, "supports_streaming": True}))
    [model] = [model async for model in AsyncImages(requester).models()]
    assert arrived(raw)[:3] == ("GET", "/images/models", {})
    assert (model.supported_parameters["n"].max, model.supports_streaming) == (4, True)
    price = {"billable": "output_image", "unit": "image", "cost_usd": 0.05}
    endpoint = {"provider_slug": "b", "pricing": [price], "supported_parameters": known}
    raw.script(answer({"id": "b/seed", "endpoints": [endpoint]}))
    result = await AsyncImages(requester).endpoints("b/seed:4")
    assert arrived(raw)[:2] == ("GET", "/images/models/b/seed:4/endpoints")
    assert result.endpoints[0].pricing[0].cost_usd == 0.05


# --- films ----------------------------------------------------------------------------------------


def job(status, **fields):
    return answer(
        {"id": "job-1", "polling_url": "/api/v1/videos/job-1", "status": status, **fields}
    )


async def test_a_film_is_ordered(raw, requester):
    accepted = {"id": "job-1", "polling_url": "/api/v1/videos/job-1", "status": "pending"}
    raw.script(answer(accepted | {"generation_id": "gen-1"}, status=202))
    frame = {
        "type": "image_url",
        "image_url": {"url": "https://a.b/c.png"},
        "frame_type": "last_frame",
    }
    asked = {
        "duration": 8, "aspect_ratio": "16:9", "resolution": "720p", "size": "1280x720", "seed": 7,
        "generate_audio": True, "creativity": 1, "callback_url": "https://a.b/hook",
        "frame_images": [frame], "upscale_factor": 2.5,
        "input_references": [{"type": "video_url", "video_url": {"url": "https://a.b/c.mp4"}}],
    }  # fmt: skip
    made = await AsyncVideos(requester).create("a mountain", "g/veo", **asked)
    method, path, _, body = arrived(raw)
    assert (method, path) == ("POST", "/videos")
    assert body == {"model": "g/veo", "prompt": "a mountain", **asked}
    # The document says `exclusiveMinimum: true`, which this version of the format does not know.
    del body["upscale_factor"]
    assert request_problems("/videos", body) == []
    assert (made.id, made.status, made.generation_id) == ("job-1", "pending", "gen-1")
    assert made.polling_url == "/api/v1/videos/job-1"


async def test_a_film_needs_no_prompt_where_another_film_is_given(raw, requester):
    raw.script(job("pending"))
    await AsyncVideos(requester).create(None, "g/up", previous_job_id="job-0")
    assert arrived(raw)[3] == {"model": "g/up", "previous_job_id": "job-0"}


async def test_waiting_asks_until_the_film_is_there(raw, requester):
    raw.script(
        job("pending"),
        job("in_progress"),
        answer({"error": {"code": 503, "message": "busy"}}, status=503),
        job("completed", unsigned_urls=["https://a.b/film"], usage={"cost": 0.5}),
    )
    done = await AsyncVideos(requester).wait("job-1", poll_interval=0.01)
    assert (done.status, done.usage.cost) == ("completed", 0.5)
    asked = [read(request)[:2] for request in raw.seen().requests]
    assert asked == [("GET", "/videos/job-1")] * 4


@pytest.mark.parametrize("told", ["The scene was refused.", {"message": "The scene was refused"}])
async def test_a_failed_job_is_an_error_that_says_why(raw, requester, told):
    raw.script(job("failed", error=told, generation_id="gen-1"))
    with pytest.raises(OpenRouterAPIError, match=r"failed: The scene was refused\.$") as caught:
        await AsyncVideos(requester).wait("job-1", poll_interval=0.01)
    assert (caught.value.code, caught.value.generation_id) == ("failed", "gen-1")
    assert len(caught.value.history) == 1


@pytest.mark.parametrize("status", ["cancelled", "expired"])
async def test_a_job_that_came_to_no_end_is_an_error(raw, requester, status):
    raw.script(job(status))
    with pytest.raises(OpenRouterAPIError, match=status) as caught:
        await AsyncVideos(requester).wait("job-1", poll_interval=0.01)
    assert caught.value.code == status


async def test_getting_a_failed_job_is_no_error(raw, requester):
    raw.script(job("failed", error="no"))
    assert (await AsyncVideos(requester).get("job-1")).error == "no"


async def test_waiting_ends_when_its_time_is_up(raw, requester):
    raw.script(job("in_progress"))
    with pytest.raises(OpenRouterTimeoutError, match=r"not over within 0\.2 s") as caught:
        await AsyncVideos(requester).wait("job-1", poll_interval=0.01, timeout=0.2)
    assert "same id" in str(caught.value)
    assert caught.value.attempts - len(raw.seen().requests) in {0, 1}  # one may not have left
    assert caught.value.attempts > 2


async def test_waiting_ends_in_the_middle_of_a_question_too(raw, requester):
    raw.script([wait(30)])
    with pytest.raises(OpenRouterTimeoutError):
        await AsyncVideos(requester).wait("job-1", poll_interval=0.01, timeout=0.2)
    seen = await asyncio.to_thread(raw.wait_for, lambda seen: seen.disconnects == 1)
    assert seen.open_connections == 0


async def test_an_error_of_a_question_ends_the_wait(raw, requester):
    raw.script(answer({"error": {"code": 404, "message": "no such job"}}, status=404))
    with pytest.raises(NotFoundError):
        await AsyncVideos(requester).wait("job-1", poll_interval=0.01)


async def test_a_cancelled_wait_asks_no_more(raw, requester):
    raw.script(job("in_progress"))
    with anyio.move_on_after(0.1) as scope:
        await AsyncVideos(requester).wait("job-1", poll_interval=0.01, timeout=None)
    assert scope.cancelled_caught
    count = len(raw.seen().requests)
    await anyio.sleep(0.1)
    assert len(raw.seen().requests) == count


async def test_a_film_may_be_larger_than_other_answers(raw):
    raw.script(answer(b"film" * 1000, content_type="video/mp4"))
    async with AsyncOpenRouterClient(
        "sk-or-v1-media", "a/b", raw.base_url, max_response_bytes=1000
    ) as client:
        videos = AsyncVideos(client._core.requester)
        film = await videos.content("job-1", 2)
        assert (len(film.content), film.media_type) == (4000, "video/mp4")
        assert arrived(raw)[:3] == ("GET", "/videos/job-1/content", {"index": "2"})
        with pytest.raises(InvalidResponseError):
            await videos.content("job-1", max_bytes=3999)


async def test_models_of_films_are_listed(raw, requester):
    raw.script(
        page({"id": "g/veo", "supported_durations": [5, 8], "pricing_skus": {"generate": "0.50"}})
    )
    [model] = (await AsyncVideos(requester).models()).data
    assert arrived(raw)[:3] == ("GET", "/videos/models", {})
    assert (model.supported_durations, model.pricing_skus["generate"]) == ([5, 8], "0.50")


# --- files ----------------------------------------------------------------------------------------

STORED = {
    "_shape": "openrouter", "id": "or_file_1", "type": "file", "filename": "a.pdf",
    "mime_type": "application/pdf", "size_bytes": 8, "created_at": "2025-01-01T00:00:00Z",
    "downloadable": False,
}  # fmt: skip


async def test_a_file_is_uploaded(raw, requester, tmp_path):
    raw.script(answer(STORED))
    file = tmp_path / "a.pdf"
    file.write_bytes(b"%PDF-1.7")
    stored = await AsyncFiles(requester).upload(file, workspace_id="w-1")
    [request] = raw.seen().requests
    assert request["start"] == "POST /api/v1/files?workspace_id=w-1 HTTP/1.1"
    assert form_of(request) == [("file", "a.pdf", "application/pdf", "%PDF-1.7")]
    assert request_problems("/files", {"file": ""}, media_type="multipart/form-data") == []
    assert (stored.id, stored.size, stored.downloadable) == ("or_file_1", 8, False)
    assert stored.to_dict() == STORED


async def test_an_upload_says_what_it_is_for(raw, requester):
    raw.script(answer({"id": "f", "bytes": 2, "purpose": "user_data", "status": "processed"}))
    stored = await AsyncFiles(requester).upload(
        ("notes.txt", b"hi"), purpose="user_data", provider="openai", extra_body={"own": "1"}
    )
    [request] = raw.seen().requests
    assert request["start"].startswith("POST /api/v1/files?provider=openai ")
    assert [(part[0], part[3]) for part in form_of(request)] == [
        ("purpose", "user_data"), ("own", "1"), ("file", "hi"),
    ]  # fmt: skip
    assert (stored.size, stored.purpose) == (2, "user_data")


@pytest.mark.parametrize(
    ("asked", "first", "second"),
    [
        ({}, {"cursor": "c-2"}, {"cursor": "c-2"}),
        ({"provider": "openai"}, {"last_id": "f-1"}, {"after": "f-1"}),
        ({"provider": "anthropic"}, {"last_id": "f-1"}, {"after_id": "f-1"}),
        ({"before_id": "f-9"}, {"first_id": "f-1"}, {"before_id": "f-1"}),
    ],
    ids=["openrouter", "openai", "anthropic", "backwards"],
)
async def test_files_are_listed_over_all_pages(raw, requester, asked, first, second):
    raw.script(page({"id": "f-1"}, has_more=True, **first), page({"id": "f-2"}, has_more=False))
    files = [file.id async for file in AsyncFiles(requester).list(limit=1, **asked)]
    assert files == ["f-1", "f-2"]
    queries = [read(request)[1:3] for request in raw.seen().requests]
    assert queries == [
        ("/files", {"limit": "1", **asked}),
        ("/files", {"limit": "1", **asked, **second}),
    ]


async def test_a_file_is_described_downloaded_and_deleted(raw, requester):
    files = AsyncFiles(requester)
    raw.script(answer(STORED))
    assert (await files.get("or/1", provider="openai")).filename == "a.pdf"
    assert arrived(raw)[:3] == ("GET", "/files/or%2F1", {"provider": "openai"})
    raw.script(answer(b"%PDF\xff", content_type="application/octet-stream"))
    assert (await files.content("f", workspace_id="w")).content == b"%PDF\xff"
    assert arrived(raw)[:3] == ("GET", "/files/f/content", {"workspace_id": "w"})
    raw.script(answer({"id": "f", "type": "file_deleted"}))
    assert (await files.delete("f")).id == "f"
    assert arrived(raw)[:2] == ("DELETE", "/files/f")


async def test_files_of_a_container_are_read_and_kept(raw, requester):
    files = AsyncContainerFiles(requester)
    item = {"id": "f-1", "container_id": "c", "path": "/a.csv", "bytes": 3, "source": "assistant"}
    raw.script(page(has_more=True, last_id="f-0"), page(item, has_more=False, last_id="f-1"))
    [found] = [file async for file in files.list("c", limit=5)]
    assert (found.path, found.bytes, found.source) == ("/a.csv", 3, "assistant")
    assert [read(request)[1:3] for request in raw.seen().requests] == [
        ("/containers/c/files", {"limit": "5"}),
        ("/containers/c/files", {"limit": "5", "after": "f-0"}),
    ]
    raw.script(answer(item))
    assert (await files.get("c", "f-1")).container_id == "c"
    assert arrived(raw)[:2] == ("GET", "/containers/c/files/f-1")
    raw.script(answer(b"a,b", content_type="application/octet-stream"))
    assert (await files.content("c", "f-1")).content == b"a,b"
    assert arrived(raw)[:2] == ("GET", "/containers/c/files/f-1/content")
    raw.script(answer(STORED))
    assert (await files.promote("c", "f-1")).id == "or_file_1"
    assert arrived(raw)[:2] == ("POST", "/containers/c/files/f-1/promote")


# --- batches --------------------------------------------------------------------------------------

ASKED = [
    {"custom_id": name, "body": {"messages": [{"role": "user", "content": name}]}} for name in "ab"
]


def batch(status, **fields):
    return answer({"id": "b-1", "object": "batch", "status": status, "error": None, **fields})


async def test_a_batch_names_endpoint_and_model_before_its_requests(raw, requester):
    raw.script(answer({"id": "b-1", "status": "validating"}, status=202))
    made = await AsyncBatches(requester).create(
        ASKED, "a/b", endpoint="/chat/completions", completion_window="24h",
        callback_url="https://a.b/hook", provider={"only": ["openai"]}, extra_body={"own": 1},
    )  # fmt: skip
    method, path, _, body = arrived(raw)
    assert (method, path) == ("POST", "/batches")
    names = list(body)
    assert max(names.index("endpoint"), names.index("model")) < names.index("requests")
    assert body == {
        "endpoint": "/v1/chat/completions", "model": "a/b", "completion_window": "24h",
        "callback_url": "https://a.b/hook", "provider": {"only": ["openai"]}, "requests": ASKED,
        "own": 1,
    }  # fmt: skip
    assert (made.id, made.status, made.results) == ("b-1", "validating", None)


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
async def test_waiting_gives_a_batch_with_its_results(raw, requester, status):
    results = [
        {
            "custom_id": "a",
            "response": {"status_code": 200, "body": {"choices": [{"message": {"content": "A"}}]}},
        },
        {"custom_id": "b", "error": {"message": "too late"}},
    ]
    counts = {"total": 2, "completed": 1, "failed": 1}
    raw.script(
        batch("validating"),
        batch("finalizing"),
        batch(status, results=results, request_counts=counts, usage=USAGE),
    )
    done = await AsyncBatches(requester).wait("b-1", poll_interval=0.01)
    assert [read(request)[:2] for request in raw.seen().requests] == [("GET", "/batches/b-1")] * 3
    assert done.results[0].completion.choices[0].message.content == "A"
    assert done.results[1].error.message == "too late"
    assert (done.request_counts.failed, done.usage.cost) == (1, 0.04)


async def test_a_failed_batch_is_an_error_that_says_why(raw, requester):
    raw.script(batch("failed", error={"message": "model not found"}))
    with pytest.raises(OpenRouterAPIError, match="model not found"):
        await AsyncBatches(requester).wait("b-1", poll_interval=0.01)


async def test_waiting_for_a_batch_ends_when_its_time_is_up(raw, requester):
    raw.script(batch("in_progress"))
    with pytest.raises(OpenRouterTimeoutError):
        await AsyncBatches(requester).wait("b-1", poll_interval=0.01, timeout=0.1)


async def test_batches_are_listed_over_all_pages(raw, requester):
    raw.script(page(has_more=True, last_id="b-0"), page({"id": "b-1"}, has_more=False))
    found = [
        item.id
        async for item in AsyncBatches(requester).list(
            limit=2, status=["completed", "failed"], created_after=5
        )
    ]
    assert found == ["b-1"]
    asked = {"limit": "2", "status": "completed,failed", "created_after": "5"}
    assert [read(request)[1:3] for request in raw.seen().requests] == [
        ("/batches", asked), ("/batches", {**asked, "after": "b-0"}),
    ]  # fmt: skip


async def test_a_batch_is_deleted_unless_it_runs(raw, requester):
    raw.script(
        answer({"id": "b-1", "deletion": {"openrouter": "deleted", "upstream": {"provider": "x"}}})
    )
    gone = await AsyncBatches(requester).delete("b-1")
    assert arrived(raw)[:2] == ("DELETE", "/batches/b-1")
    assert gone.deletion.openrouter == "deleted"
    raw.script(answer({"error": {"code": 409, "message": "it runs"}}, status=409))
    with pytest.raises(OpenRouterAPIError, match="it runs") as caught:
        await AsyncBatches(requester).delete("b-1")
    assert caught.value.status == 409


async def test_an_overloaded_provider_is_asked_again(raw, requester):
    raw.script(answer({"error": {"code": 502, "message": "down"}}, status=502))
    with pytest.raises(ProviderUnavailableError):
        await AsyncImages(requester).generate("x", "a/b")
    assert len(raw.seen().requests) == 4
