"""Starts and ends what a queue object needs: where its tasks are kept, who works for it, who watches."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.core.errors import NotRunning, TaskfleetError
from taskfleet.core.events import Progress
from taskfleet.sdk.blocked import LoopWatch
from taskfleet.sdk.handler import HandlerProvider
from taskfleet.sdk.homes import home_of
from taskfleet.sdk.instances import found_endpoints, keys_of, named_endpoints
from taskfleet.sdk.live import Live, News
from taskfleet.sdk.missing import what_is_missing
from taskfleet.sdk.progress import tell_progress
from taskfleet.sdk.wanted import Wanted
from taskfleet.store.watch import Watch

if TYPE_CHECKING:
    from taskfleet.sdk.workers import Workers

log = logging.getLogger(__name__)

HANDLER = "handler"


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
        for stop_run in list(self.live.runs):
            await stop_run()
        await self._stack.aclose()


async def opened(wanted: Wanted, news: News) -> Opened:
    """Start. On an error nothing is left running."""
    async with contextlib.AsyncExitStack() as stack:
        endpoints = await _endpoints(wanted)
        home = await home_of(wanted, endpoints, stack)
        backend = home.backend
        offered = await backend.reader()
        if wanted.handler is not None and wanted.url is not None:
            endpoints = [_handler_endpoint(wanted.max_workers, offered.models)]
        watch = Watch(backend.get, news.ended, nudged=home.nudged)
        watching = asyncio.create_task(watch.run(), name="watch")
        watching.add_done_callback(lambda task: _tell_end(task, watch))
        stack.push_async_callback(_ended, watching)
        if home.hears is not None:
            hearing = asyncio.create_task(home.hears(watch), name="news")
            hearing.add_done_callback(lambda task: _tell_end(task, watch))
            stack.push_async_callback(_ended, hearing)
        live = Live(backend, watch, news, takes_any_model=wanted.handler is not None and wanted.url is None)
        workers = provider = None
        if wanted.handler is not None:
            provider = HandlerProvider(wanted.handler, _reports(live), wanted.max_workers)
        if wanted.url is not None:
            telling = asyncio.create_task(tell_progress(live), name="progress")
            stack.push_async_callback(_ended, telling)
        if endpoints:
            with what_is_missing():
                from taskfleet.sdk.workers import Workers
            workers = Workers(
                place=home.place,
                connect=home.connect,
                queue=wanted.key,
                endpoints=endpoints,
                max_workers=wanted.max_workers,
                strategy=wanted.strategy,
                api_keys=_api_keys(wanted, endpoints),
                provider=provider,
                on_settled=watch.settled,
                on_broken=watch.broke,
                stand_ins=home.stand_ins,
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
        return await named_endpoints(wanted.instances, wanted.max_workers, wanted.strategy, wanted.instances_key)
    if wanted.url is not None:
        return []
    found = await found_endpoints(wanted.max_workers, wanted.strategy)
    for endpoint in found:
        log.info("found a model server", extra={"url": endpoint.url, "models": ", ".join(endpoint.models)})
    return found


def _api_keys(wanted: Wanted, endpoints: Sequence[Endpoint]) -> dict[str, str | None]:
    if wanted.instances is None:
        return {endpoint.name: wanted.instances_key for endpoint in endpoints}
    return keys_of(wanted.instances, endpoints, wanted.instances_key)


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


def _tell_end(watching: "asyncio.Task[None]", watch: Watch) -> None:
    """Nobody waits in vain when the watch itself broke."""
    error = None if watching.cancelled() else watching.exception()
    if isinstance(error, TaskfleetError):  # the queue is gone, for one
        watch.broke(error)
    elif error is not None:
        log.error("the watch of a queue broke", exc_info=error)
        watch.broke(TaskfleetError(f"this queue no longer sees what ends: {type(error).__name__}: {error}"))


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
