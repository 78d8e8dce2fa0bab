"""What becomes of a task after one attempt: from the outcome to complete, fail, retry or release."""

from dataclasses import dataclass

from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, RateLimited, Retry
from taskfleet.core.retry import RetryPolicy, backoff_seconds, may_retry
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import TaskError

# When an endpoint is tried again after trouble, it is with another task if there is one: a prompt that crashes its
# server would otherwise, from the front of its lane, be the one that is tried each time, and hold up the whole queue.
OTHERS_FIRST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Ending:
    """How to settle: ``delay`` in seconds until the task may run again (0 for a final verdict)."""

    verdict: Verdict
    delay: float = 0.0
    error: TaskError | None = None


def decide(
    outcome: Outcome,
    attempt: int,
    policy: RetryPolicy,
    random: float,
    *,
    endpoint_works_for_others: bool = False,
    endpoint_pause: float = 0.0,
) -> Ending:
    """The ending of attempt number ``attempt`` (from 1); ``random`` is uniform in [0, 1).

    ``endpoint_works_for_others``: since this task last met endpoint trouble, the endpoint has completed another task.
    Then the trouble is this task's own and burns its attempts, so that a prompt that crashes its server ends some day;
    otherwise it is an outage, which fails nothing, however long it lasts. ``endpoint_pause``: seconds until the
    endpoint will be tried again.
    """
    if isinstance(outcome, Ok):
        return Ending(Verdict.COMPLETE)
    if isinstance(outcome, Fatal):
        return Ending(Verdict.FAIL, error=outcome.error)
    backoff = backoff_seconds(policy, attempt, random)
    delay = backoff if outcome.after is None else max(outcome.after, 0.0)
    if isinstance(outcome, EndpointDown):
        delay = max(delay, endpoint_pause + OTHERS_FIRST_SECONDS)
    burns = isinstance(outcome, Retry) or (endpoint_works_for_others and not isinstance(outcome, RateLimited))
    if not burns:
        return Ending(Verdict.RELEASE, delay, outcome.error)
    if may_retry(policy, attempt):
        return Ending(Verdict.RETRY, delay, outcome.error)
    return Ending(Verdict.FAIL, error=outcome.error)
