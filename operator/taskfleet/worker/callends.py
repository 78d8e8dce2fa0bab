"""What follows from the end of a call: for its task a settlement, for its endpoint a judgement, and the metrics."""

import logging
import random

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.outcome import Ok, Outcome
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.verdict import OTHERS_FIRST_SECONDS, Ending, decide
from taskfleet.telemetry.workermetrics import WorkerMetrics
from taskfleet.worker.breaker import Breaker
from taskfleet.worker.endpointjudge import EndpointJudge
from taskfleet.worker.outbox import Outbox
from taskfleet.worker.pace import Pace
from taskfleet.worker.policy import WorkPolicy
from taskfleet.worker.ratelimiter import RateLimiter
from taskfleet.worker.runningcall import Interruption, RunningCall

log = logging.getLogger(__name__)


class CallEnds:
    """Told of each end once; a call that never began has taken 0 seconds."""

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        outbox: Outbox,
        breaker: Breaker,
        limiter: RateLimiter,
        pace: Pace,
        metrics: WorkerMetrics,
    ) -> None:
        self._endpoint = endpoint
        self._outbox = outbox
        self._breaker = breaker
        self._limiter = limiter
        self._pace = pace
        self._metrics = metrics
        self._judge = EndpointJudge(endpoint.concurrency, breaker, limiter)

    @property
    def concurrency(self) -> int:
        """Calls that the endpoint bears at once, as far as is known."""
        return self._judge.concurrency

    def answered(self, call: RunningCall, outcome: Outcome, policy: WorkPolicy) -> bool:
        """True where the endpoint is in trouble: nothing more should be sent to it now."""
        task, now = call.task, call.started + call.seconds
        self._limiter.ended(task.id, outcome)
        judged = self._judge.judge(task.id, outcome, call.started, now)
        ending = decide(
            outcome,
            task.attempt,
            policy.retry,
            random.random(),
            endpoint_works_for_others=judged.works_for_others,
            endpoint_pause=self._breaker.seconds_until_probe(now) or 0.0,
        )
        self._metrics.attempted(call.model, outcome, ending.verdict, call.seconds)
        if isinstance(outcome, Ok):
            self._pace.finished(now, call.seconds, outcome.usage.input_tokens + outcome.usage.output_tokens)
        if ending.verdict is Verdict.FAIL:
            self._judge.forget(task.id)
        self._settle(call, ending, outcome)
        return judged.in_trouble

    def interrupted(self, call: RunningCall) -> None:
        """We stopped it, also before it began."""
        self._unjudged(call)
        if call.interruption is Interruption.CANCELLED:
            self._settle(call, Ending(Verdict.CANCEL))
        elif call.interruption is Interruption.HANDED_BACK:
            if call.started:
                self._metrics.drained()
            self._settle(call, Ending(Verdict.RELEASE))
        else:
            log.warning("a lease was lost; its call is dropped", extra={"task": call.task.id})

    def given_back(self, call: RunningCall) -> None:
        """It could not be made here and now."""
        self._unjudged(call)
        self._settle(call, Ending(Verdict.RELEASE, OTHERS_FIRST_SECONDS))

    def _unjudged(self, call: RunningCall) -> None:
        self._breaker.undecided(call.task.id)
        self._limiter.ended(call.task.id, None)

    def _settle(self, call: RunningCall, ending: Ending, outcome: Outcome | None = None) -> None:
        done = outcome if isinstance(outcome, Ok) else None
        self._outbox.put(
            Settlement(
                task_id=call.task.id,
                fence=call.task.fence,
                verdict=ending.verdict,
                delay=ending.delay,
                output=done.output if done else None,
                error=ending.error,
                usage=done.usage if done else None,
                endpoint=self._endpoint.name,
                model=call.model if call.model != call.task.model else "",
                run_seconds=call.seconds,
                turn=call.turn if done else None,
            ),
            call.task,
        )
