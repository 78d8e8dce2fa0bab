"""The file of a gateway's API keys: who may do what. Keys themselves are never in it, only their hashes."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from taskfleet.api.base import ApiModel
from taskfleet.core.task import DEFAULT_TENANT, Priority, QueueKey, is_tenant


class Right(StrEnum):
    """``submit``: tasks, batches and files. ``read``: tasks, results, queues. ``work``: claim and end tasks, whichever
    tenant's they are. ``admin``: pause, purge and redrive queues, and see the tasks of all tenants."""

    SUBMIT = "submit"
    READ = "read"
    WORK = "work"
    ADMIN = "admin"


def _tenant(name: object) -> object:
    if isinstance(name, str) and not is_tenant(name):
        raise ValueError("it has 1 to 63 letters, digits and . _ -, beginning with a letter or digit")
    return name


def _queue(name: object) -> object:
    if isinstance(name, str):
        QueueKey.parse(name)
    return name


class ApiKey(ApiModel):
    """One key."""

    name: str = Field(min_length=1, max_length=63, description="What people call it; logs have it.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the key, in hex.")
    tenant: Annotated[str, BeforeValidator(_tenant)] = Field(DEFAULT_TENANT, description="Whose tasks are submitted.")
    rights: list[Right] = Field([Right.SUBMIT, Right.READ], min_length=1, description="What it may do.")
    queues: list[Annotated[str, BeforeValidator(_queue)]] = Field(
        default_factory=list, description="The queues that it may use, namespace/name; all when there are none."
    )
    max_priority: Literal["critical", "high", "normal", "low"] = Field(
        "critical", description="No task of it has a higher one."
    )
    requests_per_minute: int | None = Field(
        None, ge=1, le=10_000_000, description="Calls of any kind in any 60 seconds, at all gateways together."
    )

    @property
    def ceiling(self) -> Priority:
        return Priority.parse(self.max_priority)


class ApiKeys(ApiModel):
    """All of them."""

    keys: list[ApiKey]
