"""The claim loop: keeps the free slots filled, and sleeps until something can change."""

import asyncio
import contextlib
import logging
import time

from taskfleet.core.errors import NotFound, StoreError, StoreSchemaMismatch
from taskfleet.core.settlement import Claim, Settlement, Verdict
from taskfleet.worker.breaker import Breaker
from taskfleet.worker.calls import Calls
from taskfleet.worker.outbox import Outbox
from taskfleet.worker.pace import Pace
from taskfleet.worker.policy import read_policy
from taskfleet.worker.ratelimiter import RateLimiter
from taskfleet.worker.settings import WorkerSettings
from taskfleet.worker.storehealth import StoreHealth, pause_after
from taskfleet.worker.workplace import Workplace

log = logging.getLogger(__name__)

LONGEST_SLEEP = 5.0  # a safety net under the wake-ups, not a way to find work
STUCK_SECONDS = 1.0


class ClaimLoop:
    """``trouble`` says why nothing can be claimed although the store is there; "" otherwise. ``asked``: the most that
    the claim on its way may bring.
    """

    def __init__(
        self,
        *,
        store: Workplace,
        settings: WorkerSettings,
        calls: Calls,
        outbox: Outbox,
        breaker: Breaker,
        limiter: RateLimiter,
        pace: Pace,
        health: StoreHealth,
        look: asyncio.Event,
    ) -> None:
        self.trouble = ""
        self.asked = 0
        self._store = store
        self._settings = settings
        self._calls = calls
        self._outbox = outbox
        self._breaker = breaker
        self._limiter = limiter
        self._pace = pace
        self._health = health
        self._look = look  # set whenever a claim may bring something: a slot, a wake-up, the store is back
        self._stopping = False
        self._dry_until = 0.0  # the last claim took all there was: until then only a wake-up brings more
        self._woken = False
        self._failures = 0
        self._policy_version: int | None = None

    def woken(self) -> None:
        """The queue has something to claim, or has changed."""
        self._dry_until = 0.0
        self._woken = True
        self._look.set()

    def stop(self) -> None:
        """Claim nothing more; ``run`` ends after the claim that may be on its way."""
        self._stopping = True
        self._look.set()

    async def run(self) -> None:
        while not self._stopping:
            self._look.clear()
            seconds = await self._turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._look.wait()

    async def _turn(self) -> float | None:
        """Claim if that can bring something; the seconds until time alone makes another look worth it."""
        try:
            await self._limiter.tell()
            seconds = await self._claim()
        except StoreError as error:
            self._health.failed(error)
            self._failures += 1
            return pause_after(self._failures)
        return seconds

    async def _claim(self) -> float | None:
        now = time.monotonic()
        wanted = self._calls.wanted
        count = self._breaker.allows(wanted, now)
        if count == 0:
            return self._breaker.seconds_until_probe(now) if wanted else None
        if self._outbox.stuck:  # more results would only pile up here
            return STUCK_SECONDS
        if now < self._dry_until:
            await self._limiter.flush()
            return self._dry_until - now
        if held := self._limiter.holds(now):
            return held
        beside = self._limiter.has_room_for(count)
        allowed = count if beside else await self._limiter.allow(count)
        if not allowed:
            self._served()
            return self._limiter.holds(time.monotonic())
        self._woken = False
        lanes = self._lanes
        self.asked = allowed
        began = time.monotonic()
        try:
            claim = await (self._claim_and_ask(lanes, allowed) if beside else self._claim_only(lanes, allowed))
            self._pace.claimed(time.monotonic() - began)
            self._served()
            if claim.policy_version != self._policy_version:
                await self._read_policy(claim.policy_version)
            await self._take(claim)
        finally:
            self.asked = 0
        if len(claim.tasks) == allowed or self._woken or self._lanes != lanes:
            return 0.0
        due = LONGEST_SLEEP if claim.next_due_in is None else min(claim.next_due_in, LONGEST_SLEEP)
        self._dry_until = time.monotonic() + due
        return due

    async def _claim_only(self, lanes: list[str], count: int) -> Claim:
        return await self._store.claim(self._settings.queue, self._settings.worker, lanes, count)

    async def _claim_and_ask(self, lanes: list[str], count: int) -> Claim:
        """Claim beside the question to the limiter, not behind its answer: one way to the store in place of two."""
        allowing = asyncio.create_task(self._allow(count))
        try:
            return await self._claim_only(lanes, count)
        finally:
            await allowing

    async def _allow(self, count: int) -> None:
        """Where that fails nothing that is claimed meanwhile may start, and the next claim waits for the answer."""
        try:
            await self._limiter.allow(count)
        except StoreError as error:
            self._health.failed(error)

    @property
    def _lanes(self) -> list[str]:
        return self._calls.policy.lanes(self._settings.endpoint.models)

    def _served(self) -> None:
        self._failures = 0
        self._health.served()

    async def _take(self, claim: Claim) -> None:
        """Start what the rate limit has room for, now that it is known; nothing is held while it waits for that."""
        try:
            admitted = await self._limiter.admit(claim.tasks)
        except StoreError as error:
            self._health.failed(error)
            admitted = 0
        self.asked = 0
        for number, task in enumerate(claim.tasks):
            # None: its own endpoints were found healthy again meanwhile
            model = self._calls.policy.model_for(task.model, self._settings.endpoint.models)
            if number < admitted and model is not None and not self._stopping:
                self._calls.start(task, model)
            else:
                self._limiter.ended(task.id, None)
                self._outbox.put(Settlement(task.id, task.fence, Verdict.RELEASE), task)
        await asyncio.sleep(0)  # the calls go out first
        await self._limiter.flush()

    async def _read_policy(self, version: int) -> None:
        """Use the new policy. When it cannot be read the old one stays in force: the claimed tasks must run."""
        try:
            await self._limiter.look()  # a version may be new because the server asked another worker to wait
            self._calls.policy = await read_policy(self._store, self._settings.queue)
            self.trouble = ""
        except NotFound as error:
            self.trouble = str(error)
            log.warning("nothing to work for", extra={"reason": self.trouble})
        except StoreSchemaMismatch as error:
            log.warning("the new policy is not for this version; the old one is kept", extra={"error": str(error)})
        except StoreError as error:
            log.warning("the new policy cannot be read yet", extra={"error": str(error)})
            return
        self._policy_version = version
