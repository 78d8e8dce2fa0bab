"""Whether the store can be used, in one place: for the log (once a change), the metric, readiness and the loop."""

import logging
from collections.abc import Callable

from taskfleet.core.errors import TaskfleetError
from taskfleet.telemetry.workermetrics import WorkerMetrics

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


class StoreHealth:
    """``trouble`` is "" while the store serves us. ``on_back`` is called when it serves us again."""

    def __init__(self, metrics: WorkerMetrics, on_back: Callable[[], None]) -> None:
        self.trouble = ""
        self._metrics = metrics
        self._on_back = on_back

    def served(self) -> None:
        self._metrics.store_up.set(1)
        if self.trouble:
            self.trouble = ""
            log.info("the store is back")
            self._on_back()

    def failed(self, error: TaskfleetError) -> None:
        self._metrics.store_up.set(0)
        if not self.trouble:
            # In the words themselves: a program's log may show no more of a record than those.
            log.warning("the store cannot serve us; running calls go on: %s", error)
        self.trouble = str(error)


def pause_after(failures: int) -> float:
    """Seconds to wait after that many failures in a row, from 0.2 to 5."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE)
