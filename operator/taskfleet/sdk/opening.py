"""Starts and ends what a queue object needs: where its tasks are kept, who works for it, who watches."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.errors import InputError, NotRunning, TaskfleetError
from taskfleet.core.events import Progress
from taskfleet.core.pool import Strategy
from taskfleet.core.task import QueueKey
from taskfleet.sdk import given
from taskfleet.sdk.backend import StoreBackend
from taskfleet.sdk.blocked import LoopWatch
from taskfleet.sdk.handler import Handler, HandlerProvider
from taskfleet.sdk.instances import Instance, found_endpoints, named_endpoints
from taskfleet.sdk.live import Live, News
from taskfleet.sdk.progress import tell_progress
from taskfleet.store import Store
from taskfleet.store.watch import Watch

if TYPE_CHECKING:
    from taskfleet.sdk.workers import Workers

log = logging.getLogger(__name__)

OWN_QUEUE = QueueKey("default", "local")
HANDLER = "handler"
NOT_INSTALLED = 'a queue in this process needs more than the client: pip install "taskfleet[sdk]" (missing: {})'


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a ParallelTaskQueue was given; see there."""

    instances: Sequence[Instance] | None
    max_workers: int
    strategy: Strategy
    url: str | None
    queue: str | None
    api_key: str | None
    handler: Handler | None
    data: Path | None
    policy: Mapping[str, Any]

    def checked(self) -> "Wanted":
        """Itself. Raises InputError when its parts do not go together."""
        if self.queue is not None:
            given.queue_key(self.queue)
        if self.url is None:
            return self
        if self.url.startswith(("http://", "https://")):
            raise InputError(
                "url: a gateway (http://) cannot be used by this version; give the URL of the store, such as "
                "valkey://HOST:6379, with queue=, or leave url out to work in this process"
            )
        if self.queue is None:
            raise InputError('queue: with a url it must be named; write queue="namespace/name", such as "default/demo"')
        for name, value in (("data", self.data), ("policy", self.policy or None)):
            if value is not None:
                raise InputError(f"{name}: it belongs to a queue in this process; leave it out, or leave out url")
        return self

    @property
    def key(self) -> QueueKey:
        return OWN_QUEUE if self.queue is None else given.queue_key(self.queue)


class Opened:
    """A running queue. ``close`` may be called once."""

    def __init__(
        self, live: Live, workers: "Workers | None", instances: list[str], stack: contextlib.AsyncExitStack
    ) -> None:
        self.live = live
        self.instances = instances
        self._workers = workers
        self._stack = stack

    async def close(self, timeout: float | None) -> None:  # noqa: ASYNC109  what does not fit is handed back
        if self._workers is not None:
            await self._workers.stop(timeout)
        left = len(self.live.watch.open)
        if left:
            log.info("stopped with open tasks", extra={"queue": self.live.backend.name, "tasks": left})
        self.live.watch.broke(NotRunning("the queue was stopped before this task ended; start it again to go on"))
        await self._stack.aclose()


async def opened(wanted: Wanted, news: News) -> Opened:
    """Start. On an error nothing is left running."""
    async with contextlib.AsyncExitStack() as stack:
        endpoints = await _endpoints(wanted)
        if wanted.url is None:
            with _what_is_missing():
                from taskfleet.sdk.inprocess import EmbeddedQueue
            here = await stack.enter_async_context(EmbeddedQueue(wanted.key, endpoints, wanted.policy, wanted.data))
            store, store_url = here.store, here.url
        else:
            store_url = wanted.url
            store = await Store.connect(store_url)
            stack.push_async_callback(store.close)
        backend = StoreBackend(store, wanted.key, private=wanted.url is None)
        offered = await backend.reader()
        if wanted.handler is not None and wanted.url is not None:
            endpoints = [_handler_endpoint(wanted.max_workers, offered.models)]
        watch = Watch(backend.get, news.ended, nudged=wanted.url is None)
        watching = asyncio.create_task(watch.run(), name="watch")
        watching.add_done_callback(lambda task: _tell_end(task, watch))
        stack.push_async_callback(_ended, watching)
        live = Live(backend, watch, news, takes_any_model=wanted.handler is not None and wanted.url is None)
        workers = provider = None
        if wanted.handler is not None:
            provider = HandlerProvider(wanted.handler, _reports(live), wanted.max_workers)
        if wanted.url is not None:
            telling = asyncio.create_task(tell_progress(live), name="progress")
            stack.push_async_callback(_ended, telling)
        if endpoints:
            with _what_is_missing():
                from taskfleet.sdk.workers import Workers
            workers = Workers(
                store=store,
                store_url=store_url,
                queue=wanted.key,
                endpoints=endpoints,
                max_workers=wanted.max_workers,
                strategy=wanted.strategy,
                api_key=wanted.api_key,
                provider=provider,
                on_settled=watch.settled,
                on_broken=watch.broke,
            )
            workers.start()
            if wanted.handler is not None:
                stack.enter_context(LoopWatch(workers.keep_leases))
        names = [] if wanted.handler else [f"{each.url} ({', '.join(each.models)})" for each in endpoints]
        return Opened(live, workers, names, stack.pop_all())
    raise AssertionError("the stack swallows nothing")


async def _endpoints(wanted: Wanted) -> list[Endpoint]:
    if wanted.handler is not None:
        return [_handler_endpoint(wanted.max_workers, [HANDLER])]
    if wanted.instances is not None:
        return await named_endpoints(wanted.instances, wanted.max_workers, wanted.api_key)
    if wanted.url is not None:
        return []
    found = await found_endpoints(wanted.max_workers)
    for endpoint in found:
        log.info("found a model server", extra={"url": endpoint.url, "models": ", ".join(endpoint.models)})
    return found


def _handler_endpoint(max_workers: int, models: Sequence[str]) -> Endpoint:
    """An endpoint that is no server; nothing calls its URL."""
    return Endpoint(name=HANDLER, url="http://localhost", models=list(models), concurrency=max_workers)


def _reports(live: Live) -> Any:
    """What handlers report of tasks of ours, from any thread, brought to the loop."""
    loop = asyncio.get_running_loop()

    def report(task_id: str, told: Progress) -> None:
        loop.call_soon_threadsafe(heard, task_id, told)

    def heard(task_id: str, told: Progress) -> None:
        if live.watch.follows(task_id):
            live.news.reported_here.add(task_id)
            live.news.progressed(task_id, told)

    return report


@contextlib.contextmanager
def _what_is_missing() -> Any:
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(NOT_INSTALLED.format(error.name)) from error


def _tell_end(watching: "asyncio.Task[None]", watch: Watch) -> None:
    """Nobody waits in vain when the watch itself broke."""
    error = None if watching.cancelled() else watching.exception()
    if error is not None:
        log.error("the watch of a queue broke", exc_info=error)
        watch.broke(TaskfleetError(f"this queue no longer sees what ends: {type(error).__name__}: {error}"))


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
