"""``taskfleet cancel``: tasks that wait end at once, tasks that run are told at their worker's next heartbeat."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click

from taskfleet.cli.lookup import find_batch, find_tasks
from taskfleet.cli.options import batch_option, one_of, output_option, queue_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.resultfile import tasks
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.task import QueueKey
from taskfleet.store import Store

CHUNK = 1000
WORDS = {
    "cancelled": "cancelled",
    "cancelling": "running, and will stop at the next heartbeat",
    "finished": "already finished",
    "not_found": "gone in the meantime",
}
EPILOG = """
\b
Examples:
  taskfleet cancel t-1 t-2
  taskfleet cancel --batch 6a41b2c0-91fe
"""


@click.command(epilog=EPILOG)
@click.argument("ids", nargs=-1)
@batch_option("Cancel what is left of this batch.")
@queue_option
@target_options
@output_option
def cancel(
    ids: tuple[str, ...],
    batch: str | None,
    queue: str | None,
    data: Path | None,
    namespace: str | None,
    output: Output,
) -> int:
    """Cancel tasks IDS, or what is left of a batch. Finished tasks keep their results."""
    one_of(ids, batch)
    target = find_target(data, namespace)
    return run_async(_cancel(target, queue, ids, batch, output))


async def _cancel(target: Target, queue: str | None, ids: tuple[str, ...], batch: str | None, output: Output) -> int:
    outcomes: Counter[str] = Counter()
    async with open_store(target) as store:
        if batch is not None:
            key, _ = await find_batch(store, target, queue, batch)
            async for chunk in _open_tasks(store, key, batch):
                outcomes.update((await store.cancel(key, chunk)).values())
        else:
            by_queue: dict[QueueKey, list[str]] = {}
            for task_id, (key, _) in (await find_tasks(store, target, queue, ids)).items():
                by_queue.setdefault(key, []).append(task_id)
            for key, of_queue in by_queue.items():
                outcomes.update((await store.cancel(key, of_queue)).values())
    lines = [f"{tasks(outcomes[outcome])} {words}" for outcome, words in WORDS.items() if outcomes[outcome]]
    output.result({outcome: outcomes[outcome] for outcome in WORDS}, *(lines or ["nothing was left to cancel"]))
    return 0


async def _open_tasks(store: Store, queue: QueueKey, batch: str) -> AsyncIterator[Sequence[str]]:
    chunk: list[str] = []
    async for view in store.batch_tasks(queue, batch):
        if not view.state.is_final:
            chunk.append(view.id)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
