"""The queues of a pipeline, one after another; what has ended already is not run again."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from taskfleet.api.parallelqueue import MAX_ITEMS, ParallelQueueSpec
from taskfleet.api.pipelines import ParallelQueue, Pipeline
from taskfleet.core.errors import InputError
from taskfleet.core.parallel.rules import ItemStatus, RunState
from taskfleet.core.task import QueueKey
from taskfleet.parallel.coordinator import Coordinator, Order
from taskfleet.parallel.driver import Driver
from taskfleet.parallel.earlier import EarlierResults, last_step, streamed
from taskfleet.parallel.items import Source
from taskfleet.parallel.record import Record
from taskfleet.parallel.results import lines_in_order
from taskfleet.store import Store

Earlier = tuple[QueueKey, str, Record]
"""A queue that has completed: where its run is, and what it came to."""

MAX_BYTES = 32 * 1024 * 1024  # of result lines that a template is given
_TOO_MUCH = (
    f"and a template takes at most {MAX_ITEMS:,} and {MAX_BYTES >> 20} MiB; go over them one by one, with "
    "on: {{ ID.results }} or {{ ID.outputs }} and nothing else"
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One queue of a pipeline. ``driver`` is to be run; None: ``record`` says how it has ended."""

    name: str
    record: Record
    driver: Driver | None


def run_name(pipeline: Pipeline, queue: ParallelQueue) -> str:
    """What the run of one of its queues is called: ``PIPELINE.ID``, or that of the kind ParallelQueue."""
    return pipeline.name if queue.at == ("spec",) else f"{pipeline.name}.{queue.id}"


async def prepare(coordinator: Coordinator, pipeline: Pipeline, *, again: bool) -> None:
    """See that there is something left to run. Raises InputError when all has ended; ``again`` forgets it then."""
    names = [run_name(pipeline, queue) for queue in pipeline.queues]
    records = [await coordinator.record(name) for name in names]
    if not all(record is not None and record.state.is_final for record in records):
        return
    if not again:
        raise InputError(
            f"{pipeline.name} has run already: `taskfleet parallel results {names[-1]}` shows its results; --again "
            "forgets them and runs it anew"
        )
    for name in names:
        await coordinator.forget(name)


async def stages(
    store: Store, key: QueueKey, coordinator: Coordinator, pipeline: Pipeline, inputs: Mapping[str, Any]
) -> AsyncIterator[Stage]:
    """Each queue when the ones before it have completed; after one that did not, none. Who iterates runs the drivers.
    Raises InputError, DatasetError."""
    earlier: dict[str, Earlier] = {}
    for queue in pipeline.queues:
        name = run_name(pipeline, queue)
        record = await coordinator.record(name)
        if record is None or not record.state.is_final:
            spec = queue.spec
            if missing := [each for each in queue.inputs_from if each not in inputs]:
                raise InputError(
                    f"inputsFrom: {', '.join(missing)}: a cluster has that; give it here, as --input {missing[0]}=@FILE"
                )
            known, source = await of_earlier(store, spec, earlier)
            naming = partial(pipeline.place, queue)
            order = Order(name, spec, {**spec.inputs, **inputs}, pipeline.file.parent, known, source, naming=naming)
            driver = await coordinator.driver(order)
            yield Stage(name, driver.record, driver)
            record = driver.record
        else:
            yield Stage(name, record, None)
        if record.state is not RunState.COMPLETED:
            return
        earlier[queue.id] = key, name, record


async def of_earlier(
    store: Store, spec: ParallelQueueSpec, earlier: Mapping[str, Earlier]
) -> tuple[dict[str, Any], Source | None]:
    """What templates are to know of the queues before it, and its items where those are all that one of them came to.
    Raises InputError when that is too much."""
    source, said = None, spec.to_wire()
    if (wanted := streamed(spec.on, earlier)) is not None:
        source = EarlierResults(store, *earlier[wanted[0]], outputs=wanted[1])
        del said["items"]
    named = {other: found for other, found in earlier.items() if other.encode() in orjson.dumps(said)}
    return {other: await _outcome(store, *found) for other, found in named.items()}, source


async def _outcome(store: Store, key: QueueKey, name: str, record: Record) -> dict[str, Any]:
    """What templates of later queues know of one."""
    if record.tally.done > MAX_ITEMS:
        raise InputError(f"{name} has {record.tally.done:,} results, {_TOO_MUCH}")
    results, size = [], 0
    async for line in lines_in_order(store, key, name):
        size += len(line)
        if size > MAX_BYTES:
            raise InputError(f"{name} has more than {MAX_BYTES >> 20} MiB of results, {_TOO_MUCH}")
        results.append(orjson.loads(line))
    completed = [line for line in results if line["status"] == ItemStatus.COMPLETED]
    last = last_step(record)
    counts = {status.value: count for status, count in record.tally.items.items()}
    return {"results": results, "outputs": [line["steps"][last]["output"] for line in completed], **counts}
