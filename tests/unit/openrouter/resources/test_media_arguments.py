"""What cannot be meant is refused by name, before anything is sent."""

import os

import pytest

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter.resources import _uploads
from mbxai.openrouter.resources.audio import MAX_MULTIPART_AUDIO_BYTES, AsyncAudioCalls
from mbxai.openrouter.resources.batches import AsyncBatches
from mbxai.openrouter.resources.containers import AsyncContainerFiles
from mbxai.openrouter.resources.embeddings import AsyncEmbeddings
from mbxai.openrouter.resources.files import MAX_UPLOAD_BYTES, AsyncFiles
from mbxai.openrouter.resources.images import AsyncImages
from mbxai.openrouter.resources.rerank import AsyncRerank
from mbxai.openrouter.resources.videos import AsyncVideos


class BytePath:
    def __fspath__(self):
        return b"a.pdf"


class Untouched:
    """Stands where requests are made; whoever asks it for anything has sent something."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was used")


HERE = Untouched()
WAV = b"RIFF....WAVE"
ONE = {"custom_id": "a", "body": {"messages": []}}

REFUSED = {
    "no text": (AsyncEmbeddings.create, ("", "a/b"), {}, "input must be text"),
    "no texts": (AsyncEmbeddings.create, ([], "a/b"), {}, "input is empty"),
    "an empty text": (AsyncEmbeddings.create, (["x", ""], "a/b"), {}, r"input\[1\]"),
    "bytes": (AsyncEmbeddings.create, (b"x", "a/b"), {}, "input must be text or a list"),
    "an object": (AsyncEmbeddings.create, ({"content": []}, "a/b"), {}, "input must be text or a"),
    "mixed items": (AsyncEmbeddings.create, (["x", [1]], "a/b"), {}, "input mixes kinds"),
    "a negative token": (AsyncEmbeddings.create, ([[1, -1]], "a/b"), {}, r"input\[0\]"),
    "no tokens": (AsyncEmbeddings.create, ([[1], []], "a/b"), {}, r"input\[1\]"),
    "no parts": (AsyncEmbeddings.create, ([{"content": []}], "a/b"), {}, r"input\[0\] needs content"),
    "numbers with a fraction": (AsyncEmbeddings.create, ([0.5], "a/b"), {}, r"input\[0\]"),
    "dimensions": (AsyncEmbeddings.create, ("x", "a/b"), {"dimensions": 0}, "dimensions"),
    "encoding": (AsyncEmbeddings.create, ("x", "a/b"), {"encoding_format": "hex"}, "encoding_format"),
    "a typo": (AsyncEmbeddings.create, ("x", "a/b"), {"dimension": 5}, "dimension is no argument"),
    "no model": (AsyncEmbeddings.create, ("x", None), {}, "model must be text"),
    "an unknown model": (AsyncEmbeddings.create, ("x", "nobody"), {}, "nobody"),
    "no query": (AsyncRerank.create, ("", ["x"], "a/b"), {}, "query"),
    "no documents": (AsyncRerank.create, ("q", [], "a/b"), {}, "documents is empty"),
    "a text as documents": (AsyncRerank.create, ("q", "doc", "a/b"), {}, "documents must be a list"),
    "an empty document": (AsyncRerank.create, ("q", ["x", {}], "a/b"), {}, r"documents\[1\]"),
    "a number as document": (AsyncRerank.create, ("q", [5], "a/b"), {}, r"documents\[0\]"),
    "top_n": (AsyncRerank.create, ("q", ["x"], "a/b"), {"top_n": -1}, "top_n"),
    "nothing to say": (AsyncAudioCalls.speech, ("", "a/b"), {}, "input"),
    "no turns": (AsyncAudioCalls.speech, ([], "a/b"), {}, "input is empty"),
    "a silent turn": (AsyncAudioCalls.speech, ([{"voice": "v"}], "a/b"), {}, r"input\[0\].text"),
    "no voice": (AsyncAudioCalls.speech, ("x", "a/b", ""), {}, "voice"),
    "speed": (AsyncAudioCalls.speech, ("x", "a/b"), {"speed": -1}, "speed"),
    "no sound": (AsyncAudioCalls.transcribe, (b"", "a/b"), {}, "audio is empty"),
    "unknown sound": (AsyncAudioCalls.transcribe, (b"????", "a/b"), {}, "format of audio"),
    "an empty format": (AsyncAudioCalls.transcribe, (WAV, "a/b"), {"format": " "}, "format"),
    "an address in a form": (
        AsyncAudioCalls.transcribe, ("https://a/b.wav", "a/b"), {"multipart": True}, "multipart",
    ),
    "another scheme": (AsyncAudioCalls.transcribe, ("ftp://a/b.wav", "a/b"), {}, "https:"),
    "a file that is not there": (AsyncAudioCalls.transcribe, ("nowhere.wav", "a/b"), {}, "'nowhere.wav'"),
    "a large form": (
        AsyncAudioCalls.transcribe,
        (WAV + bytes(MAX_MULTIPART_AUDIO_BYTES), "a/b"),
        {"multipart": True},
        "audio has 26214412 bytes",
    ),
    "granularities": (
        AsyncAudioCalls.transcribe, (WAV, "a/b"), {"timestamp_granularities": "word"}, "granularities",
    ),
    "no prompt": (AsyncImages.generate, (" ", "a/b"), {}, "prompt"),
    "n": (AsyncImages.generate, ("x", "a/b"), {"n": 0}, "n must be"),
    "compression": (AsyncImages.stream, ("x", "a/b"), {"output_compression": 101}, "compression"),
    "references": (AsyncImages.generate, ("x", "a/b"), {"input_references": ["u"]}, "references"),
    "no author": (AsyncImages.endpoints, ("GPT",), {}, "GPT"),
    "nothing to film": (AsyncVideos.create, (None, "a/b"), {}, "prompt is not given"),
    "duration": (AsyncVideos.create, ("x", "a/b"), {"duration": 0}, "duration"),
    "upscaling": (AsyncVideos.create, ("x", "a/b"), {"upscale_factor": 0}, "upscale_factor"),
    "index": (AsyncVideos.content, ("j", -1), {}, "index"),
    "no size": (AsyncVideos.content, ("j",), {"max_bytes": 0}, "max_bytes"),
    "no job": (AsyncVideos.get, ("",), {}, "address"),
    "interval": (AsyncVideos.wait, ("j",), {"poll_interval": 0}, "poll_interval"),
    "no interval": (AsyncVideos.wait, ("j",), {"poll_interval": None}, "poll_interval"),
    "timeout": (AsyncBatches.wait, ("b",), {"timeout": -1}, "timeout"),
    "no file": (AsyncFiles.upload, (b"",), {}, "file is empty"),
    "a number as file": (AsyncFiles.upload, (5,), {}, "file must be a path"),
    "a pair of texts": (AsyncFiles.upload, (("a", "b"),), {}, "file must be a pair"),
    "a path of bytes": (AsyncFiles.upload, (BytePath(),), {}, "file must be a path"),
    "three things": (AsyncFiles.upload, (("a", b"b", "c"),), {}, "file must be a pair"),
    "too long a path": (AsyncFiles.upload, ("x" * 5000,), {}, "cannot be read"),
    "a null byte": (AsyncFiles.upload, ("a\0b",), {}, "file"),
    "an empty name": (AsyncFiles.upload, (b"x",), {"filename": ""}, "filename"),
    "an empty purpose": (AsyncFiles.upload, (b"x",), {"purpose": ""}, "purpose"),
    "no file id": (AsyncFiles.get, ("..",), {}, "address"),
    "a file's size": (AsyncFiles.content, ("f",), {"max_bytes": -1}, "max_bytes"),
    "a container's size": (AsyncContainerFiles.content, ("c", "f"), {"max_bytes": 0}, "max_bytes"),
    "no requests": (AsyncBatches.create, ([], "a/b"), {}, "requests is empty"),
    "one request": (AsyncBatches.create, (ONE, "a/b"), {}, "requests must be a list"),
    "no id": (AsyncBatches.create, ([{"body": {"a": 1}}], "a/b"), {}, r"requests\[0\].custom_id"),
    "twice the id": (AsyncBatches.create, ([ONE, ONE], "a/b"), {}, "'a' twice"),
    "no body": (AsyncBatches.create, ([{"custom_id": "a"}], "a/b"), {}, r"requests\[0\].body"),
    "no endpoint": (AsyncBatches.create, ([ONE], "a/b"), {"endpoint": ""}, "endpoint"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "args", "kwargs", "named"), REFUSED.values(), ids=REFUSED)
async def test_an_impossible_argument_is_refused_by_name(method, args, kwargs, named):
    resource = globals()[method.__qualname__.partition(".")[0]](HERE)
    with pytest.raises(OpenRouterConfigurationError, match=named):
        await method(resource, *args, **kwargs)


LISTS = {
    "offset": (AsyncEmbeddings.models, (), {"offset": -1}, "offset"),
    "limit": (AsyncFiles.list, (), {"limit": 1001}, "limit"),
    "order": (AsyncFiles.list, (), {"order": "up"}, "order"),
    "files of no container": (AsyncContainerFiles.list, ("",), {}, "address"),
    "a time": (AsyncBatches.list, (), {"created_after": -5}, "created_after"),
    "a typo": (AsyncImages.models, (), {"limits": 5}, "limits"),
}


@pytest.mark.parametrize(("method", "args", "kwargs", "named"), LISTS.values(), ids=LISTS)
def test_an_impossible_argument_of_a_list_is_refused_at_once(method, args, kwargs, named):
    resource = globals()[method.__qualname__.partition(".")[0]](HERE)
    with pytest.raises(OpenRouterConfigurationError, match=named):
        method(resource, *args, **kwargs)


async def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    large = tmp_path / "large.pdf"
    with large.open("wb") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1)
    monkeypatch.setattr(_uploads.Path, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(OpenRouterConfigurationError, match="file has 104857601 bytes"):
        await AsyncFiles(HERE).upload(large)


async def test_what_is_no_regular_file_is_not_opened(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(OpenRouterConfigurationError, match="no regular file"):
            await AsyncFiles(HERE).upload(path)


async def test_a_message_shows_the_name_of_a_file_and_not_its_folder(tmp_path):
    with pytest.raises(OpenRouterConfigurationError) as caught:
        await AsyncFiles(HERE).upload(tmp_path / "missing.pdf")
    assert "missing.pdf" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
