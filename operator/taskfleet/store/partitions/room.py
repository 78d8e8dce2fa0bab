"""maxPending, of the queue and of its tenants, over all partitions.

The partitions are looked at before a submission: what they hold together and what comes must not exceed the limit. So
submissions that come at the same moment may exceed it together, by no more than they bring; each is taken whole or
refused whole. A look is spared while half of the limit was free a second ago and the submitter has brought no more than
a hundredth since: even 50 of them cannot fill the other half unseen.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from taskfleet.core.task import DEFAULT_TENANT, QueueKey
from taskfleet.store import lua
from taskfleet.store.connection import Connection
from taskfleet.store.partitions.asking import everywhere
from taskfleet.store.partitions.home import Parts
from taskfleet.store.submission import accept

_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class _Seen:
    """The last look at a queue, and what was submitted since."""

    at: float = float("-inf")
    free: int = 0
    tenant_limits: bool = False


class Room:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._seen: defaultdict[QueueKey, _Seen] = defaultdict(_Seen)

    async def take(self, queue: QueueKey, parts: Parts, wanted: int, by_tenant: Mapping[str, int]) -> None:
        """Make sure that so many tasks have room, and so many of each tenant. Errors: QueueFull, NotFound."""
        seen = self._seen[queue]
        is_new = time.monotonic() - seen.at < _LOOK_SECONDS
        if not is_new or seen.tenant_limits or wanted > seen.free:
            await self._look(queue, parts, wanted, by_tenant)
        self._seen[queue].free -= wanted

    def forget(self, queue: QueueKey) -> None:
        """Its limits have changed."""
        self._seen.pop(queue, None)

    async def _look(self, queue: QueueKey, parts: Parts, wanted: int, by_tenant: Mapping[str, int]) -> None:
        tenants = ["" if name == DEFAULT_TENANT else name for name in by_tenant]
        answers = await everywhere(parts, lambda part: self._connection.run(lua.ROOM, part, *tenants))
        if not all(answers):
            accept(queue, [b"not_found"])
        limit, holds = answers[0][0], sum(answer[1] for answer in answers)
        if holds + wanted > limit:
            accept(queue, [b"full", holds, limit])
        for number, (tenant, count) in enumerate(by_tenant.items()):
            most = answers[0][3 + 2 * number]
            has = sum(answer[4 + 2 * number] for answer in answers)
            if 0 <= most < has + count:
                accept(queue, [b"tenant_full", tenant.encode(), has, most])
        self._seen[queue] = _Seen(
            time.monotonic(), min(limit // 2 - holds, limit // 100), tenant_limits=bool(answers[0][2])
        )
