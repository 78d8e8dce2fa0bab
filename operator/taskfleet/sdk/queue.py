"""``ParallelTaskQueue``: submit prompts, wait for results; the same code in this process, against a store and behind a
gateway."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike
from typing import Any, Unpack, overload

from taskfleet.core.errors import AlreadyRunning, InputError, NotRunning, WaitTimeout
from taskfleet.core.events import TaskEvent
from taskfleet.core.pool import Strategy
from taskfleet.core.task import NewTask, Priority, TaskState
from taskfleet.sdk import given
from taskfleet.sdk.dataset import DatasetRun, DatasetSummary, Order, all_results, summary
from taskfleet.sdk.handler import Handler
from taskfleet.sdk.instances import Instance
from taskfleet.sdk.live import News, ProgressCallback
from taskfleet.sdk.looking import ends_of, ids_of, seen, unknown
from taskfleet.sdk.opening import Opened, opened
from taskfleet.sdk.options import DatasetOptions, PriorityLike, TaskOptions, known, task_fields
from taskfleet.sdk.prompts import Question, RowPrompts, fields_of, make_task
from taskfleet.sdk.results import Error, Failure, Stats, TaskBatch, TaskResult
from taskfleet.sdk.rows import Dataset
from taskfleet.sdk.tally import stats_of
from taskfleet.sdk.wanted import Wanted

STOP_SECONDS = 30.0
BREATH = 500  # tasks that are made before others on the loop have a turn


class ParallelTaskQueue:
    """A queue of model calls, with priorities, retries, cancellation and results.

    ::

        async with ParallelTaskQueue() as queue:
            task_id = await queue.submit("Name three colours.", priority=TaskPriority.HIGH)
            task = await queue.wait_for_task(task_id)
            print(task.status, task.result["response"])

    ``instances``: the model servers, as URLs or as endpoints of a WorkerPool (``{"url", "models", "provider",
    "concurrency", "weight", ...}``). None: those found on the usual ports of this machine. ``max_workers``: calls at
    once, in all. ``strategy``: which server is preferred: ``fastest``, ``least_loaded``, ``round_robin``, ``weighted``,
    ``cheapest``. ``handler``: a Python function in place of model servers. ``url`` and ``queue``: a queue that is
    elsewhere already, ``"namespace/name"`` in a store (``valkey://HOST:6379``) or behind a gateway
    (``http://HOST:8420``); its own workers serve it, and so does this process if it was given ``instances`` or a
    ``handler``. ``api_key``: the gateway's, and without a gateway that of the instances. ``data``: a folder in which
    tasks and results survive this program; without it they go with it. ``policy``: fields of a TaskQueue's spec, such
    as ``{"taskTimeout": "30s"}``.

    Every error is a ``TaskfleetError`` whose text says what to do. All methods are for one event loop.
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
        """Checks what it was given, and starts nothing. Raises InputError."""
        if handler is not None and not callable(handler):
            raise InputError(f"handler: {handler!r} is not a function; give `async def handler(task)`")
        if handler is not None and instances is not None:
            raise InputError("handler: both instances and a handler are given; give one of the two")
        if isinstance(instances, str | Mapping):
            instances = [instances]
        if instances is not None:
            given.rows_of("instances", instances, "give the URLs of model servers")
        if not isinstance(policy, Mapping | None):
            raise InputError(
                f'policy: {policy!r} is not a dict; give fields of a TaskQueue, such as {{"taskTTL": "1h"}}'
            )
        self._wanted = Wanted(
            instances=None if instances is None else list(instances),
            max_workers=given.workers(max_workers),
            strategy=given.strategy(strategy),
            url=given.text("url", url, "leave it out for a queue in this process"),
            queue=queue,
            api_key=given.text("api_key", api_key or None, "give it as it was shown"),
            handler=handler,
            data=given.path("data", data),
            policy=given.fields("policy", policy) or {},
        ).checked()
        self._listeners: list[ProgressCallback] = []
        self._opened: Opened | None = None
        self._starting = False
        self._ending: asyncio.Task[None] | None = None

    # Life

    async def start(self) -> None:
        """Begin: the store, the workers. Raises AlreadyRunning, NoModelServer, InputError, NotFound, StoreError."""
        if self._opened is not None or self._starting:
            raise AlreadyRunning("this queue is started already; use it, or stop it before the next start")
        self._starting = True
        try:
            await self._ended()
            self._opened = await opened(self._wanted, News(listeners=self._listeners))
        finally:
            self._starting = False

    async def stop(self, timeout: float | None = STOP_SECONDS) -> None:  # noqa: ASYNC109  what does not fit goes back
        """End: running tasks may finish for ``timeout`` seconds, the rest goes back to the queue.

        What waits is kept where there is a ``data`` folder or a ``url``, and is gone with the queue otherwise.
        Whoever still waits for a task gets NotRunning. Raises NotRunning when it is not started.
        """
        patience = given.seconds("timeout", timeout)
        here = self._opened
        if here is None:
            raise NotRunning("this queue is not started, or was stopped already; there is nothing to stop")
        self._opened = None
        self._ending = asyncio.create_task(here.close(patience))
        await asyncio.shield(self._ending)

    async def __aenter__(self) -> "ParallelTaskQueue":
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_exc: object) -> None:
        with contextlib.suppress(NotRunning):  # the block stopped it
            await self.stop(STOP_SECONDS if kind is None else 0)
        await self._ended()

    @property
    def instances(self) -> list[str]:
        """The servers that this process calls, once started: ``http://127.0.0.1:11434 (llama3.2)``."""
        return self._now.instances

    async def models(self) -> list[str]:
        """The models that a task may ask for by name."""
        return list((await self._now.live.backend.reader()).models)

    # Tasks

    async def submit(self, prompt: Question, *, task_id: str | None = None, **options: Unpack[TaskOptions]) -> str:
        """Enqueue one task and return its id.

        ``prompt``: a text, a list of messages, or the fields of a task line. Options: ``model``, ``priority``,
        ``parameters`` (temperature, ...), ``metadata``, ``delay`` (seconds), ``deadline`` (a datetime), ``stream``,
        ``tenant``, ``session``, ``idempotency_key``.
        Raises InvalidTask, UnknownModel, DuplicateTask, QueueFull, StoreError.
        """
        identity = {} if task_id is None else {"id": given.task_id(task_id)}
        return (await self._submit([prompt], identity, options, None))[0]

    async def submit_batch(
        self, prompts: Iterable[Question], *, batch: str | None = None, **options: Unpack[TaskOptions]
    ) -> TaskBatch:
        """Enqueue many tasks, all or none; their ids in order, and ``.id`` for all of them.

        Options and errors are those of ``submit``; ``batch`` names it, a name that is known grows.
        """
        if isinstance(prompts, str | Mapping):
            raise InputError("prompts: one prompt is given; put it in a list, or use submit")
        given.rows_of("prompts", prompts, "give a list of prompts")
        name = given.text("batch", batch, "leave it out for a name of its own") or f"batch-{secrets.token_hex(6)}"
        return TaskBatch(await self._submit(prompts, {}, options, name), name)

    async def wait_for_task(self, task_id: str, timeout: float | None = 60) -> TaskResult:  # noqa: ASYNC109  with words
        """The task once it has ended, however it ended: look at ``status``.

        ``timeout`` in seconds: 0 looks once, None waits for ever. Raises WaitTimeout (the task goes on), NotFound,
        NotRunning (the queue was stopped).
        """
        patience = given.seconds("timeout", timeout)
        (result,) = await ends_of(self._now.live, [given.task_id(task_id)], patience)
        return result

    async def wait_for_batch(
        self,
        batch: TaskBatch | Iterable[str] | str,
        timeout: float | None = 120,  # noqa: ASYNC109  with words
    ) -> list[TaskResult]:
        """All tasks of a batch (what ``submit_batch`` returned, its ``id``, or any ids) once they have ended, in order.

        Raises WaitTimeout, NotFound, NotRunning; ``timeout`` is in seconds and for all of them.
        """
        patience = given.seconds("timeout", timeout)
        live = self._now.live
        return await ends_of(live, await ids_of(live, batch), patience)

    async def get_task(self, task_id: str) -> TaskResult:
        """The task as it is now. Raises NotFound."""
        (view,) = await seen(self._now.live, [given.task_id(task_id)])
        return TaskResult(view)

    async def get_status(self, task_id: str) -> TaskState:
        """``pending``, ``running``, ``completed``, ``failed``, ``cancelled`` or ``expired``. Raises NotFound."""
        (view,) = await seen(self._now.live, [given.task_id(task_id)])
        return view.state

    def events(self, task_id: str, after: str = "") -> AsyncIterator[TaskEvent]:
        """What is told of a task, to its end (docs/guides/events.md), behind the event with the id ``after``. Raises
        NotFound, NotRunning, InputError, StoreUnreachable."""
        return self._now.live.events(given.task_id(task_id), after)

    async def cancel(self, task_id: str) -> bool:
        """Cancel a task: one that waits at once, one that runs within a moment (its call is closed).

        False when it had ended before. Raises NotFound.
        """
        word = (await self._cancel([given.task_id(task_id)]))[task_id]
        if word == "not_found":
            raise unknown(self._now.live, task_id)
        return word != "finished"

    async def cancel_all(self) -> int:
        """Cancel every task of ours that has not ended; how many."""
        words = await self._cancel(self._now.live.watch.open)
        return sum(word in ("cancelled", "cancelling") for word in words.values())

    async def join(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  with words
        """Wait until every task that was submitted through this object has ended. Raises WaitTimeout, NotRunning."""
        patience = given.seconds("timeout", timeout)
        watch = self._now.live.watch
        if not watch.open:  # also when there is no time to wait
            return
        try:
            async with asyncio.timeout(patience):
                await watch.until_none_open()
        except TimeoutError:
            raise WaitTimeout(
                f"{len(watch.open)} tasks did not end within {timeout:g} s; wait again, or give a longer timeout"
            ) from None

    # What is going on

    async def get_stats(self) -> Stats:
        """The queue in numbers."""
        live = self._now.live
        return stats_of(await live.backend.stats(), live.news.tally)

    async def errors(self, limit: int = 1000) -> list[Failure]:
        """The queue's failed tasks, oldest first."""
        most = given.count("limit", limit, "failures")
        found: list[Failure] = []
        async for letter in self._now.live.backend.dead_letters():
            if len(found) >= most:
                break
            task = letter.task
            if task.error is not None:
                failed_at = datetime.fromtimestamp(letter.failed_at, UTC)
                found.append(Failure(task.id, Error(task.error), failed_at, task.worker))
        return found

    def on_progress(self, callback: ProgressCallback) -> ProgressCallback:
        """Call ``callback(Progress)`` when a task of ours ends and when whoever runs it reports; also as a decorator.

        It is called on the event loop and should be quick; what it raises is logged. Before or after ``start``.
        """
        if not callable(callback):
            raise InputError(f"on_progress: {callback!r} is not a function; give one that takes a Progress")
        self._listeners.append(callback)
        return callback

    # Datasets

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
    ) -> DatasetRun[list[TaskResult]]: ...

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
    ) -> DatasetRun[DatasetSummary]: ...

    def process_dataset(
        self,
        dataset: Dataset,
        model: str | None = None,
        batch_size: int = 100,
        priority: PriorityLike = Priority.NORMAL,
        *,
        output: str | PathLike[str] | None = None,
        **options: Unpack[DatasetOptions],
    ) -> DatasetRun[Any]:
        """Ask the same of every row; results in input order, in memory for a bounded number of rows.

        ``await`` it for the list of results, ``async for`` to have one after another, or give ``output``, a .jsonl or
        .parquet file, and await a DatasetSummary.

        ``dataset``: any iterable (also async) of texts or dicts, the path of a .jsonl or .parquet file, a DataFrame, a
        Hugging Face dataset. ``batch_size``: rows submitted at a time. Options: ``prompt`` (a template such as ``"Label
        this: {text}"``, a function from a row to a prompt, or None: the row is the prompt, or has a column ``prompt``
        or ``messages``), ``parameters``, ``checkpoint`` (a file: after a crash the same call goes on where it was),
        ``progress`` (None draws a bar where somebody can see it).

        Raises DatasetError when the rows cannot be read to their end (after the results of those that were),
        CheckpointError, InputError. A single row that can be no task has the status failed.
        """
        known(options, DatasetOptions)
        asked: TaskOptions = {"model": model, "priority": priority, "parameters": options.get("parameters")}
        order = Order(
            dataset=dataset,
            prompts=RowPrompts(options.get("prompt"), self._fields(asked)),
            batch_size=given.count("batch_size", batch_size, "rows"),
            title=model or "dataset",
            progress=options.get("progress"),
            checkpoint=given.path("checkpoint", options.get("checkpoint")),
            output=given.path("output", output),
        ).checked()
        return DatasetRun(lambda: self._now.live, order, all_results if output is None else summary)

    # Inside

    @property
    def _now(self) -> Opened:
        if self._opened is None:
            raise NotRunning("this queue is not started; `await queue.start()` first, or use `async with`")
        return self._opened

    async def _ended(self) -> None:
        """Once a stop that is under way is through: until then its folder and its workers are still there."""
        if self._ending is not None and not self._ending.done():
            await asyncio.wait([self._ending])

    def _fields(self, options: TaskOptions) -> dict[str, Any]:
        return task_fields(options, takes_any_model=self._now.live.takes_any_model)

    async def _submit(
        self, prompts: Iterable[Question], identity: dict[str, Any], options: TaskOptions, batch: str | None
    ) -> list[str]:
        common = {**self._fields(options), **identity}
        live = self._now.live
        reader = await live.backend.reader()
        tasks: list[NewTask] = []
        for prompt in prompts:
            tasks.append(make_task(reader, {**common, **fields_of(prompt)}))
            if len(tasks) % BREATH == 0:
                await asyncio.sleep(0)
        ids = [task.id for task in tasks]
        live.watch.expect(ids)
        try:
            await live.backend.submit(tasks, batch)
        except BaseException:
            live.watch.expect_no_more(ids)
            raise
        live.took(ids)
        live.watch.follow(ids)
        return ids

    async def _cancel(self, ids: Sequence[str]) -> dict[str, str]:
        live = self._now.live
        words = await live.backend.cancel(ids)
        live.watch.nudge(ids)
        return words
