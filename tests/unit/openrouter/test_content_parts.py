import base64
import os
from pathlib import Path

import pytest

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter import _content
from mbxai.openrouter._content import audio_part, file_part, image_part, text_part, video_part
from mbxai.openrouter._media_types import media_type_of, suffix_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20
PDF = b"%PDF-1.7\n%some"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00"


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x0a\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"II*\x00", "image/tiff"),
        (b"\x00\x00\x00\x1cftypavif", "image/avif"),
        (b"\x00\x00\x00\x1cftypheic", "image/heic"),
        (PDF, "application/pdf"),
        (WAV, "audio/wav"),
        (b"FORM\x00\x00\x00\x00AIFFCOMM", "audio/aiff"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"fLaC\x00", "audio/flac"),
        (b"OggS\x00", "audio/ogg"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        (MP4, "video/mp4"),
        (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"\x00\x00\x01\xba", "video/mpeg"),
        (b"RIFF\x0a\x00\x00\x00\nAVI", ""),
        (b"\xff\xfeh\x00i\x00", ""),
        (b"ID3 is a kind of tag", ""),
        (b"", ""),
    ],
)
def test_the_first_bytes_tell_the_media_type(data, media_type):
    assert media_type_of(data, "") == media_type


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.txt", "text/plain"),
        ("a.CSV", "text/csv"),
        ("a.md", "text/markdown"),
        ("a.html", "text/html"),
        ("a.json", "application/json"),
        ("folder/a.mp3", "audio/mpeg"),
        ("a.wav", "audio/wav"),
        ("a.m4a", "audio/mp4"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.csv.gz", ""),
        ("a.unheard", ""),
        ("a", ""),
    ],
)
def test_the_name_tells_the_media_type_where_the_bytes_do_not(name, media_type):
    assert media_type_of(b"plain", name) == media_type
    assert media_type_of(PNG, name) == "image/png"


def test_a_media_type_tells_the_suffix():
    assert [suffix_of(kind) for kind in ("application/pdf", "text/markdown", "x/y")] == [
        ".pdf",
        ".md",
        "",
    ]


def test_text_is_a_part_with_or_without_a_breakpoint():
    assert text_part("hi") == {"type": "text", "text": "hi"}
    cache = {"type": "ephemeral", "ttl": "1h"}
    assert text_part("hi", cache_control=cache)["cache_control"] == cache


@pytest.mark.parametrize(
    "url", ["https://a.b/c.png?x=1", "http://a.b/c", "HTTPS://a.b/", data_url("image/png", PNG)]
)
def test_an_address_is_sent_as_it_is(url):
    assert image_part(url) == {"type": "image_url", "image_url": {"url": url}}
    assert video_part(url) == {"type": "video_url", "video_url": {"url": url}}
    assert file_part(url, filename="x")["file"] == {"filename": "x", "file_data": url}


def test_a_picture_is_read_from_a_path_or_taken_from_bytes(tmp_path):
    path = tmp_path / "no suffix"
    path.write_bytes(PNG)
    for source in (path, str(path), PNG, bytearray(PNG), memoryview(PNG)):
        assert image_part(source)["image_url"] == {"url": data_url("image/png", PNG)}
    assert image_part(PNG, detail="low")["image_url"]["detail"] == "low"
    assert image_part(b"<svg/>", media_type="image/svg+xml")["image_url"]["url"].startswith(
        "data:image/svg+xml;base64,"
    )


