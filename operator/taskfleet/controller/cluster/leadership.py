"""Of several controllers one acts and the others stand by: the election's loop around the rule in core.leadership.

A controller that lost the Lease, or could not renew it in time by its own clock, acts no more; it stands by again.
"""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable

from taskfleet.controller.cluster.lease import Lease
from taskfleet.core.errors import NotLeading
from taskfleet.core.leadership import Candidacy, Timing
from taskfleet.kube import KubeConflict, KubeError

log = logging.getLogger(__name__)

# To let go: a renewal that is still on its way may come between the look and the write.
_TRIES = 3
# The one of Linux's clocks that also counts while the machine sleeps; elsewhere the monotonic one does.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def clock() -> float:
    """Seconds, from any beginning; never set back and never held."""
    return time.clock_gettime(_CLOCK)


class Term:
    """One time of acting. Whatever was begun in it and goes on after its end is refused by ``check``, for ever."""

    def __init__(self, candidacy: Candidacy) -> None:
        self._candidacy = candidacy
        self._over = False

    @property
    def is_over(self) -> bool:
        """Once it was, it stays so: a renewal that is answered later does not bring back what was refused meanwhile."""
        self._over = self._over or clock() >= self._candidacy.acts_until
        return self._over

    def check(self) -> None:
        """Raises NotLeading when this controller may act no more."""
        if self.is_over:
            raise NotLeading("nothing more is done by this controller: its Lease is lost, or could not be renewed")

    def end(self) -> None:
        self._over = True


Work = Callable[[Callable[[], None]], Awaitable[None]]
"""Acts, until it is told to stop by other means or cancelled. It is given ``Term.check``."""


class Leadership:
    """``trouble`` is why the Lease cannot be read or written, in words, or "" when it can."""

    def __init__(self, lease: Lease, timing: Timing) -> None:
        # A host's name is not enough: a process that starts again must not take itself for the one before it.
        self._me = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        self._lease = lease
        self._timing = timing
        self._candidacy = Candidacy(self._me, timing)
        self._told_leader = self._said = ""
        self.trouble = "the Lease was not read yet"

    async def run(self, stop: asyncio.Event, work: Work) -> None:
        """Do ``work`` whenever this controller leads, until ``stop``, and then let the Lease go. ``work`` ends by
        itself at ``stop``."""
        while not stop.is_set():
            if await self._stand_by(stop):
                await self._lead(work)
        await self._let_go()

    async def _stand_by(self, stop: asyncio.Event) -> bool:
        """Until the Lease is ours (True), or ``stop``."""
        while not stop.is_set():
            if await self._look() and self._candidacy.may_take(clock()) and await self._write(self._me):
                log.info("this controller leads", extra={"holder": self._me})
                return True
            now = clock()
            try:
                async with asyncio.timeout(self._candidacy.next_look(now) - now):
                    await stop.wait()
            except TimeoutError:
                continue
        return False

    async def _lead(self, work: Work) -> None:
        """Work while renewing; whichever ends first ends the other."""
        term = Term(self._candidacy)
        working = asyncio.ensure_future(work(term.check))
        renewing = asyncio.create_task(self._renew_until_lost(term))
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost = term.is_over
            term.end()
            self._candidacy.let_go()
            for task in (working, renewing):
                task.cancel()
            ends = await asyncio.gather(working, renewing, return_exceptions=True)
        troubles = [end for end in ends if isinstance(end, Exception)]
        if lost:
            log.warning("this controller leads no more; it stands by", exc_info=next(iter(troubles), None))
        elif troubles:
            raise troubles[0]

    async def _renew_until_lost(self, term: Term) -> None:
        candidacy = self._candidacy
        while not term.is_over:
            now = clock()
            await asyncio.sleep(min(candidacy.next_renewal(now), candidacy.acts_until) - now)
            if not term.is_over:
                await self._write(self._me) or await self._look()

    async def _look(self) -> bool:
        """Read the Lease; False when it could not be seen, which tells nothing about who has it."""
        try:
            async with asyncio.timeout(self._timing.answer):
                claim = await self._lease.read()
        except (KubeError, TimeoutError) as error:
            self._say(error)
            return False
        self._candidacy.saw(claim, clock())
        if claim is not None:  # else it is still to be seen whether we can make one
            self.trouble = ""
        leader = claim.holder if claim else ""
        if leader not in ("", self._me, self._told_leader):
            log.info("another controller leads; this one stands by", extra={"holder": leader})
            self._said = ""
        self._told_leader = leader
        return True

    async def _write(self, holder: str) -> bool:
        """Claim, renew or let go; False when that was refused, or when nobody knows whether it was."""
        began = clock()
        try:
            async with asyncio.timeout(self._timing.answer):
                claim = await self._lease.write(holder, self._timing.lease)
        except KubeConflict:
            return False  # somebody else wrote: a look tells who
        except (KubeError, TimeoutError) as error:
            self._say(error)
            return False
        self._candidacy.wrote(claim, began, clock())
        self.trouble = self._said = ""
        return True

    async def _let_go(self) -> None:
        """The next one need not wait. A claim may have been accepted whose answer we did not get, hence the look."""
        for _ in range(_TRIES):
            if not await self._look() or self._told_leader != self._me or await self._write(""):
                return

    def _say(self, error: KubeError | TimeoutError) -> None:
        trouble = str(error) or f"the API server did not answer within {self._timing.answer:g} s"
        if trouble != self._said:  # told once, not at every try
            log.warning("the Lease: %s", trouble)
        self.trouble = self._said = trouble
