"""The output and the errors of a batch, written line by line as its tasks end. Blocking: for threads.

What is in them already says what need not be written again: after a kill at any moment, the next one goes on from it.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from taskfleet.core.errors import TaskfleetError
from taskfleet.core.task import QueueKey, TaskState, TaskView
from taskfleet.gateway.answers import error_body
from taskfleet.gateway.batchlines import ENDPOINTS
from taskfleet.gateway.filestorage import FileStorage, Growing, StoredFile
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

    def __init__(self, files: FileStorage, queue: QueueKey, batch: str, endpoint: str) -> None:
        stem = f"file-{batch.removeprefix('batch_')}"
        self.output_id, self.errors_id = f"{stem}-output", f"{stem}-errors"
        self.counts = Counts(set())
        self._files = files
        self._queue = queue
        self._operation = ENDPOINTS[endpoint]
        self._writing = threading.Lock()
        self._output: Growing
        self._errors: Growing

    def open(self, tenant: str, created_at: int, turn: int) -> None:
        """Make the files, or take up what is there. Each time with a higher ``turn``."""
        self._output, self._errors = (
            self._files.grow(StoredFile(file_id, tenant, f"{file_id}.jsonl", purpose, created_at), turn)
            for file_id, purpose in ((self.output_id, "batch_output"), (self.errors_id, "batch_errors"))
        )
        for line in self._output.lines():
            self.counts.done.add(_number(orjson.loads(line)))
            self.counts.completed += 1
        for line in self._errors.lines():
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
            self._add(self._output, output)
            self._add(self._errors, errors)

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
                self._errors.add(orjson.dumps(line) + b"\n")

    @property
    def is_behind(self) -> bool:
        """Whether something was written that readers cannot see yet: ``write``, of nothing, when there is no more."""
        return self._output.is_behind or self._errors.is_behind

    def close(self) -> None:
        """Kept, whatever happens next."""
        self._output.close()
        self._errors.close()

    def remove_empty(self) -> tuple[str | None, str | None]:
        """The ids of the files that have lines; a file without any goes."""
        kept: list[str | None] = []
        for file_id in (self.output_id, self.errors_id):
            has_lines = self._has_lines(file_id)
            kept.append(file_id if has_lines else None)
            if not has_lines:
                self._files.delete(file_id)
        return kept[0], kept[1]

    def _has_lines(self, file_id: str) -> bool:
        try:
            return self._files.size(file_id) > 0
        except FileNotFoundError:  # someone deleted it
            return False

    @staticmethod
    def _add(file: Growing, lines: bytearray) -> None:
        if lines:
            file.add(bytes(lines))
        file.show()

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
