"""What ``spec.partitions`` does for one hot queue in a Valkey Cluster of three nodes, all on this machine.

``python -m benchmarks.partitions [--rounds 5]``; rows ``partitions.*``, each against the same queue in one partition.
What a queue can do in a cluster with cores enough is bounded by its busiest node: its CPU for each task is the figure
to read. Rates are shown too, of clients and nodes that share the cores of one machine.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import uvloop
from valkey import Valkey

from benchmarks.rows import Findings, Row, is_wanted, medians, parser, rounds, tell
from benchmarks.store_work import MODEL, POLICY, seconds, tasks
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from tests.support.valkeycluster import Group, agreed, ask, running_cluster
from tests.support.waiting import eventually

PARTITIONS = (1, 4)
ONE_BY_ONE, IN_BULK, SUBMITTERS, WORKERS, BATCH = 3000, 20_000, 20, 3, 100
QUICK = 10  # times fewer


def cpu_seconds(cluster: Group) -> list[float]:
    """What each node has used so far."""
    used = []
    for server in cluster.servers:
        with closing(Valkey(port=server.port)) as client:
            info = client.info("cpu")
            used.append(info["used_cpu_user"] + info["used_cpu_sys"])
    return used


async def drain(store: Store, queue: QueueKey, worker: str) -> None:
    while leased := (await store.claim(queue, worker, [MODEL], BATCH)).tasks:
        await store.settle(queue, [Settlement(task.id, task.fence, Verdict.COMPLETE, output="done") for task in leased])


async def figures(store: Store, cluster: Group, partitions: int, fewer: int) -> dict[str, float]:
    """Rates, and microseconds of the busiest node's CPU for each task that went the whole way."""
    queue, one_by_one, in_bulk = QueueKey("bench", f"hot-{partitions}"), ONE_BY_ONE // fewer, IN_BULK // fewer
    await store.put_policy(queue, replace(POLICY, partitions=partitions))

    async def submitter() -> None:
        for task in tasks(one_by_one // SUBMITTERS):
            await store.submit(queue, [task])

    async def together() -> None:
        await asyncio.gather(*(submitter() for _ in range(SUBMITTERS)))

    async def workers() -> None:
        await asyncio.gather(*(drain(store, queue, f"worker-{number}") for number in range(WORKERS)))

    before = cpu_seconds(cluster)
    found = {
        "submit_one_by_one": one_by_one / await seconds(together),
        "submit_in_bulk": in_bulk / await seconds(lambda: store.submit(queue, tasks(in_bulk))),
        "drain": (one_by_one + in_bulk) / await seconds(workers),
    }
    used = [after - earlier for after, earlier in zip(cpu_seconds(cluster), before, strict=True)]
    count = one_by_one + in_bulk
    stats = await store.stats(queue)
    if stats is None or stats.completed != count:
        raise RuntimeError(f"{count} tasks were submitted, the store has {stats}")
    await store.drop_queue(queue)
    return found | {"cpu_of_busiest_node": 1e6 * max(used) / count, "cpu_of_all_nodes": 1e6 * sum(used) / count}


async def measure(options: argparse.Namespace) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder)) as cluster:
        await eventually(lambda: agreed(cluster), "the nodes to agree", timeout=30)
        for server in cluster.servers:  # nodes that wait for a core are not dead
            ask(server, "CONFIG SET", "cluster-node-timeout", 15_000)
        store = await Store.connect(cluster.url)
        fewer = QUICK if options.quick else 1
        found = [
            {number: await figures(store, cluster, number, fewer) for number in PARTITIONS} for _ in rounds(options)
        ]
        await store.close()
    one, several = (medians([each[number] for each in found]) for number in PARTITIONS)
    rows = [row(name, value, one[name]) for name, value in several.items()]
    return [each for each in rows if is_wanted(options, each.id)]


def row(name: str, several: float, one: float) -> Row:
    against = {"one partition": one}
    if name.startswith("cpu"):
        return Row(f"partitions.{name}", "us a task", several, "lower", against)
    return Row(f"partitions.{name}", "tasks/s", several, "higher", against)


def main() -> int:
    options = parser(__doc__).parse_args()
    return tell(Findings(uvloop.run(measure(options))), options)


if __name__ == "__main__":
    sys.exit(main())
