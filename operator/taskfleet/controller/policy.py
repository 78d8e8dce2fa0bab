"""From a TaskQueue's spec to what the store enforces."""

from collections.abc import Mapping
from typing import Any

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.core.pool import Execution, StopPolicy
from taskfleet.core.settlement import QueuePolicy, TenantShare


def queue_policy(
    spec: TaskQueueSpec,
    *,
    closed: bool = False,
    fallbacks: Mapping[str, str] | None = None,
    served: tuple[str, ...] | None = None,
    endpoints: tuple[Mapping[str, Any], ...] = (),
) -> QueuePolicy:
    """The policy to publish. ``closed`` refuses new tasks: the queue is being deleted. ``fallbacks``: those in use.
    ``served``: the models that pools serve, as far as is known. ``endpoints``: what gateways may call."""
    return QueuePolicy(
        spec=spec.to_wire(),
        max_pending=spec.limits.max_pending,
        max_task_bytes=spec.limits.max_task_bytes.bytes,
        lease_seconds=spec.lease_duration.seconds,
        ttl_seconds=spec.task_ttl.seconds,
        max_attempts=spec.retry.max_attempts,
        keep_results_seconds=spec.retention.results.seconds,
        keep_failed_seconds=spec.retention.failed.seconds,
        tenants={name: TenantShare(tenant.weight, tenant.max_pending) for name, tenant in spec.tenants.items()},
        stopped=spec.stop_policy is not StopPolicy.NONE,
        closed=closed,
        fallbacks=fallbacks or {},
        partitions=spec.partitions,
        external=spec.execution is Execution.EXTERNAL,
        served=served,
        endpoints=endpoints,
    )
