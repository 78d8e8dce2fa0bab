"""Hearing that something is new, without asking: by names that are published as channels.

One connection of its own, kept by a background task: it subscribes, reads, and after a loss comes back. What was said
meanwhile is unknown, so all that is followed then counts as woken.
"""

import asyncio
from collections.abc import Callable, Collection, Hashable
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

from taskfleet.core.errors import StoreError
from taskfleet.store.connection import Connection
from taskfleet.store.subscription import Said, Subscription

Topic = TypeVar("Topic", bound=Hashable)

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


class ChannelListener(Generic[Topic]):
    """Follows topics, each on the channel that ``channel_of`` names. Woken ones are kept until ``wait`` hands them out;
    many wakes of one are one.

    ``lost`` is set while the connection is: who makes no calls learns from it that the store may be gone.
    """

    def __init__(self, connection: Connection, topics: Collection[Topic], channel_of: Callable[[Topic], str]) -> None:
        self._connection = connection
        self._channel_of = channel_of
        self._topics = self._by_channel(topics)
        self._woken: set[Topic] = set()
        self._something = asyncio.Event()
        self._subscription: Subscription | None = None
        self._confirmed: dict[bytes, asyncio.Event] = {}
        self._missing: set[bytes] = set()
        self._ready = asyncio.Event()
        self.lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Returns once subscribed, or once it is clear that the store cannot be reached now."""
        self._task = asyncio.create_task(self._keep_listening(), name="channel listener")
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

    async def wait(self, timeout: float | None) -> set[Topic]:  # noqa: ASYNC109 - that nothing is new is no error
        """The topics woken since the last call, waiting for one; empty after ``timeout`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._something.wait()
        woken, self._woken = self._woken & set(self._topics.values()), set()
        self._something.clear()
        return woken

    async def follow(self, topics: Collection[Topic]) -> None:
        """Follow exactly these from now on; when it returns no wake of a new one can be missed."""
        wanted = self._by_channel(topics)
        added = [channel for channel in wanted if channel not in self._topics]
        removed = [channel for channel in self._topics if channel not in wanted]
        self._topics = wanted
        subscription = self._subscription
        if subscription is None:
            return  # not connected: subscribing is what comes first when it is
        if removed:
            subscription.tell("UNSUBSCRIBE", *removed)
        if added:
            confirmed = {channel: asyncio.Event() for channel in added}
            self._confirmed.update(confirmed)
            subscription.tell("SUBSCRIBE", *added)
            with suppress(TimeoutError):  # the connection is dead then, and everything wakes once there is another
                async with asyncio.timeout(self._connection.timeout):
                    for event in confirmed.values():
                        await event.wait()

    async def _keep_listening(self) -> None:
        pause = FIRST_PAUSE
        while True:
            ended: asyncio.Queue[Exception] = asyncio.Queue()
            try:
                with self._connection.explained():
                    async with self._connection.subscriber(self._hear, ended.put_nowait) as subscription:
                        self._subscribe(subscription)
                        pause = FIRST_PAUSE
                        raise await ended.get()
            except StoreError:
                # Whoever listens also calls the store, and is told there that it is gone.
                pass
            finally:
                self._subscription = None
            self.lost.set()
            self._ready.set()
            for event in self._confirmed.values():
                event.set()  # nothing will be confirmed any more, and once reconnected everything wakes
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _subscribe(self, subscription: Subscription) -> None:
        self._subscription, self._confirmed, self._missing = subscription, {}, {*self._topics}
        if self._topics:
            subscription.tell("SUBSCRIBE", *self._topics)
        else:
            self._on_listening()

    def _hear(self, said: Said) -> None:
        if said.kind == b"message":
            self._wake(said.channel, said.text)
        elif said.kind == b"subscribe":
            self._on_subscribed(said.channel)

    def _on_subscribed(self, channel: bytes) -> None:
        self._confirmed.setdefault(channel, asyncio.Event()).set()
        self._missing.discard(channel)
        if not self._missing:
            self._on_listening()

    def _on_listening(self) -> None:
        if self.lost.is_set():
            self.lost.clear()
            for followed in self._topics:
                self._wake(followed)
        self._ready.set()

    def _heard(self, topic: Topic, said: bytes) -> None:
        """For who wants to know more than that something is new."""

    def _wake(self, channel: bytes, said: bytes = b"") -> None:
        topic = self._topics.get(channel)
        if topic is not None:
            self._heard(topic, said)
            self._woken.add(topic)
            self._something.set()

    def _by_channel(self, topics: Collection[Topic]) -> dict[bytes, Topic]:
        return {self._channel_of(topic).encode(): topic for topic in topics}
