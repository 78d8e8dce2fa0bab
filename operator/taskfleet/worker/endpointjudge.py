"""What the ends of calls say of their endpoint: whether it works, how many calls it bears at once, and whether trouble
is its own or that of a task."""

from dataclasses import dataclass

from taskfleet.core.concurrency import AdaptiveConcurrency
from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, RateLimited, Retry
from taskfleet.core.task import TaskError
from taskfleet.worker.breaker import Breaker
from taskfleet.worker.ratelimiter import RateLimiter
from taskfleet.worker.suspects import Suspects


@dataclass(frozen=True, slots=True)
class Judgement:
    """``in_trouble``: nothing more should be sent now. ``works_for_others``: the trouble is this task's own."""

    in_trouble: bool = False
    works_for_others: bool = False


class EndpointJudge:
    """Tells the breaker and the limiter of each end. ``concurrency``: calls that the endpoint bears at once."""

    def __init__(self, ceiling: int, breaker: Breaker, limiter: RateLimiter) -> None:
        self._adaptive = AdaptiveConcurrency(ceiling)
        self._breaker = breaker
        self._limiter = limiter
        self._suspects = Suspects()

    @property
    def concurrency(self) -> int:
        return self._adaptive.limit

    def judge(self, task_id: str, outcome: Outcome, started: float, now: float) -> Judgement:
        """A call that began at ``started`` has ended; times are those of a steady clock."""
        self._adapt(started, now, outcome)
        match outcome:
            case Ok():
                self._suspects.completed(task_id)
                self._breaker.worked()
            case Fatal():
                self._breaker.worked()
            case Retry():
                self._breaker.undecided(task_id)
            case RateLimited(error, after):
                self._breaker.failed(task_id, error.message, now, after, asked_to_wait=True)
                if after is not None:
                    self._limiter.pause(after)
                return Judgement(in_trouble=True)
            case EndpointDown(error, after, reached):
                suspect = reached and self._suspects.met_trouble(task_id)
                self._breaker.failed(task_id, error.message, now, after)
                return Judgement(in_trouble=True, works_for_others=suspect)
        return Judgement()

    def forget(self, task_id: str) -> None:
        """It has failed, and will not come again."""
        self._suspects.forget(task_id)

    def _adapt(self, started: float, now: float, outcome: Outcome) -> None:
        """Run more or fewer calls at once from now on; those that run go on."""
        match outcome:
            case Ok(usage=usage):
                self._adaptive.answered(started, now, usage)
            case RateLimited() | EndpointDown(error=TaskError(status=503)):
                self._adaptive.refused(started, now)
            case Retry(error=TaskError(code="timeout")):
                self._adaptive.timed_out(started, now)
