"""How far a run is: bars for its items and steps on a terminal, a line now and then elsewhere."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from taskfleet.cli.output import Output
from taskfleet.cli.plainlines import now_and_then
from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.parallel.driver import Driver

LOOK_EVERY_SECONDS = 0.2

Show = Callable[[Driver], None]


async def follow(name: str, driver: Driver, output: Output) -> None:
    """Show it for ever. What keeps the run from going on is told once."""
    told = ""
    with _progress(name, output) as show:
        try:
            while True:
                show(driver)
                trouble = driver.trouble
                if trouble and trouble != told:
                    output.remark(f"trouble: {trouble}; waiting for that to end")
                told = trouble
                await asyncio.sleep(LOOK_EVERY_SECONDS)
        finally:
            show(driver)  # how it ended


@contextmanager
def _progress(name: str, output: Output) -> Iterator[Show]:
    if output.as_json:
        yield lambda _driver: None
    elif sys.stderr.isatty():
        with _bars(name) as show:
            yield show
    else:
        yield now_and_then(partial(_plain_line, name))


@contextmanager
def _bars(name: str) -> Iterator[Show]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Output.console(stderr=True)) as progress:
        items = progress.add_task(name, total=None, note="")
        steps: dict[str, TaskID] = {}

        def show(driver: Driver) -> None:
            tally, total = driver.record.tally, driver.record.total
            failed = tally.items[ItemStatus.FAILED]
            note = f"{driver.open} open" + (f" [red]{failed} failed[/red]" if failed else "")
            progress.update(items, total=total, completed=tally.done, note=note)
            for step, outcomes in list(tally.steps.items()):
                if step not in steps:
                    steps[step] = progress.add_task(f"  {step}", total=None, note="")
                done = sum(outcomes.values())
                progress.update(steps[step], total=max(total, done) if total is not None else None, completed=done)

        yield show


def _plain_line(name: str, driver: Driver) -> str:
    tally, total = driver.record.tally, driver.record.total
    of = f" of {total}" if total is not None else ""
    failed = tally.items[ItemStatus.FAILED]
    return f"{name}: {tally.done}{of} items done, {failed} failed, {driver.open} open"
