"""Follow a batch until it is done: a bar with rate and time left on a terminal, a line now and then elsewhere."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from taskfleet.cli.outage import Outage
from taskfleet.cli.output import Output
from taskfleet.cli.plainlines import now_and_then
from taskfleet.cli.target import Target
from taskfleet.core.errors import NotFound, StoreUnreachable
from taskfleet.core.quantities import format_duration
from taskfleet.core.settlement import BatchCounts, complaints
from taskfleet.core.task import QueueKey
from taskfleet.store import Store

LOOK_EVERY_SECONDS = 0.2
LISTEN_EVERY_SECONDS = 3.0
RATE_SPEED = 30.0  # seconds over which rich averages the rate

Show = Callable[[BatchCounts], None]


async def wait_for_batch(store: Store, target: Target, queue: QueueKey, batch: str, output: Output) -> BatchCounts:
    """The counts of the batch once nothing of it is open.

    A store that is away for a while is waited for, as long as its `up` runs: NotRunning when that has ended. What the
    workers complain of meanwhile is told, each complaint once.
    """
    outage = Outage(target, output)
    told: set[str] = set()
    listen_at = time.monotonic() + LISTEN_EVERY_SECONDS
    with _progress(output) as show:
        while True:
            try:
                counts = await store.batch(queue, batch)
                if time.monotonic() >= listen_at:
                    listen_at = time.monotonic() + LISTEN_EVERY_SECONDS
                    for complaint in complaints(await store.workers(queue)):
                        if complaint not in told:
                            output.remark(f"trouble: {complaint}")
                            told.add(complaint)
            except StoreUnreachable as error:
                await outage.wait(error)
                continue
            outage.over()
            if counts is None:
                raise NotFound(f"there is no batch {batch!r} in {queue} any more")
            show(counts)
            if not counts.open:
                return counts
            await asyncio.sleep(LOOK_EVERY_SECONDS)


@contextmanager
def _progress(output: Output) -> Iterator[Show]:
    if output.as_json:
        yield lambda _counts: None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield now_and_then(partial(_plain_line, time.monotonic()))


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("after"),
        TimeElapsedColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=Output.console(stderr=True), speed_estimate_period=RATE_SPEED) as progress:
        bar = progress.add_task("tasks", total=None, rate="")

        def show(counts: BatchCounts) -> None:
            done = counts.total - counts.open
            failed = f" [red]{counts.failed} failed[/red]" if counts.failed else ""
            rate = f"{done / max(time.monotonic() - started, 0.001):.1f}/s{failed}"
            progress.update(bar, total=counts.total, completed=done, rate=rate)

        yield show


def _plain_line(started: float, counts: BatchCounts) -> str:
    done = counts.total - counts.open
    rate = done / (time.monotonic() - started)
    left = f", {format_duration(counts.open / rate)} left" if rate else ""
    return f"{done} of {counts.total} tasks done, {counts.failed} failed, {rate:.1f}/s{left}"
