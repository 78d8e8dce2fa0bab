"""The Store: everything that Taskfleet keeps about queues, tasks and workers, behind one class.

Each method is one atomic script, or a few. A Store may be shared by many coroutines of one event loop.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any

from taskfleet.core.settlement import (
    BatchCounts,
    Claim,
    DeadLetter,
    Heartbeat,
    QueuePolicy,
    QueueStats,
    Settlement,
    WorkerReport,
)
from taskfleet.core.task import NewTask, QueueKey, TaskView
from taskfleet.store import codec, deadletters, endings, incoming, keys, lua, reading, submission
from taskfleet.store.connection import Connection
from taskfleet.store.wake import WakeListener

_AT_ONCE = 500
_TICK_STEPS = 10


class Store:
    """A connected store. Any call may raise StoreUnreachable (and a later one works again once the server is back),
    and any that adds data StoreOutOfMemory."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, url: str, *, timeout: float = 5.0) -> "Store":  # noqa: ASYNC109 - for every later call too
        """A store at ``valkey://[user:password@]host:port`` (also redis, rediss, valkeys, unix), checked to be usable.

        ``timeout`` in seconds bounds each call to the server. Errors: InputError (the URL), StoreUnreachable,
        StoreAuthFailed, StoreTooOld, StoreSchemaMismatch.
        """
        connection = Connection(url, timeout)
        try:
            await connection.open()
        except BaseException:
            await connection.close()
            raise
        return cls(connection)

    async def close(self) -> None:
        """End all connections; the store is not usable afterwards."""
        await self._connection.close()

    async def ping(self) -> None:
        """Return when the server answers."""
        await self._connection.call("PING")

    # Queues

    async def put_policy(self, queue: QueueKey, policy: QueuePolicy) -> bool:
        """Make the queue exist with this policy; whether that changed anything (and then its listeners wake)."""
        changed = await self._connection.run(lua.PUT_POLICY, queue, *codec.pack_policy(policy))
        return bool(changed)

    async def policy(self, queue: QueueKey) -> QueuePolicy | None:
        """The queue's policy, or None when there is no such queue."""
        stored = await self._connection.call("HGET", keys.key(queue, "policy"), "json")
        return codec.unpack_policy(stored) if stored else None

    async def drop_queue(self, queue: QueueKey) -> None:
        """Remove the queue with all its tasks and results, in bounded steps; it takes nothing new at once."""
        call = self._connection.call
        await call("UNLINK", keys.key(queue, "policy"))
        cursor, more = 0, True
        while more:
            cursor, found = await self._connection.scan(queue, cursor, _AT_ONCE)
            if found:
                await call("UNLINK", *found)
            more = cursor != 0
        await call("PUBLISH", keys.key(queue, "wake"), b"")

    # Producers

    async def submit(self, queue: QueueKey, tasks: Iterable[NewTask], *, batch: str | None = None) -> int:
        """Enqueue all of the tasks, in order, or none of them; how many.

        Any number: many are brought in chunks that nobody sees before the last one is there. ``batch`` names what
        ``batch`` and ``batch_tasks`` tell of later; a known one grows. Errors, with nothing enqueued: NotFound (no such
        queue), QueueFull, QueueClosed, DuplicateTask, InvalidTask (too large), InputError (the batch's name),
        StoreOutOfMemory. What ``tasks`` itself raises while it is iterated leaves nothing enqueued either. After
        StoreUnreachable it is not known whether they were enqueued: submit them again with the same ids, and
        DuplicateTask says that they were.
        """
        return await submission.submit(self._connection, queue, tasks, batch)

    async def cancel(self, queue: QueueKey, ids: Sequence[str]) -> dict[str, str]:
        """Cancel waiting tasks now and running ones at their next heartbeat.

        For each id ``cancelled``, ``cancelling``, ``finished`` (it had a result already) or ``not_found``.
        """
        outcome: dict[str, str] = {}
        for first in range(0, len(ids), _AT_ONCE):
            part = ids[first : first + _AT_ONCE]
            words = await self._connection.run(lua.CANCEL, queue, *part)
            outcome.update(zip(part, (word.decode() for word in words), strict=True))
        return outcome

    async def get(self, queue: QueueKey, ids: Sequence[str]) -> list[TaskView | None]:
        """Tasks in the order of their ids, None where the queue has none (or its retention has ended)."""
        return await reading.get(self._connection, queue, ids)

    async def forget(self, queue: QueueKey, ids: Sequence[str]) -> None:
        """Remove tasks that completed and that nobody will ask for again, ahead of their retention."""
        if ids:
            await self._connection.call("UNLINK", *(keys.task(queue, task_id) for task_id in ids))

    async def batch(self, queue: QueueKey, batch: str) -> BatchCounts | None:
        """A batch in numbers, or None when the queue has none of that name."""
        return await reading.batch(self._connection, queue, batch)

    def batch_tasks(self, queue: QueueKey, batch: str) -> AsyncIterator[TaskView]:
        """Tasks of a batch in input order, read in bounded steps; those past their retention are left out."""
        return reading.batch_tasks(self._connection, queue, batch)

    async def stats(self, queue: QueueKey) -> QueueStats | None:
        """The queue in numbers, or None when there is no such queue. What is due by now is brought first."""
        return await reading.stats(self._connection, queue)

    # Dead letters

    def dead_letters(self, queue: QueueKey) -> AsyncIterator[DeadLetter]:
        """The failed tasks there are now, oldest first, read in bounded steps; the reader may redrive or purge them."""
        return deadletters.dead_letters(self._connection, queue)

    async def dead_body(self, queue: QueueKey, task_id: str) -> bytes | None:
        """The body of a failed task, None when it has not failed or is not there."""
        return await deadletters.body(self._connection, queue, task_id)

    async def redrive(self, queue: QueueKey, ids: Sequence[str]) -> dict[str, str]:
        """Bring dead letters back as if submitted now, with all their attempts; their batches are open again.

        For each id ``redriven``, ``not_failed`` or ``not_found``. In bounded steps, each of them whole or not at all.
        Errors: NotFound (no such queue), QueueFull, QueueClosed, StoreOutOfMemory; earlier steps stay done.
        """
        return await deadletters.redrive(self._connection, queue, ids)

    async def purge(self, queue: QueueKey, ids: Sequence[str]) -> dict[str, str]:
        """Remove dead letters for good. For each id ``purged``, ``not_failed`` or ``not_found``."""
        return await deadletters.purge(self._connection, queue, ids)

    # Workers

    async def claim(self, queue: QueueKey, worker: str, models: Sequence[str], count: int) -> Claim:
        """Lease up to ``count`` tasks of these models to the worker: by priority, then first come first served.

        While lower priorities wait, every 20th task is of one of them, in turn.

        Of a queue that does not exist, or that is stopped, it brings nothing and says ``stopped``. Errors: InputError
        (a worker's name that is empty or longer than 255 bytes).
        """
        version, stopped, now, wait, *found = await self._connection.run(
            lua.CLAIM, queue, incoming.check_name("worker", worker), count, *models
        )
        claimed_at = now / 1000
        return Claim(
            tasks=tuple(
                codec.leased(task_id, record, claimed_at)
                for task_id, record in zip(found[::2], found[1::2], strict=True)
            ),
            next_due_in=None if wait < 0 else wait / 1000,
            policy_version=version,
            stopped=bool(stopped),
        )

    async def heartbeat(self, queue: QueueKey, report: WorkerReport, leases: Mapping[str, int]) -> Heartbeat:
        """Renew leases (task id to fence) and store the worker's report; which leases it lost, which were cancelled."""
        flat: list[str | int] = [part for lease in leases.items() for part in lease]
        lost, cancelled = await self._connection.run(
            lua.HEARTBEAT, queue, report.worker, codec.pack_report(report), *flat
        )
        return Heartbeat(_names(lost), _names(cancelled))

    async def settle(self, queue: QueueKey, settlements: Sequence[Settlement]) -> list[bool]:
        """End leases; for each whether it was accepted. A refused one was no longer the caller's."""
        accepted: list[bool] = []
        for first in range(0, len(settlements), _AT_ONCE):
            blob = endings.pack_settlements(settlements[first : first + _AT_ONCE])
            accepted += map(bool, await self._connection.run(lua.SETTLE, queue, blob))
        return accepted

    async def workers(self, queue: QueueKey) -> list[WorkerReport]:
        """Last reports of the workers heard of within one lease, by name."""
        stored = await self._connection.run(lua.WORKERS, queue)
        return sorted((codec.unpack_report(report) for report in stored if report), key=lambda report: report.worker)

    async def retire(self, queue: QueueKey, worker: str) -> None:
        """Forget a worker that leaves. Its leases are its own to settle."""
        await self._connection.run(lua.RETIRE, queue, worker)

    # Time

    async def tick(self, queue: QueueKey) -> None:
        """Do what is due: take back expired leases, bring retries whose time has come, expire what waited too long,
        sweep what retention or a dead submitter left. In bounded steps; what is left is for the next call."""
        for _ in range(_TICK_STEPS):
            if not await self._connection.run(lua.TICK, queue):
                return

    # Wake-ups

    def listen(self, queues: Collection[QueueKey]) -> WakeListener:
        """Hear of changes in these queues without polling: ``async with store.listen(queues) as listener``."""
        return WakeListener(self._connection, queues)


def _names(found: Sequence[Any]) -> frozenset[str]:
    return frozenset(name.decode() for name in found)
