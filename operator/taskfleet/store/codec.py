"""How a task is packed into one value, and how it comes out again. Pure; the Lua side is in lib.lua.

A record is, big-endian and without gaps:

    state 1, cancel flag 1, lost leases 1, fence 4, attempts 2, enqueued ms 6, claimed ms 6    overwritten in place
    sequence 4, priority 1 (and HAS_EXTRAS if it has the next line, IS_ANNOUNCED, HAS_EVENTS), length of model 1
                                                                                       set as it comes in
    [deadline ms 6 (0: none), lengths of batch 1, tenant 1, session 1 and metadata 3]
    the names of model, batch, tenant and session, the metadata as JSON
    the body; once final, before it: length of the worker's name 1, the name, length 4 of the result, the result as
    JSON. Only a failed task keeps its body, for a redrive

Before its first claim (fence 0) a task has the number of its stage where the time of the claim comes; 0: none.

One value in place of a hash of fields: about 180 bytes less for each waiting task of 1 KiB, one write for each move,
and a finished task is one SET with its expiry.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from taskfleet.core.events import Progress
from taskfleet.core.settlement import QueuePolicy, TenantShare, WorkerReport
from taskfleet.core.task import (
    DEFAULT_TENANT,
    Attempt,
    LeasedTask,
    Priority,
    TaskError,
    TaskState,
    TaskView,
    Usage,
    WaitingTask,
)

# struct has no integers of 6 and 3 bytes: they are read as a high and a low part.
_HEAD = struct.Struct(">cBBIHHIHIIBB")
_EXTRAS = struct.Struct(">HIBBBBH")
_NUMBERS = struct.Struct(">QQQQQQQBBBB")
_SHORT_LENGTH, _LENGTH = struct.Struct(">H"), struct.Struct(">I")
HAS_EXTRAS, IS_ANNOUNCED, HAS_EVENTS = 4, 64, 128

_STATES = {
    b"p": TaskState.PENDING,
    b"s": TaskState.PENDING,
    b"b": TaskState.PENDING,
    b"r": TaskState.RUNNING,
    b"c": TaskState.COMPLETED,
    b"f": TaskState.FAILED,
    b"x": TaskState.CANCELLED,
    b"e": TaskState.EXPIRED,
}


def _error(fields: Mapping[str, Any] | None) -> TaskError | None:
    return TaskError(fields["code"], fields["message"], fields.get("status")) if fields else None


def _attempt(fields: Mapping[str, Any]) -> Attempt:
    return Attempt(
        number=fields["number"],
        worker=fields["worker"] or None,
        endpoint=fields.get("endpoint"),
        claimed_at=fields["claimed_at"] / 1000,
        ended_at=fields["ended_at"] / 1000,
        error=_error(fields.get("error")),
    )


class _Head:
    """The packed part of a record, taken apart; ``rest`` is what follows the metadata."""

    __slots__ = (
        "attempts", "batch", "claimed_at", "deadline", "enqueued_at", "fence", "metadata", "model", "priority", "rest",
        "session", "state", "tenant"
    )  # fmt: skip

    def __init__(self, record: bytes) -> None:
        (
            state, _, _, self.fence, self.attempts, high, low, claimed_high, claimed_low, _, priority, model
        ) = _HEAD.unpack_from(record)  # fmt: skip
        self.state = _STATES[state]
        self.enqueued_at = ((high << 32) | low) / 1000
        self.claimed_at = ((claimed_high << 32) | claimed_low) / 1000 if self.fence else 0.0
        self.priority = Priority(priority & ~(HAS_EXTRAS | IS_ANNOUNCED | HAS_EVENTS))
        self.deadline: float | None = None
        self.batch = self.tenant = self.session = ""
        self.metadata = b""
        if priority & HAS_EXTRAS:
            self.rest = self._read_extras(record, model)
        else:
            self.rest = _HEAD.size + model
            self.model = record[_HEAD.size : self.rest].decode()

    def _read_extras(self, record: bytes, model: int) -> int:
        """Where they end."""
        high, low, batch, tenant, session, meta_high, meta_low = _EXTRAS.unpack_from(record, _HEAD.size)
        self.deadline = ((high << 32) | low) / 1000 or None
        at, names = _HEAD.size + _EXTRAS.size, []
        for length in (model, batch, tenant, session):
            names.append(record[at : at + length].decode())
            at += length
        self.model, self.batch, self.tenant, self.session = names
        self.metadata = record[at : at + ((meta_high << 16) | meta_low)]
        return at + len(self.metadata)


def leased(task_id: bytes, record: bytes, claimed_at: float) -> LeasedTask:
    """A task just claimed, from its record as it was before the claim."""
    head = _Head(record)
    return LeasedTask(
        id=task_id.decode(),
        model=head.model,
        body=record[head.rest :],
        priority=head.priority,
        fence=head.fence + 1,
        attempt=head.attempts + 1,
        enqueued_at=head.enqueued_at,
        claimed_at=claimed_at,
        session=head.session or None,
        batch=head.batch or None,
        tenant=head.tenant or DEFAULT_TENANT,
        deadline=head.deadline,
        metadata=orjson.loads(head.metadata) if head.metadata else {},
    )


def waiting(task_id: bytes, record: bytes) -> WaitingTask:
    """A task that waits in a lane."""
    head = _Head(record)
    return WaitingTask(task_id.decode(), head.model, record[head.rest :], head.priority, head.attempts + 1)


def fence(record: bytes) -> int:
    """The fence of the newest lease of a task."""
    return int(_Head(record).fence)


def view(task_id: str, record: bytes, holder: bytes, attempts: bytes, due: bytes, progress: bytes) -> TaskView:
    """What the store shows of a task; ``attempts`` is the JSON of the earlier ones of a task that is not final, ``due``
    the ms that it waits for, ``progress`` the JSON of the last one of a task that runs."""
    head = _Head(record)
    worker, result = holder.decode() or None, {}
    if head.state.is_final:
        name_end = head.rest + 1 + record[head.rest]
        worker = record[head.rest + 1 : name_end].decode() or None
        result = orjson.loads(record[name_end + _LENGTH.size :])
    elif attempts:
        result = {"history": orjson.loads(attempts)}
        result["error"] = next((each["error"] for each in reversed(result["history"]) if "error" in each), None)
    usage = result.get("usage")
    return TaskView(
        id=task_id,
        state=head.state,
        model=result.get("model", head.model),
        requested_model=head.model,
        priority=head.priority,
        attempts=head.attempts,
        enqueued_at=head.enqueued_at,
        output=result.get("output"),
        error=_error(result.get("error")),
        endpoint=result.get("endpoint"),
        worker=worker,
        usage=Usage(*usage) if usage else None,
        queue_seconds=round(head.claimed_at - head.enqueued_at, 3) if head.claimed_at else None,
        run_seconds=result.get("run_seconds"),
        history=tuple(map(_attempt, result.get("history", ()))),
        batch=head.batch or None,
        tenant=head.tenant or DEFAULT_TENANT,
        session=head.session or None,
        not_before=int(due) / 1000 if due else None,
        deadline=head.deadline,
        metadata=orjson.loads(head.metadata) if head.metadata else {},
        progress=Progress(**orjson.loads(progress)) if progress else None,
    )


def announced(message: bytes) -> Iterator[tuple[str, bytes]]:
    """Id and record of each task of which a message tells that, and how, it ended."""
    at = 0
    while at < len(message):
        identity, at = _behind(_SHORT_LENGTH, message, at)
        record, at = _behind(_LENGTH, message, at)
        yield identity.decode(), record


def _behind(length: struct.Struct, message: bytes, at: int) -> tuple[bytes, int]:
    begin = at + length.size
    end = begin + length.unpack_from(message, at)[0]
    return message[begin:end], end


def final_view(task_id: str, record: bytes) -> TaskView:
    """What the store shows of a task that has ended."""
    return view(task_id, record, b"", b"", b"", b"")


def body(record: bytes) -> bytes | None:
    """What a task asks for; None when that was not kept beyond its end, as only that of failed ones is."""
    head = _Head(record)
    if not head.state.is_final:
        return record[head.rest :]
    if head.state is not TaskState.FAILED:
        return None
    at = head.rest + 1 + record[head.rest]
    (result,) = _LENGTH.unpack_from(record, at)
    return record[at + _LENGTH.size + result :]


def pack_policy(policy: QueuePolicy) -> list[bytes | str | int]:
    """What ``put_policy.lua`` takes: the whole, the numbers that scripts read, and those of tenants."""
    return [
        orjson.dumps(asdict(policy), option=orjson.OPT_SORT_KEYS),
        _NUMBERS.pack(
            policy.max_pending,
            policy.max_task_bytes,
            round(policy.lease_seconds * 1000),
            round(policy.ttl_seconds * 1000),
            policy.max_attempts,
            round(policy.keep_results_seconds * 1000),
            round(policy.keep_failed_seconds * 1000),
            policy.stopped,
            policy.closed,
            any(share.max_pending is not None for share in policy.tenants.values()),
            policy.external,
        ),
        *_tenants(policy),
    ]


def _tenants(policy: QueuePolicy) -> Iterator[str | int]:
    for name, share in policy.tenants.items():
        yield from (f"weight:{name}", share.weight)
        if share.max_pending is not None:
            yield from (f"max_pending:{name}", share.max_pending)


def unpack_policy(stored: bytes) -> QueuePolicy:
    fields = orjson.loads(stored)
    tenants = {name: TenantShare(**share) for name, share in fields.pop("tenants").items()}
    served = fields.pop("served", None)
    endpoints = tuple(fields.pop("endpoints", ()))
    return QueuePolicy(**fields, tenants=tenants, served=None if served is None else tuple(served), endpoints=endpoints)


def pack_report(report: WorkerReport) -> bytes:
    return orjson.dumps(asdict(report))


def unpack_report(stored: bytes) -> WorkerReport:
    fields = orjson.loads(stored)
    return WorkerReport(**fields | {"models": tuple(fields["models"])})
