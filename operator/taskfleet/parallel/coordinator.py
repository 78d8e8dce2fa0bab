"""Begins a run, goes on with one, or ends one: whoever does takes it over from whoever drove it before."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from taskfleet.api.fielderrors import field_name
from taskfleet.api.parallelqueue import ParallelQueueSpec
from taskfleet.api.taskqueue import published_spec
from taskfleet.api.taskreader import TaskReader
from taskfleet.core.errors import InputError, NotFound
from taskfleet.core.parallel.moves import Stop
from taskfleet.core.parallel.rules import OnUntil, RunState
from taskfleet.core.task import NewTask, QueueKey, TaskView
from taskfleet.parallel.asking import ByTasks, NoAnswer
from taskfleet.parallel.driver import Driver
from taskfleet.parallel.errands import built
from taskfleet.parallel.field import Field, Naming
from taskfleet.parallel.items import ItemList, Source
from taskfleet.parallel.place import Written
from taskfleet.parallel.plan import Plan
from taskfleet.parallel.record import Record
from taskfleet.parallel.results import newest_lines
from taskfleet.parallel.sources import file_source, source_of
from taskfleet.store import Store

T = TypeVar("T")

ASK_SECONDS = 600.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run. ``earlier``: what templates know of the queues before it; ``source``: its items, where those
    are all that such a queue came to. ``nonce`` tells the run from others of its name and makes the ids of its tasks;
    "": a new one does. ``naming``: what errors call its fields."""

    name: str
    spec: ParallelQueueSpec
    inputs: Mapping[str, Any]
    folder: Path
    earlier: Mapping[str, Any]
    source: Source | None = None
    nonce: str = ""
    naming: Naming = field_name


class Coordinator:
    """For one queue. ``open`` it first."""

    def __init__(self, store: Store, queue: QueueKey, spec: Any, kept_seconds: float) -> None:
        self._store = store
        self._queue = queue
        self._reader = TaskReader(spec)
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.kept_seconds = kept_seconds

    @classmethod
    async def open(cls, store: Store, queue: QueueKey) -> "Coordinator":
        """Raises NotFound when there is no such queue."""
        policy = await store.policy(queue)
        if policy is None:
            raise NotFound(f"there is no queue {queue} in this store; apply its TaskQueue first")
        return cls(store, queue, published_spec(policy, queue), policy.keep_results_seconds)

    async def record(self, name: str) -> Record | None:
        """What there is of a run; None when there is none."""
        return Record.from_fields(await self._store.runs.fields(self._queue, name))

    async def forget(self, name: str) -> None:
        """Remove a run and its results."""
        await self._store.runs.forget(self._queue, name)

    async def driver(self, order: Order) -> Driver:
        """To run what is ordered: anew, or from where its last coordinator was. Raises InputError, DatasetError."""
        plan = Plan(order.spec, {**order.earlier, **order.inputs}, order.naming)
        plan.check(self._reader)
        before = await self.record(order.name)
        if before is None:
            return await self._new(order, plan)
        if not before.is_of(order.spec, order.inputs):
            raise InputError(
                f"a run {order.name} of another file, or with other inputs, has not ended: `taskfleet parallel cancel "
                f"{order.name}` ends it, or give this one another name"
            )
        return await self._go_on(order, plan)

    async def cancel(self, name: str) -> Driver:
        """To end a run that has not ended. Raises NotFound, and InputError when it has."""
        before = await self.record(name)
        if before is None:
            raise NotFound(f"there is no run {name} in {self._queue}")
        if before.state.is_final:
            raise InputError(f"{name} has ended already: it is {before.state}")
        record, written = await self._take(name)
        stop = record.stop or Stop(RunState.CANCELLED, "it was cancelled", OnUntil.CANCEL)
        record.stop = replace(stop, running=OnUntil.CANCEL)
        return self._driver(name, Plan(record.read_spec(), record.inputs), record, written, ItemList([]))

    async def _new(self, order: Order, plan: Plan) -> Driver:
        source = order.source
        if source is None:
            source = await self._by_tasks(source_of(order.spec, plan, order.folder), plan.on)
        record = Record(
            nonce=order.nonce or secrets.token_hex(5),
            spec=order.spec.to_wire(),
            inputs=dict(order.inputs),
            kept=source.all if isinstance(source, ItemList) else None,
            source=source.fingerprint(),
            began=time.time(),
            total=source.total,
        )
        await self._store.runs.take(self._queue, order.name, self._holder)
        return self._driver(order.name, plan, record, Written(), source)

    async def _go_on(self, order: Order, plan: Plan) -> Driver:
        record, written = await self._take(order.name)
        source: Source
        if order.source is not None:
            source = order.source
        elif record.kept is not None:
            source = ItemList(record.kept)
        else:
            source = file_source(order.spec, plan, order.folder)
            if source.fingerprint() != record.source:
                raise InputError(
                    f"{plan.on}: {order.spec.on} is not the file with which {order.name} began; bring that back, or "
                    f"`taskfleet parallel cancel {order.name}`"
                )
        driver = self._driver(order.name, plan, record, written, source)
        if driver.wants_results:
            for line in await newest_lines(self._store, self._queue, order.name):
                driver.add_result(line)
        return driver

    async def _take(self, name: str) -> tuple[Record, Written]:
        fields, entries = await self._store.runs.take(self._queue, name, self._holder)
        record = Record.from_fields(fields)
        if record is None:
            raise NotFound(f"the run {name} is no longer in {self._queue}")
        return record, Written(entries)

    def _driver(self, name: str, plan: Plan, record: Record, written: Written, source: Source) -> Driver:
        return Driver(
            self._store,
            self._queue,
            name,
            self._holder,
            plan=plan,
            record=record,
            written=written,
            source=source,
            reader=self._reader,
        )

    async def _by_tasks(self, work: ByTasks[T], on: Field) -> T:
        """What it comes to. Raises InputError."""
        view = None
        try:
            while True:
                fields = work.send(view)  # type: ignore[arg-type]  # a generator begins with None
                view = await self._answered(built(self._reader, fields, work), on)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except NoAnswer as why:
            raise InputError(str(why)) from None

    async def _answered(self, task: NewTask, on: Field) -> TaskView:
        await self._store.submit(self._queue, [task])
        try:
            async with asyncio.timeout(ASK_SECONDS):
                while True:
                    (view,) = await self._store.get(self._queue, [task.id])
                    if view is not None and view.state.is_final:
                        return view
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            await self._store.cancel(self._queue, [task.id])
            raise InputError(f"{on}: the model gave no answer within {ASK_SECONDS:g} s") from None
