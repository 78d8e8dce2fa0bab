"""What is kept of a run beside its items: what it was asked, where its source is, and what it came to so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskfleet.api.parallelqueue import ParallelQueueSpec
from taskfleet.core.errors import StoreSchemaMismatch
from taskfleet.core.parallel.moves import Stop
from taskfleet.core.parallel.rules import OnUntil, RunState
from taskfleet.core.parallel.tally import Tally

_FIXED = ("nonce", "spec", "inputs", "kept", "source", "began")


@dataclass(slots=True)
class Record:
    """``nonce`` makes the ids of this run's tasks; ``kept`` are the items where they are not read from a file, and
    ``source`` the fingerprint of that. Times are seconds since the epoch. ``cursor`` is behind the last item that was
    taken, ``taken`` how many those were. ``judged``: how often a model was asked whether the run is to end."""

    nonce: str
    spec: dict[str, Any]
    inputs: dict[str, Any]
    kept: list[Any] | None
    source: Any
    began: float
    cursor: Any = None
    taken: int = 0
    total: int | None = None
    source_ended: bool = False
    stop: Stop | None = None
    tally: Tally = field(default_factory=Tally)
    state: RunState = RunState.RUNNING
    reason: str = ""
    finished: float | None = None
    judged: int = 0

    def fixed(self) -> dict[str, Any]:
        """The fields that do not change."""
        return {name: getattr(self, name) for name in _FIXED}

    def moving(self) -> dict[str, Any]:
        """The fields that do."""
        stop = self.stop
        return {
            "cursor": self.cursor,
            "taken": self.taken,
            "total": self.total,
            "source_ended": self.source_ended,
            "stop": None if stop is None else [stop.state, stop.reason, stop.running],
            "tally": self.tally.to_dict(),
            "state": self.state,
            "reason": self.reason,
            "finished": self.finished,
            "judged": self.judged,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Record | None":
        """The record that was written; None when none was. Raises StoreSchemaMismatch."""
        if "spec" not in fields:
            return None
        try:
            moving = {
                "stop": cls._stop(fields["stop"]),
                "tally": Tally.from_dict(fields["tally"]),
                "state": RunState(fields["state"]),
            }
            return cls(**{**fields, **moving})
        except (KeyError, TypeError, ValueError) as error:
            raise StoreSchemaMismatch(f"the run was written by another version of Taskfleet: {error}") from error

    @staticmethod
    def _stop(fields: Any) -> Stop | None:
        return None if fields is None else Stop(RunState(fields[0]), fields[1], OnUntil(fields[2]))

    def read_spec(self) -> ParallelQueueSpec:
        return ParallelQueueSpec.model_validate(self.spec)

    def is_of(self, spec: ParallelQueueSpec, inputs: Mapping[str, Any]) -> bool:
        """Whether the run is one of this file and these inputs."""
        return self.spec == spec.to_wire() and self.inputs == dict(inputs)
