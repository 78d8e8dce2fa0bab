"""What a worker needs of its queue's policy, as the store holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from taskfleet.api.taskqueue import published_spec
from taskfleet.core.errors import NotFound
from taskfleet.core.fallbacks import model_for
from taskfleet.core.retry import RetryPolicy
from taskfleet.core.task import QueueKey
from taskfleet.worker.workplace import Workplace


@dataclass(frozen=True, slots=True)
class WorkPolicy:
    """Times in seconds: ``task_timeout`` of one attempt, ``lease_seconds`` without a heartbeat.

    ``fallbacks``: the model that serves the tasks of another, which no healthy endpoint serves now.
    ``context_tokens``: how much of what was said before in its session a call brings along; None where sessions only
    keep an order.
    """

    task_timeout: float
    lease_seconds: float
    retry: RetryPolicy
    fallbacks: Mapping[str, str]
    context_tokens: int | None = None

    def lanes(self, models: Sequence[str]) -> list[str]:
        """Whose tasks are now for an endpoint of these ``models``: theirs, and those that fall back to one of them."""
        return [*models, *(lane for lane in self.fallbacks if lane not in models and self.model_for(lane, models))]

    def model_for(self, lane: str, models: Sequence[str]) -> str | None:
        """Which of the ``models`` serves a task; None when it is not, or no longer, for their endpoint."""
        return model_for(lane, models, self.fallbacks)

    @property
    def heartbeat_seconds(self) -> float:
        """A third of the lease: one heartbeat may be lost, and another be late."""
        return self.lease_seconds / 3


async def read_policy(store: Workplace, queue: QueueKey) -> WorkPolicy:
    """The policy in force. Raises NotFound, StoreError, and StoreSchemaMismatch for a spec that we do not know."""
    published = await store.policy(queue)
    if published is None:
        raise NotFound(f"queue {queue} does not exist (yet)")
    spec = published_spec(published, queue)
    return WorkPolicy(
        spec.task_timeout.seconds,
        spec.lease_duration.seconds,
        spec.retry_policy,
        published.fallbacks,
        spec.sessions.context_tokens,
    )
