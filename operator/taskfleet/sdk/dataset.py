"""A run over a dataset, as a caller has it: ``await`` it for all results, or ``async for`` one after another."""

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from taskfleet.core.errors import DatasetError, InputError
from taskfleet.core.task import TaskState
from taskfleet.sdk.checkpoint import Checkpoint
from taskfleet.sdk.flow import Asked, Flow
from taskfleet.sdk.live import Live
from taskfleet.sdk.outputs import open_output
from taskfleet.sdk.progressbar import ProgressBar
from taskfleet.sdk.prompts import RowPrompts
from taskfleet.sdk.results import Readable, TaskResult
from taskfleet.sdk.rows import Dataset, Rows

R = TypeVar("R")


@dataclass(slots=True, eq=False, repr=False)
class DatasetSummary(Readable):
    """What a run with an ``output`` came to. ``seconds`` is this call's time; the counts are of all rows."""

    output: Path
    rows: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    FIELDS = (
        "output", "rows", "completed", "failed", "cancelled", "expired", "input_tokens", "output_tokens", "seconds",
    )  # fmt: skip

    def add(self, results: Iterable[TaskResult]) -> None:
        for result in results:
            self.rows += 1
            self.completed += result.status is TaskState.COMPLETED
            self.failed += result.status is TaskState.FAILED
            self.cancelled += result.status is TaskState.CANCELLED
            self.expired += result.status is TaskState.EXPIRED
            if result.view.usage is not None:
                self.input_tokens += result.view.usage.input_tokens
                self.output_tokens += result.view.usage.output_tokens


@dataclass(frozen=True, slots=True)
class Order:
    """What ``process_dataset`` was asked to do."""

    dataset: Dataset
    prompts: RowPrompts
    batch_size: int
    title: str
    progress: bool | None
    checkpoint: Path | None
    output: Path | None

    def checked(self) -> "Order":
        """Itself. Raises InputError where one file is meant for two things: one of them would be lost."""
        rows = Path(self.dataset) if isinstance(self.dataset, str | Path) else None
        for name, other in (("the dataset", rows), ("the checkpoint", self.checkpoint)):
            if self.output is not None and other is not None and self.output.resolve() == other.resolve():
                raise InputError(f"output: {self.output} is {name} as well; give another file")
        return self


class DatasetRun(Generic[R]):
    """Begins when it is awaited or iterated, and can be once. Results come in input order.

    Awaited, it gives the list of results, or a DatasetSummary when they are written to a file. A run that is cancelled,
    or left before its end, cancels its open tasks.
    """

    def __init__(self, live: Callable[[], Live], order: Order, whole: Callable[["DatasetRun[R]"], Any]) -> None:
        self._live = live
        self._order = order
        self._whole = whole
        self._begun = False

    @property
    def output(self) -> Path | None:
        """Where results are written."""
        return self._order.output

    def __await__(self) -> Generator[Any, None, R]:
        return self._whole(self).__await__()  # type: ignore[no-any-return]

    async def __aiter__(self) -> AsyncGenerator[TaskResult, None]:
        async with aclosing(self.batches()) as batches:
            async for results in batches:
                for result in results:
                    yield result

    async def batches(self) -> AsyncGenerator[list[TaskResult], None]:
        """Some results at a time, as many as have come."""
        if self._begun:
            raise InputError("dataset: this run has been read already; call process_dataset again for another one")
        self._begun = True
        order = self._order
        with contextlib.ExitStack() as stack:
            rows = Rows(order.dataset)
            checkpoint = self._checkpoint(stack)
            run = checkpoint.run if checkpoint else secrets.token_hex(6)
            output = open_output(order.output) if order.output else None
            if output is not None:
                stack.callback(output.abandon)
            bar = stack.enter_context(ProgressBar(order.title, rows.total, order.progress))
            flow = Flow(self._live(), rows, Asked(order.prompts, order.batch_size, run), checkpoint)
            done = failed = 0
            async with aclosing(flow.results()) as ready:
                async for results in ready:
                    if output is not None:
                        output.write(results)
                    done += len(results)
                    failed += sum(result.status is TaskState.FAILED for result in results)
                    bar.show(done, failed, rows.total)
                    yield results
            if output is not None:
                output.finish()

    def _checkpoint(self, stack: contextlib.ExitStack) -> Checkpoint | None:
        if self._order.checkpoint is None:
            return None
        checkpoint = Checkpoint(self._order.checkpoint, self._order.prompts.fingerprint)
        stack.callback(checkpoint.close)
        return checkpoint


async def all_results(run: DatasetRun[list[TaskResult]]) -> list[TaskResult]:
    """Every result in a list. A DatasetError carries those that came before it as ``results``."""
    found: list[TaskResult] = []
    try:
        async with aclosing(run.batches()) as batches:
            async for results in batches:
                found += results
    except DatasetError as error:
        error.results = tuple(found)
        raise
    return found


async def summary(run: DatasetRun[DatasetSummary]) -> DatasetSummary:
    """Every result in the output, and what they came to."""
    began = time.monotonic()
    assert run.output is not None
    counts = DatasetSummary(run.output)
    async with aclosing(run.batches()) as batches:
        async for results in batches:
            counts.add(results)
    counts.seconds = time.monotonic() - began
    return counts
