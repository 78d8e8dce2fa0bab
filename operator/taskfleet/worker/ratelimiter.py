"""The worker's side of its endpoint's rate limit: asked with each claim, told of real usage after each call.

What counts is in the store and shared by all workers of the endpoint; so is a pause that the server asked one of them
for. Nothing is kept here that a worker's death would leave reserved for longer than a minute.
"""

import logging
import time
from collections.abc import Sequence

from taskfleet.api.taskbody import decode_body
from taskfleet.core.errors import InputError, StoreError
from taskfleet.core.outcome import Ok, Outcome
from taskfleet.core.ratelimit import START_WITHIN_SECONDS, Lacking, Reservation, Returned
from taskfleet.core.task import LeasedTask
from taskfleet.core.tokens import ANSWER_TOKENS, estimate_tokens, tokens_used
from taskfleet.telemetry.workermetrics import WorkerMetrics
from taskfleet.worker.settings import WorkerSettings
from taskfleet.worker.workplace import Workplace

log = logging.getLogger(__name__)

# Others may give back what they reserved, and tell nobody.
ASK_AGAIN_SECONDS = 1.0
# Room is taken for sure where there was this many times as much the last time: other workers have asked since.
_SURE = 2
_NEWEST_WEIGHS = 0.1


class RateLimiter:
    """``waits`` says in words what this worker waits for; "" while calls may start. Times are monotonic seconds."""

    def __init__(self, store: Workplace, settings: WorkerSettings, metrics: WorkerMetrics) -> None:
        self.waits = ""
        self._store = store
        self._queue = settings.queue
        self._endpoint = f"{settings.pool}/{settings.endpoint.name}"
        self._limits = settings.endpoint.limits
        self._metrics = metrics
        self._paused_until = 0.0
        self._full_until = 0.0
        self._untold_pause: float | None = None
        self._reserved = Reservation(0, 0)
        self._room: dict[Lacking, int] = {}  # that the last answer left, of what is limited; empty: not for sure any
        self._start_by = 0.0
        self._tokens_each = 1  # reserved for a task before it is known
        self._usual_answer: float = ANSWER_TOKENS
        self._estimates: dict[str, tuple[int, int]] = {}  # of tasks that run: when reserved, and how many tokens
        self._changes: list[Returned] = []  # that the store does not know of yet

    def holds(self, now: float) -> float:
        """Seconds until it is worth asking whether a call may start; 0 when it is now."""
        return max(self._paused_until - now, self._full_until - now, 0.0)

    def has_room_for(self, count: int) -> bool:
        """Whether ``allow`` will grant so many, as far as can be known: then the claim need not wait for its answer."""
        of_each = {Lacking.REQUESTS: count, Lacking.TOKENS: count * self._tokens_each}
        return bool(self._room) and all(left >= _SURE * of_each[kind] for kind, left in self._room.items())

    async def allow(self, count: int) -> int:
        """How many tasks may be claimed, of ``count``; what the claim brings goes to ``admit``. Raises StoreError."""
        if not self._limits:
            self.waits = ""  # a pause, if there was one, is over
            return count
        self._reserved, self._room = Reservation(0, 0), {}
        wanted = [self._tokens_each if self._limits.tokens else 0] * count
        self._reserved = await self._reserve_to_start(wanted)
        return self._reserved.granted

    async def admit(self, tasks: Sequence[LeasedTask]) -> int:
        """How many of the tasks just claimed may start, from the first on; now that they are known their own tokens are
        reserved in place of the guess. The others are to be handed back. What stays over of the guess is given back
        with ``flush``, which the tasks need not wait for. Raises StoreError."""
        if self._paused_until > time.monotonic():
            tasks = ()
        if not self._limits:
            return len(tasks)
        guess, self._reserved = self._reserved, Reservation(0, 0)
        tasks = tasks[: guess.granted]  # they may have been claimed before that was known
        estimates = [self._estimate(task) for task in tasks]
        guessed_tokens = guess.granted * (self._tokens_each if self._limits.tokens else 0)
        over = Returned(guess.at, len(tasks) - guess.granted, sum(estimates) - guessed_tokens)
        if over.tokens <= 0:
            at, admitted = guess.at, len(tasks)
            if over.requests or over.tokens:
                self._changes.append(over)
        else:
            back = Returned(guess.at, -guess.granted, -guessed_tokens)
            exchanged = await self._reserve_to_start(estimates, back)
            at, admitted = exchanged.at, exchanged.granted
        self._count(tasks, estimates, admitted, at)
        if tasks and time.monotonic() > self._start_by:
            log.warning("the store answered too late for the rate limit; the claimed tasks are handed back")
            return 0
        return admitted

    def ended(self, task_id: str, outcome: Outcome | None) -> None:
        """A call ended, or was stopped (None): what it used counts in place of the estimate, when that is known."""
        reserved_at, estimate = self._estimates.pop(task_id, (0, 0))
        used = tokens_used(outcome)
        if isinstance(outcome, Ok) and outcome.usage.output_tokens:
            self._usual_answer += _NEWEST_WEIGHS * (outcome.usage.output_tokens - self._usual_answer)
        if not estimate or used is None or used == estimate:
            return
        self._changes.append(Returned(reserved_at, tokens=used - estimate))
        if used < estimate:
            self._full_until = 0.0

    def pause(self, seconds: float) -> None:
        """The server asked us to wait: nobody is to call it meanwhile."""
        until = time.monotonic() + seconds
        self._untold_pause = max(until, self._untold_pause or until)
        self._pause_until(until)

    async def tell(self) -> None:
        """Tell the other workers of a pause. Raises StoreError, and then tries again the next time."""
        if self._untold_pause is None:
            return
        until = self._untold_pause
        await self._store.hold_endpoint(self._queue, self._endpoint, until - time.monotonic())
        if self._untold_pause == until:
            self._untold_pause = None

    async def look(self) -> None:
        """Learn whether another worker was asked to wait. Raises StoreError."""
        await self._reserve([])

    async def flush(self) -> None:
        """Tell the store what the last calls used, when there is nothing to ask it. Raises StoreError."""
        if self._changes:
            await self._reserve([])

    def _count(self, tasks: Sequence[LeasedTask], estimates: Sequence[int], admitted: int, at: int) -> None:
        if self._limits.tokens is None:
            return
        for task, estimate in zip(tasks[:admitted], estimates, strict=False):
            self._estimates[task.id] = (at, estimate)
        if admitted < len(tasks):
            self._tokens_each = estimates[admitted]  # so that it is not claimed again before it has room
        elif estimates:
            self._tokens_each = -(-sum(estimates) // len(estimates))

    async def _reserve_to_start(self, wanted: Sequence[int], *back: Returned) -> Reservation:
        self._start_by = time.monotonic() + START_WITHIN_SECONDS
        return await self._reserve(wanted, *back)

    async def _reserve(self, wanted: Sequence[int], *back: Returned) -> Reservation:
        changes, self._changes = self._changes, []
        try:
            answer = await self._store.reserve(self._queue, self._endpoint, self._limits, wanted, [*changes, *back])
        except StoreError:
            # Whether the store took them is not known: rather count what was used twice than give back twice.
            self._changes += [change for change in changes if change.tokens > 0]
            raise
        self._take_note(answer, len(wanted))
        return answer

    def _take_note(self, answer: Reservation, wanted: int) -> None:
        now = time.monotonic()
        for kind, most, counted in (
            (Lacking.REQUESTS, self._limits.requests, answer.requests),
            (Lacking.TOKENS, self._limits.tokens, answer.tokens),
        ):
            if most is not None:
                self._room[kind] = max(0, most - counted)
                self._metrics.limiter_available(kind.value, self._room[kind])
        if answer.lacking:
            self._room = {}
        if answer.lacking is Lacking.PAUSED:
            self._pause_until(now + answer.wait)
        elif wanted and answer.granted < wanted:
            self._full_until = now + min(answer.wait, ASK_AGAIN_SECONDS)
            if not answer.granted:
                most = self._limits.requests if answer.lacking is Lacking.REQUESTS else self._limits.tokens
                self.waits = f"its limit of {most} {answer.lacking.value} a minute is used up"
        elif wanted:
            self.waits = ""

    def _pause_until(self, until: float) -> None:
        self._paused_until = max(self._paused_until, until)
        self.waits = "the server asked for a pause (Retry-After)"

    def _estimate(self, task: LeasedTask) -> int:
        if self._limits.tokens is None:
            return 0
        try:
            body = decode_body(task.body)
        except InputError:  # it will never be sent: running it says what is wrong
            return 1
        return estimate_tokens(body.messages, body.parameters, self._usual_answer)
