"""The calls that run now, each from a claimed task to a settlement in the outbox.

A job, an asyncio task, takes one call after another while some wait: to begin a job costs more than to go on.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from taskfleet.core.outcome import Ok, Outcome
from taskfleet.core.task import LeasedTask
from taskfleet.telemetry.workermetrics import WorkerMetrics
from taskfleet.worker.asking import Asking
from taskfleet.worker.breaker import Breaker
from taskfleet.worker.callends import CallEnds
from taskfleet.worker.pace import Pace
from taskfleet.worker.policy import WorkPolicy
from taskfleet.worker.runningcall import Interruption, RunningCall


class Calls:
    """Runs claimed tasks on the endpoint, so many at once as ``allot`` says. ``on_freed`` is called when a slot is free
    again. ``running`` are those that wait for one too: where calls are short, tasks are claimed ahead of free slots."""

    def __init__(
        self,
        *,
        asking: Asking,
        ends: CallEnds,
        policy: WorkPolicy,
        limit: int,
        breaker: Breaker,
        pace: Pace,
        metrics: WorkerMetrics,
        on_freed: Callable[[], None],
    ) -> None:
        self.policy = policy
        self.running: dict[str, RunningCall] = {}
        self._asking = asking
        self._ends = ends
        self._limit = limit
        self._breaker = breaker
        self._pace = pace
        self._metrics = metrics
        self._on_freed = on_freed
        self._ahead: deque[RunningCall] = deque()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.inflight.set_function(lambda: self.busy)
        metrics.slots.set_function(lambda: self.slots)

    @property
    def slots(self) -> int:
        """Calls that may run at once now."""
        return min(self._ends.concurrency, self._limit)

    @property
    def busy(self) -> int:
        """Calls that are with the endpoint."""
        return self._busy

    @property
    def full(self) -> bool:
        """Every slot has its call."""
        return self._busy >= self.slots

    @property
    def held(self) -> int:
        """Calls that run or wait for a slot. One more than ``running`` has while a call whose lease was lost still ends
        and its task has come back to us."""
        return self._busy + len(self._ahead)

    @property
    def wanted(self) -> int:
        """Tasks to claim now: one for each free slot, and ahead of them what ends while a claim is on its way. Not
        before that is half used up: fewer claims, of more tasks."""
        slots = self.slots
        ahead = self._pace.ahead_of(slots)
        room = max(0, slots + ahead - self.held)
        return room if 2 * room >= ahead else 0

    def allot(self, slots: int) -> None:
        """Run no more than this many at once from now on; what runs goes on."""
        if slots < self._limit:
            self.hand_back_waiting()
        self._limit = slots
        self._begin()

    async def until_idle(self) -> None:
        await self._idle.wait()

    def start(self, task: LeasedTask, model: str) -> None:
        """Run a task that was just claimed, with one of the endpoint's models.

        After an outage of the store a claim can bring what we still run, under a new fence: then that call goes on.
        """
        self._metrics.claimed(task, model)
        same = self.running.get(task.id)
        if same is not None and same.interruption is None:
            same.task = task
            if same.stream is not None:
                same.stream.renewed(task.fence)
            return
        call = RunningCall(task, model)
        self.running[task.id] = call
        self._idle.clear()
        self._breaker.started(task.id)
        self._ahead.append(call)
        self._begin()

    def _begin(self) -> None:
        while (call := self._next()) is not None:
            call.job = asyncio.create_task(self._work_from(call))

    def _next(self) -> RunningCall | None:
        """The longest waiting call, where there is a slot for it: now it has that."""
        if not self._ahead or self.full:
            return None
        call = self._ahead.popleft()
        self._busy += 1
        call.started = time.monotonic()
        return call

    def interrupt(self, task_id: str, fence: int, why: Interruption) -> None:
        """Stop the call that runs under this lease, and close its connection; nothing when there is none."""
        call = self.running.get(task_id)
        if call is None or call.task.fence != fence or call.interruption is not None:
            return
        if call.job is not None:
            call.interruption = why
            # Not at once: a job that is cancelled before its first step would never come to its end.
            asyncio.get_running_loop().call_soon(_cancel, call)
        elif not call.started:
            call.interruption = why
            self._ahead.remove(call)
            self._end(call, None)

    def interrupt_all(self, why: Interruption) -> None:
        for call in list(self.running.values()):
            self.interrupt(call.task.id, call.task.fence, why)

    def hand_back_waiting(self) -> None:
        """Release what was claimed ahead: another worker may be sooner."""
        for call in list(self._ahead):
            self.interrupt(call.task.id, call.task.fence, Interruption.HANDED_BACK)

    async def _work_from(self, call: RunningCall) -> None:
        """Make this call and then others while some wait; none after one that was interrupted, as the job is cancelled.

        The next request goes out before the last answer is worked on: the server need not wait for that.
        """
        job = call.job
        following: RunningCall | None = call
        while following is not None:
            call, following = following, None
            call.job = job
            outcome = await self._asking.outcome(call, self.policy)
            call.job = None
            call.seconds = time.monotonic() - call.started
            self._busy -= 1
            if isinstance(outcome, Ok):
                asyncio.get_running_loop().call_soon(self._ended, call, outcome)
                following = self._next()
            else:
                self._ended(call, outcome)

    def _ended(self, call: RunningCall, outcome: Outcome | None) -> None:
        self._end(call, outcome)
        self._begin()
        self._on_freed()  # last: the result goes out before the next claim

    def _end(self, call: RunningCall, outcome: Outcome | None) -> None:
        if outcome is not None:
            if self._ends.answered(call, outcome, self.policy):
                self.hand_back_waiting()
        elif call.interruption is not None:
            self._ends.interrupted(call)
        else:
            self._ends.given_back(call)
        if self.running.get(call.task.id) is call:
            del self.running[call.task.id]
        if not self.running:
            self._idle.set()


def _cancel(call: RunningCall) -> None:
    if call.job is not None:  # else it has ended since, and its job may be at another
        call.job.cancel()
