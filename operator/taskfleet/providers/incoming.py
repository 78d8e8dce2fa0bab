"""One HTTP answer as it comes, read by llhttp: kept whole, or given away line by line."""

import zlib
from collections.abc import Callable
from typing import Any

import httptools

from taskfleet.providers.answer import Answer, NoAnswer

Line = Callable[[bytes], None]

STREAMS = ("text/event-stream", "application/x-ndjson")
NO_BODY = (204, 304)
SWITCHING_PROTOCOLS = 101
COMPRESSED = ("gzip", "x-gzip", "deflate")
GZIP_OR_ZLIB = 47  # zlib's window bits: whichever of the two it is


class Incoming:
    """An answer of at most ``limit`` bytes; a 200 that is a stream goes to ``line``. llhttp calls the ``on_*``.

    ``is_whole``: all of it came. ``began``: its head did. ``keeps_alive``: the server takes another request after it.
    """

    def __init__(self, limit: int, line: Line | None) -> None:
        self.is_whole = False
        self.began = False
        self.keeps_alive = False
        self._limit = limit
        self._line = line
        self._failure: Exception | None = None
        self._status = 0
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._size = 0
        self._streams = False
        self._ends_with_connection = False
        self._inflater: Any = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """More of it. Raises NoAnswer, and what ``line`` raised."""
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keeps_alive = False
            if not self.is_whole:  # what comes after it is not ours to read
                raise self._failure or NoAnswer("not_http", f"no usable HTTP answer ({error})") from error

    def feed_end(self) -> None:
        """The server closed the connection. Raises NoAnswer unless that is how this answer ends."""
        if not self.began:
            raise NoAnswer("connection_reset", "the connection was cut before an answer")
        if not self._ends_with_connection:
            raise NoAnswer("answer_cut", "the connection was cut inside the answer")
        self._complete()

    def answer(self) -> Answer:
        """Once it is whole; an end, for it also breaks the circle of llhttp and this."""
        self._parser = None
        return Answer(self._status, self._headers, b"".join(self._parts), self._streams)

    def on_message_begin(self) -> None:
        if self.is_whole:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._status = self._parser.get_status_code()
        if status < 200:
            if status == SWITCHING_PROTOCOLS:
                self._fail(NoAnswer("not_http", "the server wants another protocol than HTTP/1.1"))
            return
        self.began = True
        self.keeps_alive = self._parser.should_keep_alive()
        headers = self._headers
        length = headers.get("content-length")
        if length is None:
            self._ends_with_connection = "transfer-encoding" not in headers and status not in NO_BODY
        elif int(length) > self._limit:
            self._fail(self._too_large())
        if self._line is not None and status == 200:
            self._streams = headers.get("content-type", "").partition(";")[0].strip().lower() in STREAMS
        if "content-encoding" in headers and headers["content-encoding"].lower() in COMPRESSED:
            self._inflater = zlib.decompressobj(GZIP_OR_ZLIB)  # from a server that was asked not to

    def on_body(self, data: bytes) -> None:
        if self._inflater is not None:
            data = self._inflated(data)
        self._size += len(data)
        if self._size > self._limit:
            self._fail(self._too_large())
        self._parts.append(data)
        if self._streams and b"\n" in data:
            *lines, rest = b"".join(self._parts).split(b"\n")
            self._parts = [rest]
            for each in lines:
                self._tell(each.removesuffix(b"\r"))

    def on_message_complete(self) -> None:
        if self.began:
            self._complete()
        else:  # 100 Continue and its like: the answer is yet to come
            self._headers = {}

    def _complete(self) -> None:
        if self._streams and (rest := b"".join(self._parts)):
            self._parts = []
            self._tell(rest)
        self.is_whole = True

    def _inflated(self, data: bytes) -> bytes:
        try:
            inflated: bytes = self._inflater.decompress(data, self._limit + 1)
        except zlib.error as error:
            self._fail(NoAnswer("not_http", f"the answer's compression is broken ({error})"))
            raise
        return inflated

    def _tell(self, line: bytes) -> None:
        assert self._line is not None
        try:
            self._line(line)
        except Exception as error:
            self._fail(error)

    def _too_large(self) -> NoAnswer:
        return NoAnswer("answer_too_large", f"the answer is larger than {self._limit // 2**20} MiB")

    def _fail(self, failure: Exception) -> None:
        """llhttp stops at an exception, and says nothing of which."""
        self._failure = failure
        raise failure
