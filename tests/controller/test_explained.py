"""Why a queue stands still: planted troubles, and what `taskfleet explain` says of each, by way of the real store."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskfleet.controller import chronicler
from taskfleet.controller.parallelruns.status import Look, status_of
from taskfleet.core.explanation import NOBODY_LOOKED, Scene, pool_lines, queue_lines, task_lines
from taskfleet.core.parallel.rules import RunState
from taskfleet.core.task import NewTask, QueueKey, new_task_id
from taskfleet.store import Store
from tests.controller.control import Control, Hand, controlling, submit, task_queue, worker_pool
from tests.store.given import POLICY
from tests.support.parallelqueues import NOW, named, record
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def writes_follow_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chronicler, "PAUSE_SECONDS", 0.01)


@dataclass
class Stage:
    """A queue under a controller, and what is said of it."""

    control: Control
    store: Store
    queue: QueueKey
    url: str

    def serve(self, **spec: Any) -> None:
        self.control.reconciler.set_pool(worker_pool(self.queue.name, spec.pop("url", self.url), **spec))

    async def scene(self) -> Scene:
        stats = await self.store.stats(self.queue)
        assert stats is not None
        return Scene(stats, await self.store.workers(self.queue), await self.store.chronicle(self.queue))

    async def says(self, *wanted: str) -> str:
        """What is said, once all of this is in it."""
        text = ""

        async def found() -> bool:
            nonlocal text
            text = "\n".join(queue_lines(self.queue.name, await self.scene()))
            return all(words in text for words in wanted)

        try:
            await eventually(found, f"{wanted} to be said")
        except AssertionError as late:
            raise AssertionError(f"{late}; it says:\n{text}") from None
        return text


@contextlib.asynccontextmanager
async def staged(
    store: Store, store_url: str, queue: QueueKey, model: Any, waiting: int = 8, **spec: Any
) -> AsyncIterator[Stage]:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name, **spec))
        await submit(store, queue, waiting)
        yield Stage(control, store, queue, model.url)


async def test_that_nobody_serves_it(store: Store, store_url: str, queue: QueueKey, stub_model: Any) -> None:
    async with staged(store, store_url, queue, stub_model) as stage:
        await stage.says("8 waiting (8 normal)", "no WorkerPool has this queue in spec.queueRef", "create one")


async def test_that_no_endpoint_has_its_model(store: Store, store_url: str, queue: QueueKey, stub_model: Any) -> None:
    async with staged(store, store_url, queue, stub_model, models="small large") as stage:
        stage.serve(models="large")
        await stage.says("no endpoint serves small (8 tasks); add the model to spec.endpoints[].models")


async def test_that_no_pool_serves_a_tool(store: Store, store_url: str, queue: QueueKey, stub_model: Any) -> None:
    async with staged(store, store_url, queue, stub_model, waiting=1, models="small http") as stage:
        stage.serve(models="small")
        await submit(store, queue, 2, model="http")
        await stage.says("no endpoint serves http (2 tasks)", "http: to those of an endpoint with provider: tools")


async def test_that_it_is_paused(store: Store, store_url: str, queue: QueueKey, stub_model: Any) -> None:
    async with staged(store, store_url, queue, stub_model) as stage:
        await store.pause(queue)
        stage.serve()
        await stage.says("it is paused until someone resumes it: no task is started; `taskfleet resume` ends that")


async def test_that_its_stop_policy_holds_it(store: Store, store_url: str, queue: QueueKey, stub_model: Any) -> None:
    async with staged(store, store_url, queue, stub_model, stopPolicy="Hold") as stage:
        stage.serve()
        await stage.says("Paused is True: stopPolicy is Hold: no task is started (Hold)")


async def test_that_its_endpoint_is_down(store: Store, store_url: str, queue: QueueKey, stub_model: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with staged(store, store_url, queue, stub_model) as stage:
            stage.serve(url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
            await stage.says("pool pool: EndpointsHealthy is False: llm: ", "llm (not healthy) has")


async def test_that_its_workers_do_not_start(store: Store, store_url: str, queue: QueueKey, stub_model: Any) -> None:
    async with staged(store, store_url, queue, stub_model) as stage:
        stage.control.fleet.ready, stage.control.fleet.trouble = {"llm": 0}, {"llm": "the image cannot be pulled"}
        stage.serve()
        await stage.says("pool pool: Ready is False: llm: the image cannot be pulled (WorkersNotStarting)")


async def test_that_its_workers_are_in_trouble_or_wait(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with staged(store, store_url, queue, stub_model) as stage:
        stage.serve()
        hand = Hand(store, queue)
        await hand.beat(trouble="the endpoint refuses the API key (401)")
        await stage.says("worker hand says: the endpoint refuses the API key (401)")
        await hand.beat(waits="the rate limit has no room for 12 s")
        await stage.says("worker hand waits: the rate limit has no room for 12 s")


async def test_that_its_pool_may_have_no_more(store: Store, store_url: str, queue: QueueKey, stub_model: Any) -> None:
    async with staged(store, store_url, queue, stub_model, waiting=40) as stage:
        stage.serve(autoscaling={"maxWorkers": 2})
        limited = "ScalingLimited is True: 10 workers could be used; maxWorkers of the pool is 2"
        await stage.says(limited, "llm (healthy) has 2 workers")
        scene = await stage.scene()
    told = "\n".join(pool_lines("pool", scene))
    assert "ScalingActive is True: the number of workers follows the queue" in told
    assert "the last decisions, newest first:" in told
    assert "pool pool: llm from 0 to 2 workers: " in told
    assert pool_lines("pool", scene, "llm")[0] in told


async def test_that_a_session_or_a_time_holds_tasks_back(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with staged(store, store_url, queue, stub_model, waiting=0) as stage:
        stage.serve()
        later = NewTask("later", "small", b'{"messages":[]}', delay=3600)
        session = [NewTask(new_task_id(), "small", b'{"messages":[]}', session="s") for _ in range(3)]
        await store.submit(queue, [later, *session])
        await stage.says("2 of them wait for an earlier task of their session", "is due in")
        scene = await stage.scene()
        (view,) = await store.get(queue, ["later"])
        assert view is not None
        assert task_lines(view, None, scene, queue.name)[0].startswith("it waits for its time, ")


async def test_what_was_said_goes_with_the_pool_and_with_the_queue(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with staged(store, store_url, queue, stub_model) as stage:
        stage.serve()
        await stage.says("pool pool: llm (healthy)")
        stage.control.reconciler.forget_pool("test", "pool")

        async def pool_is_gone() -> bool:
            return not (await stage.scene()).pools()

        await eventually(pool_is_gone, "the pool to be forgotten")
    await store.drop_queue(queue)
    assert not (await store.chronicle(queue)).said
    assert not (await store.chronicle(queue)).decisions


async def test_a_store_that_lost_its_memory_is_told_anew(tmp_path: Path, stub_model: Any) -> None:
    queue = QueueKey("test", "lost")
    with running_valkey(tmp_path / "first") as server:
        url, port = f"valkey://127.0.0.1:{server.port}", server.port
        store = await Store.connect(url)
        async with controlling(url) as control:
            control.reconciler.set_queue(task_queue(queue.name))
            control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))

            async def is_told() -> bool:
                with contextlib.suppress(Exception):
                    said = (await store.chronicle(queue)).said
                    return {kind for kind, _ in said} == {"TaskQueue", "WorkerPool"}
                return False

            await eventually(is_told, "both to be told")
            await asyncio.to_thread(server.stop)
            with running_valkey(tmp_path / "second", port=port):
                await eventually(is_told, "both to be told to the new one", timeout=20)
                await store.close()


async def test_a_queue_that_no_controller_saw_says_so(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, POLICY)
    stats = await store.stats(queue)
    assert stats is not None
    lines = queue_lines(queue.name, Scene(stats, [], await store.chronicle(queue)))
    assert NOBODY_LOOKED in lines
    assert "nothing waits" in lines


async def test_a_parallel_queue_that_stands_still_is_told_of_until_it_has_ended(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with staged(store, store_url, queue, stub_model, waiting=1) as stage:
        parallel = named("work", stage.queue)
        chronicler = stage.control.reconciler.chronicler
        trouble = status_of(parallel, Look(trouble=("InputNotFound", "there is no ConfigMap sources")), {}, NOW)
        await chronicler.write_status("ParallelQueue", parallel, trouble)
        await stage.says("parallel queue work: Pending: Ready is False: there is no ConfigMap sources (InputNotFound)")

        going = status_of(parallel, Look(record(taken=3)), trouble, NOW)
        await chronicler.write_status("ParallelQueue", parallel, going)
        chronicler.event("ParallelQueue", parallel, "Started", "5 items, 2 at once", warning=False)
        text = await stage.says(
            "parallel queue work: Running, 0/5 items have ended", "parallel queue work: 5 items, 2 at once"
        )
        assert "no ConfigMap" not in text

        ended = status_of(parallel, Look(record(state=RunState.COMPLETED, finished=1.0)), going, NOW)
        await chronicler.write_status("ParallelQueue", parallel, ended)

        async def gone() -> bool:
            return not (await stage.scene()).runs()

        await eventually(gone, "it to be passed over in silence")
