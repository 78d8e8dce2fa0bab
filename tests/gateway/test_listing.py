"""``GET /v1/tasks``: what the filters say and no more, page by page, at a bounded cost."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import NewTask, Priority, TaskError
from taskfleet.gateway import tasklisting
from taskfleet.store import reading
from tests.gateway.conftest import Site
from tests.gateway.test_keys import ADMIN, ONE, TWO, shown, write

BODY = b'{"messages": []}'


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write(tmp_path / "keys.yaml", ONE, TWO, ADMIN)


async def listed(site: Site, **filters: Any) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    after: dict[str, Any] = {}
    while True:
        answer = await site.get("/v1/tasks", params=filters | after)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["data"]) <= filters.get("limit", 100)
        found += [task["id"] for task in page["data"]]
        if not page["has_more"]:
            assert page["next"] is None
            return found
        after = {"after": page["next"]}


async def some_of_each(site: Site) -> None:
    """One running, one completed, one failed, one cancelled, two that wait."""
    store, queue = site.work.store, site.queue

    def task(name: str, **more: Any) -> NewTask:
        return replace(NewTask(name, "stub", BODY), **more)

    await store.submit(queue, [task(name) for name in ("runs", "done", "broken")])
    claim = await store.claim(queue, "me", ["stub"], 3)
    fences = {each.id: each.fence for each in claim.tasks}
    error = TaskError("timeout", "The model did not answer")
    await store.settle(queue, [Settlement("done", fences["done"], Verdict.COMPLETE, output="x")])
    await store.settle(queue, [Settlement("broken", fences["broken"], Verdict.FAIL, error=error)])
    waiting = [task("waits", priority=Priority.LOW), task("later", session="talk", tenant="other"), task("gone")]
    await store.submit(queue, waiting)
    await store.cancel(queue, ["gone"])


ALL = {"runs", "done", "broken", "waits", "later", "gone"}


async def test_each_filter_shows_its_tasks_and_no_others(site: Site) -> None:
    await site.work.open(leaseDuration="10m")  # no heartbeat keeps what runs here
    await some_of_each(site)
    assert set(await listed(site)) == ALL
    wanted: list[tuple[dict[str, str], set[str]]] = [
        ({"status": "running"}, {"runs"}),
        ({"status": "completed"}, {"done"}),
        ({"status": "failed"}, {"broken"}),
        ({"status": "cancelled"}, {"gone"}),
        ({"status": "pending"}, {"waits", "later"}),
        ({"status": "expired"}, set()),
        ({"priority": "low"}, {"waits"}),
        ({"tenant": "other"}, {"later"}),
        ({"session": "talk"}, {"later"}),
        ({"error": "did NOT"}, {"broken"}),
        ({"error_code": "timeout", "status": "failed"}, {"broken"}),
        ({"error_code": "other"}, set()),
        ({"model": "stub", "status": "pending", "priority": "low"}, {"waits"}),
        ({"model": "other"}, set()),
        ({"created_after": "2020-01-01T00:00:00Z"}, ALL),
        ({"created_before": "2020-01-01T00:00:00Z"}, set()),
    ]
    for filters, ids in wanted:
        assert set(await listed(site, **filters)) == ids, filters


async def test_a_batch_is_in_its_order_and_filtered_too(site: Site) -> None:
    tasks = [NewTask(f"b{number}", "stub", BODY, priority=Priority(number % 2 + 1)) for number in range(6)]
    await site.work.store.submit(site.queue, tasks, batch="numbers")
    assert await listed(site, batch="numbers", limit=4) == [f"b{number}" for number in range(6)]
    assert await listed(site, batch="numbers", priority="high") == ["b0", "b2", "b4"]
    assert (await site.get("/v1/tasks", params={"batch": "others"})).status_code == 404


async def test_pages_meet_every_task_and_none_costs_more_than_its_bound(site: Site) -> None:
    names = {f"task-{number}" for number in range(300)}
    await site.work.store.submit(site.queue, [NewTask(name, "stub", BODY) for name in sorted(names)])
    assert set(await listed(site, limit=7)) == names
    with pytest.MonkeyPatch.context() as patch:  # not for a whole list: keys of other tests are in the store, too
        patch.setattr(reading, "_MET_AT_ONCE", 20)
        patch.setattr(tasklisting, "MOST_STEPS", 10)
        page = (await site.get("/v1/tasks", params={"status": "completed"})).json()
    assert page["data"] == []
    assert page["has_more"], "it has not looked at all of them"
    assert await listed(site, status="completed") == []


async def test_a_tenant_lists_its_own_tasks_and_admins_those_of_all(locked: Site) -> None:
    for name, key in (("mine", "key-of-one"), ("theirs", "key-of-two")):
        await locked.post("/v1/tasks", {"id": name, "prompt": "x"}, headers=shown(key))
    assert await listed(locked) == ["mine"]
    refused = await locked.get("/v1/tasks", params={"tenant": "two"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "tenant")
    boss = shown("key-of-boss")
    everyone = (await locked.get("/v1/tasks", headers=boss)).json()["data"]
    assert {task["id"] for task in everyone} == {"mine", "theirs"}
    (theirs,) = (await locked.get("/v1/tasks", params={"tenant": "two"}, headers=boss)).json()["data"]
    assert theirs["id"] == "theirs"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "sleeping"),
        ("priority", "top"),
        ("created_after", "yesterday"),
        ("created_before", "12"),
        ("batch", "no name"),
        ("model", ""),
        ("error", "x" * 300),
        ("limit", "0"),
        ("after", "nowhere"),
        ("colour", "red"),
    ],
)
async def test_a_filter_that_is_none_is_named(site: Site, name: str, value: str) -> None:
    answer = await site.get("/v1/tasks", params={name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name), answer.text
