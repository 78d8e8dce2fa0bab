"""``taskfleet status``: where one task or one batch is."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from taskfleet.cli.following import follow
from taskfleet.cli.handout import harmless
from taskfleet.cli.lookup import find_batch, find_tasks
from taskfleet.cli.options import batch_option, one_of, output_option, queue_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.progress import in_words
from taskfleet.cli.resultfile import tasks
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.quantities import format_duration
from taskfleet.core.settlement import BatchCounts, seconds_to_serve
from taskfleet.core.task import DEFAULT_TENANT, Attempt, QueueKey, TaskView
from taskfleet.core.wiretime import wire_time

EPILOG = """
\b
Examples:
  taskfleet status t-1
  taskfleet status t-1 --watch
  taskfleet status --batch 6a41b2c0-91fe -o json
"""


@click.command(epilog=EPILOG)
@click.argument("task_id", metavar="[ID]", required=False)
@batch_option("Show this batch in place of one task.")
@click.option("-w", "--watch", is_flag=True, help="Go on with what is told of the task, to its end.")
@queue_option
@target_options
@output_option
def status(
    task_id: str | None,
    batch: str | None,
    watch: bool,
    queue: str | None,
    data: Path | None,
    namespace: str | None,
    output: Output,
) -> int:
    """Show where the task ID, or a batch, is. Exit code 0 whatever its state; `result` tells failures."""
    one_of((task_id,) if task_id else (), batch)
    if watch and batch is not None:
        raise click.UsageError("--watch is for one task; give its id in place of --batch")
    target = find_target(data, namespace)
    if batch is not None:
        return run_async(_batch_status(target, queue, batch, output))
    return run_async(_task_status(target, queue, task_id or "", output, watch=watch))


async def _batch_status(target: Target, queue: str | None, batch: str, output: Output) -> int:
    async with open_store(target) as store:
        key, counts = await find_batch(store, target, queue, batch)
    output.result(
        {"queue": str(key)} | dataclasses.asdict(counts) | {"open": counts.open, "done": not counts.open},
        f"batch {counts.id} in {key}: {_sentence(counts)}",
    )
    return 0


def _sentence(counts: BatchCounts) -> str:
    states = ("completed", "failed", "cancelled", "expired")
    parts = [f"{getattr(counts, state)} {state}" for state in states if getattr(counts, state)]
    if counts.open:
        parts.append(f"{counts.open} waiting or running")
    return f"{tasks(counts.total)}: {', '.join(parts)}"


async def _task_status(target: Target, queue: str | None, task_id: str, output: Output, *, watch: bool) -> int:
    async with open_store(target) as store:
        key, view = (await find_tasks(store, target, queue, [task_id]))[task_id]
        ahead = await store.ahead_of(key, task_id)
        seconds = None if ahead is None else seconds_to_serve(ahead, await store.workers(key), view.model)
        place = {"ahead": ahead, "seconds_until_served": seconds}
        output.result(task_fields(key, view) | place, *task_lines(key, view), *_place(ahead, seconds))
        if watch:
            await follow(store, key, task_id, output)
    return 0


def _place(ahead: int | None, seconds: float | None) -> list[str]:
    if ahead is None:
        return []
    when = "" if seconds is None else f", about {format_duration(seconds)} at the present rate"
    return [f"  {'ahead':10} about {tasks(ahead)}{when}"]


def task_fields(key: QueueKey, view: TaskView) -> dict[str, Any]:
    """A task as JSON types, without its output."""
    fields = dataclasses.asdict(view) | {
        "queue": str(key),
        "state": view.state.value,
        "priority": view.priority.label,
    }
    del fields["output"]
    return fields


def task_lines(key: QueueKey, view: TaskView) -> list[str]:
    """A task in words, a fact a line."""
    lines = [f"task {view.id} in {key}: {view.state.value}"]
    facts = [
        ("model", view.model if view.model == view.requested_model else f"{view.model} for {view.requested_model}"),
        ("priority", view.priority.label),
        ("tenant", None if view.tenant == DEFAULT_TENANT else view.tenant),
        ("session", view.session),
        ("attempts", view.attempts),
        ("progress", None if view.progress is None else harmless(in_words(view.progress))),
        ("batch", view.batch),
        ("not before", _moment(view.not_before)),
        ("deadline", _moment(view.deadline)),
        ("endpoint", view.endpoint),
        ("worker", view.worker),
        ("waited", None if view.queue_seconds is None else format_duration(view.queue_seconds)),
        ("ran", None if view.run_seconds is None else format_duration(view.run_seconds)),
        ("error", None if view.error is None else f"{view.error.code}: {view.error.message}"),
    ]
    lines += [f"  {name:10} {value}" for name, value in facts if value is not None]
    return lines + [f"  earlier    {_attempt(attempt)}" for attempt in view.history]


def _attempt(attempt: Attempt) -> str:
    where = f" by {attempt.worker}" if attempt.worker else ""
    how = "handed back" if attempt.error is None else f"{attempt.error.code}: {attempt.error.message}"
    ran = format_duration(attempt.ended_at - attempt.claimed_at)
    return f"attempt {attempt.number} at {wire_time(attempt.claimed_at)}{where}, {ran}: {how}"


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else wire_time(seconds)
