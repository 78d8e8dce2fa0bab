"""A file in a form (multipart), written to its storage as it comes: in memory is never more than a piece of it."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from taskfleet.core.errors import InputError
from taskfleet.gateway.bodies import bounded
from taskfleet.gateway.filestorage import FileStorage, StoredFile, Upload

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FILE_BYTES = 200 * 2**20
UPLOAD_SECONDS = 3600.0
_FORM_BYTES = 2**20  # beside the file
_FIELD_BYTES = 1024
_NAME_LENGTH = 255
PURPOSE = "batch"


async def take_upload(request: Request, files: FileStorage, tenant: str) -> StoredFile:
    """The file of a form with ``file`` and ``purpose``. Raises InputError, Refused, Gone."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InputError("body: it must be a form (multipart/form-data) with the fields purpose and file")
    with contextlib.ExitStack() as stack:
        upload = await asyncio.to_thread(stack.enter_context, files.upload())
        form = _Form(upload)
        parser = MultipartParser(boundary, form.callbacks)
        async for part in bounded(request, MAX_FILE_BYTES + _FORM_BYTES, UPLOAD_SECONDS):
            try:
                await asyncio.to_thread(parser.write, part)
            except FormParserError as error:
                raise InputError(f"body: it is not a form: {error}") from None
        form.check()
        return await asyncio.to_thread(upload.keep, tenant, form.filename, PURPOSE)


class _Form:
    """Hears of the parts of a form; the content of ``file`` goes to the upload."""

    def __init__(self, upload: Upload) -> None:
        self.filename = ""
        self.callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }
        self._upload = upload
        self._fields: dict[str, bytearray] = {}
        self._files = 0
        self._whole = False
        self._begin()

    def check(self) -> None:
        """Raise InputError unless it was whole, and had what it must have."""
        if not self._whole:
            raise InputError("body: the form ends in the middle; send it again")
        unknown = next((name for name in self._fields if name != "purpose"), None)
        if unknown is not None:
            raise InputError(f"{unknown[:64]}: unknown field; there are purpose and file")
        purpose = bytes(self._fields.get("purpose", b"")).decode(errors="replace")
        if purpose != PURPOSE:
            raise InputError(f"purpose: {purpose[:40]!r} is not a purpose of files here; send {PURPOSE}")
        if self._files != 1:
            raise InputError(f"file: there are {self._files} files in the form; send one")

    def _begin(self) -> None:
        self._name, self._is_file = "", False
        self._header, self._value = bytearray(), bytearray()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode(errors="replace")
            self._is_file = b"filename" in options
            if self._is_file:
                self.filename = options[b"filename"].decode(errors="replace")[:_NAME_LENGTH]
        self._header, self._value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        if self._is_file and self._name != "file":
            raise InputError(f"{self._name[:64]}: a file is expected in the field file")
        if not self._is_file and len(self._fields) < 8:
            self._fields[self._name] = bytearray()
        self._files += self._is_file

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._upload.write(data[start:end])
        elif self._name in self._fields:
            room = _FIELD_BYTES - len(self._fields[self._name])
            self._fields[self._name] += data[start : min(end, start + room)]

    def _end(self) -> None:
        self._whole = True
