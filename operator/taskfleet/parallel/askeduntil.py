"""The condition that ends a run early, where a model judges it: one question at a time, and ever fewer of them."""

import time
from collections.abc import Callable

from taskfleet.core.errors import InputError
from taskfleet.core.parallel.moves import Outcome, Stop
from taskfleet.parallel.digest import of_run
from taskfleet.parallel.errands import Errand
from taskfleet.parallel.means import Means
from taskfleet.parallel.plan import Plan
from taskfleet.parallel.record import Record
from taskfleet.parallel.until import Until

LEAST_SECONDS = 1.0  # between the beginnings of two questions
SHARE = 0.01  # of the run's time so far: what it costs grows with the logarithm of that


class AskedUntil(Until):
    """The record counts the questions, so that whoever takes over finds the one that is on its way."""

    def __init__(self, plan: Plan, record: Record, means: Means, stop: Callable[[Stop], None]) -> None:
        super().__init__(plan, record, stop)
        self._means = means
        self._errand: Errand | None = None
        self._judged_at = 0

    @property
    def seconds_to_next_look(self) -> float | None:
        waits = self._errand is not None or self._moment() == self._judged_at
        return None if waits else max(0.0, self._next_look - time.monotonic())

    @property
    def on_its_way(self) -> str:
        """The task of the question that was not answered: ours, or one of an earlier coordinator, if that asked it."""
        return self._id if self._errand is None else self._errand.task_id

    def look(self) -> None:
        if self._errand is not None or self._moment() == self._judged_at or time.monotonic() < self._next_look:
            return
        assert self._condition is not None
        record = self._record
        self._judged_at = self._moment()
        self._next_look = time.monotonic() + max(LEAST_SECONDS, SHARE * (time.time() - record.began))
        try:
            words = self._condition.compiled.render(self._names(), self._condition.field)
        except InputError as error:
            self._broke(str(error))
            return
        told = of_run(record.tally, record.total, record.taken, self._results)
        work = self._condition.judged(words, told)
        self._errand = Errand(self._id, work, self._answered)
        self._means.errands.begin(self._errand)

    @property
    def _id(self) -> str:
        return f"{self._record.nonce}-until-{self._record.judged}"

    def _moment(self) -> int:
        """Grows with what there is to be judged."""
        return self._record.tally.done

    def _answered(self, errand: Errand) -> None:
        self._errand = None
        self._record.judged += 1
        self._means.journal.used(errand.used)
        match errand.outcome:
            case Outcome.OK if errand.value:
                self._holds()
            case Outcome.FAILED:
                self._broke(errand.error)
