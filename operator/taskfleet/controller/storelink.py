"""The reconciler's hold on the store: connect, hear wake-ups, notice a loss, come back by itself.

While the link is down nobody calls the store; when it is back everything is looked at once. After every loss the
store is checked as at the start, so that one that came back with another password or other data says so.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from taskfleet.core.errors import StoreAuthFailed, StoreError, StoreUnreachable
from taskfleet.core.task import QueueKey
from taskfleet.store import Store, WakeListener

_log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 5.0


_CONNECTING: StoreError = StoreUnreachable("the connection to the store is being made")


class StoreLink:
    """``use`` gives the store, or says why there is none.

    ``changed`` is called when it is lost or back, ``woken`` with the queues in which something became claimable.
    """

    def __init__(
        self,
        url: str,
        *,
        queues: Callable[[], Collection[QueueKey]],
        changed: Callable[[], None],
        woken: Callable[[Collection[QueueKey]], None],
    ) -> None:
        self._store: Store | None = None
        self._trouble = _CONNECTING
        self.tried = asyncio.Event()
        self._url = url
        self._queues = queues
        self._changed = changed
        self._woken = woken
        self._delay = FIRST_RETRY_SECONDS
        self._loss = asyncio.Event()
        self._follow = asyncio.Event()

    @property
    def is_up(self) -> bool:
        return self._store is not None

    def use(self) -> Store:
        """The connected store; raises what is wrong with it while there is none."""
        if self._store is None:
            raise self._trouble.with_traceback(None)  # or it would keep the frames of everyone who ever asked
        return self._store

    def follow(self) -> None:
        """The set of queues changed: listen to the new ones too."""
        self._follow.set()

    def failed(self, error: StoreError) -> None:
        """A call failed. When it is the store's trouble, and not that of one queue, the link is made anew."""
        if self._store is not None and isinstance(error, StoreUnreachable | StoreAuthFailed):
            self._lost(error)
            self._loss.set()

    async def run(self) -> None:
        """Keep the link until cancelled. One Store serves all the time: calls may be under way in it at any moment."""
        store = await self._connect()
        try:
            async with store.listen(self._queues()) as listener, asyncio.TaskGroup() as jobs:
                jobs.create_task(self._hear(listener))
                jobs.create_task(self._follow_changes(listener))
                jobs.create_task(self._notice_cuts(store, listener))
                while True:
                    await self._serve(store)
                    await (await self._connect()).close()
        finally:
            self._store = None
            await store.close()

    async def _connect(self) -> Store:
        """A checked connection, tried for until there is one."""
        while True:
            try:
                return await Store.connect(self._url)
            except StoreError as error:
                self._lost(error)
            await self._back_off()

    async def _serve(self, store: Store) -> None:
        """Be up until a loss is reported."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._loss.clear()
        self._store, self._trouble = store, _CONNECTING
        self.tried.set()
        self._changed()
        await self._loss.wait()
        if loop.time() - began > LAST_RETRY_SECONDS:
            self._delay = FIRST_RETRY_SECONDS
        await self._back_off()

    async def _back_off(self) -> None:
        delay, self._delay = self._delay, min(2 * self._delay, LAST_RETRY_SECONDS)
        await asyncio.sleep(delay)

    async def _hear(self, listener: WakeListener) -> None:
        while True:
            self._woken(await listener.wait(None))

    async def _notice_cuts(self, store: Store, listener: WakeListener) -> None:
        """At rest nobody calls the store: the cut line of the listener is the only sign that it is gone."""
        while True:
            await listener.lost.wait()
            if self.is_up:
                try:
                    await store.ping()
                except StoreError as error:
                    self.failed(error)
                else:
                    self._changed()  # so soon back that no call met the loss: still, it may hold older data
            await asyncio.sleep(LAST_RETRY_SECONDS)  # the listener, too, needs a while to come back

    async def _follow_changes(self, listener: WakeListener) -> None:
        """A task may have come before we listened to its queue, and woken nobody: new queues are looked at again."""
        followed: set[QueueKey] = set()
        while True:
            await self._follow.wait()
            self._follow.clear()
            queues = set(self._queues())
            await listener.follow(queues)
            self._woken(queues - followed)
            followed = queues

    def _lost(self, error: StoreError) -> None:
        self._store = None
        self.tried.set()
        if str(error) != str(self._trouble):  # told once, not at every try
            self._trouble = error
            _log.warning("store: %s", error)
            self._changed()
