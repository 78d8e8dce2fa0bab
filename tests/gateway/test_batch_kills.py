"""Batches whose gateway, worker or store is killed: every line ends once, with the answer to its own request."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import valkey.asyncio as valkey
from openai import AsyncOpenAI

from taskfleet.core.task import QueueKey
from taskfleet.store import Store, keys
from tests.gateway.conftest import working
from tests.gateway.test_batches import ended, jsonl, line, lines_of, start
from tests.gateway.test_command import gateway_process, url_in
from tests.support.modelstub import ModelStub
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually, wait_until
from tests.support.wire import Wire
from tests.support.work import Work
from tests.support.workerprocess import WorkerProcess, worker_process

LINES = [f"r{n}" for n in range(30)]


def test_kills_of_gateway_worker_and_store_in_mid_batch_lose_and_double_nothing(
    queue: QueueKey, stub_model: ModelStub, tmp_path: Path, runner: asyncio.Runner
) -> None:
    stub_model.latency = 0.02
    count = 400
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_valkey(tmp_path / "store", appendonly="yes", appendfsync="always"))
        store_url = f"valkey://127.0.0.1:{server.port}"
        runner.run(_open(store_url, queue))

        def worker() -> WorkerProcess:
            return stack.enter_context(worker_process(store_url, queue, stub_model.url, concurrency=8))

        def written(share: float) -> None:
            wait_until(lambda: lines_in(output) >= share * count, f"{share:.0%} of the lines", timeout=60)

        first = worker()
        with _gateway(tmp_path / "first", store_url, queue) as url:
            batch_id = runner.run(_started(url, jsonl(*(line(f"r{n}") for n in range(count)))))
            output = tmp_path / "files" / f"file-{batch_id.removeprefix('batch_')}-output"
            written(0.1)
        with _gateway(tmp_path / "second", store_url, queue):  # the first was killed
            written(0.3)
            first.signal(signal.SIGKILL)
            second = worker()
            written(0.5)
            server.terminate()
            server.start()
            written(0.7)
            second.signal(signal.SIGKILL)
            server.terminate()
        server.start()  # and so is the second: all three at once
        worker()
        with _gateway(tmp_path / "third", store_url, queue) as url:
            batch, lines = runner.run(_ended(url, batch_id))
    counts = batch.request_counts
    assert (batch.status, counts.total, counts.completed, counts.failed) == ("completed", count, count, 0)
    assert batch.error_file_id is None
    names = [each["custom_id"] for each in lines]
    assert sorted(names) == sorted(f"r{n}" for n in range(count)), "each line is there once"
    answers = [each["response"]["body"]["choices"][0]["message"]["content"] for each in lines]
    assert answers == [f"echo: {name}" for name in names], "with the answer to its own request"
    again = sum(stub_model.calls.values()) - count
    assert again <= 4 * 8, "only what was in flight at a kill was run again"


@contextlib.contextmanager
def _gateway(folder: Path, store_url: str, queue: QueueKey) -> Iterator[str]:
    """Where it serves; it is killed at the end of the block."""
    folder.mkdir()
    options = ("--queue", str(queue), "--files", str(folder.parent / "files"))
    with gateway_process(folder, store_url, *options) as (_, log):
        yield wait_until(lambda: url_in(log), "the gateway to start", timeout=40)


async def _open(store_url: str, queue: QueueKey) -> None:
    store = await Store.connect(store_url)
    await Work(store, queue).open()
    await store.close()


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


async def _started(url: str, data: bytes) -> str:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        return str((await start(client, data)).id)


async def _ended(url: str, batch_id: str) -> tuple[Any, list[dict[str, Any]]]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client:
        batch = await ended(client, batch_id, timeout=60)
        return batch, await lines_of(client, batch.output_file_id)


class Gateways:
    """One after another, on the same files. Each is killed as it writes that the batch's status is a certain one."""

    def __init__(self, work: Work, store_url: str, folder: Path) -> None:
        self.work = work
        self.store_url = store_url
        self._folder = folder
        self._count = 0

    @contextlib.asynccontextmanager
    async def one(self, status: str = "", *, written: bool = True) -> AsyncIterator[AsyncOpenAI]:
        """A client of the next one, which is dead after the block: killed in it, if there is a ``status`` to die of.
        ``written``: the store still learns of that."""
        self._count += 1
        deadly = f'"{status}"'.encode()

        def lets_through(said: bytes) -> bool:
            if not status or deadly not in said:
                return True
            process.kill()
            return written

        port = urlsplit(self.store_url).port
        assert port is not None
        folder = self._folder / str(self._count)
        folder.mkdir()
        options = ("--queue", str(self.work.queue), "--files", str(self._folder / "files"))
        async with Wire(port, lets_through=lets_through) as wire:
            with gateway_process(folder, f"valkey://127.0.0.1:{wire.port}", *options) as (process, log):
                url = await eventually(lambda: url_in(log), "the gateway to start", timeout=40)
                async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
                    yield client
                    if status:
                        await eventually(lambda: process.poll() is not None, f"it to write {status}", timeout=40)

    async def let_go(self, batch_id: str) -> None:
        """As 5 seconds later: the dead one holds the batch no more."""
        async with valkey.from_url(self.store_url) as client:
            await client.delete(f"{keys.job(self.work.queue, batch_id)}:holder")


