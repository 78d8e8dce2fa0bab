"""The engine: everything that Taskfleet keeps about queues, tasks and workers, where a queue is in one place.

Each method is one atomic script, or a few. What a queue in several partitions needs is in ``partitions``, whose Store
is the one that other packages use. It may be shared by many coroutines of one event loop.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Self

from taskfleet.core.chronicle import Chronicle
from taskfleet.core.errors import NotFound
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
from taskfleet.core.task import NewTask, QueueKey, TaskView, WaitingTask
from taskfleet.store import (
    chronicles,
    codec,
    deadletters,
    endings,
    ends,
    events,
    incoming,
    keys,
    lua,
    ratelimits,
    reading,
    submission,
    taking,
    telling,
    waiting,
)
from taskfleet.store.connection import Connection
from taskfleet.store.followers import Followers
from taskfleet.store.jobs import Jobs
from taskfleet.store.runs import Runs

_AT_ONCE = 500
_TICK_STEPS = 10
_NO_END = -1
_DUE_FIRST, _DUE_OR_NOT = 0, 1


class Engine:
    """A connected store. Any call may raise StoreUnreachable (and a later one works again once the server is back),
    and any that adds data StoreOutOfMemory."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._followers = Followers(connection)
        self.jobs = Jobs(connection)
        self.runs = Runs(connection)

    @classmethod
    async def connect(cls, url: str, *, timeout: float = 5.0) -> Self:  # noqa: ASYNC109 - for every later call too
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
        await self._followers.close()
        await self._connection.close()

    async def ping(self) -> None:
        """Return when the server answers."""
        await self._connection.call("PING")

    # Queues

    async def put_policy(self, queue: QueueKey, policy: QueuePolicy) -> bool:
        """Make the queue exist with this policy; whether that changed anything (and then its listeners wake)."""
        if not await self._connection.call("SISMEMBER", keys.QUEUES, str(queue)):
            await self._connection.call("SADD", keys.QUEUES, str(queue))
        changed = await self._connection.run(lua.PUT_POLICY, queue, *codec.pack_policy(policy))
        return bool(changed)

    async def policy(self, queue: QueueKey) -> QueuePolicy | None:
        """The queue's policy, or None when there is no such queue."""
        stored = await self._connection.call("HGET", keys.key(queue, "policy"), "json")
        return codec.unpack_policy(stored) if stored else None

    async def queues(self) -> list[QueueKey]:
        """The queues there are, by name."""
        found = await self._connection.call("SMEMBERS", keys.QUEUES)
        return [QueueKey.parse(name) for name in sorted(each.decode() for each in found)]

    async def pause(self, queue: QueueKey, *, until: float | None = None, seconds: float | None = None) -> float | None:
        """No task is claimed from now on: until ``until`` (seconds since the epoch) or for ``seconds``, and without
        either until ``resume``. The end; claims begin by themselves then. What runs goes on. Errors: NotFound.
        """
        if seconds is not None:
            end, _ = await self._pause(queue, round(seconds * 1000), "from now")
        else:
            end, _ = await self._pause(queue, _NO_END if until is None else round(until * 1000))
        return None if end == _NO_END else end / 1000

    async def resume(self, queue: QueueKey) -> bool:
        """End a pause now; whether there was one. Errors: NotFound."""
        _, was_paused = await self._pause(queue, 0)
        return bool(was_paused)

    async def _pause(self, queue: QueueKey, *arguments: int | str) -> tuple[int, int]:
        reply = await self._connection.run(lua.PAUSE, queue, *arguments)
        if reply is None:
            raise NotFound(f"queue {queue} does not exist in this store; apply its TaskQueue first")
        end, was_paused = reply
        return end, was_paused

    async def drop_queue(self, queue: QueueKey) -> None:
        """Remove the queue with all its tasks and results, in bounded steps; it takes nothing new at once.

        One that is made anew meanwhile is left alone: whoever drops may have been held still for long.
        """
        call = self._connection.call
        await call("UNLINK", keys.key(queue, "policy"))
        await call("SREM", keys.QUEUES, str(queue))
        cursor, more = 0, True
        while more:
            cursor, found = await self._connection.scan(queue, cursor, _AT_ONCE)
            if found and not await self._connection.run(lua.DROP, queue, *found):
                return
            more = cursor != 0
        await call("PUBLISH", keys.key(queue, "wake"), b"")

    # What the controller says

    async def record(self, queue: QueueKey, news: Chronicle) -> None:
        """Keep this beside the queue: the newest status of each object (None: it is gone), and decisions, newest first,
        before the last ones. It goes with the queue."""
        await chronicles.record(self._connection, queue, news)

    async def chronicle(self, queue: QueueKey) -> Chronicle:
        """What was recorded; empty when no controller has looked at the queue."""
        return await chronicles.chronicle(self._connection, queue)

    # Producers

    async def submit(self, queue: QueueKey, tasks: Iterable[NewTask], *, batch: str | None = None) -> int:
        """Enqueue all of the tasks, in order, or none of them; how many were new (see ``NewTask.once``).

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

    async def body(self, queue: QueueKey, task_id: str) -> bytes | None:
        """What a task asks for (JSON), as long as it waits or runs, or is kept as failed; None otherwise."""
        return await reading.body(self._connection, queue, task_id)

    async def ahead_of(self, queue: QueueKey, task_id: str) -> int | None:
        """About how many tasks of its model are served before a task; None when it does not wait for a worker."""
        return await reading.ahead_of(self._connection, queue, task_id)

    async def current_lease(self, queue: QueueKey, task_id: str) -> CurrentLease | None:
        """A task and its newest lease, to end one that is not the caller's own; None when there is no such task."""
        return await reading.lease(self._connection, queue, task_id)

    def waiting(self, queue: QueueKey) -> AsyncIterator[WaitingTask]:
        """The tasks that wait in lanes, without claiming them, read in bounded steps: by priority, then in order."""
        return waiting.waiting(self._connection, queue)

    async def forget(self, queue: QueueKey, ids: Sequence[str]) -> None:
        """Remove tasks that completed and that nobody will ask for again, ahead of their retention."""
        if ids:
            await self._connection.call("UNLINK", *(keys.task(queue, task_id) for task_id in ids))

    async def batch(self, queue: QueueKey, batch: str) -> BatchCounts | None:
        """A batch in numbers, or None when the queue has none of that name."""
        return await reading.batch(self._connection, queue, batch)

    def batch_tasks(self, queue: QueueKey, batch: str, after: str = "") -> AsyncIterator[TaskView]:
        """Tasks of a batch in input order, read in bounded steps; those past their retention are left out. ``after``:
        the id of one, to go on behind it; InputError when it is not in the batch."""
        return reading.batch_tasks(self._connection, queue, batch, after)

    async def stats(self, queue: QueueKey) -> QueueStats | None:
        """The queue in numbers, or None when there is no such queue. What is due by now is brought first."""
        return await reading.stats(self._connection, queue)

    async def tenants(self, queue: QueueKey) -> dict[str, int]:
        """How many tasks each tenant has waiting, also for their time; in O(tenants). Who has none is left out."""
        return await reading.tenants(self._connection, queue)

    # Dead letters

    def dead_letters(self, queue: QueueKey, after: tuple[float, str] | None = None) -> AsyncIterator[DeadLetter]:
        """The failed tasks there are now, oldest first, read in bounded steps; the reader may redrive or purge them.
        ``after``: when one failed and its id, to go on behind it, also when it is no longer there."""
        return deadletters.dead_letters(self._connection, queue, after)

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
        name = incoming.check_name("worker", worker)
        version, stopped, now, wait, *found = await self._connection.run(
            lua.CLAIM, queue, name, count, _DUE_FIRST, *models
        )
        if wait == 0:
            await self._connection.run(lua.TICK, queue)
        if wait == 0 and not found:
            version, stopped, now, wait, *found = await self._connection.run(
                lua.CLAIM, queue, name, count, _DUE_OR_NOT, *models
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

    async def take(self, queue: QueueKey, worker: str, ids: Sequence[str]) -> Taken:
        """Lease certain tasks to the worker, whatever waits before them, and also ahead of their time; those of a
        session only when it is their turn. Errors: InputError (the worker's name)."""
        return await taking.take(self._connection, queue, worker, ids)

    async def heartbeat(
        self, queue: QueueKey, report: WorkerReport, leases: Mapping[str, int], *, lease_seconds: float | None = None
    ) -> Heartbeat:
        """Renew leases (task id to fence) and store the worker's report; which leases it lost, which were cancelled.

        They are renewed for ``lease_seconds`` from now (None: for the queue's own time).
        """
        flat: list[str | int] = [part for lease in leases.items() for part in lease]
        ms = round((lease_seconds or 0.0) * 1000)
        worker = incoming.check_name("worker", report.worker)
        said = codec.pack_report(report)
        lost, cancelled = await self._connection.run(lua.HEARTBEAT, queue, worker, report.process, said, ms, *flat)
        return Heartbeat(_names(lost), _names(cancelled))

    async def settle(self, queue: QueueKey, settlements: Sequence[Settlement]) -> list[bool]:
        """End leases; for each whether it was accepted. A refused one was no longer the caller's."""
        accepted: list[bool] = []
        for first in range(0, len(settlements), _AT_ONCE):
            blob = endings.pack_settlements(settlements[first : first + _AT_ONCE])
            accepted += map(bool, await self._connection.run(lua.SETTLE, queue, blob))
        return accepted

    async def turns(self, queue: QueueKey, session: str) -> list[bytes]:
        """What was asked and answered in a session so far, oldest first, as the settlements of its tasks gave it."""
        return list(await self._connection.call("LRANGE", keys.turns(queue, session), 0, -1))

    async def workers(self, queue: QueueKey) -> list[WorkerReport]:
        """Last reports of the workers heard of within one lease, by name."""
        stored = await self._connection.run(lua.WORKERS, queue)
        return sorted((codec.unpack_report(report) for report in stored if report), key=lambda report: report.worker)

    async def retire(self, queue: QueueKey, worker: str) -> None:
        """Forget a worker that leaves. Its leases are its own to settle."""
        await self._connection.run(lua.RETIRE, queue, worker)

    # Events

    def events(self, queue: QueueKey, task_id: str, after: str = "") -> AsyncIterator[TaskEvent]:
        """What is told of a task, to its end; ``after`` is the id of an event that was read already.

        Waits without asking, and goes on after a lost connection. What was told before anyone asked for it (see
        ``NewTask.events``) is not there; where something was dropped since, an event ``trimmed`` stands for it. Errors:
        InputError (``after`` is no id), NotFound, StoreUnreachable (at the beginning).
        """
        return events.events(self._connection, self._followers, queue, task_id, after)

    async def publish(self, queue: QueueKey, publications: Sequence[Publication]) -> list[bool]:
        """Tell chunks of running tasks; for each whether it was accepted. A refused one was no longer the caller's."""
        return await telling.publish(self._connection, queue, publications) if publications else []

    async def progress(self, queue: QueueKey, task_id: str, fence: int, progress: Progress) -> bool:
        """Tell how far a running task is; False when it is no longer the caller's."""
        return await telling.progress(self._connection, queue, task_id, fence, progress)

    def all_progress(self, queue: QueueKey) -> AsyncIterator[Mapping[str, Progress]]:
        """How far each running task is that says so, by id: now, and whenever one says more. Waits without asking, for
        ever, also for a store that is away."""
        return telling.all_progress(self._connection, [queue])

    # Rate limits

    async def reserve(
        self,
        queue: QueueKey,
        endpoint: str,
        limits: RateLimits,
        wanted: Sequence[int] = (),
        returned: Iterable[Returned] = (),
    ) -> Reservation:
        """Reserve calls of an endpoint (``pool/endpoint``) within the limits that all of its workers share.

        ``wanted`` has the tokens of each call; the first of them that fit are granted, in order. What is ``returned``
        counts before. Nothing reserved outlives its minute, whatever becomes of the worker.
        """
        return await ratelimits.reserve(self._connection, queue, endpoint, limits, wanted, returned)

    async def reserve_call(self, identity: str, limits: RateLimits) -> Reservation:
        """Count a call of somebody, who has so many wherever they come in; what is not granted counts for nothing."""
        return await ratelimits.reserve(self._connection, keys.CALLERS, identity, limits, (0,), ())

    async def hold_endpoint(self, queue: QueueKey, endpoint: str, seconds: float) -> None:
        """Grant no call of this endpoint (``pool/endpoint``) for so long. All workers hear of it as of a new policy."""
        await self._connection.run(lua.HOLD, queue, endpoint, max(0, round(seconds * 1000)))

    # Time

    async def tick(self, queue: QueueKey) -> None:
        """Do what is due: take back expired leases, bring retries whose time has come, expire what waited too long,
        sweep what retention or a dead submitter left. In bounded steps; what is left is for the next call."""
        for _ in range(_TICK_STEPS):
            if not await self._connection.run(lua.TICK, queue):
                return

    # Wake-ups

    def ends(self) -> AsyncIterator[tuple[QueueKey, Mapping[str, bytes | None]]]:
        """Hear of tasks that end, in any queue, as they do: for ever, also after a lost connection. What ended while it
        was lost is not told of. By id, with None; before that with its record, where its end is announced."""
        return ends.ends(self._connection)


def _names(found: Sequence[Any]) -> frozenset[str]:
    return frozenset(name.decode() for name in found)
