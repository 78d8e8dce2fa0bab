"""A step of an item that is a loop over items of its own: written down with the item, and gone with its end."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from taskfleet.core.parallel.moves import EndItem, EndRun, Outcome, Stop
from taskfleet.core.parallel.rules import ItemStatus, RunState
from taskfleet.core.parallel.tally import Tally
from taskfleet.parallel.means import ALoop, Means
from taskfleet.parallel.openitem import OpenItem
from taskfleet.parallel.place import item_key
from taskfleet.parallel.stepresult import StepResult, of_loop

Until = Callable[[Tally, list[dict[str, Any]], float], Stop | None]


@dataclass(slots=True)
class _Ended:
    line: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"line": self.line}


class InnerLoop:
    """Owner and progress of such a loop, whose items are ``values``. ``ended`` hears what the step came to. ``until``
    says of results so far (their counts, lines and seconds) whether it is to end."""

    def __init__(
        self,
        means: Means,
        key: str,
        values: list[Any],
        stop: Stop | None,
        last_step: str,
        ended: Callable[[StepResult, Outcome], None],
        until: Until | None,
    ) -> None:
        self.taken = 0
        self.cursor: Any = None
        self.total: int | None = len(values)
        self.source_ended = False
        self.stop = stop
        self._means = means
        self._key = key
        self._values = values
        self._last_step = last_step
        self._ended = ended
        self._until = until
        self._lines: dict[int, dict[str, Any]] = {}
        self._tally = Tally()
        self._loop: ALoop | None = None
        self._began = time.time()

    def begin(self, loop: ALoop) -> None:
        """From the beginning, or from where an earlier coordinator left it."""
        self._loop = loop
        self._means.journal.moved(self._key, self)
        items: dict[int, OpenItem] = {}
        for index, entry in self._means.written.items(self._key).items():
            self.taken = self.cursor = index + 1
            if "line" in entry:
                self._keep(index, entry["line"])
            else:
                items[index] = OpenItem.from_json(item_key(self._key, index), index, entry)
                self._began = min(self._began, items[index].began)
        loop.begin(items)
        self._look()

    def end(self, stop: Stop) -> None:
        """Before its items have ended."""
        assert self._loop is not None
        self._means.events.append((self._loop, stop))

    def item_ended(self, item: OpenItem, end: EndItem) -> None:
        line = item.line(end.status, end.reason, time.time())
        self._keep(item.index, line)
        self._means.journal.moved(item.key, _Ended(line))
        self._look()

    def _look(self) -> None:
        if self._until is None or self.stop is not None:
            return
        stop = self._until(self._tally, self._results(), time.time() - self._began)
        if stop is not None:
            self.end(stop)

    def _results(self) -> list[dict[str, Any]]:
        return [self._lines[index] for index in sorted(self._lines)]

    def _keep(self, index: int, line: dict[str, Any]) -> None:
        self._lines[index] = line
        self._tally.item_ended(ItemStatus(line["status"]), line["error"] or "")

    def stopped(self) -> None:
        self._means.journal.moved(self._key, self)

    def loop_ended(self, end: EndRun) -> None:
        for key in (self._key, *(item_key(self._key, index) for index in range(self.taken))):
            self._means.journal.gone(key)
        error = self._error(end)
        result = of_loop(self._results(), self._tally, self._last_step, time.time() - self._began, error)
        cancelled = end.state is RunState.CANCELLED
        self._ended(result, Outcome.CANCELLED if cancelled else Outcome.FAILED if error else Outcome.OK)

    def _error(self, end: EndRun) -> str:
        if end.state is not RunState.COMPLETED:
            return end.reason or "it was cancelled"
        failed = self._tally.items[ItemStatus.FAILED]
        if not failed:
            return ""
        (cause, _), *others = self._tally.commonest(2)
        more = ", and others" if others else ""
        return f"{failed} of {len(self._lines)} items failed: {cause}{more}"

    def to_json(self) -> dict[str, Any]:
        stop = self.stop
        return {"items": self._values, "stop": [stop.state, stop.reason, stop.running] if stop else None}
