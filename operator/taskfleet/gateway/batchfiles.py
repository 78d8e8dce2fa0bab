"""The output and the errors of a batch, written line by line as its tasks end. Blocking: for threads.

What is in them already says what need not be written again: after a kill at any moment, the next one goes on from it.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from taskfleet.core.errors import TaskfleetError
from taskfleet.core.task import QueueKey, TaskState, TaskView
from taskfleet.gateway.answers import error_body
from taskfleet.gateway.batchlines import ENDPOINTS
from taskfleet.gateway.filestore import FileStore, StoredFile
from taskfleet.gateway.shapes import not_completed, whole_answer

_NEVER_RAN: Mapping[TaskState, tuple[str, str]] = {
    TaskState.EXPIRED: ("batch_expired", "This request was not begun before the completion window ended."),
    TaskState.CANCELLED: ("batch_cancelled", "This request was cancelled with its batch."),
}


@dataclass(slots=True)
class Counts:
    """Lines that are written: ``done`` numbers of all, the others how many of them."""

    done: set[int]
    completed: int = 0
    failed: int = 0
    expired: int = 0


class BatchFiles:
    """Of one batch. ``open`` first; then it may be written to from several threads."""

    def __init__(self, files: FileStore, queue: QueueKey, batch: str, endpoint: str) -> None:
        stem = f"file-{batch.removeprefix('batch_')}"
        self.output_id, self.errors_id = f"{stem}-output", f"{stem}-errors"
        self.counts = Counts(set())
        self._files = files
        self._queue = queue
        self._operation = ENDPOINTS[endpoint]
        self._writing = threading.Lock()
        self._output: BinaryIO
        self._errors: BinaryIO

    def open(self, tenant: str, created_at: int) -> None:
        """Make the files, or take up what is there."""
        for file_id, word in ((self.output_id, "output"), (self.errors_id, "errors")):
            if self._files.get(file_id) is None:
                self._files.content(file_id).touch(mode=0o600)
                self._files.put(StoredFile(file_id, tenant, f"{file_id}.jsonl", f"batch_{word}", created_at))
        self._output = _whole_lines(self._files.content(self.output_id))
        self._errors = _whole_lines(self._files.content(self.errors_id))
        for line in self._output:
            self.counts.done.add(_number(orjson.loads(line)))
            self.counts.completed += 1
        for line in self._errors:
            self._count_error(orjson.loads(line))

    def write(self, views: list[TaskView]) -> None:
        """Add the lines of tasks that ended; those that are there already are left out."""
        with self._writing:
            output, errors = bytearray(), bytearray()
            for view in views:
                line = self._line(view)
                if _number(line) in self.counts.done:
                    continue
                if view.state is TaskState.COMPLETED:
                    self.counts.done.add(_number(line))
                    self.counts.completed += 1
                    output += orjson.dumps(line) + b"\n"
                else:
                    self._count_error(line)
                    errors += orjson.dumps(line) + b"\n"
            _append(self._output, output)
            _append(self._errors, errors)

    def refuse(self, batch: str, number: int, custom_id: str, why: TaskState | TaskfleetError) -> None:
        """Add the line of a request that never was in the queue: its batch ended before, or it can be no task."""
        line = _frame(batch, number, custom_id)
        if isinstance(why, TaskState):
            line |= _never_ran(why)
        else:
            line |= {"response": _response(400, line["id"], error_body(why)), "error": None}
        with self._writing:
            if number not in self.counts.done:
                self._count_error(line)
                _append(self._errors, orjson.dumps(line) + b"\n")

    def close(self) -> None:
        """On disk, whatever happens next."""
        for stream in (self._output, self._errors):
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()

    def remove_empty(self) -> tuple[str | None, str | None]:
        """The ids of the files that have lines; a file without any goes."""
        kept: list[str | None] = []
        for file_id in (self.output_id, self.errors_id):
            has_lines = self._files.content(file_id).exists() and self._files.size(file_id) > 0
            kept.append(file_id if has_lines else None)
            if not has_lines:
                self._files.delete(file_id)
        return kept[0], kept[1]

    def _count_error(self, line: Mapping[str, Any]) -> None:
        self.counts.done.add(_number(line))
        word = (line["error"] or {}).get("code")
        self.counts.failed += line["response"] is not None
        self.counts.expired += word == _NEVER_RAN[TaskState.EXPIRED][0]

    def _line(self, view: TaskView) -> dict[str, Any]:
        batch, _, number = view.id.rpartition("-")
        frame = _frame(batch, int(number), str(view.metadata.get("custom_id", "")))
        if view.state is TaskState.COMPLETED:
            return frame | {"response": _response(200, view.id, whole_answer(view, self._operation)), "error": None}
        if view.state in _NEVER_RAN:
            return frame | _never_ran(view.state)
        refused = not_completed(self._queue, view)
        return frame | {"response": _response(refused.status, view.id, error_body(refused)), "error": None}


def _frame(batch: str, number: int, custom_id: str) -> dict[str, Any]:
    return {"id": f"{batch.replace('batch_', 'batch_req_', 1)}-{number}", "custom_id": custom_id}


def _never_ran(state: TaskState) -> dict[str, Any]:
    code, words = _NEVER_RAN[state]
    return {"response": None, "error": {"code": code, "message": words}}


def _response(status: int, request_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": request_id, "body": body}


def _number(line: Mapping[str, Any]) -> int:
    return int(line["id"].rpartition("-")[2])


def _whole_lines(path: Path) -> BinaryIO:
    """The file, to read and to append; a last line that a kill cut is taken away."""
    stream = path.open("r+b")
    end = stream.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 2**20)
        stream.seek(start)
        at = stream.read(end - start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    stream.truncate(end)
    stream.seek(0)
    return stream


def _append(stream: BinaryIO, lines: bytes | bytearray) -> None:
    if lines:
        stream.seek(0, os.SEEK_END)
        stream.write(lines)
        stream.flush()  # from now on whoever reads the file sees them
