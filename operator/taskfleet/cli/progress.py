"""``taskfleet progress``: how far a claimed task is."""

from pathlib import Path

import click

from taskfleet.cli.ending import claimed
from taskfleet.cli.options import output_option, queue_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.errors import InputError
from taskfleet.core.events import Progress
from taskfleet.core.task import QueueKey

EPILOG = """
\b
Who follows the task with `taskfleet status ID --watch`, or in a program, sees it at once. It renews no lease. Exit code
4: no such task, 7: nobody has claimed it, 8: it has ended already.

\b
Examples:
  taskfleet progress t-1 0.4
  taskfleet progress t-1 40% --message "4 of 10 files" -q chores
  taskfleet progress t-1 --message "Waits for an answer"
"""


@click.command(epilog=EPILOG)
@click.argument("task_id", metavar="ID")
@click.argument("fraction", metavar="[FRACTION]", required=False)
@click.option("-m", "--message", default="", metavar="TEXT", help="What it does now, in words.")
@queue_option
@target_options
@output_option
def progress(
    task_id: str,
    fraction: str | None,
    message: str,
    queue: str | None,
    data: Path | None,
    namespace: str | None,
    output: Output,
) -> int:
    """Tell how far the claimed task ID is: FRACTION from 0 to 1 or 0% to 100%, a message, or both."""
    told = Progress(None if fraction is None else _fraction(fraction), message)
    key = run_async(_tell(find_target(data, namespace), queue, task_id, told))
    fields = {"id": task_id, "queue": str(key), "fraction": told.fraction, "message": told.message}
    output.result(fields, f"task {task_id} in {key}: {in_words(told)}")
    return 0


async def _tell(target: Target, queue: str | None, task_id: str, told: Progress) -> QueueKey:
    """As with an end, it is told of whoever's claim is current."""
    async with open_store(target) as store:
        while True:
            key, _, lease = await claimed(store, target, queue, task_id)
            if await store.progress(key, task_id, lease.fence, told):
                return key


def _fraction(text: str) -> float:
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        return float(number) / 100 if percent else float(number)
    except ValueError:
        raise InputError(f"FRACTION: {text!r} is not a number; write it from 0 to 1, or as 40%") from None


def in_words(told: Progress) -> str:
    """``40%, 4 of 10 files``"""
    share = "" if told.fraction is None else f"{told.fraction:.0%}"
    return ", ".join(part for part in (share, told.message) if part)
