"""Hearing that a queue has something to claim, or has changed, without asking."""

from collections.abc import Callable, Collection

from taskfleet.core.task import QueueKey
from taskfleet.store import keys
from taskfleet.store.channels import ChannelListener
from taskfleet.store.connection import Connection


class WakeListener(ChannelListener[QueueKey]):
    """What ``Store.listen`` gives: wakes of queues. ``tell`` hears of each that came from a partition, and which: its
    number."""

    def __init__(
        self, connection: Connection, queues: Collection[QueueKey], tell: Callable[[QueueKey, int], None]
    ) -> None:
        super().__init__(connection, queues, lambda queue: keys.key(queue, "wake"))
        self._tell = tell

    def _heard(self, topic: QueueKey, said: bytes) -> None:
        if said:
            self._tell(topic, int(said))
