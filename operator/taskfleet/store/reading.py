"""What the store shows: tasks, batches, and a queue in numbers."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from taskfleet.core.errors import InputError
from taskfleet.core.settlement import BatchCounts, CurrentLease, QueueStats
from taskfleet.core.task import DEFAULT_TENANT, Priority, QueueKey, TaskView
from taskfleet.store import codec, keys, lua
from taskfleet.store.connection import Connection

_AT_ONCE = 200
_MET_AT_ONCE = 500
_NOT_PACKED = b"-" * 65  # lib.lua
# Counters that other parts of QueueStats show, and sequences that are nobody's business.
_NOT_COUNTERS = frozenset({"completed", "cancelled", "expired", "sequence", "stages", "turn"})
_COUNTERS = ("enqueued", "lease_expired", "failed_total", "redriven", "purged", "tokens_input", "tokens_output")


async def get(connection: Connection, queue: QueueKey, ids: Sequence[str]) -> list[TaskView | None]:
    views: list[TaskView | None] = []
    while len(views) < len(ids):  # a reply is shorter than asked for when its tasks are big
        asked = ids[len(views) : len(views) + _AT_ONCE]
        for task_id, found in zip(asked, await connection.run(lua.GET, queue, *asked), strict=False):
            views.append(codec.view(task_id, *found) if found else None)
    return views


async def body(connection: Connection, queue: QueueKey, task_id: str) -> bytes | None:
    record = await connection.call("GET", keys.task(queue, task_id))
    return codec.body(record) if record else None


async def some_tasks(connection: Connection, queue: QueueKey, cursor: int) -> tuple[list[str], int]:
    """Ids that one step of bounded cost meets, and the cursor of the next (0: there is none)."""
    cursor, found = await connection.scan(queue, cursor, _MET_AT_ONCE, keys.TASKS)
    at = len(keys.task(queue, ""))
    return [name.decode()[at:] for name in found], cursor


async def running(connection: Connection, queue: QueueKey) -> list[str]:
    found = await connection.call("ZRANGE", keys.key(queue, "leases"), 0, -1)
    return [name.decode() for name in found if name != _NOT_PACKED]


async def lease(connection: Connection, queue: QueueKey, task_id: str) -> CurrentLease | None:
    (found,) = await connection.run(lua.GET, queue, task_id)
    if not found:
        return None
    task = codec.view(task_id, *found)
    seconds, microseconds = await connection.call("TIME")
    age = int(seconds) + int(microseconds) / 1e6 - task.enqueued_at - (task.queue_seconds or 0.0)
    return CurrentLease(task, codec.fence(found[0]), max(0.0, round(age, 3)))


async def ahead_of(connection: Connection, queue: QueueKey, task_id: str) -> int | None:
    found: int | None = await connection.run(lua.POSITION, queue, task_id)
    return found


async def batch(connection: Connection, queue: QueueKey, name: str) -> BatchCounts | None:
    fields = ("total", "completed", "failed", "cancelled", "expired")
    total, *final = await connection.call("HMGET", keys.batch(queue, name), *fields)
    if total is None:
        return None
    completed, failed, cancelled, expired = (int(number or 0) for number in final)
    return BatchCounts(name, int(total), completed, failed, cancelled, expired)


async def batch_tasks(connection: Connection, queue: QueueKey, name: str, after: str) -> AsyncIterator[TaskView]:
    """Tasks of a batch in input order; those that retention has taken away are left out."""
    at = await place_after(connection, keys.batch_ids(queue, name), after)
    while True:
        ids = await connection.call("LRANGE", keys.batch_ids(queue, name), at, at + _AT_ONCE - 1)
        for view in await get(connection, queue, [task_id.decode() for task_id in ids]):
            if view is not None:
                yield view
        if len(ids) < _AT_ONCE:
            return
        at += _AT_ONCE


async def place_after(connection: Connection, ids: str, after: str) -> int:
    """Where a list of ids goes on behind one of them; its beginning without one. Raises InputError."""
    if not after:
        return 0
    at = await connection.call("LPOS", ids, after)
    if at is None:
        raise InputError(f"after: {after[:128]!r} is not in this batch; give the id of the last task that you have")
    return int(at) + 1


async def tenants(connection: Connection, queue: QueueKey) -> dict[str, int]:
    found: dict[bytes, bytes] = await connection.call("HGETALL", keys.key(queue, "tenants"))
    return {name.decode() or DEFAULT_TENANT: int(count) for name, count in found.items()}


async def stats(connection: Connection, queue: QueueKey) -> QueueStats | None:
    reply = await connection.run(lua.STATS, queue)
    if reply is None:
        return None
    now, lanes, totals, scheduled, running, failed, oldest, due, paused_until = reply
    depth = {priority.label: 0 for priority in Priority}
    backlog: dict[str, int] = {}
    blocked = 0
    for name, waiting in _numbers(lanes).items():
        model, separator, priority = name.rpartition(":")
        if not separator or not waiting:
            continue
        depth[Priority(int(priority)).label] += waiting
        if name.startswith("="):
            blocked += waiting
        else:
            backlog[model] = backlog.get(model, 0) + waiting
    counts = _numbers(totals)
    counters = dict.fromkeys(_COUNTERS, 0) | {k: v for k, v in counts.items() if k not in _NOT_COUNTERS}
    return QueueStats(
        pending=sum(depth.values()),
        scheduled=scheduled,
        running=running,
        completed=counts.get("completed", 0),
        failed=failed,
        cancelled=counts.get("cancelled", 0),
        expired=counts.get("expired", 0),
        depth=depth,
        backlog=backlog,
        oldest_pending_at=None if oldest < 0 else oldest / 1000,
        next_due_at=None if due < 0 else due / 1000,
        now=now / 1000,
        blocked=blocked,
        counters=counters,
        paused=paused_until != 0,
        paused_until=paused_until / 1000 if paused_until > 0 else None,
    )


def _numbers(flat: Sequence[Any]) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}
