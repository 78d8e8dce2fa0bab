"""The twin for scripts without an event loop: the same methods, each returning when it is done."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from os import PathLike
from typing import Any, TypeVar, Unpack, overload

from taskfleet.core.errors import InputError, NotRunning
from taskfleet.core.events import TaskEvent
from taskfleet.core.pool import Strategy
from taskfleet.core.task import Priority, TaskState
from taskfleet.sdk.dataset import DatasetSummary
from taskfleet.sdk.handler import Handler
from taskfleet.sdk.instances import Instance
from taskfleet.sdk.live import ProgressCallback
from taskfleet.sdk.options import DatasetOptions, PriorityLike, TaskOptions
from taskfleet.sdk.prompts import Question
from taskfleet.sdk.queue import STOP_SECONDS, ParallelTaskQueue
from taskfleet.sdk.results import Failure, Stats, TaskBatch, TaskResult
from taskfleet.sdk.rows import Dataset

T = TypeVar("T")


class SyncParallelTaskQueue:
    """``with SyncParallelTaskQueue(...) as queue:``; arguments, methods and errors are those of ParallelTaskQueue.

    A thread of its own runs the loop, on which handlers, prompt functions and ``on_progress`` are called too.
    """

    def __init__(
        self,
        instances: Iterable[Instance] | None = None,
        max_workers: int = 10,
        strategy: str | Strategy = "fastest",
        *,
        url: str | None = None,
        queue: str | None = None,
        api_key: str | None = None,
        handler: Handler | None = None,
        data: str | PathLike[str] | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes what ParallelTaskQueue takes."""
        self._queue = ParallelTaskQueue(
            instances,
            max_workers,
            strategy,
            url=url,
            queue=queue,
            api_key=api_key,
            handler=handler,
            data=data,
            policy=policy,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._loop is None:
            self._begin_loop()
            try:
                self._run(self._queue.start())
            except BaseException:
                self._end_loop()
                raise
        else:
            self._run(self._queue.start())

    def stop(self, timeout: float | None = STOP_SECONDS) -> None:
        self._run(self._queue.stop(timeout))
        self._end_loop()

    def __enter__(self) -> "SyncParallelTaskQueue":
        self.start()
        return self

    def __exit__(self, kind: object, *_exc: object) -> None:
        with contextlib.suppress(NotRunning):  # the block stopped it, or another thread does
            self.stop(STOP_SECONDS if kind is None else 0)

    def submit(self, prompt: Question, *, task_id: str | None = None, **options: Unpack[TaskOptions]) -> str:
        return self._run(self._queue.submit(prompt, task_id=task_id, **options))

    def submit_batch(
        self, prompts: Iterable[Question], *, batch: str | None = None, **options: Unpack[TaskOptions]
    ) -> TaskBatch:
        return self._run(self._queue.submit_batch(prompts, batch=batch, **options))

    def wait_for_task(self, task_id: str, timeout: float | None = 60) -> TaskResult:
        return self._run(self._queue.wait_for_task(task_id, timeout))

    def wait_for_batch(self, batch: TaskBatch | Iterable[str] | str, timeout: float | None = 120) -> list[TaskResult]:
        return self._run(self._queue.wait_for_batch(batch, timeout))

    def get_task(self, task_id: str) -> TaskResult:
        return self._run(self._queue.get_task(task_id))

    def get_status(self, task_id: str) -> TaskState:
        return self._run(self._queue.get_status(task_id))

    def events(self, task_id: str, after: str = "") -> Iterator[TaskEvent]:
        found = self._queue.events(task_id, after)

        async def following() -> TaskEvent | None:
            return await anext(found, None)

        while (event := self._run(following())) is not None:
            yield event

    def cancel(self, task_id: str) -> bool:
        return self._run(self._queue.cancel(task_id))

    def cancel_all(self) -> int:
        return self._run(self._queue.cancel_all())

    def join(self, timeout: float | None = None) -> None:
        self._run(self._queue.join(timeout))

    def get_stats(self) -> Stats:
        return self._run(self._queue.get_stats())

    def errors(self, limit: int = 1000) -> list[Failure]:
        return self._run(self._queue.errors(limit))

    def on_progress(self, callback: ProgressCallback) -> ProgressCallback:
        return self._queue.on_progress(callback)

    def models(self) -> list[str]:
        return self._run(self._queue.models())

    @property
    def instances(self) -> list[str]:
        return self._queue.instances

    @overload
    def process_dataset(
        self,
        dataset: Dataset,
        model: str | None = None,
        batch_size: int = 100,
        priority: PriorityLike = Priority.NORMAL,
        *,
        output: None = None,
        **options: Unpack[DatasetOptions],
    ) -> list[TaskResult]: ...

    @overload
    def process_dataset(
        self,
        dataset: Dataset,
        model: str | None = None,
        batch_size: int = 100,
        priority: PriorityLike = Priority.NORMAL,
        *,
        output: str | PathLike[str],
        **options: Unpack[DatasetOptions],
    ) -> DatasetSummary: ...

    def process_dataset(
        self,
        dataset: Dataset,
        model: str | None = None,
        batch_size: int = 100,
        priority: PriorityLike = Priority.NORMAL,
        *,
        output: str | PathLike[str] | None = None,
        **options: Unpack[DatasetOptions],
    ) -> Any:
        """The list of results, or a DatasetSummary with ``output``; see ParallelTaskQueue."""

        async def whole() -> Any:
            if output is None:
                return await self._queue.process_dataset(dataset, model, batch_size, priority, **options)
            return await self._queue.process_dataset(dataset, model, batch_size, priority, output=output, **options)

        return self._run(whole())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, done on the loop's thread. A Ctrl-C meanwhile cancels it and waits for its end."""
        loop = self._loop
        if loop is None:
            work.close()
            raise NotRunning("this queue is not started; call start() first, or use `with`")
        if threading.current_thread() is self._thread:
            work.close()
            raise InputError(
                "this is called on the queue's own loop (in a handler or callback), and would wait for itself"
            )
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            self._settle(future)
            raise

    def _settle(self, future: Any) -> None:
        ended = threading.Event()
        future.add_done_callback(lambda _future: ended.set())
        ended.wait()

    def _begin_loop(self) -> None:
        try:
            import uvloop

            self._loop = uvloop.new_event_loop()
        except ImportError:
            self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_turn, args=[self._loop], name="taskfleet-queue", daemon=True)
        self._thread.start()

    def _end_loop(self) -> None:
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_last_words(loop), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    """Until it is told to stop. A SystemExit or KeyboardInterrupt stops it too, and is for whoever waits for the task
    that raised it: there all others wait in vain for a loop that stands still."""
    while True:
        with contextlib.suppress(SystemExit, KeyboardInterrupt):
            loop.run_forever()
            return


async def _last_words(loop: asyncio.AbstractEventLoop) -> None:
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
