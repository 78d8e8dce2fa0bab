"""Attendants of ParallelQueues on a real store, without a cluster: who runs when, and who is ended how."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskfleet.api.parallelobject import InputSource, ParallelQueue
from taskfleet.controller.parallelruns.attendants import Attendants
from taskfleet.controller.parallelruns.slots import RUNS_AT_ONCE
from taskfleet.core.errors import NotLeading
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import QueueKey
from taskfleet.parallel import loop
from taskfleet.parallel.coordinator import Coordinator, Order
from taskfleet.store import Store
from tests.support.parallelqueues import named
from tests.support.waiting import eventually
from tests.support.workerprocess import MODEL, quick_policy


class RecordingDesk:
    """A Desk whose objects are those that were given. ``leads``: whether we may act."""

    def __init__(self) -> None:
        self.statuses: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[str, str]] = []
        self.warnings: set[str] = set()
        self.finalizers: set[str] = set()
        self.maps: dict[str, dict[str, str]] = {}
        self.leads = True

    def may_act(self) -> None:
        if not self.leads:
            raise NotLeading("another one leads")

    async def write_status(self, queue: ParallelQueue, status: dict[str, Any]) -> None:
        self.statuses[queue.metadata.name] = status

    def event(self, queue: ParallelQueue, reason: str, message: str, *, warning: bool) -> None:
        self.events.append((queue.metadata.name, reason))
        self.warnings |= {reason} if warning else set()

    async def ensure_finalizer(self, queue: ParallelQueue) -> None:
        self.finalizers.add(queue.metadata.name)

    async def release(self, queue: ParallelQueue) -> None:
        self.finalizers.discard(queue.metadata.name)

    async def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        return self.maps.get(name)

    def forget(self, queue: ParallelQueue) -> None:
        self.statuses.pop(queue.metadata.name, None)

    def phases(self) -> dict[str, str]:
        return {name: status["phase"] for name, status in self.statuses.items()}

    def reason(self, name: str) -> str:
        conditions = {each["type"]: each for each in self.statuses.get(name, {}).get("conditions", ())}
        return str(conditions.get("Ready", {}).get("reason", ""))


@asynccontextmanager
async def attending(desk: RecordingDesk, store: Store, *queues: ParallelQueue) -> AsyncIterator[Attendants]:
    async def use() -> Store:
        return store

    made = Attendants(desk, use, lambda _outcome: None)
    for queue in queues:
        made.set(queue)
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def work(store: Store, queue: QueueKey) -> int:
    """Complete what waits, as a worker would."""
    claim = await store.claim(queue, "tester", [MODEL], 100)
    settled = [Settlement(task.id, task.fence, Verdict.COMPLETE, output="ok") for task in claim.tasks]
    return sum(await store.settle(queue, settled)) if settled else 0


async def pending(store: Store, queue: QueueKey) -> int:
    stats = await store.stats(queue)
    return 0 if stats is None else stats.pending


async def test_so_many_run_at_once_and_the_others_say_that_they_wait(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy())
    desk = RecordingDesk()
    names = [f"n{number:02}" for number in range(RUNS_AT_ONCE + 2)]
    async with attending(desk, store, *(named(name, queue) for name in names)):
        await eventually(lambda: len(desk.statuses) == len(names), "a status for each")
        await eventually(lambda: list(desk.phases().values()).count("Running") == RUNS_AT_ONCE, "as many as may run")
        assert [desk.reason(name) for name in names[-2:]] == ["Queued", "Queued"]

        async def all_ended() -> bool:
            await work(store, queue)
            return set(desk.phases().values()) == {"Completed"}

        await eventually(all_ended, "all to be completed")
    assert not desk.finalizers


async def test_who_leads_no_more_begins_nothing_and_takes_nothing_over(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy())
    desk = RecordingDesk()
    async with attending(desk, store, named("one", queue)):
        await eventually(lambda: pending(store, queue), "its first task")
    desk.leads = False
    holder = await store.runs.fields(queue, "one")
    async with attending(desk, store, named("one", queue), named("two", queue)):
        for _ in range(20):
            await asyncio.sleep(0)
        assert await store.runs.fields(queue, "one") == holder
        assert not await store.runs.fields(queue, "two")


async def test_one_that_ended_is_not_run_again_and_one_of_its_name_is(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy())
    desk = RecordingDesk()

    async def ended() -> bool:
        await work(store, queue)
        return desk.phases().get("one") == "Completed"

    async with attending(desk, store, named("one", queue)) as attendants:
        await eventually(ended, "its end")
        attendants.set(named("one", queue))
    status = desk.statuses["one"]
    await store.runs.forget(queue, "one")  # its time is over, and it has ended all the same
    async with attending(desk, store, named("one", queue, status=status)) as attendants:
        await asyncio.sleep(0)
        attendants.forget(queue.namespace, "one")
        attendants.set(named("one", queue, uid="another"))
        await eventually(lambda: desk.phases().get("one") == "Running", "the run of the new object")
        await eventually(ended, "its end")
    assert desk.events == [("one", "Started"), ("one", "Completed")] * 2


async def test_one_deleted_while_its_queue_takes_nothing_new_is_ended_all_the_same(
    store: Store, queue: QueueKey
) -> None:
    await store.put_policy(queue, quick_policy())
    desk = RecordingDesk()
    three = [{"name": name, "action": name} for name in "abc"]
    async with attending(desk, store, named("one", queue, actionLoop=three)) as attendants:
        await eventually(lambda: pending(store, queue), "its first task")
        await store.put_policy(queue, replace(quick_policy(), closed=True))
        attendants.set(named("one", queue, actionLoop=three, deleted=True))
        await eventually(lambda: not desk.finalizers, "the finalizer to go")
    assert desk.phases() == {"one": "Cancelled"}
    assert await pending(store, queue) == 0


async def test_a_store_that_lost_the_run_is_told_of_and_it_begins_anew(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy())
    desk = RecordingDesk()
    async with attending(desk, store, named("one", queue)):
        await eventually(lambda: desk.phases().get("one") == "Running", "its run")
    await store.drop_queue(queue)
    await store.put_policy(queue, quick_policy())
    async with attending(desk, store, named("one", queue, status=desk.statuses["one"])):
        await eventually(lambda: ("one", "RunLost") in desk.events, "the event")
        await eventually(lambda: pending(store, queue), "its first task")


async def test_rows_of_a_config_map_that_cannot_be_read_are_told_with_their_line(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy())
    desk = RecordingDesk()
    desk.maps["sources"] = {"rows.csv": "name,size\na,1\nb\n", "text": "x"}
    source = {"rows": {"configMap": {"name": "sources", "key": "rows.csv"}}}
    missing = {"rows": {"configMap": {"name": "sources", "key": "other.csv"}}}
    spec = {"items": "{{ rows }}"}
    async with attending(
        desk, store, named("rows", queue, inputsFrom=source, **spec), named("other", queue, inputsFrom=missing, **spec)
    ):
        await eventually(lambda: desk.reason("rows") == "InputNotUsable", "the reason")
        await eventually(lambda: desk.reason("other") == "InputNotFound", "the other reason")
    said = {name: desk.statuses[name]["conditions"][0]["message"] for name in ("rows", "other")}
    assert said["rows"].endswith("ConfigMap sources, rows.csv: line 3: 1 fields, and there are 2 columns")
    assert said["other"].endswith("it has no other.csv in its data; there is rows.csv, text")


async def test_what_breaks_for_an_item_is_told_with_its_field_in_the_kind(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy())
    desk = RecordingDesk()
    steps = [{"name": "ask", "action": "{{ $item.missing }}", "onError": "continue"}]
    inner = {"name": "deep", "items": ["{{ $item }}"], "actionLoop": [{"name": "say", "action": "{{ $item.more }}"}]}
    async with attending(desk, store, named("one", queue, actionLoop=[*steps, inner])):
        await eventually(lambda: desk.phases().get("one") == "Completed", "its end")
    ((cause, _),) = ((each["cause"], each["items"]) for each in desk.statuses["one"]["causes"])
    assert cause == "1 of 1 items failed: spec.actionLoop[1].actionLoop[0].action: 'str object' has no attribute 'more'"


async def test_a_run_whose_templates_take_long_gives_others_their_turn(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy())
    slow = "{% for a in range(90) %}{% for b in range(90) %}{% endfor %}{% endfor %}say {{ $item }}"
    steps = [{"name": "ask", "action": slow}]
    spec = named("slow", queue, items=list(range(60)), maxParallel=60, actionLoop=steps).spec.of_run()
    driver = await (await Coordinator.open(store, queue)).driver(Order("slow", spec, {}, Path(), {}))
    seen = set()

    async def look() -> None:
        while True:
            seen.add(driver.record.taken)
            await asyncio.sleep(0)

    jobs = [asyncio.create_task(driver.run(60.0)), asyncio.create_task(look())]
    await eventually(lambda: driver.record.taken == 60, "all items to be taken")
    for job in jobs:
        job.cancel()
    await asyncio.wait(jobs)
    assert len(seen) > 4, seen


async def test_items_that_are_fetched_for_longer_than_a_turn_are_taken_all_the_same(
    store: Store, queue: QueueKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "TURN_SECONDS", 0.0)
    await store.put_policy(queue, quick_policy())
    desk = RecordingDesk()

    async def ended(name: str) -> bool:
        await work(store, queue)
        return desk.phases().get(name) == "Completed"

    after = {"first": {"parallelQueue": {"name": "first"}}}
    second = named("second", queue, items="{{ first.outputs }}", inputsFrom=after)
    async with attending(desk, store, named("first", queue, items=["a", "b"]), second):
        await eventually(lambda: ended("first"), "the first to end")
        await eventually(lambda: ended("second"), "the second to end")
    assert desk.statuses["second"]["progress"] == "2/2"


async def test_a_command_that_cancels_a_run_has_the_time_to_end_it(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy(leaseDuration="5s"))
    desk = RecordingDesk()
    async with attending(desk, store, named("one", queue)):
        await eventually(lambda: desk.phases().get("one") == "Running", "its run")
        await eventually(lambda: pending(store, queue), "its task")
        await store.claim(queue, "silent", [MODEL], 1)
        command = await (await Coordinator.open(store, queue)).cancel("one")
        cancelling = asyncio.create_task(command.run(60.0))

        async def lease_ended() -> bool:
            await store.tick(queue)
            return cancelling.done()

        await eventually(lease_ended, "the command to end", timeout=20)
        cancelling.result()  # nobody took the run from it
        await eventually(lambda: desk.phases()["one"] == "Cancelled", "the status to say so")
    assert ("one", "Cancelled") in desk.events


async def test_one_deleted_after_its_run_ended_unseen_is_let_go(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, quick_policy())
    desk = RecordingDesk()
    async with attending(desk, store, named("one", queue)):
        await eventually(lambda: desk.phases().get("one") == "Running", "its run")
        running = desk.statuses["one"]

        async def ended() -> bool:
            await work(store, queue)
            return desk.phases()["one"] == "Completed"

        await eventually(ended, "its end")
    desk.finalizers.add("one")
    async with attending(desk, store, named("one", queue, status=running, deleted=True)):
        await eventually(lambda: not desk.finalizers, "the finalizer to go")
    assert desk.phases() == {"one": "Completed"}


async def test_what_waits_for_something_that_may_yet_come_warns_nobody(store: Store, queue: QueueKey) -> None:
    after, broken = named("after", queue), named("broken", queue)
    before = {"before": InputSource.model_validate({"parallelQueue": {"name": "none"}})}
    sources = {"rows": InputSource.model_validate({"configMap": {"name": "none", "key": "rows.csv"}})}
    after = after.model_copy(update={"spec": after.spec.model_copy(update={"inputs_from": before})})
    broken = broken.model_copy(update={"spec": broken.spec.model_copy(update={"inputs_from": sources})})
    desk = RecordingDesk()
    async with attending(desk, store, named("early", queue), after):
        waiting = [("after", "InputNotReady"), ("early", "QueueNotFound")]
        await eventually(lambda: sorted(desk.events) == waiting, "each to say what it waits for")
    await store.put_policy(queue, quick_policy())
    async with attending(desk, store, broken):
        await eventually(lambda: desk.warnings == {"InputNotFound"}, "a warning of what is not there")
