"""The calls that run now: one asyncio task each, from a claimed task to a settlement in the outbox."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.tasklines import decode_body
from taskfleet.core.errors import InputError
from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, RateLimited, Retry
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import LeasedTask, TaskError
from taskfleet.core.verdict import Ending, decide
from taskfleet.providers import Call, Provider
from taskfleet.telemetry.metrics import WorkerMetrics
from taskfleet.worker.breaker import Breaker
from taskfleet.worker.outbox import Outbox
from taskfleet.worker.pace import Pace
from taskfleet.worker.policy import WorkPolicy
from taskfleet.worker.suspects import Suspects

log = logging.getLogger(__name__)


class Interruption(Enum):
    """Why a running call was stopped by us."""

    CANCELLED = auto()  # someone cancelled the task
    LOST = auto()  # its lease is no longer ours: the result would be refused
    HANDED_BACK = auto()  # we are going away


@dataclass(slots=True, eq=False)
class RunningCall:
    """``task`` is replaced when we claim again what we still run."""

    task: LeasedTask
    started: float
    job: asyncio.Task[None] = field(init=False)
    interruption: Interruption | None = None


class Calls:
    """Runs claimed tasks on the endpoint, ``limit`` at once. ``on_freed`` is called when a slot is free again."""

    def __init__(
        self,
        *,
        provider: Provider,
        endpoint: Endpoint,
        policy: WorkPolicy,
        outbox: Outbox,
        breaker: Breaker,
        pace: Pace,
        metrics: WorkerMetrics,
        on_freed: Callable[[], None],
    ) -> None:
        self.policy = policy
        self.limit = endpoint.concurrency
        self.running: dict[str, RunningCall] = {}
        self._provider = provider
        self._endpoint = endpoint
        self._outbox = outbox
        self._breaker = breaker
        self._pace = pace
        self._metrics = metrics
        self._on_freed = on_freed
        self._suspects = Suspects()
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.slots.set(endpoint.concurrency)

    @property
    def free(self) -> int:
        return max(self.limit - len(self.running), 0)

    async def until_idle(self) -> None:
        await self._idle.wait()

    def start(self, task: LeasedTask) -> None:
        """Run a task that was just claimed.

        After an outage of the store a claim can bring what we still run, under a new fence: then that call goes on.
        """
        self._metrics.claimed(task)
        same = self.running.get(task.id)
        if same is not None and same.interruption is None:
            same.task = task
            return
        call = RunningCall(task, time.monotonic())
        self.running[task.id] = call
        self._idle.clear()
        self._metrics.inflight.set(len(self.running))
        self._breaker.started(task.id)
        call.job = asyncio.create_task(self._run(call))

    def interrupt(self, task_id: str, fence: int, why: Interruption) -> None:
        """Stop the call that runs under this lease, and close its connection; nothing when there is none."""
        call = self.running.get(task_id)
        if call is not None and call.task.fence == fence and call.interruption is None:
            call.interruption = why
            call.job.cancel()

    def interrupt_all(self, why: Interruption) -> None:
        for call in list(self.running.values()):
            self.interrupt(call.task.id, call.task.fence, why)

    async def _run(self, call: RunningCall) -> None:
        try:
            outcome = await self._call_model(call.task)
        except asyncio.CancelledError:
            if call.interruption is None:
                raise
            self._interrupted(call, call.interruption)
        else:
            self._ended(call, outcome)
        finally:
            if self.running.get(call.task.id) is call:
                del self.running[call.task.id]
            self._metrics.inflight.set(len(self.running))
            if not self.running:
                self._idle.set()
            self._on_freed()

    async def _call_model(self, task: LeasedTask) -> Outcome:
        try:
            body = decode_body(task.body)
        except InputError as error:
            return Fatal(TaskError(error.code, str(error)))
        call = Call(
            model=self._endpoint.remote_names.get(task.model, task.model),
            messages=body.messages,
            parameters=body.parameters,
            timeout=self.policy.task_timeout,
            task_id=task.id,
            attempt=task.attempt,
            priority=task.priority,
            metadata=body.metadata,
        )
        try:
            return await self._provider.complete(call)
        except Exception as bug:
            # Ours, not the task's; but it burns an attempt, or a task that triggers it would come back forever.
            log.exception("a call broke the worker's own code", extra={"task": task.id})
            return Retry(TaskError("worker_error", f"the worker broke on this task: {type(bug).__name__}"))

    def _ended(self, call: RunningCall, outcome: Outcome) -> None:
        task, now = call.task, time.monotonic()
        seconds = now - call.started
        suspect = self._judge_endpoint(task.id, outcome, now)
        ending = decide(
            outcome,
            task.attempt,
            self.policy.retry,
            random.random(),
            endpoint_works_for_others=suspect,
            endpoint_pause=self._breaker.seconds_until_probe(now) or 0.0,
        )
        self._metrics.attempted(task.model, outcome, ending.verdict, seconds)
        if isinstance(outcome, Ok):
            self._pace.finished(now, seconds)
        if ending.verdict is Verdict.FAIL:
            self._suspects.forget(task.id)
        self._settle(call, ending, outcome, seconds)

    def _judge_endpoint(self, task_id: str, outcome: Outcome, now: float) -> bool:
        """Tell breaker and suspects; whether endpoint trouble is this task's own."""
        match outcome:
            case Ok():
                self._suspects.completed(task_id)
                self._breaker.worked()
            case Fatal():
                self._breaker.worked()
            case Retry():
                self._breaker.undecided(task_id)
            case RateLimited(error, after):
                self._breaker.failed(task_id, error.message, now, after)
            case EndpointDown(error, after, reached):
                suspect = reached and self._suspects.met_trouble(task_id)
                self._breaker.failed(task_id, error.message, now, after)
                return suspect
        return False

    def _interrupted(self, call: RunningCall, why: Interruption) -> None:
        self._breaker.undecided(call.task.id)
        seconds = time.monotonic() - call.started
        if why is Interruption.CANCELLED:
            self._settle(call, Ending(Verdict.CANCEL), None, seconds)
        elif why is Interruption.HANDED_BACK:
            self._metrics.drained()
            self._settle(call, Ending(Verdict.RELEASE), None, seconds)
        else:
            log.warning("a lease was lost; its call is dropped", extra={"task": call.task.id})

    def _settle(self, call: RunningCall, ending: Ending, outcome: Outcome | None, seconds: float) -> None:
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
                run_seconds=seconds,
            )
        )
