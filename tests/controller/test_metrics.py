"""What the controller exports: series at 0 from the start, true numbers, real counters, and no leftovers."""

from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from taskfleet.core import pool_conditions
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from taskfleet.telemetry.controllermetrics import ControllerMetrics
from tests.controller.control import NAMESPACE, Hand, controlling, submit, task_queue, worker_pool
from tests.store import inside
from tests.store.given import error, policy, settle, tasks
from tests.support.waiting import eventually

KEY = QueueKey("test", "demo")
POOL = ("test", "demo", "pool")


def exported(registry: CollectorRegistry) -> dict[str, Any]:
    text = generate_latest(registry).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def opened() -> tuple[CollectorRegistry, ControllerMetrics]:
    registry = CollectorRegistry()
    metrics = ControllerMetrics(registry)
    metrics.open_queue(KEY)
    metrics.open_pool(POOL, ["llm"])
    return registry, metrics


def test_every_series_of_a_queue_and_a_pool_is_there_at_0_before_anything_happens() -> None:
    families = exported(opened()[0])
    for name in (
        "taskfleet_queue_tasks",
        "taskfleet_queue_depth",
        "taskfleet_queue_oldest_pending_seconds",
        "taskfleet_queue_paused",
        "taskfleet_tasks_enqueued",
        "taskfleet_lease_expired",
        "taskfleet_tasks_finished",
        "taskfleet_scale_decisions",
        "taskfleet_pool_scaling_limited",
        "taskfleet_pool_workers",
        "taskfleet_pool_desired_workers",
        "taskfleet_endpoint_healthy",
        "taskfleet_scale_reaction_seconds",
        "taskfleet_reconcile",
        "taskfleet_reconcile_seconds",
        "taskfleet_store_up",
    ):
        samples = [each for each in families[name].samples if not each.name.endswith("_created")]
        assert samples and {each.value for each in samples} == {0.0}, name


def test_every_outcome_and_every_reason_to_scale_is_there_before_it_happens() -> None:
    families = exported(opened()[0])
    outcomes = {each.labels["outcome"] for each in families["taskfleet_tasks_finished"].samples}
    assert outcomes == {"completed", "failed", "cancelled", "expired"}
    decisions = {
        (each.labels["direction"], each.labels["reason"]) for each in families["taskfleet_scale_decisions"].samples
    }
    told = {*pool_conditions._HEADLINES, "EndpointUnhealthy", "QueueNotFound"}
    assert decisions == {(direction, reason) for direction in ("up", "down") for reason in told}


def test_totals_are_counters() -> None:
    families = exported(opened()[0])
    totals = {each.name: family.type for family in families.values() for each in family.samples}
    assert {kind for name, kind in totals.items() if name.endswith("_total")} == {"counter"}
    assert "taskfleet_tasks_enqueued_total" in totals
    assert "taskfleet_lease_expired_total" in totals


def test_the_series_of_what_was_deleted_go() -> None:
    registry, metrics = opened()
    metrics.scale_decisions.made(POOL, "up", "Backlog")
    metrics.show_scaling(POOL, limited=True, needed=1)
    metrics.forget_pool(POOL)
    metrics.forget_queue(KEY)
    left = [each for family in exported(registry).values() for each in family.samples if "queue" in each.labels]
    assert left == []


def test_a_need_that_is_not_known_is_not_shown_as_a_number() -> None:
    registry, metrics = opened()

    def shown() -> list[float]:
        return [each.value for each in exported(registry)["taskfleet_pool_needed_workers"].samples]

    assert shown() == [], "before anything is known"
    metrics.show_scaling(POOL, limited=False, needed=7)
    assert shown() == [7]
    metrics.show_scaling(POOL, limited=False, needed=0)
    assert shown() == [0]
    metrics.show_scaling(POOL, limited=False, needed=None)
    assert shown() == []


def test_an_endpoint_that_left_its_pool_has_no_series() -> None:
    registry, metrics = opened()
    metrics.open_pool(POOL, ["other"])
    healthy = exported(registry)["taskfleet_endpoint_healthy"].samples
    assert [each.labels["endpoint"] for each in healthy] == ["other"]


async def test_the_numbers_of_a_working_pool_are_true(
    store: Store, store_url: str, queue: QueueKey, stub_model: Any
) -> None:
    async with controlling(store_url) as control:

        def value(name: str, **labels: str) -> float | None:
            return control.registry.get_sample_value(name, {"namespace": NAMESPACE, "queue": queue.name} | labels)

        control.reconciler.set_queue(task_queue(queue.name))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url))
        await control.at_rest()
        await submit(store, queue, 12)
        await control.workers(3)
        assert await Hand(store, queue).claim(2) == 2
        await eventually(lambda: value("taskfleet_queue_tasks", state="running") == 2, "two running tasks")
        assert value("taskfleet_queue_tasks", state="pending") == 10
        assert value("taskfleet_queue_depth", priority="normal") == 10
        assert value("taskfleet_tasks_enqueued_total") == 12
        llm = {"pool": "pool", "endpoint": "llm"}
        await eventually(lambda: value("taskfleet_pool_workers", state="ready", **llm) == 3, "three ready workers")
        assert value("taskfleet_pool_desired_workers", **llm) == 3
        assert value("taskfleet_pool_needed_workers", pool="pool") == 3
        assert value("taskfleet_endpoint_healthy", **llm) == 1
        decisions = {"pool": "pool", "direction": "up", "reason": "Backlog"}
        assert value("taskfleet_scale_decisions_total", **decisions) == 1
        assert value("taskfleet_scale_reaction_seconds_count", pool="pool") == 1
        reaction = value("taskfleet_scale_reaction_seconds_sum", pool="pool")
        assert reaction is not None and reaction < 0.5, "from wake to workers asked for is a matter of milliseconds"


async def test_the_outcomes_of_all_tasks_that_ended_add_up_whoever_ended_them(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, policy(max_attempts=1))
    await store.submit(queue, tasks(7))
    claimed = (await store.claim(queue, "w1", ["small"], 4)).tasks
    await store.settle(queue, [settle(claimed[0]), settle(claimed[1], Verdict.FAIL, error=error())])
    await store.cancel(queue, [claimed[2].id, "t00004"])
    await inside.end_leases(store, queue)
    await inside.make_older(store, queue, "t00005", 4000)
    await store.tick(queue)
    stats = await store.stats(queue)
    assert stats is not None
    registry, metrics = opened()
    metrics.show_queue(KEY, stats, paused=False)
    ended = {each.labels["outcome"]: each.value for each in exported(registry)["taskfleet_tasks_finished"].samples}
    assert ended == {"completed": 1, "failed": 2, "cancelled": 2, "expired": 1}
    assert sum(ended.values()) == 7 - stats.pending - stats.scheduled - stats.running
