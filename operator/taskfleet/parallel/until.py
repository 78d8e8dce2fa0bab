"""The condition that ends a run early, over what came to pass so far: looked at often, within a share of the time."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from taskfleet.core.errors import InputError
from taskfleet.core.parallel.moves import Stop
from taskfleet.core.parallel.rules import OnUntil, RunState
from taskfleet.parallel.newest import Newest
from taskfleet.parallel.plan import Plan
from taskfleet.parallel.record import Record
from taskfleet.parallel.sofar import so_far

PAUSE = 0.1  # seconds between two looks while nothing happens
CHEAP = 0.002  # seconds of a look that costs nothing worth saving: it is looked whenever something happened
SHARE, SLOWEST = 0.2, 0.8  # of the time may go into dearer looks; seconds between them at most


class Until:
    """``stop`` is told when the run is to end. ``wants_results``: they are asked for, and to be added."""

    def __init__(self, plan: Plan, record: Record, stop: Callable[[Stop], None]) -> None:
        self._condition = plan.until
        self._plan = plan
        self._record = record
        self._stop = stop
        self.wants_results = plan.until is not None and (plan.until.asks or "$results" in plan.until.compiled.names)
        self._results: Newest[Mapping[str, Any]] = Newest()
        self._next_look = 0.0

    def add(self, line: Mapping[str, Any], size: int) -> None:
        """One more result line, of so many bytes; the newest are kept."""
        self._results.add(line, size)

    @property
    def seconds_to_next_look(self) -> float | None:
        """None: there is nothing to look at."""
        return None if self._condition is None else max(PAUSE, self._next_look - time.monotonic())

    def look(self) -> None:
        """Where it is time for that."""
        if self._condition is None or time.monotonic() < self._next_look:
            return
        began = time.thread_time()
        try:
            if self._condition.compiled.render(self._names(), self._condition.field):
                self._holds()
        except InputError as error:
            self._broke(str(error))
        cost = time.thread_time() - began
        self._next_look = time.monotonic() + min(SLOWEST, cost / SHARE) if cost > CHEAP else 0.0

    def _names(self) -> dict[str, Any]:
        elapsed = time.time() - self._record.began
        return {**self._plan.inputs, **so_far(self._record.tally, self._results, elapsed)}

    def _holds(self) -> None:
        spec = self._plan.spec
        self._stop(Stop(RunState.COMPLETED, f"until: {spec.until} holds", spec.on_until))

    def _broke(self, words: str) -> None:
        self._stop(Stop(RunState.FAILED, words, OnUntil.FINISH))
