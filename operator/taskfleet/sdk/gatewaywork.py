"""Work through a gateway: what the workers of this process need of a store, over HTTP."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from urllib.parse import quote

from taskfleet.api.workobjects import claim_of, lease_end, pieces, report_fields
from taskfleet.controller.policy import queue_policy
from taskfleet.core.errors import AlreadyEnded, NotClaimed, NotFound
from taskfleet.core.events import Progress, Publication
from taskfleet.core.ratelimit import RateLimits, Reservation, Returned
from taskfleet.core.settlement import Claim, Heartbeat, QueuePolicy, QueueStats, Settlement, WorkerReport
from taskfleet.core.task import QueueKey
from taskfleet.sdk.gatewaybackend import queue_stats, spec_of
from taskfleet.sdk.gatewayhttp import GatewayHttp
from taskfleet.sdk.gatewaynews import GatewayWakes


class GatewayWork:
    """A ``Workplace``, for one queue."""

    def __init__(self, http: GatewayHttp) -> None:
        self._http = http
        self._turns: dict[str, list[bytes]] = {}

    async def close(self) -> None:
        await self._http.close()

    async def policy(self, queue: QueueKey) -> QueuePolicy | None:
        try:
            shown = await self._http.get(self._http.queue)
            return queue_policy(spec_of(shown, self._http), fallbacks=shown["fallbacks"])
        except NotFound:
            return None

    async def stats(self, queue: QueueKey) -> QueueStats | None:
        try:
            return await queue_stats(self._http)
        except NotFound:
            return None

    def listen(self, queues: Collection[QueueKey]) -> GatewayWakes:
        (queue,) = queues
        return GatewayWakes(self._http, queue)

    async def claim(self, queue: QueueKey, worker: str, models: Sequence[str], count: int) -> Claim:
        wanted = {"worker": worker, "models": list(models), "count": count}
        try:
            shown = await self._http.post(f"{self._http.queue}/claim", wanted)
        except NotFound:
            return Claim((), None, 0, stopped=True)
        # A session's tasks run one at a time: what was said before cannot change while this one runs.
        self._turns |= {
            task["session"]: [turn.encode() for turn in task["turns"]] for task in shown["data"] if "turns" in task
        }
        return claim_of(shown)

    async def heartbeat(self, queue: QueueKey, report: WorkerReport, leases: Mapping[str, int]) -> Heartbeat:
        said = {"worker": report.worker, "leases": dict(leases), "report": report_fields(report)}
        shown = await self._http.post(f"{self._http.queue}/heartbeat", said)
        return Heartbeat(frozenset(shown["lost"]), frozenset(shown["cancelled"]))

    async def settle(self, queue: QueueKey, settlements: Sequence[Settlement]) -> list[bool]:
        said = {"ends": [lease_end(settlement) for settlement in settlements]}
        return list((await self._http.post(f"{self._http.queue}/settle", said))["accepted"])

    async def retire(self, queue: QueueKey, worker: str) -> None:
        await self._http.delete(f"{self._http.queue}/workers/{quote(worker, safe='')}")

    async def turns(self, queue: QueueKey, session: str) -> list[bytes]:
        return self._turns.pop(session, [])

    async def publish(self, queue: QueueKey, publications: Sequence[Publication]) -> list[bool]:
        said = {"publications": [pieces(told) for told in publications]}
        return list((await self._http.post(f"{self._http.queue}/publish", said))["accepted"])

    async def progress(self, queue: QueueKey, task_id: str, fence: int, progress: Progress) -> bool:
        said = {"fence": fence, "message": progress.message, "fraction": progress.fraction}
        try:
            await self._http.post(f"/v1/tasks/{task_id}/progress", said)
        except (NotFound, NotClaimed, AlreadyEnded):
            return False
        return True

    async def reserve(
        self,
        queue: QueueKey,
        endpoint: str,
        limits: RateLimits,
        wanted: Sequence[int] = (),
        returned: Iterable[Returned] = (),
    ) -> Reservation:
        """Limits are shared in the store, which a gateway does not open to others: an endpoint that has any is refused
        before (see opening.py), and without any this only asks whether others were told to wait."""
        return Reservation(len(wanted), 0)

    async def hold_endpoint(self, queue: QueueKey, endpoint: str, seconds: float) -> None:
        """No other process has this endpoint under this name: there is nobody to tell."""
