"""Work from outside, under ``/v1/queues/NAME``: tasks are leased to whoever asks, as to a worker at the store.

Whoever may work for a queue works for all of its tenants. What a lease's holder says carries its fence: once the task
is someone else's it is refused.
"""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from taskfleet.api.workobjects import leased_object
from taskfleet.api.worksaid import Beat, ClaimWanted, LeaseEnds, SaidPublications, read
from taskfleet.core.cleanup import to_its_end
from taskfleet.core.settlement import Claim, Settlement, Verdict
from taskfleet.core.task import LeasedTask
from taskfleet.gateway.answers import json_answer
from taskfleet.gateway.bodies import Gone, json_object
from taskfleet.gateway.callers import Caller
from taskfleet.gateway.followers import Kind
from taskfleet.gateway.parts import Parts
from taskfleet.gateway.queues import OpenQueue

LONGEST_PAUSE = 1.0  # between two looks of one who waits: a lease may end that nobody tells of


class Work:
    """Handlers of ``claim``, ``heartbeat``, ``settle``, ``publish`` and ``workers``."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._queues = parts.queues
        self._ends = parts.ends
        self._news = parts.news

    async def claim(self, request: Request, caller: Caller) -> Response:
        """``{"worker", "models"?, "count"?, "wait"?}``: lease tasks to a worker, for the queue's leaseDuration."""
        wanted = read(ClaimWanted, await json_object(request))
        queue = await self._asked_for(request, caller)
        models = wanted.models if wanted.models is not None else [model.name for model in queue.spec.models]
        claim = await self._claimed(request, queue, caller, wanted, models)
        if await request.is_disconnected():  # nobody gets these: they need not wait for the end of their lease
            await to_its_end(self._give_back(queue, claim))
            raise Gone
        return json_answer(
            {
                "object": "list",
                "queue": str(queue.key),
                "data": [await self._leased(queue, task) for task in claim.tasks],
                "lease_seconds": queue.policy.lease_seconds,
                "next_due_in": claim.next_due_in,
                "stopped": claim.stopped,
                "policy_version": claim.policy_version,
            }
        )

    async def _claimed(
        self, request: Request, queue: OpenQueue, caller: Caller, wanted: ClaimWanted, models: list[str]
    ) -> Claim:
        claim = await self._store.claim(queue.key, wanted.worker, models, wanted.count)
        if claim.tasks or not wanted.wait:
            return claim
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + wanted.wait
        with self._news.follow(queue.key, caller, frozenset({Kind.WAKE})) as follower:
            while not claim.tasks and loop.time() < give_up_at and not follower.ended:
                pause = min(LONGEST_PAUSE, LONGEST_PAUSE if claim.next_due_in is None else claim.next_due_in)
                news = asyncio.ensure_future(follower.news())
                await asyncio.wait((news,), timeout=max(pause, 0.01))
                news.cancel()
                if await request.is_disconnected():
                    break
                claim = await self._store.claim(queue.key, wanted.worker, models, wanted.count)
        return claim

    async def _leased(self, queue: OpenQueue, task: LeasedTask) -> dict[str, Any]:
        shown = leased_object(task)
        if task.session is not None and queue.spec.sessions.context_tokens is not None:
            shown["turns"] = [turn.decode() for turn in await self._store.turns(queue.key, task.session)]
        return shown

    async def _give_back(self, queue: OpenQueue, claim: Claim) -> None:
        ends = [Settlement(task.id, task.fence, Verdict.RELEASE) for task in claim.tasks]
        if ends:
            await self._store.settle(queue.key, ends)

    async def heartbeat(self, request: Request, caller: Caller) -> Response:
        """``{"worker", "leases": {id: fence}, "lease_seconds"?, "report"?}``: keep leases; which of them are lost, and
        which tasks someone cancelled: their holder ends them with the verdict ``cancel``."""
        beat = read(Beat, await json_object(request))
        queue = await self._asked_for(request, caller)
        answer = await self._store.heartbeat(queue.key, beat.as_report(), beat.leases, lease_seconds=beat.lease_seconds)
        shown = {"object": "heartbeat", "queue": str(queue.key), "lease_seconds": queue.policy.lease_seconds}
        return json_answer(shown | {"lost": sorted(answer.lost), "cancelled": sorted(answer.cancelled)})

    async def settle(self, request: Request, caller: Caller) -> Response:
        """``{"ends": [{"id", "fence", "verdict", ...}]}``: end leases, each as a whole; which of them were taken."""
        ends = read(LeaseEnds, await json_object(request)).ends
        queue = await self._asked_for(request, caller)
        accepted = await self._store.settle(queue.key, [end.as_settlement() for end in ends])
        self._ends.nudge(queue.key, [end.id for end in ends])
        return json_answer({"object": "list", "queue": str(queue.key), "accepted": accepted})

    async def publish(self, request: Request, caller: Caller) -> Response:
        """``{"publications": [{"id", "fence", "first", "chunks", "about"?}]}``: pieces of answers, for who reads along;
        which of them were taken."""
        said = read(SaidPublications, await json_object(request)).publications
        queue = await self._asked_for(request, caller)
        accepted = await self._store.publish(queue.key, [each.as_publication() for each in said])
        return json_answer({"object": "list", "queue": str(queue.key), "accepted": accepted})

    async def retire(self, request: Request, caller: Caller) -> Response:
        """A worker leaves; its leases are its own to end."""
        queue = await self._asked_for(request, caller)
        worker = request.path_params["worker"]
        await self._store.retire(queue.key, worker)
        return json_answer({"id": worker, "object": "worker", "deleted": True})

    async def _asked_for(self, request: Request, caller: Caller) -> OpenQueue:
        return await self._queues.chosen(request.path_params["queue"], caller)
