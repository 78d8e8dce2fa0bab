"""Tasks on their way in, packed into the one argument that ``submit.lua`` and ``stage.lua`` take. Pure; codec.py says
what a record is."""

import struct

import orjson

from taskfleet.core.errors import DuplicateTask, InputError, InvalidTask
from taskfleet.core.task import DEFAULT_TENANT, NO_TIMES_IN_A_SESSION, NewTask
from taskfleet.store.codec import HAS_EVENTS, HAS_EXTRAS, IS_ANNOUNCED

_FIRST = struct.Struct(">BB")
_EXTRAS = struct.Struct(">BBHIBBBBH")
_TASK = struct.Struct(">HBQQH")
_LENGTH = struct.Struct(">I")
_MAX_32 = 0xFFFFFFFF
MAX_NAME_BYTES = 255  # its length takes one byte of a record
MAX_METADATA_BYTES = 2**24  # its length takes three bytes of a record
_NO_METADATA = b'"metadata":{}}'


def check_name(field: str, name: str) -> bytes:
    """The name of a batch, worker or session as stored. Errors: InputError when it cannot be stored."""
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
        self._flows: dict[tuple[str, str, int], tuple[int, bytes, bytes]] = {}
        self.bytes = 0
        self.biggest = ""
        self.biggest_bytes = 0

    @property
    def count(self) -> int:
        return len(self._ids)

    def add(self, task: NewTask) -> None:
        """One more. Errors: DuplicateTask when its id is here already, InvalidTask when it cannot be stored."""
        if task.id in self._ids and task.once:
            return
        if task.id in self._ids:
            raise DuplicateTask(task.id)
        self._ids.add(task.id)
        body = task.body
        flow = self._flows.get((task.tenant, task.model, task.priority))
        if flow is None:
            tenant = "" if task.tenant == DEFAULT_TENANT else task.tenant
            flow = (len(self._flows), task.model.encode(), tenant.encode())
            self._flows[task.tenant, task.model, task.priority] = flow
        number, model, tenant_bytes = flow
        session = b"" if task.session is None else check_name("session", task.session)
        if session and (task.delay or task.not_before):
            raise InvalidTask(f"task {task.id!r}: {NO_TIMES_IN_A_SESSION}")
        metadata = _metadata_of(body)
        if len(metadata) >= MAX_METADATA_BYTES:
            raise InvalidTask(f"task {task.id!r}: metadata: it has {len(metadata)} bytes; keep it below 16 MiB")
        identity = task.id.encode()
        deadline, delay, start = (round((time or 0.0) * 1000) for time in (task.deadline, task.delay, task.not_before))
        names = (model, self._batch, tenant_bytes, session, metadata)
        priority = task.priority + IS_ANNOUNCED * task.announced + HAS_EVENTS * task.events
        if deadline or any(names[1:]):
            head = _EXTRAS.pack(
                *(priority + HAS_EXTRAS, len(model), deadline >> 32, deadline & _MAX_32),
                *(len(self._batch), len(tenant_bytes), len(session), len(metadata) >> 16, len(metadata) & 0xFFFF),
            )
        else:
            head = _FIRST.pack(priority, len(model))
        length = len(head) + sum(map(len, names)) + len(body)
        self._parts += (
            _TASK.pack(number, task.once, delay, start, len(identity)),
            identity,
            _LENGTH.pack(length),
            head,
            *names,
            body,
        )
        self.bytes += length
        if len(body) > self.biggest_bytes:
            self.biggest, self.biggest_bytes = task.id, len(body)

    def arguments(self) -> list[bytes | str | int]:
        flows = [
            f"{tenant.decode()}:{model}:{int(priority)}" for (_, model, priority), (_, _, tenant) in self._flows.items()
        ]
        return [self._batch, self.biggest, self.biggest_bytes, b"".join(self._parts), *flows]
