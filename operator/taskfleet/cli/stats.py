"""``taskfleet stats``: a queue in numbers."""

import dataclasses
from pathlib import Path

import click

from taskfleet.cli.options import output_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.running import run_async
from taskfleet.cli.target import find_target, open_store
from taskfleet.core.quantities import format_duration
from taskfleet.core.settlement import QueueStats, WorkerReport, complaints, seconds_to_serve
from taskfleet.core.task import QueueKey

_TOTALS = {
    "enqueued": "total enqueued",
    "failed_total": "total failed",
    "redriven": "total redriven",
    "purged": "total purged",
    "lease_expired": "total leases expired",
    "tokens_input": "total tokens in",
    "tokens_output": "total tokens out",
}

EPILOG = """
\b
Examples:
  taskfleet stats demo
  taskfleet stats demo --tenants
  taskfleet stats demo -o json | jq .pending
"""


@click.command(epilog=EPILOG)
@click.argument("queue")
@click.option("--tenants", "with_tenants", is_flag=True, help="Show also how much each tenant has waiting.")
@target_options
@output_option
def stats(queue: str, with_tenants: bool, data: Path | None, namespace: str | None, output: Output) -> int:
    """Show QUEUE in numbers: its tasks by state, priority and model, its totals and its workers."""
    target = find_target(data, namespace)
    key = target.queue(queue)

    async def ask() -> tuple[QueueStats | None, list[WorkerReport], dict[str, int]]:
        async with open_store(target) as store:
            tenants = await store.tenants(key) if with_tenants else {}
            return await store.stats(key), await store.workers(key), tenants

    numbers, workers, tenants = run_async(ask())
    if numbers is None:
        raise target.no_queue(key)
    if output.as_json:
        output.json_line(_fields(key, numbers, workers) | ({"tenants": tenants} if with_tenants else {}))
    else:
        output.table(f"queue {key}", ("what", "number"), _rows(numbers, workers))
        if workers:
            output.table("workers", ("worker", "pool", "endpoint", "running", "slots", "a task"), _workers(workers))
        if with_tenants:
            most_first = sorted(tenants.items(), key=lambda tenant: (-tenant[1], tenant[0]))
            output.table("tenants", ("tenant", "waiting"), most_first)
        for complaint in complaints(workers):
            output.remark(f"trouble: {complaint}")
    return 0


def _oldest_seconds(numbers: QueueStats) -> float | None:
    return None if numbers.oldest_pending_at is None else max(0.0, numbers.now - numbers.oldest_pending_at)


def _seconds_left(numbers: QueueStats, workers: list[WorkerReport]) -> float | None:
    return seconds_to_serve(numbers.pending + numbers.scheduled + numbers.running, workers)


def _fields(key: QueueKey, numbers: QueueStats, workers: list[WorkerReport]) -> dict[str, object]:
    return (
        {"queue": str(key)}
        | dataclasses.asdict(numbers)
        | {"oldest_pending_seconds": _oldest_seconds(numbers), "seconds_left": _seconds_left(numbers, workers)}
        | {"workers": [dataclasses.asdict(worker) for worker in workers]}
    )


def _rows(numbers: QueueStats, workers: list[WorkerReport]) -> list[tuple[str, object]]:
    oldest = _oldest_seconds(numbers)
    states = ("pending", "scheduled", "running", "completed", "failed", "cancelled", "expired")
    return [
        *((state, getattr(numbers, state)) for state in states),
        ("oldest pending", "-" if oldest is None else format_duration(oldest)),
        *((f"pending, priority {name}", count) for name, count in numbers.depth.items()),
        *((f"backlog, model {name}", count) for name, count in numbers.backlog.items()),
        *((_TOTALS.get(name) or _retries(name), count) for name, count in sorted(numbers.counters.items())),
        ("workers", len(workers)),
        ("time left", "-" if (left := _seconds_left(numbers, workers)) is None else f"about {format_duration(left)}"),
        *([("paused", numbers.pause.removeprefix("paused "))] if numbers.paused else []),
    ]


def _retries(counter: str) -> str:
    """``retries.connection_refused``, in words."""
    return "total " + counter.replace(".", ", ").replace("_", " ")


def _workers(workers: list[WorkerReport]) -> list[tuple[object, ...]]:
    return [
        (
            worker.worker,
            worker.pool,
            worker.endpoint,
            worker.inflight,
            worker.slots,
            "-" if worker.seconds_per_task is None else format_duration(worker.seconds_per_task),
        )
        for worker in workers
    ]
