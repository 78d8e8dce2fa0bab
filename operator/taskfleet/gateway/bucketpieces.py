"""A file in a bucket, as pieces: no storage appends to an object, and none of ours is ever in memory whole.

The pieces of ``file-1`` are ``file-1/TURN-NUMBER``. Only those of one turn are the file: of the highest one whose
writer said ``ready``. A writer takes over what those before it wrote by copying it; whatever one of them writes later,
when it was only held up, is a piece of an older turn, and nobody reads it. Blocking: for threads.
"""

import io
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from taskfleet.gateway.bucket import Bucket

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE_BYTES = 2 * 2**20
SHOW_SECONDS = 1.0  # lines can be read after so long, or later in a piece that is long:
SHOWN_BYTES_PER_SECOND = 128 * 1024  # a piece that still grows is written anew each time it is shown
_READY = "ready"


def pieces_of(bucket: Bucket, file_id: str) -> dict[str, int]:
    """Names and sizes of the pieces that are the file now, in order."""
    found = bucket.under(file_id)
    turns = [turn for turn, what in map(_parted, found) if what == _READY]
    if not turns:
        return {}
    now = max(turns)
    return {name: size for name, size in found.items() if _parted(name)[0] == now and _parted(name)[1] != _READY}


class PieceWriter:
    """Writes a file from its beginning, in pieces; ``ready`` makes it the file that is read."""

    def __init__(self, bucket: Bucket, file_id: str, turn: int) -> None:
        self._bucket = bucket
        self._file_id = file_id
        self._turn = turn
        self._number = 0
        self._piece = bytearray()  # the last one, which still grows
        self._shown = 0  # bytes of it that are in the bucket
        self._show_at = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether something was added that is not in the bucket yet."""
        return len(self._piece) > self._shown

    def ready(self) -> None:
        self._bucket.put(self._name(_READY), b"")

    def take_over(self, pieces: dict[str, int]) -> None:
        """Begin with what these pieces have. The last one goes on growing here."""
        names = list(pieces)
        for name in names[:-1]:
            self._bucket.copy(name, self._name(f"{self._number:06}"))
            self._number += 1
        for name in names[-1:]:
            self._piece += self._bucket.get(name)
            self.show(now=True)

    def add(self, data: bytes) -> None:
        """What is added at once is in one piece: where lines are added, each piece has whole ones."""
        self._piece += data
        if len(self._piece) >= PIECE_BYTES:
            self._put(bytes(self._piece))
            self._piece.clear()
            self._number, self._shown = self._number + 1, 0

    def show(self, *, now: bool = False) -> None:
        """Put the last piece as it is into the bucket, if it is time to."""
        if self.is_behind and (now or time.monotonic() >= self._show_at):
            self._put(bytes(self._piece))
            self._shown = len(self._piece)
            self._show_at = time.monotonic() + max(SHOW_SECONDS, self._shown / SHOWN_BYTES_PER_SECOND)

    def _put(self, piece: bytes) -> None:
        self._bucket.put(self._name(f"{self._number:06}"), piece)

    def _name(self, what: str) -> str:
        return f"{self._file_id}/{self._turn:08}-{what}"


class GrowingPieces:
    """See ``filestorage.Growing``."""

    def __init__(self, bucket: Bucket, file_id: str, turn: int) -> None:
        self._bucket = bucket
        self._file_id = file_id
        self._writer = PieceWriter(bucket, file_id, turn)
        self._writer.take_over(pieces_of(bucket, file_id))
        self._writer.ready()
        self._older = [name for name in bucket.under(file_id) if int(_parted(name)[0]) < turn]

    @property
    def is_behind(self) -> bool:
        return self._writer.is_behind

    def lines(self) -> Iterator[bytes]:
        with io.BufferedReader(Pieces(self._bucket, list(pieces_of(self._bucket, self._file_id)))) as stream:
            yield from stream

    def add(self, lines: bytes) -> None:
        self._writer.add(lines)

    def show(self) -> None:
        self._writer.show()

    def close(self) -> None:
        self._writer.show(now=True)
        self._bucket.delete(self._older)
        self._older = []


class Pieces(io.RawIOBase):
    """Reads these one after another; one is in memory at a time."""

    def __init__(self, bucket: Bucket, names: Sequence[str]) -> None:
        self._bucket = bucket
        self._names = iter(names)
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: "WriteableBuffer") -> int:
        while not self._piece and (name := next(self._names, None)) is not None:
            self._piece = memoryview(self._bucket.get(name))
        room = memoryview(into).cast("B")
        count = min(len(room), len(self._piece))
        room[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count


def _parted(name: str) -> tuple[str, str]:
    """Turn and number of a piece, or the word that makes the turn the file."""
    turn, _, what = name.rpartition("/")[2].partition("-")
    return turn, what
