"""One batch, from the check of its lines to its end.

What a batch is stands in the store, its lines are tasks there, and its files say which of them were written: each step
may be done again after a kill, and does nothing then.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from taskfleet.core.errors import InputError, QueueFull
from taskfleet.core.task import NewTask, Priority, QueueKey, TaskState, TaskView
from taskfleet.gateway.batchfiles import BatchFiles
from taskfleet.gateway.batchlines import MAX_LINE_BYTES, BatchTerms, check_lines, numbered, read_line, tasks_of
from taskfleet.gateway.filestorage import FileStorage, lines_of
from taskfleet.gateway.parts import Parts

WRITE_SECONDS = 0.2
FULL_SECONDS = 0.5
FINAL = ("failed", "completed", "expired", "cancelled")
# What the store takes in one step: more would be staged, and a stage that a kill left open is in the way for minutes.
TASKS_AT_ONCE = 1000
BYTES_AT_ONCE = 3 * 2**20

Line = tuple[int, str, NewTask | InputError]


class _InputGone(Exception):
    """Someone deleted the file whose lines these are."""


class RunningBatch:
    """In its driver's hands. ``document`` is what the store keeps of it."""

    def __init__(self, parts: Parts, files: FileStorage, queue: QueueKey, document: dict[str, Any]) -> None:
        self._parts = parts
        self._files = files
        self._queue = queue
        self._document = document
        self._id: str = document["id"]
        self._terms = BatchTerms(
            self._id,
            document["endpoint"],
            document["tenant"],
            Priority.parse(document["priority"]),
            document["expires_at"],
        )
        self._out = BatchFiles(files, queue, self._id, document["endpoint"])
        self._ended: list[TaskView] = []
        self._enqueued: set[int] = set()
        self._stop: TaskState | None = None  # why nothing more is to be enqueued
        self._at_once = TASKS_AT_ONCE
        self._told: dict[str, int] = {}

    async def advance(self) -> None:
        """To its end. Raises StoreError, OSError, NotFound; it may be called again then."""
        try:
            if self._document["status"] in FINAL:  # whoever drove it was killed before it was told
                await self._close()
            elif self._document["status"] != "validating" or await self._check():
                await self._run()
        except _InputGone:
            words = f"input_file_id: the file {self._document['input_file_id']} is not there any more"
            await self._fail([{"code": "file_not_found", "line": None, "message": words, "param": "input_file_id"}])

    async def _check(self) -> bool:
        """Check every line before the first is enqueued; whether all are right."""
        queue = await self._parts.queues.open(self._queue)
        count, errors = await asyncio.to_thread(lambda: check_lines(self._lines(), self._terms, queue))
        self._document["total"] = count
        if errors:
            await self._fail(errors)
            return False
        out = {"output_file_id": self._out.output_id}
        await self._write(status="in_progress", in_progress_at=round(time.time()), total=count, **out)
        await self._see_whether_to_stop()  # by now, while nothing of it is in the queue
        return True

    async def _run(self) -> None:
        turn = await self._parts.store.jobs.turn(self._queue, self._id)
        await asyncio.to_thread(self._out.open, self._terms.tenant, self._document["created_at"], turn)
        feeding = asyncio.create_task(self._feed())
        try:
            while not (feeding.done() and self._enqueued <= self._out.counts.done):
                await asyncio.sleep(WRITE_SECONDS)
                await self._write_ended()
                await self._look_for_a_stop(feeding)
                if feeding.done():
                    feeding.result()
            await self._finish()
        finally:
            feeding.cancel()
            await asyncio.wait((feeding,))
            self._parts.ends.drop(self._queue, self._open_ids(), self._ended.append)
            await asyncio.to_thread(self._out.close)

    async def _feed(self) -> None:
        """Enqueue all lines that were not written yet; those that were enqueued before a kill stand for themselves."""
        queue = await self._parts.queues.open(self._queue)
        lines = tasks_of(self._lines(), self._terms, queue, frozenset(self._out.counts.done))
        while chunk := await asyncio.to_thread(_chunk, lines):
            if time.time() >= self._terms.expires_at:
                return  # its lines can be no tasks any more, which is no fault of theirs
            for number, custom_id, why in chunk:
                if isinstance(why, InputError):
                    await asyncio.to_thread(self._out.refuse, self._id, number, custom_id, why)
            tasks = [(number, task) for number, _, task in chunk if isinstance(task, NewTask)]
            while tasks and self._stop is None:
                tasks = tasks[await self._enqueue(tasks[: self._at_once]) :]
            if self._stop is not None:
                return

    async def _enqueue(self, tasks: list[tuple[int, NewTask]]) -> int:
        """How many of them the queue took: all, or none when it is full."""
        try:
            await self._parts.store.submit(self._queue, [task for _, task in tasks])
        except QueueFull:
            self._at_once = max(1, len(tasks) // 2)
            await asyncio.sleep(FULL_SECONDS)
            return 0
        self._at_once = min(2 * self._at_once, TASKS_AT_ONCE)
        self._enqueued.update(number for number, _ in tasks)
        ids = [task.id for _, task in tasks]
        self._parts.ends.follow(self._queue, ids, self._ended.append)
        self._parts.ends.nudge(self._queue, ids)  # some may have ended before they were followed
        return len(tasks)

    async def _write_ended(self) -> None:
        ended = self._ended.copy()
        del self._ended[: len(ended)]
        if ended or self._out.is_behind:
            await asyncio.to_thread(self._out.write, ended)
        counts = {"completed": self._out.counts.completed, "failed": self._out.counts.failed}
        if counts != self._told:
            await self._write(**counts)
            self._told = counts

    async def _look_for_a_stop(self, feeding: "asyncio.Task[None]") -> None:
        if self._stop is None:
            await self._see_whether_to_stop()
            if self._stop is TaskState.CANCELLED:
                await asyncio.wait((feeding,))
                ids = self._open_ids()
                await self._parts.store.cancel(self._queue, ids)
                self._parts.ends.nudge(self._queue, ids)

    async def _see_whether_to_stop(self) -> None:
        self._document = await self._parts.store.jobs.get(self._queue, self._id) or self._document
        if self._document.get("cancelling_at"):
            self._stop = TaskState.CANCELLED
        elif time.time() >= self._terms.expires_at:
            self._stop = TaskState.EXPIRED  # what waits in the queue expires there, by its deadline

    async def _finish(self) -> None:
        """Name what never ran, and say how it ended."""
        await self._write(status="finalizing", finalizing_at=round(time.time()))
        cancelled = self._stop is TaskState.CANCELLED
        await asyncio.to_thread(self._refuse_the_rest, self._stop or TaskState.EXPIRED)
        await self._write_ended()
        expired = self._out.counts.expired > 0
        status = "cancelled" if cancelled else "expired" if expired else "completed"
        await asyncio.to_thread(self._out.close)
        output, errors = await asyncio.to_thread(self._out.remove_empty)
        files = {"output_file_id": output, "error_file_id": errors}
        await self._write(status=status, **files, **{f"{status}_at": round(time.time())})
        await self._close()

    def _refuse_the_rest(self, why: TaskState) -> None:
        for number, line in numbered(self._lines()):
            if number not in self._out.counts.done:
                self._out.refuse(self._id, number, read_line(line, self._terms)[0], why)

    async def _fail(self, errors: list[dict[str, Any]]) -> None:
        listed = {"object": "list", "data": errors}
        total = self._document.get("total", 0)
        await self._write(status="failed", failed_at=round(time.time()), errors=listed, total=total)
        await self._close()

    async def _close(self) -> None:
        """It has ended: tell of it, then leave it."""
        status = self._document["status"]
        at = self._document[f"{status}_at"]
        await self._parts.webhooks.batch_ended(self._queue, self._id, status, self._terms.tenant, at)
        await self._parts.store.jobs.close(self._queue, self._id)

    async def _write(self, **fields: Any) -> None:
        self._document |= fields
        await self._parts.store.jobs.update(self._queue, self._id, fields)

    def _lines(self) -> Iterator[bytes]:
        try:
            yield from lines_of(self._files, self._document["input_file_id"], MAX_LINE_BYTES)
        except FileNotFoundError as error:
            raise _InputGone from error

    def _open_ids(self) -> list[str]:
        return [f"{self._id}-{number}" for number in sorted(self._enqueued - self._out.counts.done)]


def _chunk(lines: Iterator[Line]) -> list[Line]:
    """The next lines, as many as the store takes at once."""
    chunk: list[Line] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line[2].body) if isinstance(line[2], NewTask) else 0
        if len(chunk) == TASKS_AT_ONCE or size > BYTES_AT_ONCE:
            break
    return chunk