def test_a_film_is_read_from_a_path(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(MP4)
    assert video_part(path) == {
        "type": "video_url",
        "video_url": {"url": data_url("video/mp4", MP4)},
    }


def test_a_file_has_a_name(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    sent = data_url("text/plain", b"hello")
    assert file_part(path)["file"] == {"filename": "notes.txt", "file_data": sent}
    assert file_part(path, filename="b.txt")["file"]["filename"] == "b.txt"
    assert file_part(PDF)["file"]["filename"] == "file.pdf"
    assert file_part(b"hello", filename="a.txt")["file"]["file_data"] == sent
    assert file_part(b"x", media_type="x/y")["file"]["filename"] == "file"
    assert file_part("https://a.b/c/my%20d.pdf?x")["file"]["filename"] == "my d.pdf"
    assert "filename" not in file_part("https://a.b/")["file"]
    assert "filename" not in file_part(data_url("application/pdf", PDF))["file"]


@pytest.mark.parametrize(
    ("data", "name", "known"),
    [
        (WAV, "a", "wav"),
        (b"ID3\x03", "a", "mp3"),
        (b"fLaC", "a", "flac"),
        (b"OggS", "a", "ogg"),
        (b"\xff\xf1", "a", "aac"),
        (b"FORM\x00\x00\x00\x00AIFF", "a", "aiff"),
        (b"\x00\x00\x00\x20ftypM4A ", "a", "m4a"),
        (b"?", "a.mp3", "mp3"),
        (b"?", "a.aac", "aac"),
    ],
)
def test_sound_is_sent_in_base64_with_its_format(tmp_path, data, name, known):
    path = tmp_path / name
    path.write_bytes(data)
    encoded = base64.b64encode(data).decode()
    assert audio_part(path) == {
        "type": "input_audio",
        "input_audio": {"data": encoded, "format": known},
    }
    assert audio_part(data, format="pcm16")["input_audio"]["format"] == "pcm16"


def test_sound_in_a_data_url_is_taken_out_of_it():
    encoded = base64.b64encode(WAV).decode()
    for url in (data_url("audio/x-wav", WAV), data_url("", WAV)):
        assert audio_part(url)["input_audio"] == {"data": encoded, "format": "wav"}


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: audio_part("https://a.b/c.wav"), "audio_part: OpenRouter takes sound only"),
        (lambda: audio_part("data:audio/wav,plain"), "audio_part: the data: URL is not in base64"),
        (lambda: audio_part("data:audio/wav;base64,?"), "audio_part: the data: URL is not in"),
        (lambda: audio_part("data:audio/wav;base64,"), "audio_part: the source is empty"),
        (lambda: audio_part(b"?"), "audio_part: the source is of unknown format"),
        (lambda: audio_part(PDF), "audio_part: the source is application/pdf, which is no sound"),
        (lambda: image_part(PDF), r"image_part: the source is application/pdf, not image/\*"),
        (lambda: video_part(WAV), r"video_part: the source is audio/wav, not video/\*"),
        (lambda: image_part(b"?"), "image_part: the source is of unknown media type. .*media_type="),
        (lambda: file_part(b"?"), "file_part: the source is of unknown media type"),
        (lambda: image_part(b""), "image_part: the source is empty"),
        (lambda: image_part("file:///etc/x.png"), "image_part: only https:, http: and data: URLs"),
        (lambda: video_part("ftp://a.b/c"), "video_part: only https:, http: and data: URLs"),
        (lambda: image_part(5), "image_part: the source must be .* not int"),
        (lambda: image_part(None), "image_part: the source must be .* not NoneType"),
        (lambda: image_part("a\0b"), "image_part: .* cannot be read"),
        (lambda: image_part("A" * 9000), "image_part: 'A{100}' cannot be read"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_sent_is_refused(make, problem):
    with pytest.raises(OpenRouterConfigurationError, match=f"^{problem}") as caught:
        make()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("make", [image_part, file_part, audio_part, video_part])
def test_a_file_that_cannot_be_read_is_named_without_its_folder(tmp_path, make):
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, problem in [
        ("missing.png", "there is no file 'missing.png'"),
        ("empty.png", "'empty.png' is empty"),
        ("folder", "'folder' is a directory"),
        ("pipe", "'pipe' is no regular file"),
    ]:
        with pytest.raises(OpenRouterConfigurationError, match=problem) as caught:
            make(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)
        assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, OSError)


def test_a_file_that_is_too_large_is_refused_before_it_is_encoded(tmp_path, monkeypatch):
    monkeypatch.setattr(_content, "MAX_FILE_BYTES", 1 << 20)
    exact = tmp_path / "exact.png"
    exact.write_bytes(PNG.ljust(1 << 20, b"\0"))
    assert len(image_part(exact)["image_url"]["url"]) > 1 << 20
    large = Path(tmp_path / "large.png")
    large.write_bytes(PNG.ljust((1 << 20) + 1, b"\0"))
    for source in (large, large.read_bytes()):
        with pytest.raises(OpenRouterConfigurationError, match="is larger than 1 MiB"):
            image_part(source)
