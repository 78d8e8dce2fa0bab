"""A store that is away, at the start or in the middle, and one that will never serve us."""

import asyncio
import signal
from pathlib import Path

import httpx
import valkey

from taskfleet.core.errors import StoreAuthFailed, StoreUnreachable
from taskfleet.core.task import QueueKey, TaskState
from taskfleet.store import Store
from tests.support.modelstub import ModelStub
from tests.support.valkeyserver import free_port, running_valkey
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import worker_process


async def readiness(port: int) -> tuple[int, str]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/readyz")
        return answer.status_code, answer.text.strip()


async def test_a_store_killed_and_restarted_in_mid_run_loses_nothing(
    tmp_path: Path, queue: QueueKey, model: ModelStub
) -> None:
    with running_valkey(tmp_path, appendonly="yes", appendfsync="always") as server:
        url = f"valkey://127.0.0.1:{server.port}"
        store = await Store.connect(url)
        work = Work(store, queue)
        await work.open(leaseDuration="5s")
        ids = await work.submit(*(f"task-{number}" for number in range(60)))
        model.latency = 0.1
        with worker_process(url, queue, model.url, port="0") as worker:
            port = await worker.port()
            await eventually(lambda: model.answered.total() >= 8, "some tasks to be done")
            await asyncio.to_thread(server.terminate)
            await worker.says("the store cannot serve us")
            await eventually(lambda: model.inflight == 0, "the running calls to end without the store")
            status, reason = await readiness(port)
            assert status == 503
            assert "store" in reason
            answered = set(model.answered)
            await asyncio.to_thread(server.start)
            await worker.says("the store is back")
            views = await work.finished(ids)
            assert (await readiness(port))[0] == 200
            worker.signal(signal.SIGTERM)
            assert await worker.exit_code() == 0
        await store.close()
    assert {view.state for view in views} == {TaskState.COMPLETED}
    twice = {task for task, count in model.calls.items() if count > 1}
    assert not twice & answered, "finished results were kept and settled, not run again"


async def test_a_store_that_is_down_at_the_start_is_waited_for(
    tmp_path: Path, queue: QueueKey, model: ModelStub
) -> None:
    port = free_port()
    url = f"valkey://127.0.0.1:{port}"
    with worker_process(url, queue, model.url, port="0") as worker:
        await worker.says("cannot work yet")
        status, reason = await readiness(await worker.port())
        assert status == 503
        assert str(port) in reason
        with running_valkey(tmp_path, port=port):
            await worker.says("does not exist (yet)")
            store = await Store.connect(url)
            work = Work(store, queue)
            await work.open()
            (view,) = await work.finished(await work.submit("task"))
            assert view.state is TaskState.COMPLETED
            assert await readiness(await worker.port()) == (200, "ok")
            await store.close()


async def test_a_worker_that_waits_for_its_store_still_stops_at_once(queue: QueueKey, model: ModelStub) -> None:
    with worker_process(f"valkey://127.0.0.1:{free_port()}", queue, model.url, grace=3600) as worker:
        await worker.says("cannot work yet")
        worker.signal(signal.SIGTERM)
        assert await worker.exit_code() == 0


async def test_a_wrong_password_ends_the_worker_with_its_own_exit_code(
    tmp_path: Path, queue: QueueKey, model: ModelStub
) -> None:
    with running_valkey(tmp_path) as server:
        with valkey.Valkey(port=server.port) as administrator:
            administrator.config_set("requirepass", "right")
        url = f"valkey://:a-wrong-one@127.0.0.1:{server.port}"
        with worker_process(url, queue, model.url) as worker:
            assert await worker.exit_code() == StoreAuthFailed.exit_code
            assert "a-wrong-one" not in str(worker.lines)
            assert worker.lines[-1]["code"] == "store_auth_failed"


async def test_results_that_the_store_never_took_are_told_at_the_end(
    tmp_path: Path, queue: QueueKey, model: ModelStub
) -> None:
    with running_valkey(tmp_path) as server:
        url = f"valkey://127.0.0.1:{server.port}"
        store = await Store.connect(url)
        work = Work(store, queue)
        await work.open()
        await work.submit("task")
        await store.close()
        model.hold()
        with worker_process(url, queue, model.url, grace=3.0) as worker:
            await eventually(lambda: model.inflight == 1, "the call to run")
            await asyncio.to_thread(server.terminate)
            model.let_go()
            await worker.says("the store cannot serve us")
            worker.signal(signal.SIGTERM)
            assert await worker.exit_code() == StoreUnreachable.exit_code
            assert worker.said("stopped with results that the store did not take")
