"""Takes the rows of a dataset through a queue: a bounded window of them is on its way, results come in input order.

One coroutine feeds (reads, submits), the other hands out what ended. Neither holds more than the window.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

from taskfleet.core.errors import CheckpointError, DuplicateTask, InputError, QueueFull, StoreError, StoreUnreachable
from taskfleet.core.task import NewTask, Priority, TaskError, TaskState, TaskView
from taskfleet.sdk.checkpoint import Checkpoint
from taskfleet.sdk.live import Live
from taskfleet.sdk.prompts import RowPrompts
from taskfleet.sdk.results import TaskResult
from taskfleet.sdk.rows import Rows

log = logging.getLogger(__name__)

WINDOW_BATCHES = 8
LEAST_WINDOW = 2000
WINDOW_BYTES = 64 * 2**20
AT_ONCE = 1000  # results handed out in one go
FORGOTTEN_AT_ONCE = 500
STORE_PATIENCE = 300.0  # seconds without the store before a run gives up; its checkpoint stays
STORE_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of every row."""

    prompts: RowPrompts
    batch_size: int
    run: str


class Flow:
    """One run over a dataset. ``results`` may be iterated once."""

    def __init__(self, live: Live, rows: Rows, asked: Asked, checkpoint: Checkpoint | None) -> None:
        self._live = live
        self._rows = rows
        self._asked = asked
        self._checkpoint = checkpoint
        self._window = max(LEAST_WINDOW, WINDOW_BATCHES * asked.batch_size)
        self._next_row = 0  # to be read
        self._next_out = 0  # to be handed out
        self._bytes: dict[int, int] = {}  # of the rows on their way
        self._bytes_open = 0
        self._open: dict[str, int] = {}  # id -> row, submitted and not ended
        self._ended: list[TaskView] = []
        self._done: dict[int, TaskResult] = {}  # ended, and an earlier row has not
        self._to_forget: list[str] = []  # their results are here
        self._kept: Iterator[tuple[int, TaskResult]] = checkpoint.results() if checkpoint else iter(())
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._feeding: asyncio.Task[None]
        self._leaving: asyncio.Task[None] | None = None

    async def results(self) -> AsyncGenerator[list[TaskResult], None]:
        """Results in input order, some at a time. Raises DatasetError at the end when the rows ended early, and
        CheckpointError, StoreError, InvalidTask. Whoever stops before the end cancels what is on its way."""
        feeding = self._feeding = asyncio.create_task(self._feed(), name="dataset")
        feeding.add_done_callback(self._feed_ended)
        self._live.runs.add(self._stop)
        finished = False
        try:
            while True:
                self._news.clear()
                ready = await self._take()
                if ready:
                    self._room.set()
                    yield ready
                elif self._leaving is None and feeding.done() and self._has_ended(feeding):
                    await self._forget()
                    feeding.result()
                    break
                else:
                    await self._live.watch.unless_broken(asyncio.ensure_future(self._news.wait()))
            if self._rows.error is not None:
                raise self._rows.error
            finished = True
        finally:
            feeding.cancel()
            self._rows.close()
            if not finished:
                await self._leave(stopped=False)
            self._live.runs.discard(self._stop)

    def _has_ended(self, feeding: "asyncio.Task[None]") -> bool:
        return feeding.exception() is not None or self._next_out == self._next_row

    def _feed_ended(self, feeding: "asyncio.Task[None]") -> None:
        if not feeding.cancelled():
            feeding.exception()  # seen, also when nobody asks any more
        self._news.set()

    async def _feed(self) -> None:
        """One submission is on its way while the next rows are read and made into tasks."""
        submitting: asyncio.Task[None] | None = None
        try:
            while not self._rows.ended:
                while self._next_row - self._next_out >= self._window or self._bytes_open >= WINDOW_BYTES:
                    self._room.clear()
                    await self._room.wait()
                first = self._next_row == 0
                chunk = await self._rows.chunk(self._asked.batch_size)
                tasks = await self._tasks(chunk, nothing_asked_yet=first)
                if submitting is not None:
                    await submitting
                submitting = asyncio.create_task(self._submit(tasks)) if tasks else None
                self._news.set()
            if submitting is not None:
                await submitting
        finally:
            if submitting is not None:
                submitting.cancel()
                await asyncio.gather(submitting, return_exceptions=True)

    async def _tasks(self, chunk: list[object], *, nothing_asked_yet: bool) -> list[NewTask]:
        """The tasks of these rows. One that can be none has failed; all of the first ones are a mistake of the call."""
        reader = await self._live.backend.reader()
        tasks: list[NewTask] = []
        refused: list[InputError] = []
        for content in chunk:
            row, self._next_row = self._next_row, self._next_row + 1
            if self._checkpoint is not None and row in self._checkpoint.done:
                continue
            task_id = f"{self._asked.run}-{row}"
            try:
                task = self._asked.prompts.task(reader, content, task_id)
            except InputError as error:
                refused.append(error)
                self._refused(row, task_id, error)
                continue
            self._open[task_id] = row
            self._bytes[row] = len(task.body)
            self._bytes_open += len(task.body)
            tasks.append(task)
        if nothing_asked_yet and refused and len(refused) == len(chunk):
            raise type(refused[0])(f"dataset: no row can be asked; row 0: {refused[0]}") from refused[0]
        return tasks

    def _refused(self, row: int, task_id: str, error: InputError) -> None:
        view = TaskView(
            id=task_id,
            state=TaskState.FAILED,
            model="",
            priority=Priority.NORMAL,
            attempts=0,
            enqueued_at=0.0,
            error=TaskError(error.code, f"row {row}: {error}"),
        )
        self._open[task_id] = row
        self._on_end(view)

    async def _submit(self, tasks: list[NewTask]) -> None:
        """All of them, however long the queue is full; a store that is away is waited for."""
        ids = [task.id for task in tasks]
        watch, waited = self._live.watch, 0.0
        watch.follow(ids, self._on_end)
        while True:
            try:
                await self._live.backend.submit(tasks)
                break
            except QueueFull as full:
                await asyncio.sleep(full.retry_after)
            except DuplicateTask:  # of a run that was killed, or of a submission whose answer was lost
                views = await self._live.backend.get(ids)
                tasks = [task for task, view in zip(tasks, views, strict=True) if view is None]
                watch.nudge(ids)
                if not tasks:
                    break
            except StoreUnreachable:
                waited += STORE_PAUSE
                if waited > STORE_PATIENCE:
                    raise
                await asyncio.sleep(STORE_PAUSE)
        self._live.took(ids)

    def _on_end(self, view: TaskView) -> None:
        self._ended.append(view)
        self._news.set()

    async def _take(self) -> list[TaskResult]:
        """Keep what ended, and what can be handed out now."""
        ended, self._ended = self._ended, []
        results = [(self._open[view.id], TaskResult(view)) for view in ended]
        if results and self._checkpoint is not None:
            self._checkpoint.add(results)
        for row, result in results:
            del self._open[result.id]
            self._done[row] = result
            self._bytes_open -= self._bytes.pop(row, 0)
        self._to_forget += (view.id for view in ended if view.state is TaskState.COMPLETED)
        if len(self._to_forget) >= FORGOTTEN_AT_ONCE:
            await self._forget()
        ready: list[TaskResult] = []
        while len(ready) < AT_ONCE and self._next_out < self._next_row:
            next_result = self._done.pop(self._next_out, None) or self._from_checkpoint(self._next_out)
            if next_result is None:
                break
            ready.append(next_result)
            self._next_out += 1
        return ready

    def _from_checkpoint(self, wanted: int) -> TaskResult | None:
        if self._checkpoint is None or wanted not in self._checkpoint.done:
            return None
        for row, result in self._kept:
            if row == wanted:
                return result
            self._done[row] = result
        raise AssertionError(f"row {wanted} is in the checkpoint's index and not in its file")

    async def _forget(self) -> None:
        ids, self._to_forget = self._to_forget, []
        if ids:
            with contextlib.suppress(StoreUnreachable):  # then its retention takes them
                await self._live.backend.forget(ids)

    async def _stop(self) -> None:
        await self._leave(stopped=True)

    async def _leave(self, *, stopped: bool) -> None:
        """Once, to its end, whoever is first: that this run was left, or that its queue was ``stopped``."""
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._abandon(stopped))
        await asyncio.shield(self._leaving)

    async def _abandon(self, stopped: bool) -> None:
        """Cancel what is on its way. Where that cannot be, or the checkpoint cannot say so, it is left to run: the next
        call meets it. So it is with a checkpoint where the queue was stopped, which keeps what waits."""
        self._feeding.cancel()
        await asyncio.wait([self._feeding])
        ids = list(self._open)
        self._live.watch.unfollow(ids)
        if stopped and self._checkpoint is not None:
            return
        try:
            with self._checkpoint.abandoning() if self._checkpoint is not None else contextlib.nullcontext():
                if ids:
                    await self._live.backend.cancel(ids)
            await self._forget()
        except (CheckpointError, StoreError) as error:
            log.warning("a dataset's tasks are left in the queue", extra={"tasks": len(ids), "error": str(error)})
