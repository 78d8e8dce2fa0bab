"""Which endpoints of a queue's pools gateways may call themselves, and under which URLs they find them. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.api.workerpool import WorkerPool
from taskfleet.core.pool import Online


def callable_endpoints(
    spec: TaskQueueSpec, pools: Iterable[WorkerPool], reach: Callable[[str, str], str]
) -> tuple[Mapping[str, Any], ...]:
    """What the policy says of them; nothing when the queue wants no call of a gateway. A model server inside workers'
    pods is there for these workers only. ``reach``: the URL under which others find what a namespace calls by a URL."""
    if spec.online is Online.QUEUE:
        return ()
    return tuple(
        {
            "pool": pool.metadata.name,
            "endpoint": endpoint.to_wire() | {"url": reach(endpoint.url, pool.metadata.namespace)},
        }
        for pool in pools
        for endpoint in pool.spec.endpoints
        if endpoint.url is not None
    )
