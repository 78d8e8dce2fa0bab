"""A queue behind a gateway, under trouble: keys, kills, cancellation, two clients, and what is too large."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from taskfleet import HandlerTask, ParallelTaskQueue, SyncParallelTaskQueue
from taskfleet.core.errors import (
    DuplicateTask,
    GatewayUnreachable,
    NotFound,
    NotPermitted,
    QueueFull,
    StoreAuthFailed,
    StoreUnreachable,
)
from taskfleet.core.task import QueueKey
from taskfleet.gateway.keyring import hash_of
from taskfleet.gateway.service import GatewayOptions, gateway
from taskfleet.store import Store
from tests.gateway.test_command import gateway_process, url_in
from tests.sdk.conftest import tick
from tests.sdk.test_queue import Gate
from tests.support.modelstub import ModelStub
from tests.support.valkeyserver import free_port
from tests.support.waiting import eventually, wait_until
from tests.support.workerprocess import quick_policy, worker_process

ALL = ["submit", "read", "work"]


async def echo(task: HandlerTask) -> str:
    return f"echo: {task.prompt}"


@pytest.fixture
def there(store: Store, queue: QueueKey, runner: asyncio.Runner) -> Iterator[str]:
    """A queue, and time that passes in it."""
    runner.run(store.put_policy(queue, quick_policy(leaseDuration="1s")))

    async def begin() -> "asyncio.Task[None]":
        return asyncio.create_task(tick(store, queue))

    ticking = runner.run(begin())
    yield str(queue)
    ticking.cancel()


def write_keys(path: Path, **rights: list[str]) -> Path:
    keys = [{"name": name, "sha256": hash_of(f"key-of-{name}"), "rights": own} for name, own in rights.items()]
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"keys": keys}))
    fresh.replace(path)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "keys.yaml", one=ALL, reader=["read"], submitter=["submit"], other=ALL)


@pytest.fixture
def locked(store_url: str, queue: QueueKey, keys: Path, tmp_path: Path, runner: asyncio.Runner) -> Iterator[str]:
    """Where a gateway serves that asks for keys."""
    stack = AsyncExitStack()
    options = GatewayOptions(store_url, "127.0.0.1", 0, "--port", "test", queue, keys, tmp_path / "files", 1)
    yield runner.run(stack.enter_async_context(gateway(options))).url
    runner.run(stack.aclose())


# Keys


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_without_its_key_a_gateway_says_so_at_the_start(there: str, locked: str, key: str | None) -> None:
    with pytest.raises(StoreAuthFailed, match=r"api_key: the gateway at .* says: .*API key"):
        await ParallelTaskQueue(url=locked, queue=there, api_key=key).start()


async def test_a_right_that_a_key_has_not_is_named(there: str, locked: str) -> None:
    with pytest.raises(NotPermitted, match=r"'submitter' has not the right 'read' for this; use one .*--right read"):
        await ParallelTaskQueue(url=locked, queue=there, api_key="key-of-submitter").start()
    async with ParallelTaskQueue(url=locked, queue=there, api_key="key-of-reader") as queue:
        with pytest.raises(NotPermitted, match="'reader' has not the right 'submit'"):
            await queue.submit("x")
        assert (await queue.get_stats()).submitted == 0


async def test_a_key_is_the_gateways_and_no_model_server_sees_it(there: str, locked: str, model: ModelStub) -> None:
    instance = {"url": model.url, "models": ["stub"]}
    async with ParallelTaskQueue([instance], url=f"{locked}/v1/", queue=there, api_key="key-of-one") as queue:
        assert (await queue.wait_for_task(await queue.submit("x"))).response == "echo: x"
    assert "key-of-one" not in json.dumps([dict(request["headers"]) for request in model.requests])


async def test_a_key_that_is_revoked_in_mid_run_ends_the_waits_in_words(there: str, locked: str, keys: Path) -> None:
    gate = Gate()
    async with ParallelTaskQueue(url=locked, queue=there, api_key="key-of-one", handler=gate) as queue:
        task_id = await queue.submit("x")
        await eventually(lambda: gate.began == ["x"], "it to begin")
        waits = [asyncio.create_task(queue.wait_for_task(task_id, None)), asyncio.create_task(queue.join())]
        write_keys(keys, other=ALL)
        for end in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(end, StoreAuthFailed)
            assert "this API key is not known here, or not any more" in str(end)
        with pytest.raises(StoreAuthFailed):
            await queue.submit("y")
        await queue.stop(timeout=0)
    async with ParallelTaskQueue(url=locked, queue=there, api_key="key-of-other", handler=gate) as queue:
        gate.open.set()
        assert (await queue.wait_for_task(task_id, timeout=20)).status == "completed", "the task itself is not lost"


# A gateway that is killed


class Process:
    """`taskfleet gateway` at an address that stays, killed and started again."""

    def __init__(self, folder: Path, store_url: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._store_url = store_url
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        folder = self._folder / str(len(list(self._folder.iterdir())))
        folder.mkdir()
        started = gateway_process(folder, self._store_url, "--port", str(self.port))
        self._process, log = self._stack.enter_context(started)
        await eventually(lambda: url_in(log), "the gateway to start", timeout=20)

    async def kill(self) -> None:
        self._process.kill()
        await asyncio.to_thread(self._process.wait, 10)

    async def end(self) -> None:
        await self._stack.aclose()


@pytest.fixture
def process(tmp_path: Path, store_url: str, runner: asyncio.Runner) -> Iterator[Process]:
    folder = tmp_path / "gateways"
    folder.mkdir()
    own = Process(folder, store_url)
    runner.run(own.start())
    yield own
    runner.run(own.end())


async def test_a_gateway_that_is_killed_in_mid_wait_loses_nothing_and_hangs_nobody(
    there: str, process: Process, store_url: str, queue: QueueKey, model: ModelStub
) -> None:
    model.latency = 0.02
    with worker_process(store_url, queue, model.url, concurrency=4):
        async with ParallelTaskQueue(url=process.url, queue=there) as here:
            batch = await here.submit_batch([f"p{number}" for number in range(300)])
            waiting = asyncio.create_task(here.wait_for_batch(batch, timeout=None))
            await eventually(lambda: model.answered.total() > 20, "some to end")
            await process.kill()
            with pytest.raises(GatewayUnreachable, match=r"cannot be used: .*; start it \(`taskfleet gateway`\)"):
                await here.submit("nobody hears")
            with pytest.raises(StoreUnreachable):
                await here.get_stats()
            await eventually(lambda: model.answered.total() == 300, "all to end, unseen", timeout=20)
            assert not waiting.done()
            await process.start()
            assert [task.response for task in await waiting] == [f"echo: p{number}" for number in range(300)]
            assert (await here.get_stats()).submitted == 300


async def test_a_worker_goes_on_where_it_was_when_its_gateway_is_killed(
    there: str, process: Process, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def slow(task: HandlerTask) -> str:
        asked.append(task.prompt)
        await asyncio.sleep(0.02)
        return f"echo: {task.prompt}"

    async with ParallelTaskQueue(url=process.url, queue=there, handler=slow, max_workers=4) as here:
        run = asyncio.ensure_future(
            _all(here.process_dataset([f"p{number}" for number in range(200)], checkpoint=tmp_path / "run"))
        )
        await eventually(lambda: len(asked) > 50, "some to run")
        await process.kill()
        await process.start()
        assert await run == [f"echo: p{number}" for number in range(200)]
    assert len(asked) <= 200 + 2 * 4, "only what was on its way is run again"


async def _all(run: Any) -> list[Any]:
    return [task.response for task in await run]


# Cancellation, deletion, others


@asynccontextmanager
async def slow_line(url: str, seconds: float) -> AsyncIterator[str]:
    """A proxy before the gateway that passes each answer on so much later."""
    import aiohttp

    async def forward(request: web.Request) -> web.Response:
        if request.path.endswith("/events"):  # news do not come through; the slow rounds find what ended
            return web.Response(status=503)
        async with aiohttp.ClientSession() as session:
            target = url + request.path_qs
            async with session.request(request.method, target, data=await request.read(), headers=_own(request)) as got:
                body = await got.read()
                await asyncio.sleep(seconds if request.path == "/v1/tasks" else 0)
                return web.Response(status=got.status, body=body, content_type=got.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def _own(request: web.Request) -> dict[str, str]:
    names = ("Content-Type", "Taskfleet-Queue")
    return {name: request.headers[name] for name in names if name in request.headers}


async def test_a_submission_that_is_cancelled_leaves_nothing_to_run(
    there: str, process: Process, store: Store, queue: QueueKey
) -> None:
    tasks = asyncio.all_tasks()
    async with slow_line(process.url, 0.3) as slow, ParallelTaskQueue(url=slow, queue=there) as here:
        for seconds in (0.0, 0.001, 0.01, 0.1, 0.2):
            submitting = asyncio.create_task(here.submit_batch([f"p{number}" for number in range(50)]))
            await asyncio.sleep(seconds)
            submitting.cancel()
            await asyncio.gather(submitting, return_exceptions=True)
            assert submitting.cancelled()
            stats = await store.stats(queue)
            assert stats is not None
            assert (stats.pending, stats.running) == (0, 0), seconds
            assert here._now.live.watch.open == []
        assert stats.cancelled >= 50, "what had been taken was cancelled"
    await eventually(lambda: asyncio.all_tasks() <= tasks, "its tasks to end")


async def test_a_queue_that_is_deleted_ends_the_waits_in_words(
    there: str, gateway_url: str, store: Store, queue: QueueKey
) -> None:
    async with ParallelTaskQueue(url=gateway_url, queue=there) as here:
        waiting = asyncio.create_task(here.wait_for_task(await here.submit("x"), None))
        await store.drop_queue(queue)
        with pytest.raises(NotFound, match=f"there is no queue {queue} here"):
            await waiting
        with pytest.raises(NotFound, match=f"there is no queue {queue} here"):
            await here.submit("y")


async def test_two_programs_share_a_queue_and_each_has_its_own(there: str, gateway_url: str) -> None:
    async with (
        ParallelTaskQueue(url=gateway_url, queue=there, handler=echo) as one,
        ParallelTaskQueue(url=gateway_url, queue=there, handler=echo) as two,
    ):
        batches = await asyncio.gather(
            *(
                each.submit_batch([f"{name} {number}" for number in range(100)])
                for each, name in ((one, "a"), (two, "b"))
            )
        )
        found = await asyncio.gather(one.wait_for_batch(batches[0]), two.wait_for_batch(batches[1]))
        assert [task.response for task in found[0]] == [f"echo: a {number}" for number in range(100)]
        assert [task.response for task in found[1]] == [f"echo: b {number}" for number in range(100)]
        assert (await one.get_task(batches[1][0])).response == "echo: b 0", "and looks at the other's"
        with pytest.raises(DuplicateTask, match="already in this queue") as raised:
            await two.submit_batch([{"prompt": "x", "id": "fresh"}, {"prompt": "x", "id": batches[0][3]}])
        assert raised.value.task_id == batches[0][3]
        with pytest.raises(NotFound):
            await one.get_task("fresh")
        stats = [await each.get_stats() for each in (one, two)]
        assert [each.submitted for each in stats] == [200, 200], "the queue's"
        assert [each.models["stub"]["completed"] for each in stats] == [100, 100], "its own"


async def test_a_full_queue_says_when_to_come_back(store: Store, queue: QueueKey, gateway_url: str) -> None:
    await store.put_policy(queue, quick_policy(limits={"maxPending": 3}))
    async with ParallelTaskQueue(url=gateway_url, queue=str(queue)) as here:
        with pytest.raises(QueueFull, match=r"limits.maxPending is 3; nothing was taken") as raised:
            await here.submit_batch(["x"] * 4)
        assert raised.value.retry_after >= 1
        assert (await here.get_stats()).submitted == 0


async def test_50_mb_go_through_where_the_queue_takes_them_and_are_refused_here_where_not(
    store: Store, queue: QueueKey, gateway_url: str
) -> None:
    large = "x" * 50_000_000
    await store.put_policy(queue, quick_policy(limits={"maxTaskBytes": "64Mi"}, leaseDuration="20s"))

    async def length(task: HandlerTask) -> int:
        return len(task.prompt)

    async with ParallelTaskQueue(url=gateway_url, queue=str(queue), handler=length) as here:
        assert (await here.wait_for_task(await here.submit(large), timeout=25)).response == len(large)


async def test_a_batch_of_any_number_is_taken_whole(
    there: str, gateway_url: str, store: Store, queue: QueueKey
) -> None:
    async with ParallelTaskQueue(url=gateway_url, queue=there) as here:
        batch = await here.submit_batch(f"p{number}" for number in range(6000))
        counts = await store.batch(queue, batch.id)
        assert counts is not None
        assert counts.total == 6000
        with pytest.raises(DuplicateTask):
            await here.submit_batch([*({"prompt": "x"} for _ in range(2000)), {"prompt": "x", "id": batch[0]}])
        assert (await here.get_stats()).submitted == 6000
        assert await here.cancel_all() == 6000
        await here.join(timeout=20)
        assert [task.id for task in await here.wait_for_batch(batch.id)] == batch


async def test_what_was_said_before_in_a_session_is_known_to_a_worker_outside(
    store: Store, queue: QueueKey, gateway_url: str
) -> None:
    await store.put_policy(queue, quick_policy(sessions={"context": "Conversation"}))
    seen: list[list[str]] = []

    async def listen(task: HandlerTask) -> str:
        seen.append([str(message["content"]) for message in task.messages])
        return f"answer {len(seen)}"

    async with ParallelTaskQueue(url=gateway_url, queue=str(queue), handler=listen) as here:
        await here.wait_for_batch(
            await here.submit_batch({"prompt": text, "session": "s"} for text in ("one", "two", "three"))
        )
    assert seen[2] == ["one", "answer 1", "two", "answer 2", "three"]


async def test_what_is_no_gateway_is_told_as_such() -> None:
    async def website(_request: web.Request) -> web.Response:
        return web.Response(status=404, text="<html>nothing here</html>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", website)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with pytest.raises(
        GatewayUnreachable, match=r"url: what answers at .* \(HTTP 404\) is no gateway of Taskfleet; give its"
    ):
        await ParallelTaskQueue(url=f"http://127.0.0.1:{runner.addresses[0][1]}", queue="a/b").start()
    await runner.cleanup()


def test_a_script_works_behind_a_gateway(tmp_path: Path, store_url: str) -> None:
    queue = QueueKey("test", f"script-{tmp_path.name}")

    async def create() -> None:
        store = await Store.connect(store_url)
        await store.put_policy(queue, quick_policy())
        await store.close()

    asyncio.run(create())
    with gateway_process(tmp_path, store_url) as (_, log):
        wait_until(lambda: url_in(log), "the gateway to start", timeout=20)
        with SyncParallelTaskQueue(url=url_in(log), queue=str(queue), handler=echo) as here:
            assert here.wait_for_task(here.submit("hello")).response == "echo: hello"
            found = here.process_dataset(["a", "b"], output=tmp_path / "out.jsonl")
            assert (found.rows, found.completed) == (2, 2)
            assert [event.kind for event in here.events(here.submit("x", stream=True))][-1] == "finished"
            assert here.get_stats().completed == 4
            assert here.errors() == []


# As a worker


async def test_two_model_servers_share_the_calls_of_a_worker_outside(there: str, gateway_url: str) -> None:
    together: list[int] = []

    def latency() -> float:
        together.append(one.inflight + two.inflight)
        return 0.02

    async with ModelStub(latency=latency) as one, ModelStub(latency=latency) as two:
        instances = [{"url": each.url, "models": ["stub"]} for each in (one, two)]
        async with ParallelTaskQueue(instances, 6, "round_robin", url=gateway_url, queue=there) as here:
            results = await here.wait_for_batch(await here.submit_batch([f"p{number}" for number in range(120)]))
        assert {task.status for task in results} == {"completed"}
        assert min(one.answered.total(), two.answered.total()) >= 20
        assert max(together) <= 6


@contextmanager
def time_passes(store_url: str, queue: QueueKey) -> Iterator[None]:
    """In a thread of its own, also while this one's loop stands still."""
    end = threading.Event()

    async def pass_on() -> None:
        store = await Store.connect(store_url)
        while not end.is_set():
            await store.tick(queue)
            await asyncio.sleep(0.1)
        await store.close()

    thread = threading.Thread(target=lambda: asyncio.run(pass_on()))
    thread.start()
    yield
    end.set()
    thread.join(10)


