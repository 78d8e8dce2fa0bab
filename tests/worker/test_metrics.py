"""A scrape of a real worker: names, types and units of design section 8, there at 0, and moving."""

import json

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import stub_endpoint, worker_process

TYPES = {
    "taskfleet_task_attempts": "counter",
    "taskfleet_task_retries": "counter",
    "taskfleet_tokens": "counter",
    "taskfleet_cost_dollars": "counter",
    "taskfleet_task_queue_seconds": "histogram",
    "taskfleet_task_run_seconds": "histogram",
    "taskfleet_worker_inflight": "gauge",
    "taskfleet_worker_slots": "gauge",
    "taskfleet_store_up": "gauge",
    "taskfleet_endpoint_limiter_available": "gauge",
}
LABELS = {"namespace", "queue", "pool", "endpoint", "model", "priority", "outcome", "reason", "direction", "kind", "le"}
PRICES = {"input": 1000, "output": 2000}
Samples = dict[tuple[str, frozenset[str]], float]


async def scrape(port: int) -> tuple[dict[str, str], Samples, set[str]]:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    families = list(text_string_to_metric_families(text))
    types = {family.name: family.type for family in families}
    samples: Samples = {}
    labels: set[str] = set()
    for family in families:
        for sample in family.samples:
            labels |= set(sample.labels)
            if sample.name.endswith(("_total", "_count", "_inflight", "_slots", "_up", "_available")):
                own = {
                    sample.labels[name] for name in ("outcome", "reason", "direction", "kind") if name in sample.labels
                }
                key = (sample.name.removeprefix("taskfleet_"), frozenset(own))
                samples[key] = samples.get(key, 0.0) + sample.value
    return types, samples, labels


def value(samples: Samples, name: str, *own: str) -> float:
    return samples[(name, frozenset(own))]


async def test_every_series_is_there_at_zero_and_moves(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open()
    priced = stub_endpoint(model.url, 3).to_wire() | {"costPerMillionTokens": PRICES}
    told = {"TASKFLEET_ENDPOINT": json.dumps(priced)}
    with worker_process(store_url, work.queue, model.url, port="0", **told) as worker:
        port = await worker.port()
        await worker.says("working")
        types, before, labels = await scrape(port)
        assert types == TYPES
        assert labels <= LABELS
        moving = {key: count for key, count in before.items() if key[0] not in ("worker_slots", "store_up")}
        assert set(moving.values()) == {0.0}
        assert value(before, "worker_slots") == 3

        model.set_fault("422", containing="bad", times=1)
        model.faults += [model.faults[0].parse("409*1@conflict"), model.faults[0].parse("429=1*1@limited")]
        await work.finished(await work.submit("good", "bad", "conflict", "limited"))
        model.hold()
        await work.submit("running")
        await eventually(lambda: model.inflight == 1, "a call to run")
        _, after, _ = await scrape(port)
    assert value(after, "store_up") == 1
    assert value(after, "worker_inflight") == 1
    assert value(after, "task_attempts_total", "ok") == 3
    assert value(after, "task_attempts_total", "fatal") == 1
    assert value(after, "task_attempts_total", "retry") == 1
    assert value(after, "task_attempts_total", "rate_limited") == 1
    assert value(after, "task_retries_total", "retry") == 1
    assert value(after, "task_retries_total", "rate_limited") == 1
    assert value(after, "tokens_total", "input") == 3 * 7
    assert value(after, "tokens_total", "output") == 3 * 3
    assert value(after, "cost_dollars_total") == pytest.approx(3 * (7 * 1000 + 3 * 2000) / 1_000_000)
    assert value(after, "task_run_seconds_count") == 6
    assert value(after, "task_queue_seconds_count") == 7


async def test_a_worker_reports_its_measured_pace(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(leaseDuration="300ms")
    model.latency = 0.1
    with worker_process(store_url, work.queue, model.url, name="w1", concurrency=2):
        await work.finished(await work.submit("a", "b", "c", "d"))

        async def pace() -> bool:
            return any(report.seconds_per_task is not None for report in await work.store.workers(work.queue))

        await eventually(pace, "a heartbeat with the measured pace")
        (report,) = await work.store.workers(work.queue)
    assert (report.worker, report.pool, report.endpoint, report.slots) == ("w1", "pool", "stub", 2)
    assert report.seconds_per_task is not None
    assert 0.1 <= report.seconds_per_task < 1.0
    assert report.tasks_per_minute > 0
    assert report.trouble == ""
