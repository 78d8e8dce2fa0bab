"""One queue on several nodes of a real Cluster: everything works, and a node that is lost leaves nothing half done."""

from pathlib import Path

import pytest
from valkey.crc import key_slot

from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.settlement import Verdict
from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import keys, lua
from taskfleet.store.partitions.home import parts_of
from tests.store import inside
from tests.store.given import BODY, MODEL, claim_one, error, policy, report, settle, tasks
from tests.store.test_many_servers import LONG, completed_all, connected, in_step
from tests.store.test_partitions_joint import cut_after
from tests.support.valkeycluster import SLOTS, agreed, ask, replicates, running_cluster
from tests.support.waiting import eventually

NODES = 3
PARTITIONS = 4


def node_of(place: QueueKey) -> int:
    return int(key_slot(keys.prefix(place).encode()) * NODES // SLOTS)


def first_partition_on(node: int) -> QueueKey:
    names = (QueueKey("test", f"hot{number}") for number in range(1000))
    return next(name for name in names if node_of(parts_of(name, PARTITIONS)[0]) == node)


@pytest.mark.parametrize("number", range(20))
def test_four_partitions_are_on_all_of_three_nodes_whatever_the_queue_is_called(number: int) -> None:
    """Tags that differ in one digit are a quarter of the slots apart."""
    assert {node_of(part) for part in parts_of(QueueKey("default", f"queue-{number}"), PARTITIONS)} == {0, 1, 2}


async def test_a_queue_works_on_all_nodes_at_once(tmp_path: Path) -> None:
    queue = QueueKey("test", "hot")
    with running_cluster(tmp_path) as cluster:
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        store = await connected(cluster.url)
        await store.put_policy(queue, policy(partitions=PARTITIONS))
        ids = [each.id for each in tasks(1500)]
        async with store.listen([queue]) as listener:
            await store.submit(queue, tasks(1500), batch="b")
            assert await listener.wait(5.0) == {queue}
        assert min(int(ask(server, "DBSIZE")) for server in cluster.servers) > 300
        assert [view.id async for view in store.batch_tasks(queue, "b")] == ids
        await store.submit(queue, [NewTask(f"s{number}", MODEL, BODY, session="talk") for number in range(3)])
        assert (await store.heartbeat(queue, report(), {"t00000": 1})).lost == {"t00000"}
        leased = await claim_one(store, queue)
        assert await store.settle(queue, [settle(leased, Verdict.FAIL, error=error())]) == [True]
        assert [letter.task.id async for letter in store.dead_letters(queue)] == [leased.id]
        assert await store.redrive(queue, [leased.id]) == {leased.id: "redriven"}
        assert await store.cancel(queue, ["t00009"]) == {"t00009": "cancelled"}
        assert await store.pause(queue, seconds=60) is not None
        assert await store.resume(queue)
        assert await store.ahead_of(queue, "t01499") is not None
        await store.tick(queue)
        other = await connected(cluster.url)  # who knows the queue's name only
        stats = await other.stats(queue)
        assert stats is not None and (stats.pending, stats.cancelled) == (1502, 1)
        await eventually(await completed_all(other, queue, 1502), "all to be completed by somebody else", timeout=LONG)
        batch = await other.batch(queue, "b")
        assert batch is not None and (batch.total, batch.completed, batch.cancelled) == (1500, 1499, 1)
        await inside.assert_consistent(store, queue)
        await store.drop_queue(queue)
        assert await inside.key_names(other, queue) == set()
        assert [int(ask(server, "DBSIZE")) for server in cluster.servers].count(0) >= 2, "but for the schema's key"
        for each in (store, other):
            await each.close()


async def test_a_submission_that_was_decided_outlives_its_submitter_and_the_node_that_decided(tmp_path: Path) -> None:
    queue = first_partition_on(0)
    with running_cluster(tmp_path, replicas=1) as cluster:
        first, replica = cluster.servers[0], cluster.servers[3]
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        await eventually(lambda: replicates(replica, first), "the replica to be in step", timeout=LONG)
        store = await connected(cluster.url)
        await store.put_policy(queue, policy(partitions=PARTITIONS))
        with cut_after(store, lua.DECIDE), pytest.raises(StoreUnreachable):
            await store.submit(queue, tasks(300))
        await eventually(lambda: in_step(first, replica), "the replica to have everything")
        first.terminate()  # a SIGKILL
        await eventually(await completed_all(store, queue, 300), "all tasks to be completed", timeout=LONG)
        await inside.assert_consistent(store, queue)
        await store.close()


async def test_while_a_node_is_away_the_others_go_on(tmp_path: Path) -> None:
    queue = first_partition_on(0)
    with running_cluster(tmp_path) as cluster:
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=LONG)
        for server in cluster.servers:
            ask(server, "CONFIG SET", "cluster-require-full-coverage", "no")
        store = await connected(cluster.url)
        await store.put_policy(queue, policy(partitions=PARTITIONS))
        await store.submit(queue, tasks(400))
        cluster.servers[2].terminate()
        claimed: set[str] = set()

        async def all_of_the_others() -> bool:
            try:
                claimed.update(task.id for task in (await store.claim(queue, "w1", [MODEL], 100)).tasks)
            except StoreUnreachable:
                return True  # nothing is left where anything can be seen; that is told, and not "nothing there"
            return False

        await eventually(all_of_the_others, "the others to be served to their end", timeout=LONG)
        away = [place for place in parts_of(queue, PARTITIONS) if node_of(place) == 2]
        assert 0 < len(away) < PARTITIONS
        assert 400 * (PARTITIONS - len(away)) / PARTITIONS - 60 < len(claimed) < 400
        await store.close()