async def test_a_handler_that_blocks_the_loop_keeps_its_task(
    process: Process, store: Store, store_url: str, queue: QueueKey, caplog: pytest.LogCaptureFixture
) -> None:
    await store.put_policy(queue, quick_policy(leaseDuration="3s"))

    async def blocks(task: HandlerTask) -> str:
        time.sleep(6)  # noqa: ASYNC251  that is the mistake
        return f"attempt {task.attempt}"

    with time_passes(store_url, queue):
        async with ParallelTaskQueue(url=process.url, queue=str(queue), handler=blocks) as here:
            task_id = await here.submit("x")
            await here.wait_for_task(task_id, timeout=25)
    (view,) = await store.get(queue, [task_id])
    assert view is not None
    assert (view.output, view.history) == ("attempt 1", ()), "its lease was kept while nothing else ran"
    assert "stood still" in caplog.text


async def test_what_a_worker_here_says_of_its_task_is_what_the_gateway_shows(there: str, gateway_url: str) -> None:
    async with ParallelTaskQueue(url=gateway_url, queue=there, handler=echo) as here:
        batch = await here.submit_batch([{"prompt": "x", "metadata": {"row": 1}, "tenant": "gold", "session": "s"}])
        (told,) = await here.wait_for_batch(batch)
        shown = await here.get_task(batch[0])
    # It knows some of its times better than to the second.
    views = [replace(each.view, enqueued_at=0.0, run_seconds=None) for each in (told, shown)]
    assert views[0] == views[1]
    assert views[0].tenant == "gold"
    assert told.queue_seconds is not None and 0 <= told.queue_seconds < 10
