"""The ends of leases, packed into the one argument that ``settle.lua`` takes. Pure."""

import struct
from collections.abc import Sequence
from typing import Any

import orjson

from taskfleet.core.settlement import Settlement, Turn, Verdict
from taskfleet.core.task import TaskError, Usage

_LENGTH = struct.Struct(">I")
_SETTLEMENT = struct.Struct(">cIHIIIH")
_SHORT = struct.Struct(">H")
_MAX_32 = 0xFFFFFFFF
_MAX_16 = 0xFFFF
_NO_TURN = Turn(b"")
_VERDICTS = {
    Verdict.COMPLETE: b"C",
    Verdict.FAIL: b"F",
    Verdict.RETRY: b"R",
    Verdict.RELEASE: b"L",
    Verdict.CANCEL: b"X",
}


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
        turn = item.turn or _NO_TURN
        parts += (
            *(head, identity, _SHORT.pack(len(code)), code, _LENGTH.pack(len(result)), result),
            *(_SHORT.pack(min(turn.forgotten, _MAX_16)), _LENGTH.pack(len(turn.messages)), turn.messages),
        )
    return b"".join(parts)


def _result(item: Settlement) -> bytes:
    if item.verdict is Verdict.RELEASE and not item.endpoint and item.error is None:
        return b""  # it was never begun
    fields: dict[str, Any] = {}
    if item.output is not None:
        fields["output"] = item.output
    if item.error is not None:
        fields["error"] = _error_fields(item.error)
    if item.endpoint:
        fields["endpoint"] = item.endpoint
    if item.model:
        fields["model"] = item.model
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
