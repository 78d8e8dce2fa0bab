"""The calls that run now: one asyncio task each, from a claimed task to a settlement in the outbox."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.tasklines import decode_body
from taskfleet.core.errors import InputError, StoreError
from taskfleet.core.outcome import Fatal, Ok, Outcome, Retry
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import LeasedTask, TaskError
from taskfleet.core.verdict import OTHERS_FIRST_SECONDS, Ending, decide
from taskfleet.providers import Call, Provider
from taskfleet.telemetry.metrics import WorkerMetrics
from taskfleet.worker.breaker import Breaker
from taskfleet.worker.conversations import Conversations
from taskfleet.worker.endpointjudge import EndpointJudge
from taskfleet.worker.outbox import Outbox
from taskfleet.worker.pace import Pace
from taskfleet.worker.policy import WorkPolicy
from taskfleet.worker.ratelimiter import RateLimiter
from taskfleet.worker.reports import Reports
from taskfleet.worker.runningcall import Interruption, RunningCall
from taskfleet.worker.streams import Streams

log = logging.getLogger(__name__)


class Calls:
    """Runs claimed tasks on the endpoint, so many at once as ``allot`` says. ``on_freed`` is called when a slot is free
    again. ``running`` are those that wait for one too: where calls are short, tasks are claimed ahead of free slots."""

    def __init__(
        self,
        *,
        provider: Provider,
        endpoint: Endpoint,
        policy: WorkPolicy,
        outbox: Outbox,
        conversations: Conversations,
        streams: Streams,
        reports: Reports,
        breaker: Breaker,
        limiter: RateLimiter,
        pace: Pace,
        metrics: WorkerMetrics,
        on_freed: Callable[[], None],
    ) -> None:
        self.policy = policy
        self._limit = endpoint.concurrency
        self.running: dict[str, RunningCall] = {}
        self._provider = provider
        self._endpoint = endpoint
        self._outbox = outbox
        self._conversations = conversations
        self._streams = streams
        self._reports = reports
        self._breaker = breaker
        self._limiter = limiter
        self._pace = pace
        self._metrics = metrics
        self._on_freed = on_freed
        self._ahead: deque[RunningCall] = deque()
        self._busy = 0
        self._judge = EndpointJudge(endpoint.concurrency, breaker, limiter)
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.inflight.set_function(lambda: self.busy)
        metrics.slots.set_function(lambda: self.slots)

    @property
    def slots(self) -> int:
        """Calls that may run at once now."""
        return min(self._judge.concurrency, self._limit)

    @property
    def busy(self) -> int:
        """Calls that are with the endpoint."""
        return self._busy

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
        while self._ahead and self._busy < self.slots:
            call = self._ahead.popleft()
            self._busy += 1
            call.started = time.monotonic()
            call.job = asyncio.create_task(self._run(call))

    def interrupt(self, task_id: str, fence: int, why: Interruption) -> None:
        """Stop the call that runs under this lease, and close its connection; nothing when there is none."""
        call = self.running.get(task_id)
        if call is None or call.task.fence != fence or call.interruption is not None:
            return
        call.interruption = why
        if call.job is not None:
            # Not at once: a job that is cancelled before its first step would never come to its end.
            asyncio.get_running_loop().call_soon(call.job.cancel)
        else:
            self._ahead.remove(call)
            self._interrupted(call, why)
            self._gone(call)

    def interrupt_all(self, why: Interruption) -> None:
        for call in list(self.running.values()):
            self.interrupt(call.task.id, call.task.fence, why)

    def hand_back_waiting(self) -> None:
        """Release what was claimed ahead: another worker may be sooner."""
        for call in list(self._ahead):
            self.interrupt(call.task.id, call.task.fence, Interruption.HANDED_BACK)

    async def _run(self, call: RunningCall) -> None:
        try:
            outcome = await self._call_model(call)
        except StoreError as error:
            log.warning("a conversation could not be read", extra={"task": call.task.id, "error": str(error)})
            self._breaker.undecided(call.task.id)
            self._limiter.ended(call.task.id, None)
            self._settle(call, Ending(Verdict.RELEASE, OTHERS_FIRST_SECONDS), None, time.monotonic() - call.started)
        except asyncio.CancelledError:
            if call.interruption is None:
                raise
            self._interrupted(call, call.interruption)
        else:
            self._ended(call, outcome)
        finally:
            self._busy -= 1
            self._gone(call)
            self._begin()
            self._on_freed()

    def _gone(self, call: RunningCall) -> None:
        if self.running.get(call.task.id) is call:
            del self.running[call.task.id]
        if not self.running:
            self._idle.set()

    async def _call_model(self, call: RunningCall) -> Outcome:
        task = call.task
        try:
            body = decode_body(task.body)
        except InputError as error:
            return Fatal(TaskError(error.code, str(error)))
        messages: Sequence[Mapping[str, Any]] = body.messages
        if task.session is not None and self.policy.context_tokens is not None and body.arguments is None:
            call.talk = await self._conversations.take_up(task.session, body.messages, self.policy.context_tokens)
            messages = call.talk.conversation.messages
        if body.stream:
            about = {"model": call.model, "endpoint": self._endpoint.name}
            call.stream = self._streams.open(task.id, task.fence, about)
        request = Call(
            model=self._endpoint.remote_names.get(call.model, call.model),
            messages=messages,
            parameters=body.parameters,
            timeout=self.policy.task_timeout,
            task_id=task.id,
            attempt=task.attempt,
            priority=task.priority,
            metadata=body.metadata,
            operation=body.operation,
            arguments=body.arguments,
            said=call.stream.said if call.stream else None,
            progress=self._reports.of(task),
        )
        try:
            return await self._provider.complete(request)
        except Exception as bug:
            # Ours, not the task's; but it burns an attempt, or a task that triggers it would come back forever.
            log.exception("a call broke the worker's own code", extra={"task": task.id})
            return Retry(TaskError("worker_error", f"the worker broke on this task: {type(bug).__name__}"))

    def _ended(self, call: RunningCall, outcome: Outcome) -> None:
        task, now = call.task, time.monotonic()
        seconds = now - call.started
        self._limiter.ended(task.id, outcome)
        judged = self._judge.judge(task.id, outcome, call.started, now)
        if judged.in_trouble:
            self.hand_back_waiting()
        ending = decide(
            outcome,
            task.attempt,
            self.policy.retry,
            random.random(),
            endpoint_works_for_others=judged.works_for_others,
            endpoint_pause=self._breaker.seconds_until_probe(now) or 0.0,
        )
        self._metrics.attempted(call.model, outcome, ending.verdict, seconds)
        if isinstance(outcome, Ok):
            self._pace.finished(now, seconds, outcome.usage.input_tokens + outcome.usage.output_tokens)
        if ending.verdict is Verdict.FAIL:
            self._judge.forget(task.id)
        self._settle(call, ending, outcome, seconds)

    def _interrupted(self, call: RunningCall, why: Interruption) -> None:
        self._breaker.undecided(call.task.id)
        self._limiter.ended(call.task.id, None)
        seconds = time.monotonic() - call.started if call.job is not None else 0.0
        if why is Interruption.CANCELLED:
            self._settle(call, Ending(Verdict.CANCEL), None, seconds)
        elif why is Interruption.HANDED_BACK:
            if call.job is not None:
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
                model=call.model if call.model != call.task.model else "",
                run_seconds=seconds,
                turn=call.talk.turn(done.output) if done and call.talk else None,
            ),
            call.task,
        )
