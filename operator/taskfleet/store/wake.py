"""Hearing that a queue has something new, without asking.

One connection of its own, kept by a background task: it subscribes, reads, and after a loss comes back. What was said
meanwhile is unknown, so every followed queue then counts as woken.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from types import TracebackType

from valkey.asyncio.client import PubSub

from taskfleet.core.errors import StoreError
from taskfleet.core.task import QueueKey
from taskfleet.store import keys
from taskfleet.store.connection import Connection

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_IDLE_CHANNEL = b"tf:idle"


class WakeListener:
    """What ``Store.listen`` gives. Woken queues are kept until ``wait`` hands them out; many wakes of one are one.

    ``lost`` is set while the connection is: who makes no calls learns from it that the store may be gone. ``tell`` is
    called with the queue and the number of its partition for each wake that came from one.
    """

    def __init__(
        self, connection: Connection, queues: Collection[QueueKey], tell: Callable[[QueueKey, int], None]
    ) -> None:
        self._connection = connection
        self._tell = tell
        self._queues = {keys.key(queue, "wake").encode(): queue for queue in queues}
        self._woken: set[QueueKey] = set()
        self._something = asyncio.Event()
        self._pubsub: PubSub | None = None
        self._confirmed: dict[bytes, asyncio.Event] = {}
        self._missing: set[bytes] = set()
        self._ready = asyncio.Event()
        self.lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "WakeListener":
        """Returns once subscribed, or once it is clear that the store cannot be reached now."""
        self._task = asyncio.create_task(self._keep_listening(), name="wake listener")
        try:
            await self._ready.wait()
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def wait(self, timeout: float | None) -> set[QueueKey]:  # noqa: ASYNC109 - a quiet queue is not an error
        """The queues woken since the last call, waiting for one; empty after ``timeout`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._something.wait()
        woken, self._woken = self._woken & set(self._queues.values()), set()
        self._something.clear()
        return woken

    async def follow(self, queues: Collection[QueueKey]) -> None:
        """Follow exactly these from now on; when it returns no wake of a new one can be missed."""
        wanted = {keys.key(queue, "wake").encode(): queue for queue in queues}
        added = [channel for channel in wanted if channel not in self._queues]
        removed = [channel for channel in self._queues if channel not in wanted]
        self._queues = wanted
        pubsub = self._pubsub
        if pubsub is None:
            return  # not connected: subscribing is what comes first when it is
        # On trouble the reader meets it too, and reconnects to the new set.
        with suppress(StoreError), self._connection.explained():
            if removed:
                await pubsub.unsubscribe(*removed)
            if added:
                confirmed = {channel: asyncio.Event() for channel in added}
                self._confirmed.update(confirmed)
                await pubsub.subscribe(*added)
                async with asyncio.timeout(self._connection.timeout):
                    for event in confirmed.values():
                        await event.wait()

    async def _keep_listening(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                with self._connection.explained():
                    async with self._connection.subscriber() as pubsub:
                        await self._subscribe(pubsub)
                        pause = _FIRST_PAUSE
                        await self._read(pubsub)
            except StoreError:
                # Whoever listens also calls the store, and is told there that it is gone.
                pass
            finally:
                self._pubsub = None
            self.lost.set()
            self._ready.set()
            for event in self._confirmed.values():
                event.set()  # nothing will be confirmed any more, and once reconnected every queue wakes
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _subscribe(self, pubsub: PubSub) -> None:
        self._confirmed = {}
        self._missing = set()
        # A connection without any channel cannot be read; the idle one is that of no queue.
        asked, wanted = set[bytes](), {_IDLE_CHANNEL, *self._queues}
        while new := wanted - asked:  # more than once when ``follow`` came meanwhile
            self._missing |= new
            await pubsub.subscribe(*new)
            asked, wanted = asked | new, {*self._queues}
        self._pubsub = pubsub

    async def _read(self, pubsub: PubSub) -> None:
        asked = False
        while True:
            message = await pubsub.get_message(timeout=self._connection.timeout)
            if message is None:
                if asked:
                    raise TimeoutError  # no answer to our ping: the line is dead, though nobody said so
                await pubsub.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "message":
                self._wake(message["channel"], message["data"])
            elif message["type"] == "subscribe":
                self._on_subscribed(message["channel"])

    def _on_subscribed(self, channel: bytes) -> None:
        self._confirmed.setdefault(channel, asyncio.Event()).set()
        self._missing.discard(channel)
        if not self._missing:
            if self.lost.is_set():
                self.lost.clear()
                for followed in self._queues:
                    self._wake(followed)
            self._ready.set()

    def _wake(self, channel: bytes, partition: bytes = b"") -> None:
        queue = self._queues.get(channel)
        if queue is not None:
            if partition:
                self._tell(queue, int(partition))
            self._woken.add(queue)
            self._something.set()
