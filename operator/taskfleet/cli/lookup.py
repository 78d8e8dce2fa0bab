"""Find tasks and batches in the queues of a target."""

from collections.abc import AsyncIterator, Sequence

from taskfleet.cli.target import Target
from taskfleet.core.settlement import BatchCounts
from taskfleet.core.task import QueueKey, TaskView, is_task_id
from taskfleet.store import Store


async def find_batch(store: Store, target: Target, queue: str | None, batch: str) -> tuple[QueueKey, BatchCounts]:
    """The queue that holds the batch, and its counts. Raises NotFound."""
    for key in target.queues_to_search(queue):
        counts = await store.batch(key, batch)
        if counts is not None:
            return key, counts
    raise target.not_found(f"batch {batch!r}", queue)


async def find_tasks(
    store: Store, target: Target, queue: str | None, ids: Sequence[str]
) -> dict[str, tuple[QueueKey, TaskView]]:
    """Each id's queue and view, in the order asked for. Raises NotFound naming the first id that is nowhere."""
    found: dict[str, tuple[QueueKey, TaskView]] = {}
    for task_id in ids:
        if not is_task_id(task_id):
            raise target.not_found(f"task {task_id!r}", queue)
    missing = list(dict.fromkeys(ids))
    for key in target.queues_to_search(queue):
        views = await store.get(key, missing)
        found |= {task_id: (key, view) for task_id, view in zip(missing, views, strict=True) if view is not None}
        missing = [task_id for task_id in missing if task_id not in found]
        if not missing:
            break
    if missing:
        raise target.not_found(f"task {missing[0]!r}", queue)
    return {task_id: found[task_id] for task_id in ids}


async def as_iterator(views: Sequence[TaskView]) -> AsyncIterator[TaskView]:
    """Views at hand in the form of a batch's."""
    for view in views:
        yield view
