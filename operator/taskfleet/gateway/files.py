"""``/v1/files``: what batches read and write."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, BinaryIO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from taskfleet.core.errors import InputError, NotFound
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.filestorage import FileStorage, StoredFile
from taskfleet.gateway.paging import page, page_wanted
from taskfleet.gateway.uploads import take_upload
from taskfleet.gateway.wishes import HEADERS

_PIECE = 256 * 1024
MOST_LISTED = 10_000


class Files:
    """Handlers of ``/v1/files``."""

    def __init__(self, files: FileStorage) -> None:
        self._files = files

    async def upload(self, request: Request, caller: Caller) -> Response:
        tenant = caller.tenant_for(request.headers.get(HEADERS["tenant"]))
        file = await take_upload(request, self._files, tenant)
        return json_answer(await asyncio.to_thread(self._shown, file))

    async def listing(self, request: Request, caller: Caller) -> Response:
        wanted = page_wanted(request, most=MOST_LISTED, usual=MOST_LISTED)
        purpose = request.query_params.get("purpose")

        def found() -> list[dict[str, Any]]:
            there = [file for file in self._files.all() if caller.sees(file.tenant)]
            return [self._shown(file) for file in there if purpose in (None, file.purpose)]

        return json_answer(page(await asyncio.to_thread(found), wanted))

    async def show(self, request: Request, caller: Caller) -> Response:
        file = await self._asked_for(request, caller)
        return json_answer(await asyncio.to_thread(self._shown, file))

    async def content(self, request: Request, caller: Caller) -> Response:
        file = await self._asked_for(request, caller)
        size = await asyncio.to_thread(self._files.size, file.id)
        headers = {"Content-Length": str(size)}  # of a file that grows: what is there now
        parts = _parts(await asyncio.to_thread(self._files.open, file.id), size)
        return StreamingResponse(parts, headers=headers, media_type="application/octet-stream")

    async def delete(self, request: Request, caller: Caller) -> Response:
        file = await self._asked_for(request, caller)
        await asyncio.to_thread(self._files.delete, file.id)
        return json_answer({"id": file.id, "object": "file", "deleted": True})

    async def _asked_for(self, request: Request, caller: Caller) -> StoredFile:
        return await known_file(self._files, request.path_params["id"], caller)

    def _shown(self, file: StoredFile) -> dict[str, Any]:
        return {
            "id": file.id,
            "object": "file",
            "bytes": self._files.size(file.id),
            "created_at": file.created_at,
            "filename": file.filename,
            "purpose": file.purpose,
            "status": "processed",
        }


async def known_file(files: FileStorage, file_id: Any, caller: Caller, field: str = "file") -> StoredFile:
    """A file that is the caller's to see. Raises InputError (no text), NotFound."""
    if not isinstance(file_id, str):
        raise InputError(f"{field}: it must be the id of a file")
    file = await asyncio.to_thread(files.get, file_id)
    if file is None or not caller.sees(file.tenant):
        raise NotFound(f"{field}: there is no file {file_id[:128]!r}")
    return file


async def _parts(stream: BinaryIO, size: int) -> AsyncIterator[bytes]:
    try:
        while size > 0 and (part := await asyncio.to_thread(stream.read, min(_PIECE, size))):
            size -= len(part)
            yield part
    finally:
        stream.close()
