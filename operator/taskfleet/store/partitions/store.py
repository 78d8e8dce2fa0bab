"""The Store: the engine for queues in one place and in several. It finds the partitions that a call is about, asks the
engine for each, and makes one answer of theirs. What its methods mean is said there."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from taskfleet.core.errors import StoreError
from taskfleet.core.events import Progress, Publication, TaskEvent
from taskfleet.core.ratelimit import RateLimits, Reservation, Returned
from taskfleet.core.settlement import (
    BatchCounts,
    Claim,
    CurrentLease,
    DeadLetter,
    Heartbeat,
    QueuePolicy,
    QueueStats,
    Settlement,
    Taken,
    WorkerReport,
)
from taskfleet.core.task import NewTask, QueueKey, TaskState, TaskView, WaitingTask
from taskfleet.store import keys, reading, telling
from taskfleet.store.client import Engine
from taskfleet.store.connection import Connection
from taskfleet.store.deliveries import Deliveries
from taskfleet.store.partitions import batches
from taskfleet.store.partitions.asking import everywhere, find, merged
from taskfleet.store.partitions.claiming import Claims
from taskfleet.store.partitions.home import Parts, place_of
from taskfleet.store.partitions.joint import finish_decided, sweep
from taskfleet.store.partitions.known import Spreads
from taskfleet.store.partitions.leases import Leases
from taskfleet.store.partitions.merging import added, merged_batch, merged_stats, merged_taken
from taskfleet.store.partitions.position import ahead_of
from taskfleet.store.partitions.room import Room
from taskfleet.store.partitions.submission import Submission
from taskfleet.store.wake import WakeListener


class Store(Engine):
    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._spreads = Spreads(connection)
        self._claims = Claims()
        self._room = Room(connection)
        self._leases = Leases()
        self.deliveries = Deliveries(connection, self._parts)

    async def _parts(self, queue: QueueKey) -> Parts:
        return (await self._spreads.of(queue)).parts

    # Queues

    async def put_policy(self, queue: QueueKey, policy: QueuePolicy) -> bool:
        number = await self._spreads.number(queue)
        if number not in (None, policy.partitions):
            raise StoreError(
                f"spec.partitions: queue {queue} has {number} in this store, and was given {policy.partitions}; it "
                "cannot change while the queue exists: leave it as it is, or delete the queue and make it anew"
            )
        if policy.partitions == 1:
            return await super().put_policy(queue, policy)
        self._room.forget(queue)
        # First what says how many there are, so that none is ever left that nobody knows of.
        await self._spreads.note(queue, policy)
        return any(await everywhere(await self._parts(queue), lambda part: Engine.put_policy(self, part, policy)))

    async def pause(self, queue: QueueKey, *, until: float | None = None, seconds: float | None = None) -> float | None:
        first, *others = await self._parts(queue)
        end = await super().pause(first, until=until, seconds=seconds)
        for part in others:
            await super().pause(part, until=end)
        return end

    async def resume(self, queue: QueueKey) -> bool:
        return any(await everywhere(await self._parts(queue), super().resume))

    async def drop_queue(self, queue: QueueKey) -> None:
        await self._spreads.number(queue)
        parts = await self._parts(queue)
        if len(parts) > 1:
            await everywhere(parts, super().drop_queue)
        await super().drop_queue(queue)  # last: until then it is known how many there are
        self._spreads.forget(queue)

    # Producers

    async def submit(self, queue: QueueKey, tasks: Iterable[NewTask], *, batch: str | None = None) -> int:
        parts = await self._parts(queue)
        if len(parts) == 1:
            return await super().submit(queue, tasks, batch=batch)
        return await Submission(self._connection, self._spreads, self._room, queue, parts, batch).submit(tasks)

    async def cancel(self, queue: QueueKey, ids: Sequence[str]) -> dict[str, str]:
        return await find(await self._parts(queue), ids, super().cancel, _is_not_found)

    async def get(self, queue: QueueKey, ids: Sequence[str]) -> list[TaskView | None]:
        parts, get = await self._parts(queue), super().get
        if len(parts) == 1:
            return await get(queue, ids)

        async def ask(part: QueueKey, some: Sequence[str]) -> dict[str, TaskView | None]:
            return dict(zip(some, await get(part, some), strict=True))

        found = await find(parts, ids, ask, _is_none)
        return [found[task_id] for task_id in ids]

    async def body(self, queue: QueueKey, task_id: str) -> bytes | None:
        body = super().body

        async def ask(part: QueueKey, ids: Sequence[str]) -> dict[str, bytes | None]:
            return {each: await body(part, each) for each in ids}

        return (await find(await self._parts(queue), [task_id], ask, _is_none))[task_id]

    async def some_tasks(self, queue: QueueKey, place: tuple[int, int]) -> tuple[list[str], tuple[int, int] | None]:
        """Ids of some tasks, final ones too, and where to go on (None: those were the last); ``(0, 0)`` begins. In no
        order; one that was there all the time is met, maybe twice. Each step costs the same, and may bring none."""
        part, cursor = place
        parts = await self._parts(queue)
        if part >= len(parts):
            return [], None
        ids, cursor = await reading.some_tasks(self._connection, parts[part], cursor)
        following = (part, cursor) if cursor else (part + 1, 0)
        return ids, following if following[0] < len(parts) else None

    async def running(self, queue: QueueKey) -> list[str]:
        """Ids of the tasks that somebody has leased now, in no order."""
        found = await everywhere(await self._parts(queue), lambda part: reading.running(self._connection, part))
        return [task_id for ids in found for task_id in ids]

    async def ahead_of(self, queue: QueueKey, task_id: str) -> int | None:
        parts = await self._parts(queue)
        if len(parts) == 1:
            return await super().ahead_of(queue, task_id)
        return await ahead_of(self._connection, parts, task_id)

    async def current_lease(self, queue: QueueKey, task_id: str) -> CurrentLease | None:
        current_lease = super().current_lease

        async def ask(part: QueueKey, ids: Sequence[str]) -> dict[str, CurrentLease | None]:
            return {each: await current_lease(part, each) for each in ids}

        return (await find(await self._parts(queue), [task_id], ask, _is_none))[task_id]

    async def waiting(self, queue: QueueKey) -> AsyncIterator[WaitingTask]:
        found = [Engine.waiting(self, part) for part in await self._parts(queue)]
        async for task in merged(found, lambda task: task.priority):
            yield task

    async def forget(self, queue: QueueKey, ids: Sequence[str]) -> None:
        await everywhere(await self._parts(queue), lambda part: Engine.forget(self, part, ids))

    async def batch(self, queue: QueueKey, batch: str) -> BatchCounts | None:
        parts = await self._parts(queue)
        found = await everywhere(parts, lambda part: Engine.batch(self, part, batch))
        known = [counts for counts in found if counts is not None]
        return merged_batch(known) if known else None

    async def batch_tasks(self, queue: QueueKey, batch: str, after: str = "") -> AsyncIterator[TaskView]:
        parts = await self._parts(queue)
        if len(parts) == 1:
            found = super().batch_tasks(queue, batch, after)
        else:
            found = batches.in_order(self._connection, parts, batch, after, lambda ids: self.get(queue, ids))
        async for view in found:
            yield view

    async def stats(self, queue: QueueKey) -> QueueStats | None:
        parts = await self._parts(queue)
        if len(parts) == 1:
            return await super().stats(queue)
        look_again = await finish_decided(self._connection, parts)
        found = await everywhere(parts, super().stats)
        known = [stats for stats in found if stats is not None]
        if len(known) < len(parts):
            return None
        stats = merged_stats(known)
        if look_again is None:
            return stats
        return replace(stats, next_due_at=min(look_again, stats.next_due_at or look_again))

    async def tenants(self, queue: QueueKey) -> dict[str, int]:
        return added(await everywhere(await self._parts(queue), super().tenants))

    # Dead letters

    async def dead_letters(self, queue: QueueKey, after: tuple[float, str] | None = None) -> AsyncIterator[DeadLetter]:
        found = [Engine.dead_letters(self, part, after) for part in await self._parts(queue)]
        async for letter in merged(found, lambda letter: (letter.failed_at, letter.task.id)):
            yield letter

    async def redrive(self, queue: QueueKey, ids: Sequence[str]) -> dict[str, str]:
        parts = await self._parts(queue)
        if len(parts) > 1 and ids:
            views = await self.get(queue, list(dict.fromkeys(ids)))
            back = [view.tenant for view in views if view is not None and view.state is TaskState.FAILED]
            await self._room.take(queue, parts, len(back), Counter(back))
        return await find(parts, ids, super().redrive, _is_not_found)

    async def purge(self, queue: QueueKey, ids: Sequence[str]) -> dict[str, str]:
        return await find(await self._parts(queue), ids, super().purge, _is_not_found)

    # Workers

    async def claim(self, queue: QueueKey, worker: str, models: Sequence[str], count: int) -> Claim:
        parts, claim = await self._parts(queue), super().claim
        if len(parts) == 1:
            return await claim(queue, worker, models, count)

        async def ask(place: int, wanted: int) -> Claim:
            found = await claim(parts[place], worker, models, wanted)
            self._leases.note(queue, place, found.tasks)
            return found

        return await self._claims.claim(queue, len(parts), models, count, ask)

    async def take(self, queue: QueueKey, worker: str, ids: Sequence[str]) -> Taken:
        parts = await self._parts(queue)
        if len(parts) == 1:
            return await super().take(queue, worker, ids)
        # Those of a session are not where their ids say: all are asked for all.
        found = await everywhere(parts, lambda part: Engine.take(self, part, worker, ids))
        for place, each in enumerate(found):
            self._leases.note(queue, place, each.tasks)
        return merged_taken(found)

    async def heartbeat(
        self, queue: QueueKey, report: WorkerReport, leases: Mapping[str, int], *, lease_seconds: float | None = None
    ) -> Heartbeat:
        parts, heartbeat = await self._parts(queue), super().heartbeat
        return await self._leases.renew(
            queue, parts, leases, lambda part, own: heartbeat(part, report, own, lease_seconds=lease_seconds)
        )

    async def settle(self, queue: QueueKey, settlements: Sequence[Settlement]) -> list[bool]:
        return await self._leases.settle(queue, await self._parts(queue), settlements, super().settle)

    async def turns(self, queue: QueueKey, session: str) -> list[bytes]:
        parts = await self._parts(queue)
        return await super().turns(parts[place_of(session, len(parts))], session)

    async def workers(self, queue: QueueKey) -> list[WorkerReport]:
        parts = await self._parts(queue)
        return await super().workers(parts[0])  # they report to all

    async def retire(self, queue: QueueKey, worker: str) -> None:
        await everywhere(await self._parts(queue), lambda part: Engine.retire(self, part, worker))

    # Events

    async def events(self, queue: QueueKey, task_id: str, after: str = "") -> AsyncIterator[TaskEvent]:
        part = await self._part_of(queue, task_id)
        async for event in super().events(part, task_id, after):
            yield event

    async def publish(self, queue: QueueKey, publications: Sequence[Publication]) -> list[bool]:
        return await self._leases.tell(queue, await self._parts(queue), publications, super().publish)

    async def progress(self, queue: QueueKey, task_id: str, fence: int, progress: Progress) -> bool:
        return await super().progress(await self._part_of(queue, task_id), task_id, fence, progress)

    async def all_progress(self, queue: QueueKey) -> AsyncIterator[Mapping[str, Progress]]:
        async for found in telling.all_progress(self._connection, await self._parts(queue)):
            yield found

    async def _part_of(self, queue: QueueKey, task_id: str) -> QueueKey:
        """The partition that has a task; where it would be at home when none has it."""
        parts = await self._parts(queue)
        home = place_of(task_id, len(parts))
        for part in parts[home:] + parts[:home] if len(parts) > 1 else ():
            if await self._connection.call("EXISTS", keys.task(part, task_id)):
                return part
        return parts[home]

    # Rate limits: those of the first partition are the endpoint's.

    async def reserve(
        self,
        queue: QueueKey,
        endpoint: str,
        limits: RateLimits,
        wanted: Sequence[int] = (),
        returned: Iterable[Returned] = (),
    ) -> Reservation:
        parts = await self._parts(queue)
        return await super().reserve(parts[0], endpoint, limits, wanted, returned)

    async def hold_endpoint(self, queue: QueueKey, endpoint: str, seconds: float) -> None:
        # Workers hear of it with their next claim, from whichever partition that is.
        parts = await self._parts(queue)
        await everywhere(parts, lambda part: Engine.hold_endpoint(self, part, endpoint, seconds))

    # Time

    async def tick(self, queue: QueueKey) -> None:
        parts = await self._parts(queue)
        await everywhere(parts, super().tick)
        if len(parts) > 1:
            await finish_decided(self._connection, parts)
            await sweep(self._connection, parts)
            await batches.forget_orders(self._connection, parts)

    # Wake-ups

    def listen(self, queues: Collection[QueueKey]) -> WakeListener:
        """Hear of changes in these queues without polling: ``async with store.listen(queues) as listener``."""
        return WakeListener(self._connection, queues, self._claims.woken)


def _is_not_found(word: str) -> bool:
    return word == "not_found"


def _is_none(found: object) -> bool:
    return found is None
