"""Hearing that a queue has something to claim, or has changed, without asking."""

from collections.abc import Collection

from taskfleet.core.task import QueueKey
from taskfleet.store import keys
from taskfleet.store.channels import ChannelListener
from taskfleet.store.connection import Connection


class WakeListener(ChannelListener[QueueKey]):
    """What ``Store.listen`` gives: wakes of queues."""

    def __init__(self, connection: Connection, queues: Collection[QueueKey]) -> None:
        super().__init__(connection, queues, lambda queue: keys.key(queue, "wake"))
