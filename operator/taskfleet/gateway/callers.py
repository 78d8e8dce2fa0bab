"""Who calls, and what they may do there."""

from collections.abc import Collection
from dataclasses import dataclass

from taskfleet.api.gatewaykeys import ApiKey, Right
from taskfleet.core.task import DEFAULT_TENANT, Priority, QueueKey, TaskView
from taskfleet.gateway.answers import Refused


@dataclass(frozen=True, slots=True)
class Caller:
    """``tenant`` None: whichever the request names, as there are no keys. ``queues`` None: all. ``identity``: as what
    its calls are counted; ``requests_per_minute`` None: as many as it likes."""

    name: str
    tenant: str | None
    rights: frozenset[Right]
    queues: frozenset[QueueKey] | None = None
    ceiling: Priority = Priority.CRITICAL
    identity: str = ""
    requests_per_minute: int | None = None

    @classmethod
    def of(cls, key: ApiKey) -> "Caller":
        queues = frozenset(map(QueueKey.parse, key.queues)) or None
        rights = frozenset(key.rights)
        return cls(key.name, key.tenant, rights, queues, key.ceiling, key.sha256, key.requests_per_minute)

    def check(self, right: Right) -> None:
        """Raise Refused (403) unless it has this right."""
        if right not in self.rights:
            words = f"the API key {self.name!r} has not the right {right.value!r} for this"
            how = f"use one that has it (taskfleet keys create --right {right.value})"
            raise Refused(403, "not_permitted", f"{words}; {how}")

    def may_use(self, queue: QueueKey) -> bool:
        return self.queues is None or queue in self.queues

    @property
    def sees_all(self) -> bool:
        """Whether what belongs to any tenant is there for the caller."""
        return self.tenant is None or Right.ADMIN in self.rights

    def sees(self, tenant: str) -> bool:
        """Whether what belongs to this tenant is there for the caller at all."""
        return self.sees_all or self.tenant == tenant

    def sees_task(self, view: TaskView) -> bool:
        return self.sees(view.tenant)

    def tenant_for(self, asked: str | None) -> str:
        """Whose a new task is. Raises Refused (403) when the request names another tenant's."""
        if asked is not None and not self.sees(asked):
            raise Refused(403, "not_permitted", f"Taskfleet-Tenant: the API key {self.name!r} is of another tenant")
        return asked or self.tenant or DEFAULT_TENANT

    def priority_for(self, asked: Priority | None, usual: Priority) -> Priority:
        """The priority of a new task: the ``usual`` one as far as the key reaches.

        Raises Refused (403) when a higher one was ``asked`` for.
        """
        if asked is not None and asked < self.ceiling:
            words = f"Taskfleet-Priority: the API key {self.name!r} reaches only {self.ceiling.label}"
            raise Refused(403, "not_permitted", words)
        return max(usual, self.ceiling) if asked is None else asked

    def own_queues(self, there: Collection[QueueKey]) -> list[QueueKey]:
        return [queue for queue in there if self.may_use(queue)]


ANYONE = Caller("anyone", None, frozenset(Right))
"""Who calls where no keys are asked for."""
