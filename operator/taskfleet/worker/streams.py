"""What running calls say, on its way to those who read along: in batches, in order, and before the call is settled."""

import asyncio
import logging

import orjson

from taskfleet.core.errors import StoreError, StoreUnreachable
from taskfleet.core.events import Publication
from taskfleet.core.task import QueueKey
from taskfleet.providers.deltas import Delta, Deltas
from taskfleet.worker.storehealth import StoreHealth, pause_after
from taskfleet.worker.workplace import Workplace

log = logging.getLogger(__name__)

BATCH_SECONDS = 0.01  # between two publications: many tokens are one, and the first waits for nothing
LARGEST_CHUNK = 64 * 1024  # characters: the store drops whole chunks where a stream grows too long
LARGEST_BATCH = 64


class TaskStream:
    """What one call says. ``said`` may be called until the call ends; what it was told then is still published."""

    def __init__(self, streams: "Streams", task_id: str, fence: int, about: dict[str, str]) -> None:
        self._streams = streams
        self._task_id = task_id
        self._fence = fence
        self._about = about
        self._all = Deltas()
        self._unsent: list[Deltas] = []
        self._sending: list[bytes] = []
        self._taken = 0  # chunks that the store has

    def said(self, index: int, delta: Delta, finish_reason: str | None) -> None:
        """The next piece."""
        self._all.add(index, delta, finish_reason)
        if not self._unsent or self._unsent[-1].size >= LARGEST_CHUNK:
            self._unsent.append(Deltas())
        self._unsent[-1].add(index, delta, finish_reason)
        self._streams.has_news(self)

    def renewed(self, fence: int) -> None:
        """The task has another lease, and its readers begin anew: they are told all of it again."""
        self._fence, self._taken, self._sending = fence, 0, []
        self._unsent = [self._all.copy()] if self._all else []
        self._streams.has_news(self)

    def publication(self) -> Publication:
        """What the store does not have yet; the same again, and more, when its answer was lost."""
        self._sending += (orjson.dumps({"choices": deltas.as_deltas()}) for deltas in self._unsent)
        self._unsent = []
        return Publication(self._task_id, self._fence, self._taken + 1, tuple(self._sending), self._about)

    def published(self, publication: Publication) -> None:
        if publication.fence == self._fence:
            self._taken += len(publication.chunks)
            self._sending = self._sending[len(publication.chunks) :]


class Streams:
    """All streams of a worker."""

    def __init__(self, store: Workplace, queue: QueueKey, health: StoreHealth) -> None:
        self._store = store
        self._queue = queue
        self._health = health
        self._news: dict[TaskStream, None] = {}
        self._filled = asyncio.Event()
        self._sending = asyncio.Lock()

    def open(self, task_id: str, fence: int, about: dict[str, str]) -> TaskStream:
        """A new attempt; its readers are told of it. ``about``: what they may know of it."""
        stream = TaskStream(self, task_id, fence, about)
        self.has_news(stream)
        return stream

    def has_news(self, stream: TaskStream) -> None:
        self._news[stream] = None
        self._filled.set()

    async def run(self) -> None:
        """Publish for ever."""
        failures = 0
        while True:
            await self._filled.wait()
            try:
                await self.flush()
            except StoreError as error:
                failures += 1
                self._health.failed(error)
                await asyncio.sleep(pause_after(failures))
                continue
            failures = 0
            await asyncio.sleep(BATCH_SECONDS)

    async def flush(self) -> None:
        """Publish all that was said before. Raises StoreUnreachable; it is kept then."""
        if not self._news and not self._sending.locked():
            return
        async with self._sending:
            left = list(self._news)
            while left:
                batch, left = left[:LARGEST_BATCH], left[LARGEST_BATCH:]
                await self._publish(batch)

    async def _publish(self, streams: list[TaskStream]) -> None:
        publications = [stream.publication() for stream in streams]
        for stream in streams:
            self._news.pop(stream, None)
        try:
            await self._store.publish(self._queue, publications)
        except StoreUnreachable:
            for stream in streams:
                self.has_news(stream)
            raise
        except StoreError as error:  # results must not wait for what cannot be told
            log.warning("what running calls say cannot be published", extra={"error": str(error)})
        for stream, publication in zip(streams, publications, strict=True):
            stream.published(publication)
        if not self._news:
            self._filled.clear()
