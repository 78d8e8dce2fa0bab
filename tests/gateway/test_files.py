"""Files: uploaded to disk, listed, read and deleted; nothing of one that was cut."""

import asyncio
import os
from pathlib import Path

import openai
import pytest

from taskfleet.gateway.filestore import FileStore
from taskfleet.gateway.service import GatewayOptions
from tests.gateway.conftest import Site
from tests.support.waiting import eventually

CUT = b'--abc\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch'
FORM = {"purpose": (None, "batch")}


async def test_openais_client_uploads_reads_lists_and_deletes(site: Site) -> None:
    data = b'{"custom_id": "a"}\n' * 1000
    made = await site.openai.files.create(file=("lines.jsonl", data), purpose="batch")
    assert (made.filename, made.purpose, made.bytes, made.status) == ("lines.jsonl", "batch", len(data), "processed")
    assert (await site.openai.files.content(made.id)).content == data
    assert (await site.openai.files.retrieve(made.id)).id == made.id
    other = await site.openai.files.create(file=("more.jsonl", b"x"), purpose="batch")
    assert [file.id async for file in site.openai.files.list()] == [other.id, made.id]
    assert [file.id async for file in site.openai.files.list(limit=1)] == [other.id, made.id], "page by page"
    assert (await site.openai.files.delete(made.id)).deleted is True
    with pytest.raises(openai.NotFoundError):
        await site.openai.files.retrieve(made.id)


async def test_what_is_uploaded_is_kept_byte_by_byte(site: Site) -> None:
    data = bytes(range(256)) * 4096 + b"\r\n--not the boundary\r\n"
    answer = await site.http.post("/v1/files", files={**FORM, "file": ("../../etc/a\u00e9.bin", data)})
    assert answer.status_code == 200, answer.text
    assert (await site.get(f"/v1/files/{answer.json()['id']}/content")).content == data


@pytest.mark.parametrize(
    ("files", "param"),
    [
        ({"file": ("a", b"x")}, "purpose"),
        ({"purpose": (None, "fine-tune"), "file": ("a", b"x")}, "purpose"),
        (FORM, "file"),
        ({**FORM, "other": ("a", b"x")}, "other"),
        ({**FORM, "file": ("a", b"x"), "expires": (None, "1d")}, "expires"),
    ],
)
async def test_a_form_that_lacks_something_is_refused(
    site: Site, options: GatewayOptions, files: dict[str, tuple[str | None, str | bytes]], param: str
) -> None:
    answer = await site.http.post("/v1/files", files=files)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert left_in(options.files) == []


async def test_what_is_no_form_is_refused(site: Site) -> None:
    for body, kind in (
        (b"{}", "application/json"),
        (b"x", "multipart/form-data"),
        (b"rubbish", "multipart/form-data; boundary=abc"),
        (b'--abc\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch', "multipart/form-data; boundary=abc"),
    ):
        answer = await site.http.post("/v1/files", content=body, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "body"), answer.text


async def test_a_file_that_is_too_large_is_refused_before_it_is_sent(site: Site) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "Content-Type: multipart/form-data; boundary=a\r\nContent-Length: 300000000"
    writer.write(f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_an_upload_that_is_cut_leaves_nothing(site: Site, options: GatewayOptions) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = "Content-Type: multipart/form-data; boundary=a\r\nContent-Length: 100000"
    part = '--a\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhalf'
    writer.write(f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n{part}".encode())
    await writer.drain()
    await eventually(lambda: left_in(options.files), "the upload to begin")
    writer.close()
    await eventually(lambda: not left_in(options.files), "what was begun to go")
    assert [file.id async for file in site.openai.files.list()] == []


@pytest.mark.parametrize(
    "path", ["file-x", "..%2f..%2fetc%2fpasswd", "file-000000000000000000000000", "%00", "file-" + "x" * 300]
)
async def test_a_file_that_is_not_there_is_a_404(site: Site, path: str) -> None:
    for answer in (
        await site.get(f"/v1/files/{path}"),
        await site.get(f"/v1/files/{path}/content"),
        await site.http.delete(f"/v1/files/{path}"),
    ):
        assert answer.status_code == 404


def test_what_a_dead_gateway_left_is_swept(tmp_path: Path) -> None:
    FileStore(tmp_path)
    old, new = tmp_path / ".upload-old", tmp_path / ".upload-new"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    FileStore(tmp_path)
    assert left_in(tmp_path) == [".upload-new"]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
