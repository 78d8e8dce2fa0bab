"""What many items cost the coordinator of a parallel queue: memory, and how late ``until`` is looked at."""

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from taskfleet.api.parallelqueue import ParallelQueueSpec
from taskfleet.core.task import QueueKey
from taskfleet.parallel.coordinator import Coordinator, Order
from taskfleet.parallel.driver import Driver
from taskfleet.parallel.field import Field
from taskfleet.parallel.templates import Compiled, Names
from taskfleet.store import Store

MEBIBYTE = 1024  # of the kibibytes that Linux counts in
KEPT = 3600.0
FIRST = 100_000  # items, after which memory should grow no more
IN_FLIGHT = 10_000


async def driver_of(store: Store, queue: QueueKey, file: Path, **fields: object) -> Driver:
    """Of a run named ``bench`` over the lines of a file, with one step unless ``fields`` have others."""
    step = {"name": "step", "action": "of {{ $item }}"}
    spec = ParallelQueueSpec.model_validate({"on": file.name, "action_loop": [step], **fields})
    coordinator = await Coordinator.open(store, queue)
    return await coordinator.driver(Order("bench", spec, {}, file.parent, {}))


async def stream(store_url: str, queue: QueueKey, file: Path) -> dict[str, float]:
    """MiB by which this process grew after the first items of the file, of which each hundredth makes a call."""
    store = await Store.connect(store_url)
    step = {"name": "step", "action": "of {{ $item }}", "if": "{{ $index is divisibleby 100 }}"}
    driver = await driver_of(store, queue, file, max_parallel=1000, action_loop=[step])
    began = time.perf_counter()
    running = asyncio.create_task(driver.run(KEPT))
    while driver.record.tally.done < FIRST and not running.done():  # noqa: ASYNC110 - it is not to be disturbed
        await asyncio.sleep(0.05)
    before = _most_memory()
    await running
    seconds = time.perf_counter() - began
    await store.close()
    return {"grown": _most_memory() - before, "memory": _most_memory(), "items": driver.record.taken / seconds}


async def watch_until(store_url: str, queue: QueueKey, file: Path) -> dict[str, float]:
    """Seconds in which ``until`` over all results is seen to hold, in 99 of 100 cases, whenever it begins to: from the
    beginning of one look to the end of the next one, with 10,000 items in flight and up to 10,000 done."""
    store = await Store.connect(store_url)
    until = "{{ $results | selectattr('status', 'eq', 'failed') | list | length > 5 }}"
    driver = await driver_of(store, queue, file, max_parallel=IN_FLIGHT, until=until)
    with _looks() as looks:
        await driver.run(KEPT)
    await store.close()
    late = sorted(after[1] - before[0] for before, after in pairwise(looks))
    return {"p99": late[int(0.99 * len(late))], "most": late[-1]}


@contextmanager
def _looks() -> Iterator[list[tuple[float, float]]]:
    """When each look at the condition began and ended."""
    found: list[tuple[float, float]] = []
    render = Compiled.render

    def timed(compiled: Compiled, values: Names, field: Field) -> Any:
        began = time.perf_counter()
        value = render(compiled, values, field)
        if field.path == ("until",):
            found.append((began, time.perf_counter()))
        return value

    Compiled.render = timed  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Compiled.render = render  # type: ignore[method-assign]


def _most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE
