"""Where a task is at home. Pure."""

import zlib
from collections.abc import Iterable

from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store.keys import Partition

Parts = tuple[QueueKey, ...]  # the partitions of a queue; the queue itself when it has one


def parts_of(queue: QueueKey, number: int) -> Parts:
    """The partitions of a queue that has so many."""
    if number == 1:
        return (queue,)
    return tuple(Partition(queue.namespace, queue.name, number, each) for each in range(number))


def place_of(name: str, number: int) -> int:
    """The place, of so many, of a session or of a task that has none."""
    return zlib.crc32(name.encode()) % number


def place_of_task(task: NewTask, number: int) -> int:
    """Tasks of a session share a place, so that their order holds."""
    return place_of(task.session or task.id, number)


def by_place(ids: Iterable[str], number: int) -> dict[int, list[str]]:
    """Ids by the place where each is when its task has no session, in their order."""
    places: dict[int, list[str]] = {}
    for task_id in ids:
        places.setdefault(place_of(task_id, number), []).append(task_id)
    return places
