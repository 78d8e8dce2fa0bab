"""What a gateway keeps of its batches."""

from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.support.waiting import eventually


async def test_a_document_is_written_field_by_field(store: Store, opened: QueueKey) -> None:
    await store.jobs.create(opened, "b1", {"id": "b1", "status": "new", "metadata": {"a": None}})
    await store.jobs.update(opened, "b1", {"status": "running"})
    assert await store.jobs.get(opened, "b1") == {"id": "b1", "status": "running", "metadata": {"a": None}}
    assert await store.jobs.get(opened, "b2") is None


async def test_they_are_listed_newest_first(store: Store, opened: QueueKey) -> None:
    for number in (2, 1, 3):
        await store.jobs.create(opened, f"b{number}", {"id": number})
    assert await store.jobs.before(opened, None, 2) == ["b3", "b2"]
    assert await store.jobs.before(opened, "b2", 2) == ["b1"]
    await store.jobs.forget(opened, "b2")
    assert await store.jobs.before(opened, None, 9) == ["b3", "b1"]


async def test_open_ones_are_those_of_all_queues(store: Store, opened: QueueKey) -> None:
    await store.jobs.create(opened, "b1", {"id": 1})
    assert (opened, "b1") in await store.jobs.opened()
    await store.jobs.close(opened, "b1")
    assert (opened, "b1") not in await store.jobs.opened()


async def test_one_holds_it_until_its_time_is_over(store: Store, opened: QueueKey) -> None:
    assert await store.jobs.hold(opened, "b1", "me", 60) is True
    assert await store.jobs.hold(opened, "b1", "you", 60) is False
    assert await store.jobs.hold(opened, "b1", "me", 0.001) is True

    async def free() -> bool:
        return await store.jobs.hold(opened, "b1", "you", 60)

    await eventually(free, "it to be free")
    assert await store.jobs.hold(opened, "b1", "me", 60) is False


async def test_they_go_with_their_queue(store: Store, opened: QueueKey) -> None:
    await store.jobs.create(opened, "b1", {"id": 1})
    await store.drop_queue(opened)
    assert await store.jobs.get(opened, "b1") is None
