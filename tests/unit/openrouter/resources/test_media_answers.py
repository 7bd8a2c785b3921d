"""What the answers hold, also where they are odd."""

import base64
import struct
import sys

import pytest

from mbxai.errors import InvalidResponseError
from mbxai.openrouter._requester import Upload
from mbxai.openrouter.resources._uploads import form_fields, read_upload
from mbxai.openrouter.resources.batches import Batch
from mbxai.openrouter.resources.embeddings import EmbeddingResponse
from mbxai.openrouter.resources.files import StoredFile
from mbxai.openrouter.resources.images import ImageResponse
from mbxai.openrouter.resources.videos import VideoJob
from mbxai.wire import ResponseInfo


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_base64_becomes_the_same_numbers_as_text():
    answer = EmbeddingResponse.from_object(
        {"data": [{"embedding": packed(0.5, -2.0, 1e-3)}, {"embedding": [0.5, -2, 0.001]}]}
    )
    first, second = answer.vectors()
    assert first == pytest.approx(second, rel=1e-6)
    assert [type(number) for number in first + second] == [float] * 6


def test_base64_is_little_endian_also_where_the_machine_is_not(monkeypatch):
    swapped = base64.b64encode(struct.pack(">2f", 0.5, -2.0)).decode()
    answer = EmbeddingResponse.from_object({"data": [{"embedding": swapped}]})
    other = "little" if sys.byteorder == "big" else "big"
    monkeypatch.setattr(sys, "byteorder", other)
    assert answer.vectors() == [[0.5, -2.0]]


def test_vectors_come_in_the_order_of_the_input():
    items = [{"index": 2, "embedding": [2.0]}, {"index": 0, "embedding": [0.0]}]
    answer = EmbeddingResponse.from_object({"data": [*items, {"index": 1, "embedding": [1.0]}]})
    assert answer.vectors() == [[0.0], [1.0], [2.0]]
    assert [item.index for item in answer.data] == [2, 0, 1]


def test_vectors_without_places_stay_as_they_came():
    answer = EmbeddingResponse.from_object(
        {"data": [{"embedding": [5.0]}, {"index": 0, "embedding": [4.0]}]}
    )
    assert answer.vectors() == [[5.0], [4.0]]


@pytest.mark.parametrize("vector", ["!!!", packed(1.0)[:-2], "AAA=", "", None, []])
def test_a_vector_that_cannot_be_read_is_an_error_and_no_empty_vector(vector):
    answer = EmbeddingResponse.from_object({"data": [{"embedding": vector}]})
    with pytest.raises(InvalidResponseError, match="embedding"):
        answer.vectors()


def test_a_picture_gives_its_bytes_also_without_a_media_type():
    payload = {"data": [{"b64_json": base64.b64encode(b"PNG").decode(), "media_type": None}]}
    [image] = ImageResponse.from_object(payload).data
    assert (image.content, image.media_type) == (b"PNG", None)


@pytest.mark.parametrize("text", ["", "$$$"])
def test_a_picture_that_cannot_be_read_is_an_error(text):
    [image] = ImageResponse.from_object({"data": [{"b64_json": text}]}).data
    with pytest.raises(InvalidResponseError, match="picture"):
        _ = image.content


def test_a_job_names_its_generation_and_not_itself():
    job = VideoJob.from_object({"id": "job-1", "generation_id": "gen-1", "status": "pending"})
    assert (job.generation_id, job.to_dict()["generation_id"]) == ("gen-1", "gen-1")
    other = VideoJob.from_object({"id": "job-1"})
    other.set_response(ResponseInfo(200, {"x-generation-id": "gen-2"}))
    assert other.generation_id == "gen-2"


@pytest.mark.parametrize("word", ["pending", "in_progress", "", "thinking"])
def test_a_job_of_an_unknown_word_goes_on(word):
    assert not VideoJob.from_object({"status": word}).is_over()
    assert not Batch.from_object({"status": word}).is_over()


def test_a_file_tells_its_size_in_both_dialects():
    assert StoredFile.from_object({"size_bytes": 5}).size == 5
    assert StoredFile.from_object({"bytes": 6}).size == 6
    assert StoredFile.from_object({}).size is None


def test_results_of_a_batch_are_answers_or_errors():
    batch = Batch.from_object(
        {
            "status": "completed",
            "results": [
                {
                    "id": "r1",
                    "custom_id": "a",
                    "error": None,
                    "response": {
                        "status_code": 200,
                        "request_id": None,
                        "body": {"choices": [{"message": {"content": "Hi"}}], "x": 1},
                    },
                },
                {
                    "id": "r2",
                    "custom_id": "b",
                    "response": None,
                    "error": {
                        "message": "too long",
                        "error_type": "string_too_long",
                        "param": None,
                    },
                },
                {"custom_id": "c", "response": {"status_code": 200, "body": {"data": []}}},
            ],
        }
    )
    first, second, third = batch.results
    assert first.completion.choices[0].message.content == "Hi"
    assert first.response.body["x"] == 1
    assert (second.completion, second.error.error_type) == (None, "string_too_long")
    assert third.completion is None


def test_a_form_sends_lists_item_by_item_and_objects_as_json():
    fields = {"a": "x", "b": True, "c": 0.5, "d": ["v", "w"], "e": {"f": 1}, "g": None}
    assert form_fields(fields, {"extra_body": {"a": "y", "h": 2}}) == {
        "a": "y", "b": "true", "c": "0.5", "d[]": ["v", "w"], "e": '{"f": 1}', "h": "2",
    }  # fmt: skip


async def test_an_upload_knows_name_and_kind(tmp_path):
    pdf = tmp_path / "a b.pdf"
    pdf.write_bytes(b"%PDF-1.7")
    read = read_upload
    assert await read("f", pdf, max_bytes=8) == Upload(b"%PDF-1.7", "a b.pdf", "application/pdf")
    assert await read("f", str(pdf), max_bytes=8, filename="b.bin", media_type="x/y") == Upload(
        b"%PDF-1.7", "b.bin", "x/y"
    )
    assert await read("f", b"%PDF-1.7", max_bytes=8) == Upload(
        b"%PDF-1.7", "file.pdf", "application/pdf"
    )
    assert await read("f", ("../x/notes.md", b"hi"), max_bytes=8) == Upload(
        b"hi", "notes.md", "text/markdown"
    )
    assert await read("f", bytearray(b"??"), max_bytes=8) == Upload(b"??", "file", None)