@pytest.fixture
def gateways(queue: QueueKey, tmp_path: Path, runner: asyncio.Runner) -> Iterator[Gateways]:
    """On a store of their own: a gateway drives whatever batch others left open."""
    with running_valkey(tmp_path / "store") as server:
        store_url = f"valkey://127.0.0.1:{server.port}"
        store = runner.run(Store.connect(store_url))
        work = Work(store, queue)
        runner.run(work.open())
        yield Gateways(work, store_url, tmp_path)
        runner.run(store.close())


async def test_gateways_killed_just_before_and_after_each_step_of_a_batch_ask_nothing_twice(
    gateways: Gateways, model: ModelStub
) -> None:
    async with working(gateways.store_url, gateways.work.queue, model.url):
        async with gateways.one("in_progress", written=False) as client:
            batch_id = (await start(client, jsonl(*map(line, LINES)))).id
        for status, written in (
            ("in_progress", True),
            ("finalizing", False),
            ("completed", False),
            ("completed", True),
        ):
            await gateways.let_go(batch_id)
            async with gateways.one(status, written=written):
                pass
        completed = await gateways.work.store.jobs.get(gateways.work.queue, batch_id)
        await gateways.let_go(batch_id)
        async with gateways.one() as client:
            batch = await ended(client, batch_id)
            counts = (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed)
            assert (batch.status, *counts) == ("completed", len(LINES), len(LINES), 0)
            assert sorted(each["custom_id"] for each in await lines_of(client, batch.output_file_id)) == sorted(LINES)
            await closed(gateways.work)
    assert await gateways.work.store.jobs.get(gateways.work.queue, batch_id) == completed, "it was only closed"
    assert set(model.calls.values()) == {1}


async def test_gateways_killed_just_before_and_after_each_step_of_a_cancelled_batch_ask_nothing(
    gateways: Gateways,
) -> None:
    async with gateways.one("in_progress") as client:
        batch_id = (await start(client, jsonl(*map(line, LINES)))).id
    async with gateways.one("finalizing", written=False) as client:
        assert (await client.batches.cancel(batch_id)).status == "cancelling"
        await gateways.let_go(batch_id)
    for written in (False, True):
        await gateways.let_go(batch_id)
        async with gateways.one("cancelled", written=written):
            pass
    await gateways.let_go(batch_id)
    async with gateways.one() as client:
        batch = await ended(client, batch_id)
        assert (batch.status, batch.output_file_id) == ("cancelled", None)
        errors = await lines_of(client, batch.error_file_id)
        assert sorted(each["custom_id"] for each in errors) == sorted(LINES)
        assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
        await closed(gateways.work)
    stats = await gateways.work.store.stats(gateways.work.queue)
    assert stats is not None
    assert stats.pending == 0


async def closed(work: Work) -> None:
    """Nobody needs to drive a batch of this queue any more."""

    async def none_is_open() -> bool:
        return work.queue not in [queue for queue, _ in await work.store.jobs.opened()]

    await eventually(none_is_open, "the batch to be closed")
