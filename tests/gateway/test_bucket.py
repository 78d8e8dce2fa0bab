"""The files of batches in a bucket of a real S3 server: the same as in a folder, and never whole in memory."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taskfleet.core.errors import InputError, StoreError
from taskfleet.gateway import bucketpieces
from taskfleet.gateway.bucket import Bucket
from taskfleet.gateway.bucketstore import BucketStore
from taskfleet.gateway.filestorage import StoredFile, lines_of
from taskfleet.gateway.service import GatewayOptions, gateway
from tests.gateway.conftest import opened, working
from tests.gateway.test_batches import ended, jsonl, line, start
from tests.gateway.test_batches import lines_of as lines_in
from tests.support.modelstub import ModelStub
from tests.support.s3server import S3Server, running_s3
from tests.support.work import Work

PLACE = "s3://batches/taskfleet"
OUTPUT = StoredFile(f"file-{'0' * 24}-output", "one", "out.jsonl", "batch_output", 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(f"{PLACE}/{tmp_path.name}")


@pytest.fixture
def files(bucket: Bucket) -> BucketStore:
    return BucketStore(bucket)


def test_what_is_uploaded_is_kept_byte_by_byte_in_pieces(
    files: BucketStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucketpieces, "PIECE_BYTES", 1000)
    data = bytes(range(256)) * 20
    with files.upload() as upload:
        for at in range(0, len(data), 300):
            upload.write(data[at : at + 300])
        kept = upload.keep("one", "a.bin", "batch")
    assert files.get(kept.id) == kept
    assert files.size(kept.id) == len(data)
    with files.open(kept.id) as stream:
        assert stream.read() == data
    assert max(bucket.under(kept.id).values()) < 1300
    assert [file.id for file in files.all()] == [kept.id]
    files.delete(kept.id)
    assert (files.get(kept.id), files.all(), bucket.under(kept.id)) == (None, [], {})
    with pytest.raises(FileNotFoundError):
        files.open(kept.id)


def test_of_an_upload_that_was_cut_nothing_is_left(files: BucketStore, bucket: Bucket) -> None:
    with pytest.raises(ConnectionError), files.upload() as upload:
        upload.write(b"x" * (bucketpieces.PIECE_BYTES + 1))
        raise ConnectionError
    assert files.all() == []
    assert bucket.under(upload.id) == {}


def test_a_line_is_read_whole_wherever_the_pieces_end(files: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucketpieces, "PIECE_BYTES", 10)
    with files.upload() as upload:
        for part in (b"one\ntwo two t", b"wo two\n", b"x" * 50, b"x\nfour"):
            upload.write(part)
        kept = upload.keep("one", "a", "batch")
    assert list(lines_of(files, kept.id, 40)) == [b"one\n", b"two two two two\n", b"x" * 42, b"four"]


def test_a_file_that_grows_is_read_meanwhile_and_taken_up_after_a_kill(
    files: BucketStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucketpieces, "PIECE_BYTES", 40)
    monkeypatch.setattr(bucketpieces, "SHOW_SECONDS", 0)
    first = files.grow(OUTPUT, 1)
    for number in range(8):
        first.add(b'{"line": %d}\n' % number)
        first.show()
    first.add(b'{"line": "not shown"}\n')
    assert first.is_behind
    second = files.grow(OUTPUT, 2)  # as after a kill of the first
    assert [json.loads(each)["line"] for each in second.lines()] == list(range(8))
    second.add(b'{"line": 8}\n')
    second.close()
    with files.open(OUTPUT.id) as stream:
        assert [json.loads(each)["line"] for each in stream] == list(range(9))
    assert {name.rpartition("/")[2].partition("-")[0] for name in bucket.under(OUTPUT.id)} == {"00000002"}


def test_what_a_writer_still_writes_that_was_only_held_up_is_not_in_the_file(files: BucketStore) -> None:
    held_up = files.grow(OUTPUT, 3)
    held_up.add(b"1\n")
    held_up.close()
    other = files.grow(OUTPUT, 4)
    held_up.add(b"2\n")
    other.add(b"2\n3\n")
    other.close()
    held_up.close()
    assert list(files.grow(OUTPUT, 5).lines()) == [b"1\n", b"2\n", b"3\n"]


@pytest.mark.parametrize(
    ("place", "change", "words"),
    [
        ("s3://elsewhere", {}, "there is no such bucket"),
        (PLACE, {"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret of the access key is wrong"),
        (PLACE, {"AWS_ACCESS_KEY_ID": "nobody"}, "the access key is not known there"),
        (PLACE, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "error sending request"),
        ("s3://", {}, "names no bucket"),
    ],
)
async def test_a_bucket_that_cannot_be_used_is_told_at_the_start(
    options: GatewayOptions, monkeypatch: pytest.MonkeyPatch, place: str, change: dict[str, str], words: str
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=rf"^files: .*{words}"):
        async with gateway(replace(options, files=place)):
            pass


async def test_a_batch_runs_from_bucket_to_bucket(
    options: GatewayOptions, work: Work, model: ModelStub, store_url: str, tmp_path: Path
) -> None:
    await work.open()
    options = replace(options, files=f"{PLACE}/{tmp_path.name}")
    async with opened(options, work) as one, opened(options, work) as two:
        async with working(store_url, work.queue, model.url):
            batch = await start(one.openai, jsonl(*(line(f"r{n}") for n in range(30))))
            done = await ended(two.openai, batch.id)
            assert (done.status, done.request_counts.completed, done.error_file_id) == ("completed", 30, None)
            for site in (one, two):
                output = await lines_in(site.openai, done.output_file_id)
                assert sorted(each["custom_id"] for each in output) == sorted(f"r{n}" for n in range(30))
        listed = [file.purpose async for file in two.openai.files.list()]
        assert sorted(listed) == ["batch", "batch_output"]
        assert (await two.openai.files.delete(done.output_file_id)).deleted is True


async def test_while_the_storage_is_away_the_answer_is_a_503_in_words(
    options: GatewayOptions, work: Work, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await work.open()
    with running_s3(tmp_path_factory.mktemp("away")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        async with opened(replace(options, files=PLACE), work) as site:
            server.process.kill()
            await asyncio.to_thread(server.process.wait)
            answer = await site.get("/v1/files")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, StoreError.code)
            assert answer.json()["error"]["message"].startswith(f"files: {PLACE}: ")
            assert (await site.get("/v1/models")).status_code == 200
