"""How a task is packed into one value, and how it comes out again. Pure; the Lua side is in lib.lua.

A record is, big-endian and without gaps:

    state 1, cancel flag 1, lost leases 1, fence 4, attempts 2, enqueued ms 6, claimed ms 6    overwritten in place
    sequence 4, stage 4, deadline ms 6 (0: none)                        set when it comes in
    priority 1, lengths of model 1, batch 1 and metadata 3, then these three
    the body; once final, before it: length of the worker's name 1, the name, length 4 of the result, the result as
    JSON. Only a failed task keeps its body, for a redrive

One value in place of a hash of fields: about 180 bytes less for each waiting task of 1 KiB, one write for each move,
and a finished task is one SET with its expiry.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from taskfleet.core.errors import DuplicateTask, InputError, InvalidTask
from taskfleet.core.settlement import QueuePolicy, Settlement, Verdict, WorkerReport
from taskfleet.core.task import LeasedTask, NewTask, Priority, TaskError, TaskState, TaskView, Usage

# struct has no integers of 6 and 3 bytes: they are read as a high and a low part.
_HEAD = struct.Struct(">cBBIHHIHIIIHIBBBBH")
_INCOMING = struct.Struct(">HIBBBBH")
_TASK = struct.Struct(">HQQH")
_LENGTH = struct.Struct(">I")
_SETTLEMENT = struct.Struct(">cIHIIIH")
_SHORT = struct.Struct(">H")

_STATES = {
    b"p": TaskState.PENDING,
    b"s": TaskState.PENDING,
    b"r": TaskState.RUNNING,
    b"c": TaskState.COMPLETED,
    b"f": TaskState.FAILED,
    b"x": TaskState.CANCELLED,
    b"e": TaskState.EXPIRED,
}
_VERDICTS = {
    Verdict.COMPLETE: b"C",
    Verdict.FAIL: b"F",
    Verdict.RETRY: b"R",
    Verdict.RELEASE: b"L",
    Verdict.CANCEL: b"X",
}
MAX_NAME_BYTES = 255  # its length takes one byte of a record
MAX_METADATA_BYTES = 2**24  # its length takes three bytes of a record
_NO_METADATA = b'"metadata":{}}'
_MAX_32 = 0xFFFFFFFF


def lane_name(model: str, priority: int) -> str:
    return f"{model}:{int(priority)}"


def check_name(field: str, name: str) -> bytes:
    """The name of a batch or worker as stored. Errors: InputError when it cannot be stored."""
    encoded = name.encode()
    if not 1 <= len(encoded) <= MAX_NAME_BYTES:
        raise InputError(f"{field}: a name has 1 to {MAX_NAME_BYTES} bytes, this one has {len(encoded)}")
    return encoded


def _metadata_of(body: bytes) -> bytes:
    """The metadata of a body, kept beside it: a result shows it when the body is gone."""
    if body.endswith(_NO_METADATA) or b'"metadata"' not in body:
        return b""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return b""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return orjson.dumps(metadata) if metadata else b""


class NewTasks:
    """Tasks on their way in, packed as they come: what one call of ``submit.lua`` or ``stage.lua`` takes."""

    def __init__(self, batch: bytes) -> None:
        self._batch = batch
        self._parts: list[bytes] = []
        self._ids: set[str] = set()
        self._lanes: dict[tuple[str, int], tuple[int, bytes]] = {}
        self.bytes = 0
        self.biggest = ""
        self.biggest_bytes = 0

    @property
    def count(self) -> int:
        return len(self._ids)

    def add(self, task: NewTask) -> None:
        """One more. Errors: DuplicateTask when its id is here already, InvalidTask when its metadata is too large."""
        if task.id in self._ids:
            raise DuplicateTask(task.id)
        self._ids.add(task.id)
        body = task.body
        lane = self._lanes.get((task.model, task.priority))
        if lane is None:
            lane = self._lanes[task.model, task.priority] = (len(self._lanes), task.model.encode())
        number, model = lane
        metadata = _metadata_of(body)
        if len(metadata) >= MAX_METADATA_BYTES:
            raise InvalidTask(f"task {task.id!r}: metadata: it has {len(metadata)} bytes; keep it below 16 MiB")
        identity = task.id.encode()
        deadline, delay, start = (round((time or 0.0) * 1000) for time in (task.deadline, task.delay, task.not_before))
        head = _INCOMING.pack(
            *(
                deadline >> 32,
                deadline & _MAX_32,
                task.priority,
                len(model),
                len(self._batch),
                len(metadata) >> 16,
                len(metadata) & 0xFFFF,
            )
        )
        length = len(head) + len(model) + len(self._batch) + len(metadata) + len(body)
        self._parts += (
            _TASK.pack(number, delay, start, len(identity)),
            identity,
            _LENGTH.pack(length),
            head,
            model,
            self._batch,
            metadata,
            body,
        )
        self.bytes += length
        if len(body) > self.biggest_bytes:
            self.biggest, self.biggest_bytes = task.id, len(body)

    def arguments(self) -> list[bytes | str | int]:
        lanes = [lane_name(model, priority) for model, priority in self._lanes]
        return [self._batch, self.biggest, self.biggest_bytes, b"".join(self._parts), *lanes]


def pack_settlements(settlements: Sequence[Settlement]) -> bytes:
    """What ``settle.lua`` takes."""
    parts: list[bytes] = []
    for item in settlements:
        identity = item.task_id.encode()
        delay = max(0, round(item.delay * 1000))
        usage = item.usage or Usage()
        head = _SETTLEMENT.pack(
            _VERDICTS[item.verdict],
            item.fence & _MAX_32,
            delay >> 32,
            delay & _MAX_32,
            min(usage.input_tokens, _MAX_32),
            min(usage.output_tokens, _MAX_32),
            len(identity),
        )
        code = (item.error.code if item.error else item.verdict.value)[:128].encode()
        result = _result(item)
        parts += (head, identity, _SHORT.pack(len(code)), code, _LENGTH.pack(len(result)), result)
    return b"".join(parts)


def _result(item: Settlement) -> bytes:
    if item.verdict in (Verdict.RETRY, Verdict.RELEASE):
        return orjson.dumps(_error_fields(item.error)) if item.error else b""
    fields: dict[str, Any] = {}
    if item.output is not None:
        fields["output"] = item.output
    if item.error is not None:
        fields["error"] = _error_fields(item.error)
    if item.endpoint:
        fields["endpoint"] = item.endpoint
    if item.usage is not None:
        fields["usage"] = [item.usage.input_tokens, item.usage.output_tokens]
    if item.run_seconds:
        fields["run_seconds"] = item.run_seconds
    return orjson.dumps(fields)


def _error_fields(error: TaskError) -> dict[str, Any]:
    fields: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.status is not None:
        fields["status"] = error.status
    return fields


def _error(fields: Mapping[str, Any] | None) -> TaskError | None:
    return TaskError(fields["code"], fields["message"], fields.get("status")) if fields else None


class _Head:
    """The packed part of a record, taken apart; ``rest`` is what follows the metadata."""

    __slots__ = (
        "attempts", "batch", "claimed_at", "deadline", "enqueued_at", "fence", "metadata", "model", "priority", "rest",
        "state"
    )  # fmt: skip

    def __init__(self, record: bytes) -> None:
        state, _, _, self.fence, self.attempts, *numbers = _HEAD.unpack_from(record)
        high, low, claimed_high, claimed_low, _, _, late_high, late_low, priority, model, batch, meta_high, meta_low = (
            numbers
        )
        self.state = _STATES[state]
        self.enqueued_at = ((high << 32) | low) / 1000
        self.claimed_at = ((claimed_high << 32) | claimed_low) / 1000
        self.deadline = ((late_high << 32) | late_low) / 1000 or None
        self.priority = Priority(priority)
        at = _HEAD.size
        self.model = record[at : at + model].decode()
        at += model
        self.batch = record[at : at + batch].decode()
        at += batch
        self.metadata = record[at : at + ((meta_high << 16) | meta_low)]
        self.rest = at + len(self.metadata)


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
    )


def view(task_id: str, record: bytes, holder: bytes, last_error: bytes, due: bytes) -> TaskView:
    """What the store shows of a task; ``last_error`` is the JSON of a task that will be tried again, ``due`` the ms
    that one waits for."""
    head = _Head(record)
    worker, result = holder.decode() or None, {}
    if head.state.is_final:
        name_end = head.rest + 1 + record[head.rest]
        worker = record[head.rest + 1 : name_end].decode() or None
        result = orjson.loads(record[name_end + _LENGTH.size :])
    elif last_error:
        result = {"error": orjson.loads(last_error)}
    usage = result.get("usage")
    return TaskView(
        id=task_id,
        state=head.state,
        model=head.model,
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
        batch=head.batch or None,
        not_before=int(due) / 1000 if due else None,
        deadline=head.deadline,
        metadata=orjson.loads(head.metadata) if head.metadata else {},
    )


def dead_body(record: bytes) -> bytes | None:
    """The body of a dead letter; None when the task has not failed."""
    head = _Head(record)
    if head.state is not TaskState.FAILED:
        return None
    at = head.rest + 1 + record[head.rest]
    (result,) = _LENGTH.unpack_from(record, at)
    return record[at + _LENGTH.size + result :]


def pack_policy(policy: QueuePolicy) -> list[bytes | str | int]:
    """What ``put_policy.lua`` takes: the whole, and the numbers that scripts read (times in ms)."""
    return [
        orjson.dumps(asdict(policy), option=orjson.OPT_SORT_KEYS),
        *("max_pending", policy.max_pending),
        *("max_task_bytes", policy.max_task_bytes),
        *("lease_ms", round(policy.lease_seconds * 1000)),
        *("ttl_ms", round(policy.ttl_seconds * 1000)),
        *("max_attempts", policy.max_attempts),
        *("keep_results_ms", round(policy.keep_results_seconds * 1000)),
        *("keep_failed_ms", round(policy.keep_failed_seconds * 1000)),
        *("stopped", int(policy.stopped)),
        *("closed", int(policy.closed)),
    ]


def unpack_policy(stored: bytes) -> QueuePolicy:
    return QueuePolicy(**orjson.loads(stored))


def pack_report(report: WorkerReport) -> bytes:
    return orjson.dumps(asdict(report))


def unpack_report(stored: bytes) -> WorkerReport:
    return WorkerReport(**orjson.loads(stored))
