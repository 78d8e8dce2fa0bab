"""Endpoints are probed beside the planning, and only a change of their health is news."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from taskfleet.controller.probes import Health, _judge
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.controller.control import NAMESPACE, Control, controlling, submit, task_queue, worker_pool
from tests.support.valkeyserver import free_port
from tests.support.waiting import eventually


@pytest.mark.parametrize(
    ("before", "trouble", "failures", "after"),
    [
        (Health(), "", 0, Health(True)),
        (Health(), "refused", 1, Health(False, "refused")),
        (Health(True), "refused", 2, Health(True)),
        (Health(True), "refused", 3, Health(False, "refused")),
        (Health(False, "refused"), "HTTP 503", 9, Health(False, "HTTP 503")),
        (Health(False, "refused"), "", 0, Health(True)),
    ],
)
def test_one_good_answer_heals_and_only_failures_in_a_row_take_health_away(
    before: Health, trouble: str, failures: int, after: Health
) -> None:
    assert _judge(before, trouble, failures, threshold=3) == after


async def test_a_dead_endpoint_gets_no_workers_and_says_why(store: Store, store_url: str, queue: QueueKey) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, f"http://127.0.0.1:{free_port()}/v1"))
        await eventually(lambda: control.reason("WorkerPool", "pool") == "EndpointUnhealthy", "the first probe")
        await submit(store, queue, 8)
        await eventually(lambda: control.status("TaskQueue", queue.name).get("pending") == 8, "the tasks to be seen")
        assert control.fleet.workers() == 0
        shown = control.status("WorkerPool", "pool")["endpoints"][0]
        assert shown["healthy"] is False
        assert "connection refused" in shown["message"]
        assert control.surface.reasons("pool") == ["EndpointUnhealthy"]


async def test_an_endpoint_that_falls_ill_keeps_its_workers_and_one_that_heals_gets_more(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await submit(store, queue, 4)
        await control.workers(1)
        stub_model.unhealthy = True
        await eventually(lambda: control.reason("WorkerPool", "pool") == "EndpointUnhealthy", "the endpoint to be ill")
        await submit(store, queue, 36)
        await eventually(lambda: control.status("TaskQueue", queue.name).get("pending") == 40, "the tasks to be seen")
        assert control.fleet.workers() == 1
        stub_model.unhealthy = False
        await control.workers(10)
        told = ["ScaledUp", "EndpointUnhealthy", "ScaledUp", "EndpointHealthy"]
        await eventually(lambda: control.surface.reasons("pool") == told, "all of it to be told")


async def test_tasks_wake_the_healthy_one_of_two_endpoints(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    dead = {"url": f"http://127.0.0.1:{free_port()}/v1"}
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, endpoints={"dead": dead, "well": {}}))
        await eventually(lambda: control.reason("WorkerPool", "pool", "EndpointsHealthy") == "EndpointUnhealthy", "it")
        await submit(store, queue, 8)
        await eventually(lambda: control.fleet.asked[NAMESPACE, "pool"] == {"dead": 0, "well": 2}, "the healthy one")


async def test_no_proxy_of_the_controller_s_own_is_asked_as_workers_ask_none(
    store_url: str, queue: QueueKey, stub_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{free_port()}")
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await eventually(
            lambda: control.condition("WorkerPool", "pool", "EndpointsHealthy")[0] in ("True", "False"), "it"
        )
        assert control.reason("WorkerPool", "pool", "EndpointsHealthy") == "AllHealthy"


async def test_a_server_is_asked_once_however_many_pools_have_it_and_all_of_them_hear(
    store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    names = ["one", "two", "three"]
    check = {"interval": "100ms", "failureThreshold": 1}

    def all_say(control: Control, reason: str) -> bool:
        return {control.reason("WorkerPool", name, "EndpointsHealthy") for name in names} == {reason}

    async with silent_server() as (url, connections), controlling(store_url) as control:
        for name in names:
            asked_once = worker_pool(queue.name, url, name=f"{name}-silent", uid=name, healthCheck={"timeout": "5m"})
            control.reconciler.set_pool(asked_once)
            control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, name=name, uid=name, healthCheck=check))
        await eventually(lambda: all_say(control, "AllHealthy"), "all to be well")
        stub_model.unhealthy = True
        await eventually(lambda: all_say(control, "EndpointUnhealthy"), "all to hear that it is not")
        control.reconciler.forget_pool(NAMESPACE, "one")
        stub_model.unhealthy = False
        names.remove("one")
        await eventually(lambda: all_say(control, "AllHealthy"), "those that are left to hear that it is again")
        assert len(connections) == 1


async def test_probing_ends_with_the_pool(store_url: str, queue: QueueKey) -> None:
    async with silent_server() as (url, connections), controlling(store_url) as control:
        check = {"interval": "100ms", "timeout": "10ms"}
        control.reconciler.set_pool(worker_pool(queue.name, url, healthCheck=check))
        await eventually(lambda: len(connections) >= 2, "two probes")
        control.reconciler.forget_pool(NAMESPACE, "pool")
        await eventually(lambda: control.fleet.removed, "the pool to be removed")
        probes = len(connections)
        await control.at_rest()
        assert len(connections) <= probes + 1


async def test_a_probe_that_hangs_holds_no_plan_up(store: Store, store_url: str, queue: QueueKey) -> None:
    async with silent_server() as (url, connections), controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, url, healthCheck={"timeout": "5m"}))
        await submit(store, queue, 4)
        await control.workers(1)
        assert connections
        assert control.reason("WorkerPool", "pool", "EndpointsHealthy") in ("", "NotProbedYet")


@contextlib.asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """Takes connections and never answers; the list grows with each."""
    connections: list[asyncio.StreamWriter] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", connections
    finally:
        server.close()
        for writer in connections:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await server.wait_closed()
