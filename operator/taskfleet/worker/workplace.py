"""Where a worker gets its tasks and brings their ends: a store, or a gateway before one."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from taskfleet.core.events import Progress, Publication
from taskfleet.core.ratelimit import RateLimits, Reservation, Returned
from taskfleet.core.settlement import Claim, Heartbeat, QueuePolicy, QueueStats, Settlement, WorkerReport
from taskfleet.core.task import QueueKey


class Wakes(Protocol):
    async def wait(self, timeout: float | None) -> Collection[QueueKey]:  # noqa: ASYNC109  that nothing is new is no error
        """The queues with news since the last call, waiting for one; none after ``timeout`` seconds."""
        ...


class Workplace(Protocol):
    """What ``Store`` has for workers, with the same meaning and errors; see there."""

    async def close(self) -> None: ...

    async def policy(self, queue: QueueKey) -> QueuePolicy | None: ...

    async def stats(self, queue: QueueKey) -> QueueStats | None: ...

    def listen(self, queues: Collection[QueueKey]) -> AbstractAsyncContextManager[Wakes]: ...

    async def claim(self, queue: QueueKey, worker: str, models: Sequence[str], count: int) -> Claim: ...

    async def heartbeat(self, queue: QueueKey, report: WorkerReport, leases: Mapping[str, int]) -> Heartbeat: ...

    async def settle(self, queue: QueueKey, settlements: Sequence[Settlement]) -> list[bool]: ...

    async def retire(self, queue: QueueKey, worker: str) -> None: ...

    async def turns(self, queue: QueueKey, session: str) -> list[bytes]: ...

    async def publish(self, queue: QueueKey, publications: Sequence[Publication]) -> list[bool]: ...

    async def progress(self, queue: QueueKey, task_id: str, fence: int, progress: Progress) -> bool: ...

    async def reserve(
        self,
        queue: QueueKey,
        endpoint: str,
        limits: RateLimits,
        wanted: Sequence[int] = (),
        returned: Iterable[Returned] = (),
    ) -> Reservation: ...

    async def hold_endpoint(self, queue: QueueKey, endpoint: str, seconds: float) -> None: ...
