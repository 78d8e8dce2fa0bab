"""What is new in a queue, told as it happens: ends, progress, and that there is something to claim."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from taskfleet.core.events import Progress
from taskfleet.core.settlement import Settlement, Verdict
from tests.gateway.conftest import Site
from tests.gateway.test_keys import ADMIN, ONE, TWO, shown, write
from tests.support.waiting import eventually
from tests.support.workerprocess import MODEL


class Heard:
    """What one listener was told; ``ended`` when the stream was."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.ended = False

    def of(self, kind: str) -> list[Any]:
        return [data for name, data in self.told if name == kind]

    @property
    def ids(self) -> list[str]:
        return [task_id for data in self.of("ended") for task_id in data["ids"]]


@asynccontextmanager
async def listening(site: Site, kinds: str = "", key: str = "") -> AsyncIterator[Heard]:
    heard = Heard()

    async def listen() -> None:
        more = {"headers": shown(key)} if key else {}
        query = {"kinds": kinds} if kinds else {}
        path = f"/v1/queues/{site.queue}/events"
        async with site.http.stream("GET", path, params=query, timeout=60, **more) as answer:
            assert answer.status_code == 200
            kind = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    heard.told.append((kind, json.loads(value)))
                    kind = ""
        heard.ended = True

    hearing = asyncio.create_task(listen())
    try:
        await eventually(lambda: heard.of("ready") or hearing.done(), "the stream to be ready")
        yield heard
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


async def finish(site: Site, *ids: str) -> None:
    leases = (await site.work.store.claim(site.queue, "w", [MODEL], 100)).tasks
    ends = [Settlement(lease.id, lease.fence, Verdict.COMPLETE, output="x") for lease in leases if lease.id in ids]
    assert all(await site.work.store.settle(site.queue, ends))


async def test_ends_progress_and_wakes_are_told_as_they_happen(site: Site) -> None:
    async with listening(site) as heard, listening(site, "ended") as ends:
        await site.post("/v1/tasks", {"tasks": [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"}]})
        await eventually(lambda: heard.of("wake"), "the wake")
        lease, _ = (await site.work.store.claim(site.queue, "w", [MODEL], 2)).tasks
        await site.work.store.progress(site.queue, "a", lease.fence, Progress(0.5, "half"))
        await eventually(lambda: heard.of("progress"), "the progress")
        assert heard.of("progress")[0] == {"tasks": {"a": {"fraction": 0.5, "message": "half"}}}
        end = Settlement("a", lease.fence, Verdict.COMPLETE, output="x")
        await site.work.store.settle(site.queue, [end])
        await site.post("/v1/tasks/b/cancel")
        await eventually(lambda: heard.ids == ends.ids == ["a"], "the end")
        assert {kind for kind, _ in ends.told} == {"ready", "ended"}


async def test_who_comes_later_hears_how_far_running_tasks_are(site: Site) -> None:
    await site.post("/v1/tasks", {"id": "a", "prompt": "x"})
    (lease,) = (await site.work.store.claim(site.queue, "w", [MODEL], 1)).tasks
    await site.work.store.progress(site.queue, "a", lease.fence, Progress(0.5))
    for _ in range(2):
        async with listening(site, "progress") as heard:
            await eventually(lambda heard=heard: heard.of("progress"), "the progress")  # type: ignore[misc]


async def test_a_queue_that_is_deleted_ends_the_stream_in_words(site: Site) -> None:
    async with listening(site) as heard:
        await site.work.store.drop_queue(site.queue)
        await eventually(lambda: heard.ended, "the stream to end")
        (said,) = heard.of("")
        assert said["error"]["code"] == "not_found"


async def test_a_kind_that_is_none_is_refused(site: Site) -> None:
    answer = await site.get(f"/v1/queues/{site.queue}/events", params={"kinds": "ended,all"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "kinds: 'ended,all' is not a list of ended, progress, wake"


async def test_after_the_last_listener_nothing_is_left(site: Site) -> None:
    before = {task.get_name() for task in asyncio.all_tasks()}
    async with listening(site) as heard:
        assert heard.told
    await eventually(
        lambda: {task.get_name() for task in asyncio.all_tasks()} - before <= {""}, "the tasks of the listener to end"
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write(tmp_path / "keys.yaml", ONE, TWO, ADMIN)


async def test_each_tenant_hears_of_its_own_tasks_and_an_admin_of_all(locked: Site) -> None:
    async with (
        listening(locked) as one,
        listening(locked, key="key-of-two") as two,
        listening(locked, key="key-of-boss") as boss,
    ):
        await locked.post("/v1/tasks", {"id": "of-one", "prompt": "x"})
        await locked.post("/v1/tasks", {"id": "of-two", "prompt": "x"}, headers=shown("key-of-two"))
        leases = (await locked.work.store.claim(locked.queue, "w", [MODEL], 2)).tasks
        for lease in leases:
            await locked.work.store.progress(locked.queue, lease.id, lease.fence, Progress(0.5, "secret"))
        ends = [Settlement(lease.id, lease.fence, Verdict.COMPLETE, output="x") for lease in leases]
        await eventually(lambda: boss.of("progress") and one.of("progress") and two.of("progress"), "the progress")
        await locked.work.store.settle(locked.queue, ends)
        await eventually(lambda: sorted(boss.ids) == ["of-one", "of-two"], "all ends")
        await eventually(lambda: (one.ids, two.ids) == (["of-one"], ["of-two"]), "own ends")
        for heard, own in ((one, "of-one"), (two, "of-two")):
            assert {name for data in heard.of("progress") for name in data["tasks"]} == {own}


async def test_a_key_that_is_revoked_ends_the_stream_in_words(locked: Site, keys: Path) -> None:
    async with listening(locked) as heard:
        write(keys, TWO)
        await eventually(lambda: heard.ended, "the stream to end")
        (said,) = heard.of("")
        assert said["error"]["code"] == "invalid_api_key"


async def test_another_tenants_tasks_are_not_there_for_many_either(locked: Site) -> None:
    await locked.post(
        "/v1/tasks", {"tasks": [{"id": "of-two", "prompt": "x"}], "batch": "b"}, headers=shown("key-of-two")
    )
    assert (await locked.post("/v1/tasks/lookup", {"ids": ["of-two"]})).json()["data"] == [None]
    assert (await locked.post("/v1/tasks/cancel", {"ids": ["of-two"]})).json()["outcome"] == {"of-two": "not_found"}
    assert (await locked.get("/v1/tasks", params={"batch": "b"})).json()["data"] == []
    assert (await locked.post(f"/v1/queues/{locked.queue}/claim", {"worker": "w"})).status_code == 403


async def test_a_queue_shows_its_rules_and_nothing_of_others(locked: Site) -> None:
    answer = (await locked.get(f"/v1/queues/{locked.queue}")).json()
    assert (answer["id"], answer["models"]) == (str(locked.queue), [MODEL])
    assert answer["spec"]["retry"]["maxAttempts"] == 3
    assert "tenants" not in answer["spec"]
    assert (await locked.get("/v1/queues/test/nobody")).status_code == 404
