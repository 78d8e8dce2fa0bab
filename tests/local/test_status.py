"""Health and metrics of a running `up`, as a scraper on the same machine sees them."""

import os
import signal
import socket
from contextlib import AbstractAsyncContextManager

import httpx
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from taskfleet.local.status import USUAL_PORT, status_on_loopback
from tests.local.test_up import submit, wait_until, wait_until_done
from tests.support.laptop import Laptop
from tests.support.modelstub import ModelStub

QUEUE = {"namespace": "default", "queue": "demo"}
POOL = {**QUEUE, "pool": "pool"}


def get(machine: Laptop, path: str) -> httpx.Response:
    return httpx.get(machine.up_file["status_url"] + path, timeout=10)


def sample(machine: Laptop, name: str, **labels: str) -> float:
    """The value of the one series with these labels."""
    families = text_string_to_metric_families(get(machine, "/metrics").text)
    (value,) = [
        each.value for family in families for each in family.samples if (each.name, each.labels) == (name, labels)
    ]
    return value


def test_the_metrics_of_a_running_up_move_with_the_tasks(ready: Laptop, stub_model: ModelStub) -> None:
    ready.start()
    where = f"metrics at {ready.up_file['status_url']}/metrics"
    wait_until(lambda: where in ready.output, f"{where!r} in what `up` prints")
    assert get(ready, "/healthz").text == "ok\n"
    assert get(ready, "/readyz").text == "ok\n"
    assert sample(ready, "taskfleet_tasks_enqueued_total", **QUEUE) == 0
    assert sample(ready, "taskfleet_queue_tasks", **QUEUE, state="completed") == 0
    stub_model.hold()
    submit(ready, 10)
    desired = {**POOL, "endpoint": "stub"}
    wait_until(lambda: sample(ready, "taskfleet_pool_desired_workers", **desired) == 2, "two workers to be asked for")
    wait_until(lambda: sample(ready, "taskfleet_queue_tasks", **QUEUE, state="running") == 4, "four running tasks")
    assert sample(ready, "taskfleet_tasks_enqueued_total", **QUEUE) == 10
    stub_model.let_go()
    wait_until_done(ready)
    wait_until(lambda: sample(ready, "taskfleet_queue_tasks", **QUEUE, state="completed") == 10, "ten completed tasks")
    wait_until(lambda: sample(ready, "taskfleet_pool_desired_workers", **desired) == 0, "no worker to be asked for")


def test_readiness_says_in_words_that_the_store_is_away_or_that_up_stops(ready: Laptop, stub_model: ModelStub) -> None:
    ready.start()
    server = ready.server()
    os.kill(server, signal.SIGSTOP)
    try:
        wait_until(lambda: get(ready, "/readyz").status_code == 503, "`up` to notice that its store hangs")
        assert "127.0.0.1" in get(ready, "/readyz").text
        assert get(ready, "/healthz").status_code == 200
        wait_until(lambda: sample(ready, "taskfleet_store_up") == 0, "the metrics to say so")
    finally:
        os.kill(server, signal.SIGCONT)
    wait_until(lambda: get(ready, "/readyz").status_code == 200, "`up` to be ready again")
    stub_model.hold()
    submit(ready, 1)
    wait_until(lambda: stub_model.inflight == 1, "a running task")
    url = ready.up_file["status_url"]
    ready.signal(signal.SIGTERM)
    wait_until(lambda: httpx.get(f"{url}/readyz").text == "stopping\n", "`up` to say that it takes no more work")
    stub_model.let_go()
    assert ready.wait() == 143


async def test_two_ups_at_once_need_no_option_for_their_ports() -> None:
    def serving() -> AbstractAsyncContextManager[str]:
        return status_on_loopback(registry=CollectorRegistry(), ready=str, port=None)

    async with serving() as first, serving() as second, httpx.AsyncClient() as client:
        assert first != second
        for url in (first, second):
            assert (await client.get(f"{url}/healthz")).status_code == 200


def test_a_port_that_was_asked_for_is_used_or_is_an_error(ready: Laptop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert ready.launch("--metrics-port", str(port)).wait(timeout=40) == 2
    assert f"--metrics-port: {port} cannot be used: " in ready.output
    ready.start("--metrics-port", "0")
    assert get(ready, "/healthz").status_code == 200
    assert not ready.up_file["status_url"].endswith(f":{USUAL_PORT}")
