"""``taskfleet pause``: start no more tasks of a queue for a while."""

import time
from pathlib import Path

import click

from taskfleet.cli.options import output_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.errors import InputError, NotFound
from taskfleet.core.quantities import parse_duration
from taskfleet.core.task import QueueKey
from taskfleet.core.wiretime import moment_of, wire_time

LONGEST_SECONDS = 8760 * 3600.0
EPILOG = """
\b
Tasks are accepted, and those that run go on; workers stay as they are. The queue's condition Paused shows it with its
end. It is kept beside the queue and not in its manifest: spec.stopPolicy holds a queue as well, each by itself.

\b
Examples:
  taskfleet pause demo
  taskfleet pause demo --for 2h
  taskfleet pause demo --until 2030-01-31T18:00:00Z
"""


@click.command(epilog=EPILOG)
@click.argument("queue")
@click.option("--until", metavar="TIME", help="Start tasks again at this time, such as 2030-01-31T18:00:00Z.")
@click.option("--for", "duration", metavar="DURATION", help="Start tasks again after this, such as 30m or 2h.")
@target_options
@output_option
def pause(
    queue: str, until: str | None, duration: str | None, data: Path | None, namespace: str | None, output: Output
) -> int:
    """Start no more tasks of QUEUE: until a time, for a while, or until `taskfleet resume`."""
    if until is not None and duration is not None:
        raise click.UsageError("give --until or --for, one of the two, or neither")
    moment, seconds = _moment(until), _seconds(duration)
    target = find_target(data, namespace)
    key = target.queue(queue)
    end = run_async(_pause(target, key, moment, seconds))
    shown = None if end is None else wire_time(end)
    words = "until someone resumes it" if shown is None else f"until {shown}"
    output.result({"queue": str(key), "paused": True, "until": shown}, f"{key} is paused {words}")
    return 0


async def _pause(target: Target, key: QueueKey, until: float | None, seconds: float | None) -> float | None:
    async with open_store(target) as store:
        try:
            return await store.pause(key, until=until, seconds=seconds)
        except NotFound:
            raise target.no_queue(key) from None


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = moment_of(text)
    except ValueError as error:
        raise InputError(f"--until: {error}") from None
    if not 0 < moment - time.time() <= LONGEST_SECONDS:
        where = "has passed" if moment <= time.time() else "is more than a year (8760h) ahead"
        raise InputError(f"--until: {text} {where}; give a time to come, or leave it out to pause without an end")
    return moment


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise InputError(f"--for: {error}") from None
    if not 0.001 <= seconds <= LONGEST_SECONDS:
        raise InputError(f"--for: {text} is not a duration of at most 8760h; write one such as 2h, or leave it out")
    return seconds
